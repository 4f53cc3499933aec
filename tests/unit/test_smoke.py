"""The smoke-check: how long it waits, what it concludes, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from keyturn.core.errors import NotAccepted
from keyturn.core.model import (
    Api,
    ApiKey,
    Origin,
    Smoke,
    SmokeResult,
    Timing,
    Verdict,
    WireAnswer,
    WireKind,
)
from keyturn.core.secret import Secret
from keyturn.engine.smoke import alive, check
from keyturn.report.remedies import of_verdict

SECRET = Secret("sk-do-x")
MODELS = ("llama-70b", "llama-8b", "gpt-oss")
SMOKE = Smoke("llama-70b")
TIMING = Timing(propagation=60)
LISTED = WireAnswer(WireKind.OK, MODELS, seconds=0.1)
NO = WireAnswer(WireKind.UNAUTHORIZED, detail="HTTP 401")
GONE = WireAnswer(WireKind.UNREACHABLE, detail="no connection")
DONE = WireAnswer(WireKind.OK, seconds=0.5)

Answers = Callable[[float], WireAnswer]


def always(answer: WireAnswer) -> Answers:
    """The same answer at all times."""
    return lambda _: answer


def until(moment: float, before: WireAnswer, after: WireAnswer) -> Answers:
    """One answer before a moment, another from then on."""
    return lambda now: before if now < moment else after


def turns(*answers: WireAnswer) -> Answers:
    """One answer after the other, over and over."""
    count = iter(range(1000))
    return lambda _: answers[next(count) % len(answers)]


@dataclass
class FakeWorld:
    """An inference API whose answers depend on the time; only sleeping moves the clock, and each call takes `cost`."""

    listing: Answers = always(LISTED)
    chat: Answers = always(DONE)
    responses: Answers = always(DONE)
    control: bool = True
    blocked: bool | None = None
    cost: float = 0.0
    time: float = 0.0
    asked: list[tuple[float, str]] = field(default_factory=list)

    def models(self, secret: Secret) -> WireAnswer:
        """Answer the model list."""
        return self._answer("models", self.listing)

    def complete(self, secret: Secret, model: str, api: Api) -> WireAnswer:
        """Answer a completion."""
        return self._answer(api, self.chat if api is Api.CHAT else self.responses)

    def list_keys(self, *, fresh: bool = False) -> tuple[ApiKey, ...]:
        """Answer a list, unless the control API is down."""
        assert fresh
        self.asked.append((self.time, "list"))
        if not self.control:
            raise NotAccepted("no connection")
        return ()

    def prepayment_blocked(self) -> bool | None:
        """Tell of the balance, unless the control API is down."""
        self.asked.append((self.time, "balance"))
        if not self.control:
            raise NotAccepted("no connection")
        return self.blocked

    def sleep(self, seconds: float) -> None:
        """Move the clock."""
        assert 0 <= seconds <= 15
        self.time += seconds

    def uptime(self) -> float:
        """The clock."""
        return self.time

    def times(self, what: str) -> list[float]:
        """When `what` was asked."""
        return [when for when, name in self.asked if name == what]

    def _answer(self, what: str, answers: Answers) -> WireAnswer:
        assert len(self.asked) < 500, "it never ends"
        self.asked.append((self.time, what))
        self.time += self.cost
        return answers(self.time)


def tried(
    world: FakeWorld,
    smoke: Smoke = SMOKE,
    timing: Timing = TIMING,
    *,
    times: int = 1,
    spread: float = 0.0,
    fresh: bool = True,
) -> SmokeResult:
    """Check with the defaults of these tests."""
    return check(world, SECRET, smoke, timing, times=times, spread=spread, fresh=fresh)


def test_accepted_at_once() -> None:
    """List and completion answer: accepted, by which API, how fast, with nothing slept."""
    world = FakeWorld()
    result = tried(world)
    assert (result.verdict, result.api, result.seconds) == (Verdict.ACCEPTED, Api.CHAT, 0.5)
    assert world.time == 0


def test_skipped_without_asking() -> None:
    """`from: skip` asks nobody."""
    world = FakeWorld()
    assert tried(world, Smoke(origin=Origin.SKIP)).verdict is Verdict.SKIPPED
    assert world.asked == []


@pytest.mark.parametrize("secret", ["sk-do-" + "x" * 64, "doo_v1_" + "0" * 64, "something else"])
def test_a_secret_of_any_other_format_is_tried(secret: str) -> None:
    """Old and new model access keys begin differently, and nobody knows how the next will: all are opaque."""
    world = FakeWorld()
    assert check(world, Secret(secret), SMOKE, TIMING, fresh=False).verdict is Verdict.ACCEPTED
    assert alive(world, Secret(secret), TIMING) is True


def test_a_token_of_the_account_never_leaves_for_the_inference_api() -> None:
    """Whatever a delivery holds: it is refused without asking."""
    world, secret = FakeWorld(), Secret("dop_v1_" + "0" * 64)
    result = check(world, secret, SMOKE, TIMING, fresh=False)
    assert (result.verdict, result.detail) == (
        Verdict.REFUSED,
        "it is a token of the account, not a model access key",
    )
    assert alive(world, secret, TIMING) is False
    assert world.asked == []


def test_without_a_model_the_list_is_enough() -> None:
    """An empty model means that no completion is asked for."""
    world = FakeWorld()
    assert tried(world, Smoke()).verdict is Verdict.ACCEPTED
    assert world.times("chat") == []


def test_three_times_over_five_seconds() -> None:
    """`alternating` wants three acceptances, each with a completion, spread over the seconds asked for."""
    world = FakeWorld()
    assert tried(world, times=3, spread=5).verdict is Verdict.ACCEPTED
    assert world.times("chat") == [0, 2.5, 5]
    assert world.times("models") == [0, 2.5, 5]


def test_an_acceptance_that_is_taken_back_starts_the_count_again() -> None:
    """Three in a row are wanted; one 401 in between, while the secret spreads, and it counts again."""
    world = FakeWorld(listing=turns(LISTED, LISTED, NO, LISTED, LISTED, LISTED))
    assert tried(world, times=3, spread=5).verdict is Verdict.ACCEPTED
    assert len(world.times("models")) == 6


def test_propagation_is_waited_out() -> None:
    """A fresh secret that is accepted after 50 s is accepted."""
    world = FakeWorld(listing=until(50, NO, LISTED))
    assert tried(world).verdict is Verdict.ACCEPTED
    assert 50 <= world.time <= 60


def test_a_fresh_secret_is_refused_after_propagation_only() -> None:
    """401 from the first to the last second of `timing.propagation`, with growing pauses: refused at its end."""
    world = FakeWorld(listing=always(NO))
    result = tried(world)
    asked = world.times("models")
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert result.verdict is Verdict.REFUSED
    assert asked[-1] == 60
    assert pauses[:4] == [1, 2, 4, 8]
    assert len(asked) <= 10


def test_a_completion_alone_refuses_nothing() -> None:
    """The list accepted the same secret: a 401 of the completion is not about the secret, so nothing is minted."""
    world = FakeWorld(chat=always(NO))
    result = tried(world)
    assert result.verdict is Verdict.UNREACHABLE
    assert "though the list of models accepts the secret" in result.detail
    assert world.time == 60


def test_another_secret_is_refused_after_five_seconds() -> None:
    """What is not fresh has had its time: at least three 401 over 5 s."""
    world = FakeWorld(listing=always(NO))
    assert tried(world, fresh=False).verdict is Verdict.REFUSED
    assert world.time == 5
    assert len(world.asked) >= 3


@pytest.mark.parametrize(("propagation", "cost"), [(0, 0), (0, 30), (10, 30), (60, 40)])
def test_refused_takes_three_tries_however_slow_they_are(propagation: float, cost: float) -> None:
    """One or two 401 are never enough, even if the time is over."""
    world = FakeWorld(listing=always(NO), cost=cost)
    assert tried(world, timing=Timing(propagation=propagation)).verdict is Verdict.REFUSED
    assert len(world.asked) >= 3


def test_nothing_is_refused_while_the_control_api_is_silent() -> None:
    """The API is failing, not the key."""
    result = tried(FakeWorld(listing=always(NO), control=False))
    assert result.verdict is Verdict.UNREACHABLE


def test_nothing_is_refused_while_the_account_is_blocked() -> None:
    """For lack of balance: what a key is answered then says nothing of it."""
    result = tried(FakeWorld(listing=always(NO), blocked=True))
    assert result.verdict is Verdict.BALANCE
    assert "blocked" in result.detail


@pytest.mark.parametrize("blocked", [None, False])
def test_a_token_that_may_not_read_the_balance_refuses_as_before(blocked: bool | None) -> None:
    """Most tokens lack the scope: not known is not blocked."""
    assert tried(FakeWorld(listing=always(NO), blocked=blocked)).verdict is Verdict.REFUSED


def test_the_control_api_is_asked_only_before_refusing() -> None:
    """An accepted secret costs no request of the rate limit."""
    good, bad = FakeWorld(), FakeWorld(listing=always(NO))
    assert tried(good).verdict is Verdict.ACCEPTED
    assert (good.times("list"), good.times("balance")) == ([], [])
    assert tried(bad).verdict is Verdict.REFUSED
    assert (bad.times("list"), bad.times("balance")) == ([60], [60])


def test_now_accepted_now_refused_is_unreachable_in_the_end() -> None:
    """A secret that works in turn for the whole time is neither good nor dead."""
    world = FakeWorld(listing=turns(LISTED, NO))
    result = tried(world, times=3, spread=5)
    assert result.verdict is Verdict.UNREACHABLE
    assert "in turn" in result.detail


@pytest.mark.parametrize(("fresh", "seconds"), [(True, 60), (False, 5)])
def test_no_answer_is_asked_for_again_until_the_time_is_over(fresh: bool, seconds: float) -> None:
    """A sick minute is outlasted; a longer one is unreachable. One lost answer is no verdict, however long it took."""
    world = FakeWorld(listing=always(GONE))
    result = tried(world, fresh=fresh)
    assert (result.verdict, result.seconds) == (Verdict.UNREACHABLE, None)
    assert world.time == seconds
    assert tried(FakeWorld(listing=until(seconds - 1, GONE, LISTED)), fresh=fresh).verdict is Verdict.ACCEPTED
    assert tried(FakeWorld(chat=turns(GONE, DONE), cost=90), fresh=fresh).verdict is Verdict.ACCEPTED
    assert tried(FakeWorld(chat=always(GONE), cost=90), fresh=fresh).verdict is Verdict.UNREACHABLE
    assert alive(FakeWorld(listing=turns(GONE, LISTED), cost=90), SECRET, TIMING, dying=fresh)


def test_two_refusals_and_silence_are_unreachable() -> None:
    """The last word counts: without an answer at the end nothing is refused."""
    world = FakeWorld(listing=until(30, NO, GONE))
    assert tried(world).verdict is Verdict.UNREACHABLE


@pytest.mark.parametrize("kind", ["model", "model-denied", "tier", "quota", "balance"])
def test_what_waiting_does_not_mend_is_said_at_once(kind: str) -> None:
    """What the account or the manifest lacks is no matter of propagation."""
    world = FakeWorld(chat=always(WireAnswer(WireKind(kind), detail="HTTP 4xx")))
    result = tried(world)
    assert (result.verdict, result.api) == (Verdict(kind), None)
    assert "HTTP 4xx" in result.detail
    assert world.time == 0


def test_a_key_of_another_vpc_is_tried_to_the_end() -> None:
    """As with no answer at all: a network may come up meanwhile, and then the verdict says what to do."""
    world = FakeWorld(listing=always(WireAnswer(WireKind.VPC, detail="HTTP 403")))
    result = tried(world)
    assert (result.verdict, world.time) == (Verdict.VPC, 60)
    assert "smoke.from: skip" in of_verdict(result.verdict)
    later = FakeWorld(listing=until(50, WireAnswer(WireKind.VPC), LISTED))
    assert tried(later).verdict is Verdict.ACCEPTED


def test_every_verdict_has_its_remedy() -> None:
    """Nothing that is wrong is said without what to do."""
    assert {verdict for verdict in Verdict if not of_verdict(verdict)} == {Verdict.ACCEPTED, Verdict.SKIPPED}


def test_a_listed_model_that_is_gone_names_its_neighbours() -> None:
    """A retired model may still be listed, and answers 404."""
    world = FakeWorld(chat=always(WireAnswer(WireKind.MODEL, detail="HTTP 404")))
    assert tried(world).detail == "completion of llama-70b: HTTP 404; near: llama-8b"


def test_a_model_that_is_not_listed_is_the_manifests_mistake() -> None:
    """No completion is asked for; a typing mistake can be seen, and the remedy names the nearest models."""
    world = FakeWorld()
    result = tried(world, Smoke("lama-70b", expect_models=("gpt-oss", "gpt-os")))
    lacks = "the list of the models that the key may use lacks lama-70b, gpt-os; near: llama-70b, llama-8b, gpt-oss"
    assert (result.verdict, result.detail) == (Verdict.MODEL, lacks)
    assert world.times("chat") == []
    assert tried(world, Smoke("gpt-oss", expect_models=("x",))).detail.endswith("lacks x")


def test_a_key_without_any_model_says_so() -> None:
    """An empty list has no nearest name, and is the key's doing."""
    result = tried(FakeWorld(listing=always(WireAnswer(WireKind.OK))))
    assert (result.verdict, result.detail) == (Verdict.MODEL_DENIED, "the key may use no model at all")


def test_names_of_models_are_made_printable() -> None:
    """A list of models cannot move the cursor or hide text."""
    world = FakeWorld(listing=always(WireAnswer(WireKind.OK, ("llama-70b\x1b[2J\u202e",))))
    assert "llama-70b\\x1b[2J\\u202e" in tried(world).detail


@pytest.mark.parametrize(("first", "other"), [(Api.CHAT, Api.RESPONSES), (Api.RESPONSES, Api.CHAT)])
def test_the_other_api_is_tried_by_itself(first: Api, other: Api) -> None:
    """A model that answers on the other API is accepted there, said so, and asked there from then on."""
    wrong = always(WireAnswer(WireKind.WRONG_API))
    world = FakeWorld(chat=wrong) if first is Api.CHAT else FakeWorld(responses=wrong)
    result = tried(world, Smoke("llama-70b", first), times=3, spread=5)
    assert (result.verdict, result.api) == (Verdict.ACCEPTED, other)
    assert len(world.times(first)) == 1
    assert len(world.times(other)) == 3


def test_a_model_on_neither_api_is_the_wrong_one() -> None:
    """An image model, say: there is no tiny completion to be had."""
    wrong = always(WireAnswer(WireKind.WRONG_API))
    assert tried(FakeWorld(chat=wrong, responses=wrong)).verdict is Verdict.MODEL


@pytest.mark.parametrize(
    ("listing", "answer", "seconds"),
    [
        (always(LISTED), True, 0),
        (always(NO), False, 5),
        (until(2, NO, LISTED), True, 3),
        (until(2, GONE, LISTED), True, 3),
        (always(GONE), None, 5),
        (always(WireAnswer(WireKind.QUOTA)), None, 5),
    ],
)
def test_alive(listing: Answers, answer: bool | None, seconds: float) -> None:
    """Accepted at once, refused after three 401 over 5 s, unknown when neither is heard in that time."""
    world = FakeWorld(listing=listing)
    assert alive(world, SECRET, TIMING) is answer
    assert world.time == seconds


@pytest.mark.parametrize(
    ("listing", "answer", "seconds"),
    [(always(LISTED), True, 60), (until(20, LISTED, NO), False, 31), (always(NO), False, 1), (always(GONE), None, 60)],
)
def test_a_dying_secret_gets_its_time(listing: Answers, answer: bool | None, seconds: float) -> None:
    """It is dead after two 401, a second apart, and alive only if accepted after `timing.propagation`."""
    world = FakeWorld(listing=listing)
    assert alive(world, SECRET, TIMING, dying=True) is answer
    assert world.time == seconds


@pytest.mark.parametrize(("later", "answer"), [(LISTED, True), (NO, False)])
def test_a_refusal_that_is_taken_back_proves_nothing(later: WireAnswer, answer: bool) -> None:
    """Refused in one place, accepted in the next: it gets its time, and lives on if it is accepted at the end."""
    at_first = turns(NO, *[LISTED] * 99)
    world = FakeWorld(listing=lambda now: at_first(now) if now < 40 else later)
    assert alive(world, SECRET, TIMING, dying=True) is answer
    assert 40 <= world.time <= 62


@pytest.mark.parametrize("dying", [True, False])
@pytest.mark.parametrize(("control", "blocked"), [(True, True), (False, None)])
def test_no_death_is_proven_while_the_account_is_blocked(dying: bool, control: bool, blocked: bool | None) -> None:
    """Nor while nobody tells whether it is: every secret is refused then."""
    world = FakeWorld(listing=always(NO), control=control, blocked=blocked)
    assert alive(world, SECRET, TIMING, dying=dying) is None


def test_a_dying_secret_accepted_by_turns_ends() -> None:
    """The wait is bounded whatever is answered."""
    world = FakeWorld(listing=turns(LISTED, NO))
    assert alive(world, SECRET, TIMING, dying=True) is True
