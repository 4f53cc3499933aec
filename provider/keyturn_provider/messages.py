"""Messages to the user: keyturn's sentences with remedies for programs, and the output through `pulumi.log`.

One thread sends all messages to `pulumi.log`, which raises or blocks forever if the engine was killed or stopped. A
caller may hold a new secret, so it never waits for the engine.

keyturn, and what the library has for programs, are imported only when they are needed: a stack at rest needs neither.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from functools import cache
from queue import Queue
from typing import TYPE_CHECKING

from pulumi.runtime.proto import engine_pb2

from keyturn_provider import inputs

if TYPE_CHECKING:
    from pulumi.runtime.proto.engine_pb2_grpc import EngineStub

    from keyturn.core.model import Desired
    from keyturn.core.record import Record

LONGEST = 1.0
"""Seconds that the end of a call waits for its messages to be shown."""

AWAITING = ">=3.271.0"
"""The engines that know awaited resources, and drop the text of the error that says so."""

LIMIT = 2000
"""The longest paragraph in characters. It may contain texts of an API or a target."""

_ADDRESS = re.compile(r"[\w.:\[\]-]+:\d+")

RECONFIGURE = "`pulumi up --target '**::pulumi:providers:keyturn::*'`"
"""The command that takes a changed configuration, and refreshes no key."""

row: ContextVar[str] = ContextVar("row", default="")
"""The URN of the resource that a call is about. Only the full provider knows it: its messages appear on that row."""

_lines: Queue[tuple[Callable[[str], None], str]] = Queue()
_starting = threading.Lock()


class KeyturnFailed(Exception):
    """The error that the engine shows for a failed call. It contains no secret, token or body."""


def paragraph(error: Exception) -> str:
    """Return an error as one paragraph. Of a foreign error only its type is shown: its text could contain a secret."""
    from keyturn.core.errors import KeyturnError
    from keyturn.core.sanitize import plain

    if isinstance(error, KeyturnError | KeyturnFailed):
        text = plain(str(error), LIMIT)
        return f"{text}{_configuration(text)}"
    return (
        f"keyturn failed with {type(error).__name__}. This is a bug; please report it. The next `pulumi up` continues "
        "from there."
    )


def _configuration(text: str) -> str:
    """Return where else the variables may be set that a text names, and when that counts. Empty if it names none."""
    named = (setting for variable, setting in inputs.CONFIGURED.items() if re.search(rf"\b{variable}\b", text))
    settings = " and ".join(named)
    if not settings:
        return ""
    where = f" Pulumi's configuration can set it, too: {settings}."
    if not row.get():  # a dynamic resource is not refreshed by an up
        return where
    late = "A refresh, also that of an up, uses the configuration of the last up"
    return f"{where} {late}: after a change there, run {RECONFIGURE} first."


def no_record(key: str, desired: Desired) -> str:
    """Return the message for a missing record."""
    place = f"{desired.records.target}:{desired.records.prefix}"
    return (
        f"{key}: {place} holds no record of this key; nothing was changed. If the records were moved, move this one "
        "too. If the key is no longer needed, delete its API key in the control panel, empty its deliveries, and run "
        "`pulumi state delete`."
    )


def half_done(record: Record) -> str:
    """Return how to continue after an unfinished update or delete. Empty if nothing is unfinished."""
    late = any(item.digest != record.live_digest for item in record.deliveries)
    if record.deleted_at or not (record.intent or late):
        return ""
    return (
        "This change is unfinished, and the record knows how far it got: run the same command again to continue. To "
        "undo the change, run `pulumi up --refresh`: without the refresh, an up would not see the unfinished work."
    )


def made(record: Record) -> str:
    """Return what a failed create left behind. Empty if there is no API key."""
    from keyturn.core.record import Op

    uuids = ", ".join(slot.uuid for slot in record.slots.values())
    if record.deleted_at or not (uuids or (record.intent and record.intent.op is Op.CREATE)):
        return ""
    what = (
        f"The API key {uuids} exists and is recorded" if uuids else "An API key may have been created, and is recorded"
    )
    return (
        f"{what}, but it is not in Pulumi's state, so a destroy would not delete it. Run `pulumi up` again to continue "
        "with it. To remove it, run `pulumi destroy` after that."
    )


def hand_off(names: Iterable[str]) -> str:
    """Return how to create API keys with these names in the control panel. Empty if there are none."""
    from keyturn.report.handoff import CLICKS, PANEL

    wanted = ", ".join(map(repr, names))
    if not wanted:
        return ""
    return (
        f"Create {wanted}, with exactly that name, at {PANEL}: {CLICKS}. No secret has to be copied. "
        "Then run `pulumi up` again: it takes over the API key and regenerates it."
    )


def may_need(names: Iterable[str]) -> str:
    """Return what a preview says of API keys that no up has asked for yet: only that shows whether the API creates."""
    wanted = ", ".join(map(repr, names))
    return (
        f"`pulumi up` asks the API to create {wanted}. If the API no longer creates keys, the up says how to create "
        "them in the control panel. Wait for that: only what is created after it is taken over without `adopt`."
    )


def say(text: str, *, lasting: bool = False) -> None:
    """Show a message: progress on a resource's row passes unless it is `lasting`. Never raises, never waits."""
    _put(_on(row.get(), engine_pb2.INFO, passing=not lasting) if row.get() else _info, text)


def warn(text: str) -> None:
    """Show a warning. Never raises, never waits."""
    _put(_on(row.get(), engine_pb2.WARNING, passing=False) if row.get() else _warn, text)


def awaited(text: str) -> None:
    """Show why a resource is awaited, if the engine does not: an older one shows the error. Never raises or waits."""
    show = _on(row.get(), engine_pb2.INFO, passing=False)

    def to_newer_engines(text: str) -> None:
        if engine := get_engine():
            engine.RequirePulumiVersion(engine_pb2.RequirePulumiVersionRequest(pulumi_version_range=AWAITING))
            show(text)  # an older engine has refused

    _put(to_newer_engines, text)


def flush(seconds: float = LONGEST) -> None:
    """Wait up to `seconds` until all messages are shown: the engine may end this process after a call."""
    with _lines.all_tasks_done:
        _lines.all_tasks_done.wait_for(lambda: not _lines.unfinished_tasks, seconds)


def _on(urn: str, severity: engine_pb2.LogSeverity.ValueType, *, passing: bool) -> Callable[[str], None]:
    """Return what shows a text on a resource's row. A passing one leaves no diagnostic behind."""

    def show(text: str) -> None:
        engine = get_engine()
        if engine is None:
            print(text, file=sys.stderr)  # noqa: T201 - without an engine, as pulumi.log does
        else:
            engine.Log(engine_pb2.LogRequest(severity=severity, message=text, urn=urn, ephemeral=passing))

    return show


def _info(text: str) -> None:
    import pulumi

    pulumi.log.info(text)


def _warn(text: str) -> None:
    import pulumi

    pulumi.log.warn(text)


def get_engine() -> EngineStub | None:
    """Return the engine, if there is one."""
    from pulumi.runtime import settings

    engine: EngineStub | None = settings.get_engine()
    return engine


def _put(show: Callable[[str], None], text: str) -> None:
    _lines.put((show, text))
    with _starting, suppress(Exception):
        _start()


@cache
def _start() -> None:
    threading.Thread(target=_show_all, name="keyturn-messages", daemon=True).start()


def _show_all() -> None:
    with suppress(Exception):
        _connect()
    while True:
        show, text = _lines.get()
        with suppress(Exception):
            show(text)
        _lines.task_done()


def _connect() -> None:
    """Connect `pulumi.log` to the engine, in this thread. Without an engine it writes to standard error.

    The first argument of a provider is the engine's address.
    """
    address = sys.argv[1] if len(sys.argv) > 1 else ""
    if _ADDRESS.fullmatch(address):
        import pulumi
        from pulumi.runtime import Settings

        pulumi.runtime.configure(Settings(None, None, engine=address))
