"""The catalogue of reasons: complete, and the only source of conditions and exit codes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from keyturn.core.model import GOOD, DesiredKey, Verdict
from keyturn.core.reasons import Condition, Reason, Remedy, Tone, exit_code, mixed
from keyturn.core.results import End, KeyPlan, KeyReport
from keyturn.core.status import status
from keyturn.report.remedies import REMEDIES, remedies, remedy


def test_exit_codes_mix_by_gravity() -> None:
    """4 before 5, before what is set up wrongly (3), before 1."""
    assert mixed([0, 1, 3, 5, 4]) == 4
    assert mixed([1, 3, 5]) == 5
    assert mixed([0, 3, 1]) == 3
    assert mixed([0, 1]) == 1
    assert mixed([0]) == mixed([]) == 0


def test_the_exit_code_of_keys_is_that_of_their_conditions() -> None:
    """One function for every command."""
    assert exit_code([Condition.READY, Condition.OVERLAP, Condition.WAITING, Condition.DUE]) == 0
    assert exit_code([Condition.PARKED, Condition.READY]) == 1
    assert exit_code([Condition.LOGIN_REFUSED, Condition.PARKED]) == 5
    assert exit_code([Condition.LOGIN_REFUSED, Condition.HELD]) == 4


@pytest.mark.parametrize("condition", Condition)
def test_each_condition_has_a_reason_and_what_is_bad_fails(condition: Condition) -> None:
    """No word without a use; nothing bad ends with 0, and nothing calm with another code."""
    assert any(reason.condition is condition for reason in Reason)
    assert (condition.exit_code == 0) == (condition.tone in {Tone.GOOD, Tone.CALM} or condition is Condition.WAITING)


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_says_what_it_means(reason: Reason) -> None:
    """A code in kebab-case, and one sentence of facts without a command or a flag."""
    assert reason.value == reason.name.lower().replace("_", "-")
    assert reason.meaning.endswith(".")
    assert "--" not in reason.meaning
    assert "`" not in reason.meaning
    assert (reason.remedy is Remedy.NONE) or reason.condition is not Condition.READY


def test_each_verdict_that_is_not_good_is_a_reason() -> None:
    """A smoke-check can end a key."""
    assert {Reason.of(verdict.value) for verdict in Verdict if verdict not in GOOD}


def test_the_command_line_has_words_for_every_remedy() -> None:
    """Only `none` is without words; and each remedy is that of a reason."""
    assert {kind for kind in Remedy if REMEDIES[kind]} == set(Remedy) - {Remedy.NONE}
    assert {reason.remedy for reason in Reason} == set(Remedy)


def test_a_remedy_names_the_key_and_the_number() -> None:
    """What is shown can be typed."""
    assert remedy(End(Reason.PARKED), "bot") == "remove the cause, then `keyturn apply bot --unpark bot`"
    assert remedy(End(Reason.TOO_MANY_DELETES, number=3), "bot") == "`keyturn apply --allow-delete 3` allows it"
    assert remedy(End(Reason.AT_REST), "bot") == ""


def test_a_remedy_is_said_once_and_only_if_something_is_wrong() -> None:
    """Two reasons may have the same one; what is calm needs none."""
    found = (End(Reason.DRIFTED), End(Reason.EMPTIED), End(Reason.TO_DO))
    assert remedies(found, "bot") == ["`keyturn apply bot --verify`"]


def test_no_condition_hides_the_exit_code_of_another() -> None:
    """A brake (4) beside consumers that are refused (1): both are told, and 4 is the exit code everywhere."""
    found = (End(Reason.REFUSED), End(Reason.TOO_MANY_ROTATIONS))
    plan = KeyPlan("bot", (), End(Reason.TOO_MANY_ROTATIONS), "", conditions=found)
    report = KeyReport("bot", (), End(Reason.TOO_MANY_ROTATIONS), conditions=found)
    shown = status(DesiredKey("bot", "me", "bot"), found, None, None, datetime.now(UTC))
    assert [plan.exit_code, report.exit_code, shown.exit_code] == [4, 4, 4]
