"""`keyturn init`: creates a commented manifest, and beside it the schema with which editors check it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyturn.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.cli.console import Screen
    from keyturn.core.model import ApiKey
    from keyturn.manifest.from_account import Drafted

STARTER = Path(__file__).with_name("starter.yaml")
SCHEMA = "keyturn.schema.json"
"""The file beside the manifest that its first line names."""
ADDRESS = "${KEYTURN_VAULT:-http://127.0.0.1:8200}"


@click.command(
    "init",
    help="Create a commented manifest, and beside it the schema with which editors check it. Its Vault is that of "
    "VAULT_ADDR and VAULT_NAMESPACE, if they are set. An existing file is not changed.",
)
@click.option(
    "-f",
    "--file",
    default="keyturn.yaml",
    show_default=True,
    type=click.Path(),
    help="The new manifest, or its directory.",
)
@click.option("--from-account", is_flag=True, help="Write an entry for each API key of the account.")
@click.option(
    "--records",
    "beside",
    type=click.Path(exists=True),
    metavar="MANIFEST",
    help="With --from-account: leave out the API keys that the records of this manifest (or directory) own.",
)
@options.policy_file
@options.talking
def command(*, file: str, from_account: bool, beside: str | None) -> int:
    """Write it unless the file exists."""
    from keyturn.core.errors import InputError
    from keyturn.report.lines import count

    if beside and not from_account:
        raise click.UsageError("--records belongs to --from-account")
    screen = options.screen()
    path = Path(file) / "keyturn.yaml" if Path(file).is_dir() else Path(file)
    if path.exists():
        raise InputError("this file already exists and was not changed", where=str(path), remedy=_ELSEWHERE)
    drafted = _drafted(screen, beside) if from_account else None
    _write_new(path, drafted.text if drafted else _starter())
    beside_it = " It names keyturn.schema.json, which was there already." if not _schema(path) else ""
    if drafted:
        left = f"; {count(drafted.left_out, 'API key is', 'API keys are')} left out" if drafted.left_out else ""
        screen.say(f"Wrote {count(drafted.entries, 'entry', 'entries')}{left}.")
    screen.say(f"Wrote {path}.{beside_it} Next: edit it, `keyturn validate`, `keyturn doctor`, `keyturn plan`.")
    return 0


def _starter() -> str:
    """Return the starter manifest, with the Vault of the environment if it names one."""
    from keyturn.manifest.from_account import quoted

    text = STARTER.read_text(encoding="utf-8")
    address, namespace = _vault()
    if address == ADDRESS:
        return text
    row = next(row for row in text.splitlines() if ADDRESS in row)
    more = f"\n    namespace: {quoted(namespace)}" if namespace else ""
    return text.replace(row, f"    address: {quoted(address)} # that of VAULT_ADDR: its login goes only there{more}")


def _vault() -> tuple[str, str]:
    """Return the address and the namespace of the Vault that the environment names; a template if it names none."""
    from keyturn.core.errors import InputError
    from keyturn.targets.origins import bare_origin

    try:
        address = str(bare_origin(os.environ.get("VAULT_ADDR", "")))
    except InputError:
        address = ADDRESS
    return address, os.environ.get("VAULT_NAMESPACE", "").strip("/")


_ELSEWHERE = "Name another file: keyturn init -f FILE."


def _write_new(path: Path, text: str) -> None:
    """Write a file that does not exist. Raises InputError."""
    from keyturn.core.errors import InputError

    try:
        with path.open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError:
        raise InputError("this file already exists and was not changed", where=str(path), remedy=_ELSEWHERE) from None
    except FileNotFoundError:
        raise InputError(
            "this file cannot be written: there is no such directory",
            where=str(path),
            remedy=f"Create it: mkdir -p {path.parent}.",
        ) from None
    except OSError as error:
        raise InputError(
            "this file cannot be written", where=str(path), evidence=error.strerror or "", remedy=_ELSEWHERE
        ) from None


def _schema(path: Path) -> bool:
    """Write the schema beside a manifest. Return False if a file of its name is there; it is not changed."""
    from keyturn.cli.schema import schema_text

    there = path.with_name(SCHEMA)
    if there.exists():
        return False
    _write_new(there, schema_text("manifest"))
    return True


def _drafted(screen: Screen, beside: str | None) -> Drafted:
    """Return a manifest for the API keys of the account. Raises KeyturnError if they cannot be read."""
    from keyturn.live.account import open_account
    from keyturn.manifest.from_account import from_account

    screen.log()
    control = open_account(os.environ, hear=screen.progress)
    try:
        keys = control.list_keys()
    finally:
        control.close()
    address, namespace = _vault()
    owned = _owned(screen, Path(beside), keys) if beside else {}
    return from_account(keys, address=address, namespace=namespace, owned=owned)


def _owned(screen: Screen, path: Path, keys: Sequence[ApiKey]) -> dict[str, str]:
    """Return the API keys that a claim gives to a key, each with whose it is. Raises KeyturnError."""
    import re

    from keyturn.cli.session import opened
    from keyturn.manifest.schema import UUID

    found: dict[str, str] = {}
    with opened(screen, str(path)) as manifests:
        for one in manifests:
            for key in (key for key in keys if re.fullmatch(UUID, key.uuid)):
                claim = one.world.read_claim(key.uuid).claim
                if claim and not claim.released_at:
                    found[key.uuid] = f"the key {claim.key} of {claim.owner}"
    return found
