"""The dynamic providers that the engine calls.

Pulumi keeps a reference to these two classes in every state file (`__provider`, a pickle). So this module and the names
of its classes never change, and the classes have no attributes.

What does the work is imported only when there is some: a stack at rest is compared, nothing more.
"""

from __future__ import annotations

from datetime import UTC, datetime

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

from pulumi_keyturn import due, inputs, process, talk
from pulumi_keyturn.failure import told

Props = dict[str, object]


class KeyProvider(ResourceProvider):
    """Runs keyturn's machine for one key. Every method raises nothing but KeyturnFailed."""

    serialize_as_secret_always = False

    @told
    def configure(self, req: ConfigureRequest) -> None:
        """Take the stack's configuration, which stands in for variables that the environment lacks."""
        process.configure(req.config.get)

    @told
    def check(self, olds: Props, news: Props) -> CheckResult:
        """Check the inputs, offline; unknown ones are accepted."""
        checked = inputs.with_key(olds, news)
        twice = process.once.declare(checked)
        if not inputs.changed(olds, checked, (*inputs.KEY, *inputs.ORIGIN)):
            return _checked(checked, twice)
        from pulumi_keyturn import intake

        return _checked(checked, [*intake.key_failures(olds, checked, process.environment()), *twice])

    @told
    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        """Tell whether there is something to do, from inputs, outputs and the clock; never a replacement."""
        why = due.key_update(olds, news, datetime.now(UTC))
        return _different(str(olds.get("key")), why)

    @told
    def create(self, props: Props) -> CreateResult:
        """Make the machine's loop rest: adopts, takes over, creates, delivers; goes on where a failed create was."""
        from pulumi_keyturn import keys

        return keys.create(props)

    @told
    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Make the machine's loop rest again; where nothing but the provider differs, call nobody."""
        from pulumi_keyturn import keys

        return keys.update(olds, news)

    @told
    def read(self, id_: str, props: Props) -> ReadResult:
        """Look, and write nothing: what is found goes to `health`, and the next up heals it."""
        from pulumi_keyturn import keys

        return keys.read(id_, props)

    @told
    def delete(self, _id: str, props: Props) -> None:
        """Clean the deliveries and delete the API keys, or only let go of them."""
        from pulumi_keyturn import keys

        keys.delete(props)


class SmokeCheckProvider(ResourceProvider):
    """Tries a delivered secret. Every method raises nothing but KeyturnFailed."""

    serialize_as_secret_always = False

    @told
    def configure(self, req: ConfigureRequest) -> None:
        """Take the stack's configuration, which stands in for variables that the environment lacks."""
        process.configure(req.config.get)

    @told
    def check(self, olds: Props, news: Props) -> CheckResult:
        """Check the inputs, offline; unknown ones are accepted."""
        if not inputs.changed(olds, news, inputs.SMOKE_CHECK):
            return CheckResult(news, [])
        from pulumi_keyturn import intake

        return _checked(news, intake.check_failures(news, process.environment()))

    @told
    def diff(self, id_: str, olds: Props, news: Props) -> DiffResult:
        """Tell whether the inputs changed, or `every` has passed."""
        return _different(id_, due.smoke_check_update(olds, news, datetime.now(UTC)))

    @told
    def create(self, props: Props) -> CreateResult:
        """Check; raises KeyturnFailed where a secret is not accepted."""
        from pulumi_keyturn import checks

        return CreateResult(checks.identity(props), checks.outputs(props))

    @told
    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Check again."""
        from pulumi_keyturn import checks

        return UpdateResult(checks.updated(olds, news))


def _checked(checked: Props, failures: list[str]) -> CheckResult:
    """Return a result without the names of properties: the engine would print their values beside them."""
    return CheckResult(checked, [CheckFailure("", failure) for failure in failures])


def _different(name: str, why: str) -> DiffResult:
    if why:
        talk.say(f"{name}: {why}")
    return DiffResult(changes=bool(why))
