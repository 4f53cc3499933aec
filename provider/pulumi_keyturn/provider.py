"""The dynamic providers that the engine calls.

Each state file has a reference to these two classes (`__provider`, a pickle). So the names of this module and of its
classes never change, and the classes have no attributes.

The modules that do the work are imported only when needed: for a stack at rest, inputs are only compared.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Concatenate, ParamSpec, TypeVar

from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    ResourceProvider,
    UpdateResult,
)

from keyturn_provider import inputs, messages, session, state
from keyturn_provider.messages import KeyturnFailed

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")
Props = dict[str, object]


def one_paragraph(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Wrap a method so that it raises only KeyturnFailed, without the exception that caused it.

    The engine prints the whole traceback of an exception. For a foreign error only the name of its type is shown: its
    text could contain a secret. All messages are shown before the call ends.
    """

    @functools.wraps(method)
    def wrapper(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - every error is reported in our own words
            text = messages.paragraph(error)
        finally:
            messages.flush()
        raise KeyturnFailed(text)

    return wrapper


class KeyProvider(ResourceProvider):
    """Runs keyturn's machine for one key. The methods raise only KeyturnFailed."""

    serialize_as_secret_always = False

    @one_paragraph
    def configure(self, req: ConfigureRequest) -> None:
        """Take the stack's configuration, which stands in for variables that the environment lacks."""
        session.configure(req.config.get)

    @one_paragraph
    def check(self, olds: Props, news: Props) -> CheckResult:
        """Check the inputs, offline; unknown ones are accepted. A policy may have changed, so it is always checked."""
        checked = inputs.with_key(olds, news)
        twice = session.uniqueness.declare(checked)
        return _checked(checked, [*inputs.new_failures(olds, checked, session.environment()), *twice])

    @one_paragraph
    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        """Tell whether an update is due, from inputs, outputs and the clock. It is never a replacement."""
        why = state.key_update(olds, news, datetime.now(UTC), session.environment()).why
        return _different(str(olds.get("key")), why)

    @one_paragraph
    def create(self, props: Props) -> CreateResult:
        """Apply a new key until it is at rest. Continues a failed create."""
        from keyturn_provider import keys

        outputs = keys.create(props)
        return CreateResult(str(props["key"]), outputs)

    @one_paragraph
    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Apply a key again until it is at rest. Does nothing if only the provider differs."""
        from keyturn_provider import keys

        return UpdateResult(keys.update(olds, news))

    @one_paragraph
    def read(self, id_: str, props: Props) -> ReadResult:
        """Compare the key with its record, without changes. Differences go to `health`, and the next up heals them."""
        from keyturn_provider import reads

        found = reads.read(id_, props)
        return ReadResult("", {}) if found is None else ReadResult(id_, found)

    @one_paragraph
    def delete(self, _id: str, props: Props) -> None:
        """Clean the deliveries and delete the API keys, or only release them."""
        from keyturn_provider import keys

        keys.delete(props)


class SmokeCheckProvider(ResourceProvider):
    """Tests a delivered secret. The methods raise only KeyturnFailed."""

    serialize_as_secret_always = False

    @one_paragraph
    def configure(self, req: ConfigureRequest) -> None:
        """Take the stack's configuration, which stands in for variables that the environment lacks."""
        session.configure(req.config.get)

    @one_paragraph
    def check(self, olds: Props, news: Props) -> CheckResult:
        """Check the inputs, offline; unknown ones are accepted."""
        if not inputs.changed(olds, news, inputs.SMOKE_CHECK):
            return CheckResult(news, [])
        return _checked(news, inputs.check_failures(news, session.environment()))

    @one_paragraph
    def diff(self, id_: str, olds: Props, news: Props) -> DiffResult:
        """Tell whether the inputs changed, or `every` has passed."""
        return _different(id_, state.smoke_check_update(olds, news, datetime.now(UTC)).why)

    @one_paragraph
    def create(self, props: Props) -> CreateResult:
        """Run the check. Raises KeyturnFailed if a secret is not accepted."""
        from keyturn_provider import smoke_check

        return CreateResult(smoke_check.identity(props), smoke_check.outputs(props))

    @one_paragraph
    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Run the check again."""
        from keyturn_provider import smoke_check

        return UpdateResult(smoke_check.updated(olds, news))


def _checked(checked: Props, failures: list[str]) -> CheckResult:
    """Return a result without property names: the engine would print the properties' values."""
    return CheckResult(checked, [CheckFailure("", failure) for failure in failures])


def _different(name: str, why: str) -> DiffResult:
    if why:
        messages.say(f"{name}: {why}")
    return DiffResult(changes=bool(why))
