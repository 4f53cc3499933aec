"""The options that commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from keyturn.cli.console import Screen

if TYPE_CHECKING:
    from keyturn.core.secret import Secret

Command = Callable[..., Any]

_UNITS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    """Return the seconds of a length of time such as `90`, `20ms`, `30s`, `2m` or `1h`; a click callback."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|[smh])?", value)
    if not match:
        raise click.BadParameter(f"{value!r} is not a length of time; write 30s, 2m or 1h")
    return float(match[1]) * _UNITS[match[2] or ""]


def screen() -> Screen:
    """Return the screen of the running command."""
    found = click.get_current_context().find_object(Screen)
    assert found is not None  # noqa: S101 - every command runs under the root, which makes one
    return found


def _set(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def store(ctx: click.Context, _param: click.Parameter, value: Any) -> None:  # noqa: ANN401 - click's own
        found = ctx.find_object(Screen)
        if found is not None:
            setattr(found, name, value)

    return store


def talking(command: Command) -> Command:
    """Add -v, -q and --no-color."""
    for option in (
        click.option("--no-color", is_flag=True, expose_value=False, callback=_set("no_color"), help="Plain text."),
        click.option("-q", "--quiet", is_flag=True, expose_value=False, callback=_set("quiet"), help="Errors only."),
        click.option("-v", "--verbose", count=True, expose_value=False, callback=_set("verbose"), help="Say more."),
    ):
        command = option(command)
    return command


def formatted(*formats: str) -> Callable[[Command], Command]:
    """Add --format with these choices; the first is the default."""
    return click.option(
        "--format",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        expose_value=False,
        callback=_set("format"),
        help="What stdout gets; json is one document.",
    )


manifest_file = click.option(
    "-f",
    "--file",
    "file",
    default="keyturn.yaml",
    show_default=True,
    type=click.Path(),
    help="The manifest; a directory means all its manifests.",
)
some_keys = click.argument("keys", nargs=-1, metavar="[KEY]...")
verify = click.option("--verify", is_flag=True, help="Also read every delivery and try its secret.")
yes = click.option("--yes", is_flag=True, help="Agree to the plan without being asked.")
take_over = click.option(
    "--take-over",
    is_flag=True,
    help="Take keys, fields and records over from another owner; go on if the list shows none of a key's API keys.",
)
lock_timeout = click.option(
    "--lock-timeout",
    callback=seconds,
    metavar="DURATION",
    default="2m",
    show_default=True,
    help="How long to wait for another run that holds a key.",
)


def brakes(command: Command) -> Command:
    """Add --allow-delete and --allow-rotations."""
    for name, help_text in (
        ("--allow-rotations", "Let this many adoptions and heals go over limits.rotations_per_run."),
        ("--allow-delete", "Let this many API keys be deleted."),
    ):
        number = click.option(name, type=click.IntRange(min=0), default=0, metavar="N", help=help_text)
        command = number(command)
    return command


unpark = click.option(
    "--unpark", multiple=True, metavar="KEY", help="Try a parked key again; only the keys named so are worked on."
)


def person() -> str:
    """Return who runs this, for the record's history."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def secret_from_stdin() -> Secret:
    """Read a secret from standard input, or from a terminal without showing it; raises InputError where it is empty."""
    import sys

    from keyturn.core.errors import InputError
    from keyturn.core.secret import Secret

    if sys.stdin.isatty():
        value = click.prompt("Secret", hide_input=True, err=True, default="", show_default=False)
    else:
        value = sys.stdin.readline()
    if not value.strip():
        raise InputError("no secret came on standard input")
    return Secret(value.strip())
