"""`keyturn doctor`: examines the set-up, and says what to do about each problem. Nothing is changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyturn.cli import options

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from keyturn.cli.console import Screen
    from keyturn.core.checkup import Check
    from keyturn.core.errors import Mistake
    from keyturn.core.model import Desired
    from keyturn.core.results import RunStatus
    from keyturn.live.account import Account
    from keyturn.live.open_targets import Targets
    from keyturn.manifest import Source
    from keyturn.manifest.policy import Policy

TOLD = 20
"""How many mistakes of a manifest are told; `keyturn validate` tells all."""


@click.command(
    "doctor",
    help="Examine the set-up: environment, manifest, policy, account, programs, targets, records, keys. Say what to "
    "do about each problem. Nothing is changed.",
)
@options.some_keys
@options.manifests
@click.option("--verify", is_flag=True, help="Also request a tiny completion with each delivered secret.")
@options.formatted("text", "json")
@options.talking
def command(*, keys: tuple[str, ...], file: tuple[str, ...], verify: bool) -> int:
    """Examine and show."""
    from datetime import UTC, datetime

    from keyturn.cli.files import sources
    from keyturn.core.reasons import mixed
    from keyturn.report.doctor import doctor_lines
    from keyturn.report.documents import dump
    from keyturn.report.set_up import DoctorDocument

    screen = options.screen()
    screen.log()
    checks = tuple(_examine(screen, sources(file), keys, verify=verify))
    code = mixed(check.exit_code for check in checks)
    if screen.format == "json":
        screen.document(dump(DoctorDocument(datetime.now(UTC), code, checks)))
    else:
        screen.result(doctor_lines(checks, problems_only=screen.quiet))
    return code


def _examine(screen: Screen, files: Sequence[Source], keys: Sequence[str], *, verify: bool) -> Iterator[Check]:
    """Yield every check. Raises InputError for a key that no manifest has."""
    import os

    from keyturn.core.model import Timing
    from keyturn.live.account import Account, examine_account
    from keyturn.live.examination import examine_programs
    from keyturn.manifest import base_of, expand

    yield from _environment(files)
    policy, told = _policy(screen)
    yield from told
    outside = bool(told)
    manifests: tuple[Desired, ...] = ()
    unsure: tuple[Mistake, ...] = ()
    for found in _manifests(files, policy, keys):
        if isinstance(found, _Read):
            manifests, unsure, outside = found.manifests, found.unsure, outside or found.outside
        else:
            yield found
    if policy and not outside:
        for desired in manifests:
            yield _in_force(policy, desired)
    elif not outside:
        yield _ok("policy", "none is in force: a manifest may do all that the credentials of this environment allow")
    account = Account()
    yield from examine_account(os.environ, manifests[0].timing if manifests else Timing(), account)
    for desired, base in zip(manifests, map(base_of, expand(files) if manifests else ()), strict=True):
        if keys and not any(key.id in keys for key in desired.keys):
            continue
        if outside:  # no credential goes anywhere that the policy might not allow
            yield _skip("targets", f"{desired.owner}: not tried while the policy does not allow the manifest")
            continue
        mine = tuple(key.id for key in desired.keys if key.id in keys)
        yield from examine_programs(desired, mine)
        yield from _Examination(desired, base, mine, unsure, account, verify=verify).checks()


def _environment(files: Sequence[Source]) -> Iterator[Check]:
    """Yield the versions, and the variables that are set and not read."""
    import os
    import platform
    import re

    from keyturn import __version__
    from keyturn.core.checkup import warned
    from keyturn.core.variables import strange

    yield _ok("environment", f"keyturn {__version__}, Python {platform.python_version()}, {platform.system()}")
    text = _text(files)
    used = set(re.findall(r"KEYTURN_[A-Z0-9_]+", text))
    for name, meant in strange(os.environ.keys(), used):
        if not (meant or text):  # a manifest that is not here may read it
            continue
        remedy = f'If {meant} is meant, type: export {meant}="${name}"; unset {name}' if meant else f"unset {name}"
        yield warned("environment", f"{name} is set, and keyturn does not read it", remedy)


def _text(sources: Sequence[Source]) -> str:
    """Return the text of the manifests; what cannot be read is told elsewhere."""
    from contextlib import suppress

    from keyturn.cli.files import read_bounded
    from keyturn.core.errors import InputError
    from keyturn.manifest import expand

    text = ""
    with suppress(InputError):
        for source in expand(sources):
            text += read_bounded(source) if isinstance(source, Path) else source.content.decode(errors="replace")
    return text


def _named(sources: Sequence[Source]) -> str:
    return ", ".join(str(one) if isinstance(one, Path) else one.name for one in sources)


def _policy(screen: Screen) -> tuple[Policy | None, list[Check]]:
    """Return the operator's policy, and the checks that say why it cannot be read."""
    from keyturn.cli.files import policy_of
    from keyturn.core.checkup import failed
    from keyturn.core.errors import InputError, ManifestError

    try:
        return policy_of(screen), []
    except ManifestError as error:
        return None, [_wrong_policy(mistake, error.exit_code) for mistake in error.mistakes[:TOLD]]
    except InputError as error:
        return None, [failed("policy", f"{error.where}: {error.what}", error.remedy, error.exit_code)]


def _wrong_policy(mistake: Mistake, code: int) -> Check:
    """Return the check of a mistake in the policy, or of a policy that cannot be read."""
    from keyturn.core.checkup import failed

    if mistake.line:
        remedy = "Correct it; `keyturn policy init --out FILE` writes one that allows what the manifest does now."
        return failed("policy", str(mistake), remedy, code)
    what, _, remedy = str(mistake).partition("; ")
    return failed("policy", what, remedy or "Name a file that this user may read.", code)


class _Read:
    """Manifests that could be read; `outside`: the policy does not allow them."""

    def __init__(self, manifests: tuple[Desired, ...], unsure: tuple[Mistake, ...], *, outside: bool) -> None:
        self.manifests = manifests
        self.unsure = unsure
        self.outside = outside


def _manifests(files: Sequence[Source], policy: Policy | None, keys: Sequence[str]) -> Iterator[Check | _Read]:
    """Yield the checks of the manifests, then the manifests. Raises InputError for an unknown key."""
    import os

    from keyturn.core.checkup import failed
    from keyturn.core.errors import InputError, ManifestError, PolicyError
    from keyturn.manifest import check_all
    from keyturn.manifest.mistakes import suggest
    from keyturn.report.lines import count

    outside = False
    try:
        try:
            checked = check_all(files, os.environ, policy=policy)
        except PolicyError as error:
            outside = True
            remedy = "Change the manifest, or let the operator change the policy."
            for violation in error.violations[:TOLD]:
                yield failed("policy", str(violation), remedy, error.exit_code)
            checked = check_all(files, os.environ)
    except ManifestError as error:
        for mistake in error.mistakes[:TOLD]:
            what, _, remedy = str(mistake).partition("; ")
            yield failed("manifest", what, remedy or "Correct the manifest.", error.exit_code)
        return
    known = [key.id for desired in checked.manifests for key in desired.keys]
    for key in keys:
        if key not in known:
            raise InputError(
                f"there is no key {key!r} in the manifest", where=_named(files), remedy=suggest(key, known)
            )
    for desired in checked.manifests:
        many = f"{count(len(desired.keys), 'key')}, {count(len(desired.targets), 'target')}"
        yield _ok("manifest", f"{desired.owner}: {many}, no mistake")
        for mistake in desired.unpermitted:
            what, _, remedy = str(mistake).partition(". ")
            yield failed("manifest", what, remedy, PolicyError.exit_code)
    for mistake in checked.unsure:
        what, _, remedy = str(mistake).partition(". ")
        yield failed("manifest", what, remedy or "Set it.", InputError.exit_code)
    yield _Read(checked.manifests, checked.unsure, outside=outside)


def _in_force(policy: Policy, desired: Desired) -> Check:
    """Say what the policy forbids the runs of an owner."""
    rule = policy.rule(desired.owner)
    assert rule is not None  # noqa: S101 - the manifest was checked against it
    words = ("existing", "skip", "take-over", "no-cleaning")
    forbidden = [word for word in words if word not in rule.model.allow]
    limits = rule.model.limits
    most = f"at most {limits.rotations} rotations, {limits.deletes} deletes and {limits.removals} removals per run"
    also = f"; it forbids {', '.join(forbidden)}" if forbidden else ""
    return _ok("policy", f"{rule.at()}: in force for {desired.owner}: {most}{also}")


class _Examination:
    """The targets, the records and the keys of one manifest."""

    def __init__(
        self,
        desired: Desired,
        base: Path,
        keys: Sequence[str],
        unsure: Collection[Mistake],
        account: Account,
        *,
        verify: bool,
    ) -> None:
        self._desired, self._base, self._keys, self._account, self._verify = desired, base, keys, account, verify
        self._unsure = [
            target.name
            for target in desired.targets
            if any(mistake.path.startswith(f"targets.{target.name}.") for mistake in unsure)
        ]
        self._blocked: set[str] = set()

    def checks(self) -> Iterator[Check]:
        """Yield every check."""
        import os

        from keyturn.live.examination import Records, close, examine_records, unfinished
        from keyturn.live.open_targets import Targets

        targets, records = Targets(self._desired, os.environ, self._base), Records()
        try:
            yield from self._targets(targets)
            if self._desired.records.target in {*self._blocked, *self._unsure}:
                yield _skip("records", f"not tried: see the target {self._desired.records.target}")
                found = []
            else:
                found = list(examine_records(self._desired, targets, os.environ, self._account, records))
        finally:
            close(targets)
        yield from found
        wrong = any(check.exit_code for check in found)
        if self._account.keys is None or not records.usable or wrong or self._unsure or self._blocked:
            yield _skip("keys", "not examined: first do what is said above")
            yield from unfinished(records.found)
            return
        yield from self._statuses()

    def _targets(self, targets: Targets) -> Iterator[Check]:
        from keyturn.core.checkup import failure
        from keyturn.core.errors import KeyturnError
        from keyturn.live.examination import examine_target, used_targets

        for name, deliveries in used_targets(self._desired, self._keys).items():
            if name in self._unsure:
                yield _skip(f"target {name}", "not tried: see the manifest")
                continue
            try:
                target = targets.get(name)
            except KeyturnError as error:
                self._blocked.add(name)
                yield failure(f"target {name}", error)
            else:
                records = self._desired.records
                documents = records.prefix if records.target == name else ""
                yield from examine_target(name, target, deliveries, self._blocked, documents=documents)

    def _statuses(self) -> Iterator[Check]:
        """Yield the conditions of the keys: those of `keyturn status`."""
        import os

        from keyturn.core.checkup import failure
        from keyturn.core.errors import KeyturnError
        from keyturn.core.results import Options
        from keyturn.engine.runner import Runner
        from keyturn.live.live_world import open_world

        try:
            with open_world(self._desired, os.environ, self._base) as world:
                runner = Runner(world, self._desired, lambda _: None)
                run = runner.status(self._keys, Options(verify=self._verify))
        except KeyturnError as error:
            yield failure("keys", error)
            return
        yield from _conditions(run, named=bool(self._keys), verify=self._verify)


def _conditions(run: RunStatus, *, named: bool, verify: bool) -> Iterator[Check]:
    from keyturn.core.checkup import failed
    from keyturn.core.model import Verdict
    from keyturn.core.reasons import Condition, Reason
    from keyturn.report.common import common
    from keyturn.report.lines import count
    from keyturn.report.remedies import remedies, remedy

    # The account's part of the examination has told that the clock is wrong.
    told = {key.key: [end for end in key.every if end.code is not Reason.CLOCK_SKEW] for key in run.keys}
    shared = common(list(told.items()))
    if waiting := [key.key for key in run.keys if len(told[key.key]) < len(key.every)]:
        yield _skip("keys", f"{', '.join(waiting[:TOLD])}: nothing is changed until the clock is right")
    if run.stop:
        yield failed("keys", f"an apply would stop: {run.stop.why}", remedy(run.stop, "KEY"), run.stop.exit_code)
    for keys, end, text in shared:
        yield failed("keys", f"{keys}: {end.why} [{end.code}]", text, end.exit_code)
    fine = [key for key in run.keys if not any(end.exit_code for end in key.every)]
    for key in run.keys:
        wrong = [end for end in shared.own(told[key.key]) if end.exit_code]
        for end in wrong:
            own = [text for text in remedies(key.every, key.key) if text == remedy(end, key.key)]
            text = own[0] if own else ""
            yield failed("keys", f"{key.key}: {end.why or end.code.meaning} [{end.code}]", text, end.exit_code)
        if key in fine and (named or key.condition is not Condition.READY):
            yield _ok("keys", f"{key.key}: {key.condition}{f', {key.why}' if key.why else ''}")
    if fine and not named:
        yield _ok(
            "keys", f"{len(fine)} of {count(len(run.keys), 'key')} {'needs' if len(fine) == 1 else 'need'} no action"
        )
    results = [result for key in run.keys for _, result in key.results]
    accepted = sum(result.verdict is Verdict.ACCEPTED for result in results)
    if not verify:
        yield _skip("keys", "whether the API accepts the delivered secrets: --verify tries them")
    elif not results:
        yield _skip("keys", "no secret could be tried: none is recorded as delivered")
    elif accepted:
        yield _ok("keys", f"{accepted} of {count(len(results), 'delivered secret')} accepted by the model of the key")


def _ok(part: str, what: str) -> Check:
    from keyturn.core.checkup import Check

    return Check(part, what)


def _skip(part: str, what: str) -> Check:
    from keyturn.core.checkup import skipped

    return skipped(part, what)
