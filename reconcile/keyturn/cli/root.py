"""The group of all commands. It imports a command when it is called, and turns its result into an exit code."""

from __future__ import annotations

import atexit
import difflib
import gc
import importlib
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import FrameType
from typing import Any, Final, NoReturn

import click

from keyturn.cli.console import Screen

HELP = {"help_option_names": ["-h", "--help"]}
FAILED = 1
WRONG_USAGE = 3
SIGINT_CODE = 130
SIGTERM_CODE = 143
DEBUG = 2
FLAGS: Final = frozenset({"-q", "--quiet", "-v", "-vv", "--verbose", "--no-color"})
COLLECT: Final = 300_000
"""How many objects are made before Python looks for cycles among them: one look at a manifest of 1,000 keys, which has
none, is 6 % of `validate`. For a command that runs until a signal, Python looks more often: `options.lasting`."""
atexit.register(gc.freeze)  # or the exit looks for cycles in all that was imported, which takes longer than `-h`
VALUES: Final = frozenset({"-f", "--file", "--policy", "--format"})
"""Options of the commands that may also be written before the command."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: ends like Ctrl-C, but with the exit code of SIGTERM."""


class Root(click.Group):
    """A group whose commands are modules of `keyturn.cli`. Each is imported when it is called."""

    def __init__(self, name: str, commands: Mapping[str, str], **settings: Any) -> None:  # noqa: ANN401 - click's own
        """Keep the one-line help texts, so that `-h` imports no command."""
        super().__init__(name, context_settings=HELP, no_args_is_help=False, **settings)
        self.short_helps = commands

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of the table."""
        return list(self.short_helps)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the same
        """Import one command."""
        if cmd_name not in self.short_helps:
            return None
        command = importlib.import_module(f"keyturn.cli.{cmd_name}").command
        assert isinstance(command, click.Command)  # noqa: S101 - a module of ours
        command.context_settings = {**HELP, **command.context_settings}
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the group's own options. Without arguments, show the help.

        Shared options of the commands that are written before the command are moved behind it.
        """
        if not args and not ctx.resilient_parsing:
            ctx.find_object(Screen).document(ctx.get_help() + "\n")  # type: ignore[union-attr]  # made by `main`
            ctx.exit()
        try:
            return super().parse_args(ctx, _in_order(_spelled(args)))
        except click.NoSuchOption as error:
            text = (
                f"{error.format_message()} The options of a command are written behind it: keyturn COMMAND [OPTIONS]."
            )
            raise click.UsageError(text, ctx) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is called. Suggest a near one for a name that is unknown."""
        if args and args[0] not in self.short_helps and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self.short_helps, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"There is no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - the same
        """Write the table of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.short_helps.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Complete the group's options and the names of commands, without importing the commands."""
        from click.shell_completion import CompletionItem

        own = click.Command.shell_complete(self, ctx, incomplete)
        names = [name for name in self.short_helps if name.startswith(incomplete)]
        return [CompletionItem(name, help=self.short_helps[name]) for name in names] + own

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: ARG002, FBT001, FBT002 - click's signature; a Root always stands alone
        **extra: Any,  # noqa: ANN401 - click's own
    ) -> NoReturn:
        """Run a command and exit with its code. Wrong usage is 3, because 2 means changes."""
        screen = Screen()
        wants_json = _wants_json(sys.argv[1:] if args is None else args)
        restore = _handle_signals()
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, obj=screen, **extra)
        except click.UsageError as error:
            screen.format = "json" if wants_json else screen.format
            code = _usage(screen, error)
        except click.ClickException as error:
            screen.error(error.format_message())
            code = WRONG_USAGE
        except click.Abort as error:
            code = _stopped(screen, terminated=isinstance(error.__context__, Terminated))
        except OSError as error:  # only click's own output is written past the screen
            screen.cannot_write(sys.stdout, error)
            code = 0
        finally:
            restore()
            screen.close()
        code = code if isinstance(code, int) else 0
        if screen.broken:
            screen.error(f"Error: the output could not be written: {screen.broken}.")
            code = code or FAILED
        if code in {SIGINT_CODE, SIGTERM_CODE} and _still_reading():
            os._exit(code)
        sys.exit(code)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own
        """Run the command. Report a failure in one paragraph."""
        from keyturn.cli.hardening import KEY_LOG, harden

        gc.set_threshold(COLLECT)
        # httpx brings a command line of its own, and rich and pygments with it: they take longer than all of httpx.
        sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None means: there is none
        screen = ctx.obj
        assert isinstance(screen, Screen)  # noqa: S101 - made by `main`
        if harden(os.environ):
            screen.error(f"{KEY_LOG} is ignored: it would write the keys of every TLS connection to a file.")
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:  # noqa: BLE001 - the last handler
            return _failed(screen, error)


def fail(screen: Screen, code: int, text: str, error: BaseException | None = None) -> int:
    """Show an error on stderr and, with `--format json`, also as a document on stdout. Return `code`."""
    screen.error(text)
    fail_document(screen, code, text, error)
    return code


def fail_document(screen: Screen, code: int, text: str, error: BaseException | None = None) -> None:
    """With `--format json`, write an error as a document to stdout, unless there is a document already."""
    if screen.format == "json" and not screen.wrote:
        from datetime import UTC, datetime

        from keyturn.report.documents import dump, error_document

        screen.document(dump(error_document(datetime.now(UTC), code, text.removeprefix("Error: "), error)))


def _failed(screen: Screen, error: Exception) -> int:
    """Report an error in one paragraph. The text of a foreign error may contain a secret, so only its type is shown."""
    from keyturn.core.errors import KeyturnError, ManifestError, PolicyError

    code = error.exit_code if isinstance(error, KeyturnError) else FAILED
    if isinstance(error, KeyturnError):
        text = str(error) if isinstance(error, ManifestError | PolicyError) else f"Error: {error}"
    else:
        text = (
            f"Error: keyturn failed with {type(error).__name__}. This is a bug. Unfinished work is in the records; "
            "the next `keyturn apply` continues it."
        )
    fail(screen, code, text, error)
    if screen.verbose >= DEBUG:
        screen.error(_frames(error))
    return code


def _frames(error: BaseException) -> str:
    """Return the location of an error: files, lines and code, without local variables or the exception's text."""
    import traceback

    return "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__


def _usage(screen: Screen, error: click.UsageError) -> int:
    if error.ctx:
        screen.error(error.ctx.get_usage() + f"\nTry '{error.ctx.command_path} -h' for help.")
    # click writes a list of choices as indented lines.
    return fail(screen, WRONG_USAGE, f"Error: {' '.join(error.format_message().split())}", error)


def _stopped(screen: Screen, *, terminated: bool) -> int:
    """Report the signal and return its exit code. A run handles signals itself and reports unfinished work."""
    code = SIGTERM_CODE if terminated else SIGINT_CODE
    return fail(screen, code, "Stopped by SIGTERM." if terminated else "Stopped by Ctrl-C.")


def _still_reading() -> bool:
    """Tell whether threads that only read still wait for an answer; nothing depends on it."""
    return any(one.name.startswith("keyturn") and one.is_alive() for one in threading.enumerate())


def _spelled(args: Sequence[str]) -> list[str]:
    """Return the arguments with `help` and `version` as the options that they stand for."""
    if args and args[0] == "help":
        return [*args[1:2], "--help"]
    return ["--version"] if list(args) == ["version"] else list(args)


def _in_order(args: Sequence[str]) -> list[str]:
    """Return the arguments with the commands' options that stand before the command moved behind it."""
    moved: list[str] = []
    rest = list(args)
    while rest:
        name, has_value, _ = rest[0].partition("=")
        if rest[0] in FLAGS or (has_value and name in VALUES) or (rest[0][:2] == "-f" and rest[0] not in VALUES):
            moved.append(rest.pop(0))
        elif rest[0] in VALUES and len(rest) > 1:
            moved += [rest.pop(0), rest.pop(0)]
        else:
            break
    return [rest[0], *moved, *rest[1:]] if rest and moved and not rest[0].startswith("-") else list(args)


def _wants_json(args: Sequence[str]) -> bool:
    """Tell whether the arguments ask for JSON; they may be too wrong to be parsed."""
    found = list(args)[: list(args).index("--")] if "--" in args else list(args)
    return "--format=json" in found or ("--format", "json") in pairwise(found)


def _handle_signals() -> Any:  # noqa: ANN401 - a thunk
    """Let SIGTERM and SIGHUP end the run like Ctrl-C. Return a function that restores the handlers."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise Terminated

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    return lambda: [signal.signal(number, handler) for number, handler in before.items()]
