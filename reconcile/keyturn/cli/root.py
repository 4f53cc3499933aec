"""The group of all commands. It imports a command when it is called, and turns its result into an exit code."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any, NoReturn

import click

from keyturn.cli.console import Screen

HELP = {"help_option_names": ["-h", "--help"]}
WRONG_USAGE = 3
SIGINT_CODE = 130
SIGTERM_CODE = 143
DEBUG = 2


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: ends like Ctrl-C, but with the exit code of SIGTERM."""


class Root(click.Group):
    """A group whose commands are modules of `keyturn.cli`. Each is imported when it is called."""

    def __init__(self, name: str, commands: Mapping[str, str], **settings: Any) -> None:  # noqa: ANN401 - click's own
        """Keep the one-line help texts, so that `-h` imports no command."""
        super().__init__(name, context_settings=HELP, **settings)
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
        command.context_settings = HELP
        return command

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
        restore = _handle_signals()
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, obj=screen, **extra)
        except click.UsageError as error:
            code = _usage(screen, error)
        except click.ClickException as error:
            screen.error(error.format_message())
            code = WRONG_USAGE
        except click.Abort as error:
            code = _stopped(screen, terminated=isinstance(error.__context__, Terminated))
        finally:
            restore()
            screen.close()
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own
        """Run the command. Report a failure in one paragraph."""
        from keyturn.cli.hardening import KEY_LOG, harden

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


def _failed(screen: Screen, error: Exception) -> int:
    """Report an error in one paragraph. The text of a foreign error may contain a secret, so only its type is shown."""
    from keyturn.core.errors import KeyturnError, ManifestError, PolicyError

    code = error.exit_code if isinstance(error, KeyturnError) else 1
    if isinstance(error, KeyturnError):
        screen.error(str(error) if isinstance(error, ManifestError | PolicyError) else f"Error: {error}")
    else:
        screen.error(
            f"Error: keyturn failed with {type(error).__name__}. This is a bug. Unfinished work is in the records; "
            "the next `keyturn apply` continues it."
        )
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
    screen.error(f"Error: {error.format_message()}")
    return WRONG_USAGE


def _stopped(screen: Screen, *, terminated: bool) -> int:
    """Report the signal and return its exit code. A run handles signals itself and reports unfinished work."""
    screen.error("Stopped by SIGTERM." if terminated else "Stopped by Ctrl-C.")
    return SIGTERM_CODE if terminated else SIGINT_CODE


def _handle_signals() -> Any:  # noqa: ANN401 - a thunk
    """Let SIGTERM and SIGHUP end the run like Ctrl-C. Return a function that restores the handlers."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise Terminated

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    return lambda: [signal.signal(number, handler) for number, handler in before.items()]
