"""`python -m tests.engine.transcript`: a stack's life on the real engine, each command with its requests."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from keyturn.sandbox import Sandbox
from tests.engine.build import engine
from tests.engine.harness import Site
from tests.support.openbao import OpenBao

ID = "shop.dev.bot"


def tell(site: Site, command: str, do: Callable[[], object], mutating: tuple[str, ...] = ()) -> int:
    """Run a command, print its screen and its requests; return how many things are not as expected."""
    shown = len(site.said)
    do()
    print(f"\n$ pulumi {command}")
    print("\n".join(text.strip() for text in site.said[shown:] if text.strip()))
    requests = site.requests()
    print("requests to the API:")
    for seen in requests:
        print(f"  {seen.verb:<6} {seen.path}  {seen.status}{'  (changes the account)' if seen.mutating else ''}")
    if not requests:
        print("  none")
    resource = site.resources().get("bot", {})
    print(f"resource id: {resource.get('id', 'none')}; the vault's secret is accepted: {site.accepted()}")
    found = tuple(seen.op for seen in requests if seen.mutating)
    wrong = int(found != mutating) + int(resource.get("id", ID) != ID)
    if wrong:
        print(f"NOT AS EXPECTED: {', '.join(mutating) or 'no changing request'}, and the id {ID}")
    return wrong


def live(site: Site) -> int:
    """Tell a key's life in a stack; return how many things are not as expected."""
    rotated = site.key(rotation_trigger="release 7")
    wrong = tell(site, "preview", lambda: site.show_preview(site.key()))
    wrong += tell(site, "up", lambda: site.up(site.key()), ("create", "rename"))
    wrong += tell(site, "up", lambda: site.up(site.key()))
    wrong += tell(site, "up  # with another rotation_trigger", lambda: site.up(rotated), ("regenerate",))
    wrong += tell(site, "refresh", site.refresh)
    wrong += tell(site, "destroy", site.destroy, ("delete",))
    files = sum(path.is_file() for path in site.backend.rglob("*"))
    leaks = site.leaks()
    print(f"\n{files} files of the backend, history and backups among them, and all that was shown, were searched")
    print(f"for {len(site.sandbox.state.secrets)} secrets and the tokens: {len(leaks)} hold one {leaks or ''}")
    return wrong + len(leaks)


def main() -> int:
    """Return 1 where anything is not as expected."""
    with (
        tempfile.TemporaryDirectory() as home,
        tempfile.TemporaryDirectory() as bao,
        OpenBao(Path(bao)) as openbao,
        Sandbox(create="allowed") as sandbox,
    ):
        return min(1, live(Site(Path(home), engine(), sandbox, openbao, "life", {"VAULT_TOKEN": openbao.root_token})))


if __name__ == "__main__":
    sys.exit(main())
