"""`python -m tests.engine.awaiting`: a key that an operator has to make, with an engine that knows how to wait.

That engine is built first, which takes ten minutes once. `make test` has an older one, which shows an error.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from keyturn.sandbox import Sandbox
from tests.engine.build import SDK, engine
from tests.engine.full_site import YamlSite
from tests.engine.harness import Program
from tests.engine.languages import host
from tests.support.go_program import built, find, go
from tests.support.openbao import OpenBao

MODULE = Path(__file__).parent / "newer"
AWAITING = 10
"""The exit code of a command that did what it could, and waits for the rest."""


def newer(folder: Path) -> Path:
    """Fill a folder with the newer engine and the helpers of the other one, and return it."""
    version = go(find("the newer engine"), MODULE, "list", "-m", "-f", "{{.Version}}", SDK)
    linked = f"-s -w -X {SDK}/go/common/version.Version={version}"
    (folder / "pulumi").symlink_to(built(MODULE, "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", linked=linked))
    for helper in engine().iterdir():
        if helper.name != "pulumi":
            (folder / helper.name).symlink_to(helper)
    return folder


def awaited(site: YamlSite) -> list[str]:
    """Return what is not as it should be: the other key is delivered, and the awaited one in the next up."""
    site.sandbox.change(create="gone")
    site.sandbox.panel_create("mail")
    keys = {"bot": site.declared(), "mail": site.declared("mail", adopt={"secret": "regenerate"})}
    program = Program(data={"resources": keys})
    first = site.run_up(program)
    print(first.stdout)
    site.sandbox.panel_create("bot")
    before = site.accepted("mail"), site.accepted("bot")
    second = site.run_up(program)
    print(second.stdout)
    found = {
        f"the first up ended with {first.returncode}": first.returncode == AWAITING,
        "it says nothing of awaiting": "awaiting" in first.stdout,
        "it does not say what to make": "waits for 'bot', to be made in the control panel" in first.stdout,
        f"mail and bot were delivered: {before}": before == (True, False),
        f"the second up ended with {second.returncode}": second.returncode == 0,
        "bot is not delivered": site.accepted("bot"),
        f"these hold a secret: {site.leaks()}": not site.leaks(),
    }
    return [wrong for wrong, right in found.items() if not right]


def main() -> int:
    """Return 1 if anything is not as it should be."""
    with (
        tempfile.TemporaryDirectory() as bao,
        tempfile.TemporaryDirectory() as programs,
        tempfile.TemporaryDirectory() as home,
        OpenBao(Path(bao)) as openbao,
        Sandbox() as sandbox,
    ):
        variables = {"VAULT_TOKEN": openbao.root_token}
        site = YamlSite(Path(home), newer(Path(programs)), sandbox, openbao, "awaiting", variables, host=host("yaml"))
        wrong = awaited(site)
    print("\n".join(wrong) or "as it should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
