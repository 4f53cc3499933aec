"""Shared options of the commands."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from keyturn.cli.console import Screen

if TYPE_CHECKING:
    from keyturn.core.secret import Secret
    from keyturn.core.world import World

Command = Callable[..., Any]

_UNITS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    """Return a duration such as `90`, `20ms`, `30s`, `2m` or `1h` in seconds. A click callback."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|[smh])?", value)
    if not match:
        raise click.BadParameter(f"{value!r} is not a duration; write 30s, 2m or 1h")
    return float(match[1]) * _UNITS[match[2] or ""]


def screen() -> Screen:
    """Return the screen of the running command."""
    found = click.get_current_context().find_object(Screen)
    assert found is not None  # noqa: S101 - every command runs under the root, which makes one
    return found


def lasting() -> Screen:
    """Return the screen of a command that runs until a signal. Python looks for cycles after 100,000 objects."""
    gc.set_threshold(100_000, 20, 20)
    return screen()


def _set(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def store(ctx: click.Context, _param: click.Parameter, value: Any) -> None:  # noqa: ANN401 - click's own
        found = ctx.find_object(Screen)
        if found is not None:
            setattr(found, name, value)

    return store


def talking(command: Command) -> Command:
    """Add -v, -q and --no-color."""
    for option in (
        click.option(
            "--no-color",
            is_flag=True,
            expose_value=False,
            callback=_set("no_color"),
            help="Plain text, without colors.",
        ),
        click.option(
            "-q",
            "--quiet",
            is_flag=True,
            expose_value=False,
            callback=_set("quiet"),
            help="Of text, show only changes, failures and what needs someone: nothing at all if there are none. Other "
            "formats, and commands that print a file, stay whole.",
        ),
        click.option(
            "-v",
            "--verbose",
            count=True,
            expose_value=False,
            callback=_set("verbose"),
            help="Show log records, and in plans and reports each step and whole uuids. -vv adds HTTP requests and "
            "tracebacks.",
        ),
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
        help="Format of stdout. json prints one document.",
    )


def _key_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from keyturn.cli.key_names import complete

    return complete(ctx, param, incomplete)


def keys_argument(*, required: bool = False) -> Callable[[Command], Command]:
    """Add KEY..., completed from the manifest."""
    metavar = "KEY..." if required else "[KEY]..."
    return click.argument("keys", nargs=-1, required=required, metavar=metavar, shell_complete=_key_names)


def _one(ctx: click.Context, _: click.Parameter, keys: tuple[str, ...]) -> str:
    """Return the only key. A remedy names several; the command is typed once for each."""
    if len(keys) > 1:
        raise click.UsageError(f"{ctx.info_name} is for one key at a time: run it once for each of {', '.join(keys)}")
    return keys[0]


key_argument = click.argument("key", nargs=-1, required=True, metavar="KEY", callback=_one, shell_complete=_key_names)
manifest_file = click.option(
    "-f",
    "--file",
    "file",
    default="keyturn.yaml",
    show_default=True,
    type=click.Path(),
    help="The manifest, or a directory of manifests.",
)
policy_file = click.option(
    "--policy",
    envvar="KEYTURN_POLICY",
    show_envvar=True,
    type=click.Path(),
    expose_value=False,
    callback=_set("policy"),
    metavar="FILE",
    help="The operator's policy, to which manifests are held.",
)


manifest_files = click.option(
    "-f",
    "--file",
    "file",
    multiple=True,
    default=["keyturn.yaml"],
    show_default=True,
    type=click.Path(allow_dash=True),
    metavar="PATH",
    help="A manifest, a directory of manifests, or - for standard input. May be repeated.",
)


def manifests(command: Command) -> Command:
    """Add -f, which may be repeated, and --policy. The parameter `file` is a tuple of paths."""
    return manifest_files(policy_file(command))


some_keys = keys_argument()
verify = click.option("--verify", is_flag=True, help="Also read each delivery and test its secret.")
yes = click.option("--yes", is_flag=True, help="Apply the plan without confirmation.")
take_over = click.option(
    "--take-over",
    is_flag=True,
    help="Take over keys, fields and records of another owner; continue if the list shows none of a key's API keys.",
)
lock_timeout = click.option(
    "--lock-timeout",
    callback=seconds,
    metavar="DURATION",
    default="2m",
    show_default=True,
    help="How long to wait for another run on the same key.",
)


def brakes(command: Command) -> Command:
    """Add --allow-delete and the other numbers that an operator allows."""
    for name, help_text in (
        ("--allow-unproven", "Allow changes to this many API keys that may not be the key's own."),
        ("--allow-removals", "Allow this many deliveries to be emptied, instead of 20."),
        ("--allow-rotations", "Allow this many adoptions and heals beyond limits.rotations_per_run."),
        ("--allow-delete", "Allow this many API keys to be deleted."),
    ):
        number = click.option(name, type=click.IntRange(min=0), default=0, metavar="N", help=help_text)
        command = number(command)
    return command


unpark = click.option(
    "--unpark",
    multiple=True,
    metavar="KEY",
    shell_complete=_key_names,
    help="Let this parked key make secrets again. May be repeated. It selects no keys: the KEY arguments do.",
)


def person() -> str:
    """Return the user's name for the record's history."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def key_from_stdin(world: World) -> Secret:
    """Read a secret from standard input, or from a terminal without echo.

    Raises InputError if it is empty or does not look like a model access key.
    """
    import sys

    from keyturn.core.errors import InputError
    from keyturn.core.secret import Secret
    from keyturn.engine.observe import require_key

    if sys.stdin.isatty():
        value = click.prompt("Secret", hide_input=True, err=True, default="", show_default=False)
    else:
        value = sys.stdin.readline()
    if not value.strip():
        raise InputError("there is no secret on standard input")
    secret = Secret(value.strip())
    require_key(secret, world.key_prefixes())
    return secret
