"""What the provider decides without an engine: inputs, differences, health, and what its errors show."""

from __future__ import annotations

import base64
import re
import runpy
import sys
import threading
import time
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dill  # type: ignore[import-untyped]
import pulumi
import pytest
from pulumi import ResourceOptions, ResourceTransformationArgs
from pulumi.dynamic import Config, ConfigureRequest
from pulumi.dynamic.dynamic import ResourceProvider, serialize_provider
from pulumi.output import UNKNOWN

from keyturn.core.model import Delivery, SlotName
from keyturn.core.reasons import Reason, Remedy
from keyturn.core.record import DeliveryState, Record, Retire, Slot
from keyturn.core.results import End
from keyturn.core.secret import Secret
from keyturn.core.world import Held
from keyturn_provider import inputs, messages, spelling, state
from keyturn_provider.remedies import REMEDIES, remedy
from keyturn_provider.session import Uniqueness, family
from keyturn_provider.spelling import PYTHON, SCHEMA, spelled
from pulumi_keyturn.dynamic import ModelAccessKey
from pulumi_keyturn.provider import KeyProvider, SmokeCheckProvider, one_paragraph
from tests.support.process import run

NOW = datetime(2026, 8, 2, 12, tzinfo=UTC)
"""A Sunday."""
WINDOW = {"cron": "0 2 * * SUN", "duration": "1h"}
STORED = Path(__file__).with_name("stored_providers.txt").read_text().split()
"""The `__provider` of both classes, as version 0.1.0 wrote it into state files."""
AT_REST = """
import sys
from pulumi_keyturn.provider import KeyProvider, SmokeCheckProvider

state = {"key": "k", "next_rotation_at": "2999-01-01T00:00:00+00:00", "next_check_at": "2999-01-01T00:00:00+00:00"}
for provider in (KeyProvider(), SmokeCheckProvider()):
    assert not provider.check(state, state).failures
    assert not provider.diff("k", state, state).changes
print(sorted({name.partition(".")[0] for name in sys.modules} & {"keyturn", "pydantic", "httpx"}))
"""


def outputs(**changes: object) -> dict[str, Any]:
    """Return the outputs of a key at rest."""
    plain = {"key": "k", "name": "bot", "rotation_trigger": 1, "health": "healthy", "__provider": "p"}
    return {**plain, **changes}


@pytest.mark.parametrize(("provider", "stored"), [(KeyProvider, STORED[0]), (SmokeCheckProvider, STORED[1])])
def test_a_state_of_an_earlier_version_can_be_used(provider: type[ResourceProvider], stored: str) -> None:
    """The reference in a state is a module and a class without attributes: it finds today's class, which writes it too.

    So an up after an upgrade finds no difference, and a refresh or a destroy, which take the provider from the state,
    run today's code.
    """
    found = dill.loads(base64.b64decode(stored))  # noqa: S301 - our own
    assert type(found) is provider
    assert vars(found) == {}
    assert serialize_provider(provider()) == stored
    olds = outputs(__provider=stored, verdict="accepted")
    found.configure(ConfigureRequest(Config({}, "shop")))
    assert found.check(olds, olds).failures == []
    assert found.diff("k", olds, olds).changes is False
    result = found.update("k", {**olds, "__provider": "another"}, olds)
    assert result.outs is not None
    assert result.outs["key"] == "k"


def test_a_stack_at_rest_loads_nothing_of_keyturn() -> None:
    """What only compares has no use for the machine, the manifest or a client: an up at rest stays quick."""
    done = run([sys.executable, "-c", AT_REST], seconds=60)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_a_new_reference_to_the_provider_is_renewed_without_any_call() -> None:
    """Where nothing but `__provider` differs an update is due, and it asks nobody: there is not even a token."""
    olds, news = outputs(secret="s"), outputs(__provider="q")
    assert KeyProvider().diff("k", olds, news).changes is True
    result = KeyProvider().update("k", olds, news)
    assert result.outs is not None
    assert result.outs["name"] == "bot"
    assert result.outs["secret"] != "s"


@pytest.mark.parametrize(
    ("olds", "news", "why"),
    [
        ({}, {}, ""),
        ({}, {"name": "robot"}, "name changed"),
        ({}, {"rotation_trigger": UNKNOWN}, "rotation_trigger changed"),
        ({}, {"deliver": [{"path": UNKNOWN}]}, "deliver changed"),
        ({"adopt": {"secret": "existing"}}, {}, "adopt changed"),
        ({"stack": "dev"}, {"stack": "prod"}, "stack changed"),
        ({"health": "the API key u is gone"}, {}, "the API key u is gone"),
        ({"retire_at": NOW.isoformat()}, {}, "the overlap is over; the old secret is due to be retired"),
        ({"retire_at": (NOW + timedelta(seconds=1)).isoformat()}, {}, ""),
    ],
)
def test_a_difference_has_a_reason(olds: dict[str, object], news: dict[str, object], why: str) -> None:
    """Inputs, health and the clock call for an update, each in words; what is unknown counts as changed."""
    assert state.key_update(outputs(**olds), outputs(**news), NOW, {}).why == why


@pytest.mark.parametrize(
    ("age", "window", "is_due"),
    [
        (timedelta(days=29), None, False),
        (timedelta(days=30), None, True),
        (timedelta(days=31), WINDOW, False),
        (timedelta(days=31), {**WINDOW, "duration": "12h"}, True),
    ],
)
def test_a_rotation_is_due_by_age_and_inside_its_window(age: timedelta, window: object, is_due: bool) -> None:
    """With a clock of the test: `every` has to have passed, and the window has to be open."""
    rotation = {"strategy": "in-place", "every": "30d", **({"window": window} if window else {})}
    since = NOW - age
    times = {"rotated_at": since.isoformat(), "next_rotation_at": (since + timedelta(days=30)).isoformat()}
    found = state.key_update(outputs(rotation=rotation, **times), outputs(rotation=rotation), NOW, {}).why
    assert found == ("its rotation is due" if is_due else "")


FREEZE = {"from": "2020-01-01T00:00:00Z", "until": "2020-12-31T00:00:00Z", "reason": "holidays"}


@pytest.mark.finding("D2", before="no freeze reached a program", now="`freeze`, as long as the policy allows")
@pytest.mark.parametrize("days", [9, 10])
def test_a_freeze_holds_a_rotation_back_as_long_as_the_policy_allows(tmp_path: Path, days: int) -> None:
    """An up in it plans nothing; with the policy's bound exceeded, the rotation is due again."""
    (tmp_path / "policy.yaml").write_text(
        'apiVersion: keyturn-policy/v1\nowners: {"pulumi:**": {records: {target: local}, timing: {freeze: 10d}}}\n'
    )
    rotation, now = {"strategy": "in-place", "every": "30d"}, datetime(2020, 6, 1, tzinfo=UTC)
    since = now - timedelta(days=30 + days)
    times = {"rotated_at": since.isoformat(), "next_rotation_at": (now - timedelta(days=1)).isoformat()}
    both = {"rotation": rotation, "freeze": [FREEZE]}
    found = {
        bool(variables): state.key_update(outputs(**both, **times), outputs(**both), now, variables).why
        for variables in ({}, {"KEYTURN_POLICY": str(tmp_path / "policy.yaml")})
    }
    assert found == {False: "", True: "its rotation is due" if days == 10 else ""}


def test_a_freeze_moves_the_retire_that_an_up_waits_for() -> None:
    """Otherwise each up in the freeze would show a change and do nothing."""
    at = datetime(2020, 6, 1, tzinfo=UTC)
    slots = {SlotName.A: Slot("u", "bot", minted_at=at)}
    record = Record("k", "o", "0" * 64, live=SlotName.A, slots=slots, retire=Retire(SlotName.B, at))
    _, key = inputs.key_of(
        {
            "key": "k",
            "records": {"target": "local"},
            "targets": {"env": {"type": "dotenv", "root": "."}},
            "deliver": [{"target": "env", "path": "a.env", "field": "KEY"}],
            "smoke": {"model": "m"},
            "freeze": [FREEZE],
        },
        {},
    )
    assert key.rotation.freezes[0].reason == "holidays"
    assert state._facts(record, key.rotation)["retire_at"] == "2020-12-31T00:00:00+00:00"


@pytest.mark.parametrize("name", ["notify", "after_delivery", "moved", "pool", "limits"])
def test_what_is_not_there_fails(name: str) -> None:
    """A program that sets it does not run on without it."""
    with pytest.raises(ValueError, match=f"bot: unknown input {name}; known: name, "):
        ModelAccessKey("bot", {name: []})  # type: ignore[arg-type]


def test_a_renamed_resource_keeps_the_id_that_its_old_name_gave_it() -> None:
    """The default id comes from project, stack and name once; later it is the one in the state."""
    origin = {"project": "shop", "stack": "dev", "resource_name": "bot"}
    first = inputs.with_key({}, origin)
    assert first["key"] == "shop.dev.bot"
    assert inputs.with_key(first, {**origin, "resource_name": "robot"})["key"] == "shop.dev.bot"
    assert inputs.with_key(first, {**origin, "key": "other"})["key"] == "other"
    assert inputs.owner(origin) == "pulumi:shop/dev/bot"


@pytest.mark.parametrize(
    ("changes", "environment", "told"),
    [
        ({"key": "with/slash"}, {}, "key: must be at most 64 letters, digits, dots, hyphens and underscores"),
        ({"key": "other"}, {}, "key: must not change (it is 'k')"),
        ({"deliver": None}, {}, "deliver: at least one delivery is required"),
        ({"verify": "yes"}, {}, "verify: must be true or false"),
        ({"targets": None}, {"KEYTURN_RECORDS": "vault"}, "KEYTURN_RECORDS: this is not JSON"),
        ({"targets": None}, {"KEYTURN_RECORDS": "[]"}, "KEYTURN_RECORDS: this is not a JSON object"),
        ({"targets": None}, {}, "deliver[0].target: there is no such target"),
        ({"targets": {"vault": {"type": "vault", "address": UNKNOWN}}}, {}, ""),
        ({"deliver": [{"target": "vualt", "path": UNKNOWN}]}, {}, ""),
        ({"key": UNKNOWN}, {}, ""),
        ({"timing": {"settle": 2.0}}, {}, "timing.settle: must be a duration"),
        ({"on_delete": []}, {}, "on_delete: must be 'delete' or 'retain'"),
        ({"on_delete": {}}, {}, "on_delete: must be 'delete' or 'retain'"),
        ({"smoke": {"model": "m", "expect_models": None}, "adopt": {"secret": "existing", "a": None}}, {}, ""),
        (
            {"deliver": [{"target": "vault", "path": "a/b", "field": "K", "x": None}], "rotation": {"every": None}},
            {},
            "",
        ),
    ],
)
def test_inputs_are_checked_by_the_rules_of_the_manifest(
    changes: dict[str, object], environment: dict[str, str], told: str
) -> None:
    """Each mistake is told by the name of its input; what is unknown, and what depends on it, is left for the up."""
    address = "http://127.0.0.1:8200"
    vault = {"type": "vault", "address": address, "mount": "secret"}
    deliver = [{"target": "vault", "path": "a/b", "field": "KEY"}]
    olds = {"key": "k", "targets": {"vault": vault}, "deliver": deliver, "smoke": {"model": "m"}}
    failures = inputs.key_failures(olds, {**olds, **changes}, {"VAULT_ADDR": address, **environment})
    assert failures == [] if told == "" else any(failure.startswith(told) for failure in failures), failures


COMPONENT = "urn:pulumi:dev::shop::a:b:Service::web"


def declared(name: str, /, **changes: object) -> dict[str, object]:
    """Return the inputs of a key of some name, as its check hands them on."""
    plain = {"project": "shop", "stack": "dev", "resource_name": name, "key": f"shop.dev.{name}"}
    vault = {"type": "vault", "address": "https://v", "auth": {"method": name}}
    place = {"target": "vault", "path": f"apps/{name}", "field": "KEY"}
    return {**plain, "targets": {"vault": vault}, "deliver": [place], **changes}


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ({}, {}, ""),
        (
            {"key": "k"},
            {"key": "k"},
            "key: two resources of this program have the key 'k'; the other one is pulumi:shop/",
        ),
        ({"name": "n"}, {"name": "n"}, "name: two resources of this program have the API key 'n'; the other one is"),
        ({"name": "n", "rotation": {"strategy": "alternating"}}, {"name": "n-b"}, "name: two resources"),
        ({"adopt": {"a": "u"}}, {"adopt": {"secret": "existing", "b": "u"}}, "adopt.b: two resources"),
        ({}, {"deliver": [{"target": "vault", "path": "apps/one", "field": "KEY"}]}, "deliver[0]: two resources"),
        ({}, {"deliver": [{"target": "vault", "path": "apps/one", "field": "OTHER"}]}, ""),
        ({}, {"deliver": [{"target": "vault", "path": "apps/one"}]}, "deliver[0]: two resources"),
        ({}, {"deliver": [{"target": "vault", "path": UNKNOWN, "field": "KEY"}], "name": UNKNOWN}, ""),
        ({}, {"deliver": "nonsense", "adopt": 1, "targets": []}, ""),
    ],
)
def test_only_one_resource_has_a_key_a_name_and_a_delivery(
    first: dict[str, object], second: dict[str, object], told: str
) -> None:
    """The second one that is declared is refused, whatever its login; the same resource may be declared again."""
    uniqueness = Uniqueness()
    assert uniqueness.declare(declared("one", **first)) == []
    assert uniqueness.declare(declared("one", **first)) == []
    found = uniqueness.declare(declared("two", **second))
    assert [item[: len(told)] for item in found][:1] == ([told] if told else [])
    assert uniqueness.has("k") is (first.get("key") == "k")


def test_a_component_is_part_of_who_a_key_belongs_to() -> None:
    """Its name is in the default id, its urn in the owner, since two components may have one name."""
    inside = {**declared("key"), "parent": COMPONENT, "key": None}
    assert inputs.with_key({}, inside)["key"] == "shop.dev.web.key"
    assert inputs.owner(inside) == "pulumi:shop/dev/a:b:Service::web/key"
    assert family(inputs.owner(inside)) == family("pulumi:shop/dev/bot") == "pulumi:shop/dev/"
    assert family("platform") == "platform"


def test_no_line_for_the_screen_is_waited_for_or_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that is gone, or stopped: saying costs nothing, and the end of a call waits for a moment only."""
    shown, stopped = [], threading.Event()

    def show(text: str) -> None:
        shown.append(text)
        if text == "gone":
            raise ConnectionError
        if text == "stopped":
            assert stopped.wait(20)

    monkeypatch.setattr(pulumi.log, "info", show)
    monkeypatch.setattr(pulumi.log, "warn", show)
    messages.say("gone")
    messages.warn("stopped")
    messages.say("later")
    began = time.monotonic()
    messages.flush(0.2)
    assert time.monotonic() - began < 5
    assert shown[:2] == ["gone", "stopped"][: len(shown)]
    stopped.set()
    messages.flush(20)
    assert shown == ["gone", "stopped", "later"]


def test_house_rules_hold_for_a_key_that_is_only_looked_up() -> None:
    """The example's policy: a look-up may leave out how the key rotates, and may not expose the secret either."""
    path = Path(__file__).parents[2] / "examples" / "pulumi-policy" / "policy.py"
    hold = runpy.run_path(str(path))["hold_keys_to_the_rules"]

    def look_up(**props: object) -> None:
        kind = "keyturn:index:ModelAccessKey"
        hold(ResourceTransformationArgs(object(), kind, "bot", props, ResourceOptions(id="shop.dev.bot")))  # type: ignore[arg-type]

    look_up()
    with pytest.raises(Exception, match="expose_secret is forbidden here"):
        look_up(expose_secret=True)


def test_triggers_are_told_apart_by_value() -> None:
    """Equal values of any type give one digest, different ones another, none gives the empty text."""
    assert inputs.trigger({"a": 1, "b": [2]}) == inputs.trigger({"b": [2], "a": 1})
    values: tuple[object, ...] = (0, "0", False, [], {}, "")
    assert len({inputs.trigger(value) for value in values}) == 6
    assert inputs.trigger(None) == ""


def test_health_tells_everything_that_is_not_as_recorded() -> None:
    """Owner, API key, delivery and secret each have their words; only a key with none of them is healthy."""
    place, secret, key = Delivery("vault", "a/b", "KEY"), Secret("one"), "ab" * 32
    slot = Slot("u", "bot", digest=secret.digest(key))
    held = DeliveryState(place, digest=slot.digest)
    record = Record("k", "me", key, live=SlotName.A, slots={SlotName.A: slot}, deliveries=(held,))
    names, right = {"u": "bot"}, {place: Held(secret)}

    def of(**changes: Any) -> str:  # noqa: ANN401 - one argument each
        return state.health(record, **{"owner": "me", "names": names, "held": right, "accepted": True, **changes})

    assert of() == "healthy"
    assert of(accepted=None, held={}) == "healthy"
    gone = "the live API key u is not listed any more, so its secret is refused"
    refused = "the API refuses the secret that vault:a/b#KEY holds"
    assert of(owner="you") == "held: its record belongs to 'me'"
    assert of(names={}) == f"gone: {gone}"
    assert of(names={"u": "robot"}) == "due: the API key u was renamed to 'robot'"
    assert of(held={place: Held(Secret("two"))}) == "drifted: vault:a/b#KEY holds something other than the live secret"
    assert of(held={place: Held(None)}) == "drifted: vault:a/b#KEY holds nothing"
    assert of(accepted=False) == f"refused: {refused}"
    assert of(accepted=False, names={}) == f"gone: {gone}"


def test_the_provider_has_words_for_every_remedy_and_none_of_the_command_line() -> None:
    """A table of its own, and total: nothing is rewritten."""
    assert {kind for kind in Remedy if REMEDIES[kind]} == set(Remedy) - {Remedy.NONE}
    for kind, text in REMEDIES.items():
        assert text == "" or remedy(End(next(reason for reason in Reason if reason.remedy is kind)))
        assert "--" not in text
        assert "keyturn " not in text


def test_what_to_do_is_spelled_for_every_language(monkeypatch: pytest.MonkeyPatch) -> None:
    """The full provider says no Python: each setting has both spellings, and every one is used."""
    assert PYTHON.keys() == SCHEMA.keys()
    ends = [End(next(reason for reason in Reason if reason.remedy is kind)) for kind in REMEDIES]
    monkeypatch.setattr(spelling, "any_language", True)
    told = "\n".join([*map(remedy, ends), spelled("{retain}")])
    assert not re.search(r"=True|=False|='|[a-z]_[a-z]|\{'", told)
    assert all(text in told for text in SCHEMA.values())
    monkeypatch.setattr(spelling, "any_language", False)
    told = "\n".join([*map(remedy, ends), spelled("{retain}")])
    assert not any(text in told for text in SCHEMA.values())
    assert all(text in told for text in PYTHON.values())


def test_an_error_that_is_not_ours_shows_nothing_of_its_text() -> None:
    """The engine prints the whole traceback: neither a message nor a cause may carry a secret into it."""

    class Careless:
        @one_paragraph
        def work(self) -> None:
            raise ValueError("sk-do-very-secret")

    with pytest.raises(Exception, match="keyturn failed with ValueError") as caught:
        Careless().work()
    assert "sk-do-very-secret" not in "".join(traceback.format_exception(caught.value))
