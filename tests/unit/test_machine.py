"""The machine, one decision at a time: what `next_step` says of a state. The simulator walks through whole lives."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from keyturn.core.machine import next_step
from keyturn.core.model import (
    ApiKey,
    Cause,
    Delivery,
    DesiredKey,
    Event,
    Rotation,
    SlotName,
    Smoke,
    SmokeResult,
    Strategy,
    Verdict,
)
from keyturn.core.reasons import Condition, Reason
from keyturn.core.record import Claim, DeliveryState, Failures, Intent, Op, Parked, Record, Retire, Slot
from keyturn.core.results import End, Options, Watch
from keyturn.core.state import Attempt, Clock, Failed, Observed, Reading, Run, State
from keyturn.core.steps import Check, Look, LookClaim, Purpose, Regenerate, Relist, Wait, Write, WriteRecord
from keyturn.core.transition import advance

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
BORN = NOW - timedelta(days=10)
PLACE = Delivery("vault", "apps/bot", "KEY")
A, B = SlotName.A, SlotName.B
UUID = {A: "11111111-aaaa", B: "22222222-bbbb"}


def key(slot: SlotName) -> ApiKey:
    """Return the listed API key of a slot."""
    return ApiKey(UUID[slot], f"bot-{slot}", BORN)


def state(**changes: object) -> State:
    """Return an alternating key at rest, live on `a`, everything looked at that a policy may want."""
    desired = DesiredKey(
        "bot", "tests", "bot", deliveries=(PLACE,), rotation=Rotation(Strategy.ALTERNATING), smoke=Smoke("llama")
    )
    slots = {
        A: Slot(UUID[A], "bot-a", BORN, digest="live", minted_at=NOW - timedelta(days=1)),
        B: Slot(UUID[B], "bot-b", BORN),
    }
    record = Record(
        key="bot",
        owner="tests",
        digest_key="00",
        generation=1,
        strategy=Strategy.ALTERNATING,
        live=A,
        slots=slots,
        deliveries=(DeliveryState(PLACE, 1, "1", "live", NOW),),
    )
    observed = Observed(
        keys=(key(A), key(B)),
        claims={uuid: Claim(uuid, "tests", "bot") for uuid in UUID.values()},
        readings={PLACE: Reading("live", "1")},
        verdicts={"live": SmokeResult(Verdict.ACCEPTED)},
        in_hand=frozenset({"live"}),
    )
    start = State(desired, record, "7", observed, Run("me", nonce="0001"), Clock(NOW, 1000.0))
    return replace(start, **changes)  # type: ignore[arg-type]


def with_record(before: State, **changes: object) -> State:
    """Return the state with some of the record's fields changed."""
    assert before.record is not None
    return replace(before, record=replace(before.record, **changes))  # type: ignore[arg-type]


def intent(op: Op, slot: SlotName | None, run: str = "me", digest: str | None = None) -> Intent:
    """Return an open intent, leased for a minute and a half."""
    return Intent(op, slot, "0000", run, NOW, NOW + timedelta(seconds=90), digest)


def seeing(before: State, **changes: object) -> State:
    """Return the state with some of the observations changed."""
    return replace(before, observed=replace(before.observed, **changes))  # type: ignore[arg-type]


def leased(before: State, attempt: Attempt, **changes: object) -> State:
    """Return the state of a run that has just written the open intent, and did this under it."""
    run = replace(before.run, leased=before.clock, attempt=attempt, **changes)  # type: ignore[arg-type]
    return replace(before, run=run)


def ended(decision: object) -> End:
    """Return the decision, which has to be an end."""
    assert isinstance(decision, End)
    return decision


def test_a_key_at_rest_rests() -> None:
    """Nothing due, nothing missing, nothing drifted: no step at all."""
    assert ended(next_step(state())).condition is Condition.READY


def test_a_fresh_intent_is_minted_under() -> None:
    """Rule 1: the pass that has just written the intent may take its mint as unsent."""
    fresh = leased(with_record(state(), intent=intent(Op.ROTATE, B)), Attempt(fresh=True))
    step = next_step(fresh)
    assert isinstance(step, Regenerate)
    assert (step.slot, step.uuid, step.discard) == (B, UUID[B], False)


def test_a_found_intent_is_settled_first() -> None:
    """Rule 2: anyone who finds an open intent waits until nothing that was sent can land any more."""
    found = leased(with_record(state(), intent=intent(Op.ROTATE, B)), Attempt(found=True), unsettled_until=1030.0)
    step = next_step(found)
    assert isinstance(step, Wait)
    assert step.seconds == pytest.approx(30.0)
    assert step.why == "waits 30 s: a request had no clear answer, and may still take effect until then"


def test_a_found_intent_is_written_anew_before_its_mint() -> None:
    """Settled and looked at: the intent is written again, so that the next mint is known to be unsent."""
    found = leased(with_record(state(), intent=intent(Op.ROTATE, B)), Attempt(found=True))
    step = next_step(found)
    assert isinstance(step, WriteRecord)
    assert step.kind is Write.REOPEN


def test_a_standby_is_not_minted_while_a_target_may_hold_its_secret() -> None:
    """A target that cannot be read may hold the new secret: wait, mint nothing."""
    found = leased(with_record(state(), intent=intent(Op.ROTATE, B, digest="new")), Attempt(found=True))
    unread = seeing(found, readings={PLACE: Reading(problem="sealed")})
    assert ended(next_step(unread)).code == "may-hold-it"


def test_an_ambiguous_mint_makes_the_intent_a_found_one() -> None:
    """The same run coming round its loop again must not take its intent as just written."""
    fresh = leased(with_record(state(), intent=intent(Op.ROTATE, B)), Attempt(fresh=True))
    step = next_step(fresh)
    assert isinstance(step, Regenerate)
    after = advance(fresh, step, Failed("timed out", definite=False))
    assert after.run.attempt.found
    assert not after.run.attempt.fresh
    assert isinstance(next_step(after), Wait)


def test_a_run_that_gives_up_minting_says_what_the_last_mint_came_to() -> None:
    """That its answer was unclear says too little to an operator."""
    fresh = leased(with_record(state(), intent=intent(Op.ROTATE, B)), Attempt(fresh=True))
    step = next_step(fresh)
    assert isinstance(step, Regenerate)
    twice = replace(fresh, run=replace(fresh.run, unanswered=2, mints=2))
    after = advance(twice, step, Failed("500 from the load balancer", definite=False))
    settled = replace(after, clock=replace(after.clock, uptime=after.run.unsettled_until))
    read = replace(settled, observed=replace(settled.observed, readings={PLACE: Reading("live", "1")}))
    giving_up = next_step(read)
    assert isinstance(giving_up, WriteRecord)
    assert giving_up.then == End(
        Reason.TOO_MANY_MINTS, "3 mints in one run had no clear answer; the last: 500 from the load balancer"
    )


def test_a_definite_no_closes_only_an_intent_that_this_pass_wrote() -> None:
    """After a found intent another mint may be under way: a definite no to ours says nothing of it."""
    fresh = leased(with_record(state(), intent=intent(Op.ROTATE, B)), Attempt(trouble=Failed("403")))
    closing = next_step(fresh)
    assert isinstance(closing, WriteRecord)
    assert closing.record.intent is None
    assert (
        ended(next_step(replace(fresh, run=replace(fresh.run, attempt=replace(fresh.run.attempt, found=True))))).code
        == "mint-failed"
    )


def test_a_new_standby_is_proven_before_anyone_gets_it() -> None:
    """With `alternating` the smoke-check comes before the delivery."""
    minted = leased(with_record(state(), intent=intent(Op.ROTATE, B, digest="new")), Attempt(minted="new"))
    minted = seeing(minted, in_hand=frozenset({"live", "new"}))
    assert next_step(minted) == Check("new", Purpose.BEFORE_DELIVERY)
    assert next_step(seeing(minted, verdicts={})) == Check("live", Purpose.LIVE)


def test_a_refused_standby_is_not_delivered() -> None:
    """The live secret was never touched: the intent is closed and the failure counted."""
    minted = leased(with_record(state(), intent=intent(Op.ROTATE, B, digest="new")), Attempt(minted="new"), mints=1)
    verdicts = {"live": SmokeResult(Verdict.ACCEPTED), "new": SmokeResult(Verdict.REFUSED, "401")}
    step = next_step(seeing(minted, in_hand=frozenset({"live", "new"}), verdicts=verdicts))
    assert isinstance(step, WriteRecord)
    assert step.record.intent is None
    assert step.record.failures == Failures(1, None, minted.clock.now)
    assert step.then is not None
    assert step.then.exit_code == 1


def test_the_third_failure_parks() -> None:
    """Three runs in a row that failed after a mint: no more mints."""
    before = with_record(state(), intent=intent(Op.ROTATE, B, digest="new"), failures=Failures(2, NOW))
    minted = leased(before, Attempt(minted="new"), mints=1)
    verdicts = {"live": SmokeResult(Verdict.ACCEPTED), "new": SmokeResult(Verdict.REFUSED, "401")}
    step = next_step(seeing(minted, in_hand=frozenset({"live", "new"}), verdicts=verdicts))
    assert isinstance(step, WriteRecord)
    assert step.record.parked is not None
    assert ended(next_step(with_record(state(), parked=step.record.parked))).condition is Condition.PARKED


def test_a_changed_entry_unparks() -> None:
    """Who changed the entry has looked at it."""
    parked = with_record(state(), parked=Parked("failed", NOW, "before"))
    changed = replace(parked, desired=replace(parked.desired, fingerprint="after"))
    step = next_step(changed)
    assert isinstance(step, WriteRecord)
    assert step.record.parked is None


def test_an_old_secret_dies_only_after_every_target_was_read() -> None:
    """A due retire looks at all deliveries first, and waits where one does not hold the live secret."""
    due = with_record(state(), retire=Retire(B, NOW - timedelta(hours=1)), history=(Event(BORN, "minted", slot=B),))
    assert next_step(seeing(due, readings={})) == Look((PLACE,))
    opened = next_step(due)
    assert isinstance(opened, WriteRecord)
    assert opened.record.intent is not None
    assert opened.record.intent.op is Op.RETIRE
    unread = next_step(seeing(due, readings={PLACE: Reading(problem="sealed")}))
    assert ended(unread).exit_code == 1


@pytest.mark.parametrize(("minted_at", "why"), [(None, "standby"), (BORN, "overlap-over")])
def test_a_standby_that_never_lived_had_no_overlap(minted_at: datetime | None, why: str) -> None:
    """The secret that an adopted API key was created with was in no delivery: the history does not call it old."""
    retire, history = Retire(B, NOW - timedelta(hours=1)), (Event(BORN, "minted", slot=B),)
    before = state()
    assert before.record is not None
    slots = before.record.with_slot(B, Slot(UUID[B], "bot-b", BORN, None, minted_at))
    opened = next_step(with_record(before, retire=retire, history=history, slots=slots))
    assert isinstance(opened, WriteRecord)
    assert opened.record.intent is not None
    assert opened.record.intent.cause == Cause(why)


def test_an_overlap_is_waited_for() -> None:
    """A rotation that is asked for during an overlap is written down and waits."""
    overlap = with_record(state(), retire=Retire(B, NOW + timedelta(hours=1)))
    asked = replace(overlap, options=Options(rotate=True, by="ada"))
    step = next_step(asked)
    assert isinstance(step, WriteRecord)
    assert step.kind is Write.REQUEST
    waiting = replace(asked, record=step.record, run=replace(asked.run, honoured=True))
    assert ended(next_step(waiting)).until == NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"claims": {UUID[A]: None, UUID[B]: Claim(UUID[B], "others", "bot")}}, "claimed"),
        ({"keys": (key(A), replace(key(B), created_at=NOW))}, "created-at-differs"),
        ({"skew": 61.0}, "clock-skew"),
    ],
)
def test_a_mint_is_stopped_by_what_does_not_fit(change: dict[str, object], code: str) -> None:
    """A foreign claim, another creation time, a wrong clock: nothing mutating is called."""
    asked = seeing(replace(state(), options=Options(rotate=True)), **change)
    assert ended(next_step(asked)).code == code


def test_a_claim_is_read_before_the_first_mutating_call() -> None:
    """A record is input, not truth."""
    asked = seeing(replace(state(), options=Options(rotate=True)), claims={})
    assert next_step(asked) == LookClaim(UUID[B])


def test_one_list_never_says_gone() -> None:
    """A key that a list does not show is looked for in a second one."""
    assert isinstance(next_step(seeing(state(), keys=(key(A),))), Relist)


def test_another_owners_record_is_refused() -> None:
    """Exit 4 until a take-over."""
    other = with_record(state(), owner="pulumi:shop/prod/bot")
    assert ended(next_step(other)).exit_code == 4


def test_a_living_run_is_waited_for_and_named() -> None:
    """Who holds the open intent is told; after the lock timeout the key is left alone."""
    held = seeing(with_record(state(), intent=intent(Op.ROTATE, B, run="other")), holder_alive=True)
    held = replace(held, run=replace(held.run, watch=Watch("7", 1000.0, 1000.0)))
    assert isinstance(next_step(held), Wait)
    late = replace(held, options=Options(lock_timeout=0.0))
    assert "other" in ended(next_step(late)).why


def test_a_dead_runs_intent_is_taken_over_at_once() -> None:
    """Its lock file can be locked: the process is gone, only the settle time is waited."""
    held = seeing(with_record(state(), intent=intent(Op.ROTATE, B, run="other")), holder_alive=False)
    step = next_step(held)
    assert isinstance(step, WriteRecord)
    assert step.kind is Write.TAKE


def test_a_run_of_elsewhere_is_taken_over_after_a_whole_quiet_lease() -> None:
    """The record's version has not changed for a whole lease, by this run's own clock."""
    held = with_record(state(), intent=intent(Op.ROTATE, B, run="other"))
    quiet = replace(held, run=replace(held.run, watch=Watch("7", 905.0, 900.0)))
    step = next_step(quiet)
    assert isinstance(step, WriteRecord)
    assert step.kind is Write.TAKE
    assert isinstance(next_step(replace(quiet, run=replace(quiet.run, watch=Watch("6", 905.0, 900.0)))), Wait)
