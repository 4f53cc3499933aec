"""Texts for people: singular and plural, one form of a moment, and commands that can be pasted."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from keyturn.core.model import SlotName
from keyturn.core.reasons import Reason
from keyturn.core.results import REQUESTED, Change, End, KeyPlan, KeyReport, Planned, RunPlan, RunReport
from keyturn.report.common import common
from keyturn.report.done import done_text
from keyturn.report.handoff import handoff_lines
from keyturn.report.lines import moment, paint_plain
from keyturn.report.markdown import run_markdown
from keyturn.report.plan import plan_lines
from keyturn.report.remedies import remedy
from keyturn.report.run import run_lines

NOW = datetime(2026, 8, 24, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
MANY = [f"bot-{number:02}" for number in range(12)]
NOTED = KeyReport(
    "bot",
    (
        Planned(
            Change.RECORD, REQUESTED, "notes the rotation, which has to wait: rotates (requested) after the overlap"
        ),
    ),
    End(Reason.OVERLAP, "rotates (requested) after the overlap", LATER),
    conditions=(End(Reason.OVERLAP, "rotates (requested) after the overlap", LATER),),
)


def test_a_rotation_that_has_to_wait_says_why_and_what_to_do() -> None:
    """It is something that was done; in text and in markdown."""
    report = RunReport("team", "run", (NOTED,))
    text = paint_plain(run_lines([report]))
    why = "rotation noted, not begun: it starts when the overlap ends, 2026-08-24 13:00:00 UTC"
    do = "`keyturn apply bot` after 2026-08-24 13:00:00 UTC starts it; if the secret has leaked, "
    do += "`keyturn rotate bot --compromised` does not wait"
    assert f"  bot  {why}\n    do   {do}\n" in text
    assert "1 key: 1 noted; 1 overlap." in text
    assert why in run_markdown([report])
    assert "--compromised" in run_markdown([report])


def test_a_rotation_that_was_noted_and_made_is_only_a_rotation() -> None:
    """By the same run, after other work on the key."""
    both = replace(NOTED, done=(*NOTED.done, Planned(Change.ROTATE, REQUESTED, "rotates", SlotName.A)))
    assert done_text(both) == "rotated"
    assert "1 key: 1 rotated; 1 overlap." in paint_plain(run_lines([RunReport("team", "run", (both,))]))


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (Reason.NO_ANSWER, "wait, or run `keyturn apply` again later"),
        (Reason.UNREADABLE, "fix the target or its policy, then `keyturn apply`"),
        (Reason.REFUSED, "`keyturn apply --verify`"),
        (Reason.ANOTHER_OWNER, f"`keyturn apply {' '.join(MANY)} --take-over` moves it here"),
        (Reason.LIVE_UNKNOWN, "for each key, here bot-00: say whose secret is in use: `keyturn adopt bot-00 --live a`"),
        (
            Reason.PARKED,
            f"remove the cause, then `keyturn apply {' '.join(MANY)} {' '.join(f'--unpark {key}' for key in MANY)}`",
        ),
    ],
)
def test_what_to_do_about_a_cause_that_many_keys_share_can_be_pasted(reason: Reason, words: str) -> None:
    """No key is left out, none that is not meant is taken over or unparked, and no placeholder is in it."""
    ((names, _, do),) = common([(key, (End(reason, "the cause"),)) for key in MANY])
    assert names == "bot-00, bot-01, bot-02, bot-03, bot-04 and 7 more keys"
    assert do.startswith(words)
    assert "KEY" not in do


def test_few_keys_are_named() -> None:
    """And each of them is unparked."""
    assert remedy(End(Reason.NO_ANSWER), "a", "b") == "wait, or run `keyturn apply a b` again later"
    assert "`keyturn apply a b --unpark a --unpark b`" in remedy(End(Reason.PARKED), "a", "b")


@pytest.mark.parametrize("since", [None, NOW], ids=["unnoted", "noted"])
def test_the_hand_off_speaks_of_one_or_of_several(since: datetime | None) -> None:
    """In every line of it."""
    one = paint_plain(handoff_lines([End(Reason.HAND_OFF, make=("bot",), since=since)]))
    two = paint_plain(handoff_lines([End(Reason.HAND_OFF, make=("bot-a", "bot-b"), since=since)]))
    assert "Make 1 model access key in the control panel, with exactly this name:\n  bot\n" in one
    assert "keyturn takes it over and regenerates it.\n" in one
    assert not re.search(r"\b(names|them|these|(?<!-)keys)\b", one)
    assert "Make 2 model access keys in the control panel, with exactly these names:\n" in two
    assert "keyturn takes them over and regenerates them.\n" in two
    single, several = (remedy(End(Reason.HAND_OFF, make=made, since=NOW), "bot") for made in (("a",), ("a", "b")))
    assert single == "make the API key in the control panel, with exactly this name, then `keyturn apply bot`"
    assert several == "make the API keys in the control panel, with exactly these names, then `keyturn apply bot`"


def test_one_empty_line_stands_before_the_hand_off() -> None:
    """Of a plan and of a report."""
    end = End(Reason.HAND_OFF, "waits", make=("bot",), since=NOW)
    plan = RunPlan("team", (KeyPlan("bot", (), end, "basis", conditions=(end,)),))
    report = RunReport("team", "run", (KeyReport("bot", (), end, conditions=(end,)),))
    for text in (paint_plain(plan_lines([plan])), paint_plain(run_lines([report]))):
        assert "\n\nMake 1 " in text
        assert "\n\n\n" not in text


def test_a_moment_has_one_form() -> None:
    """With seconds, in UTC; and no module writes another one."""
    assert moment(NOW) == moment(NOW.astimezone(timezone(timedelta(hours=2)))) == "2026-08-24 12:00:00 UTC"
    root = Path(__file__).parent.parent.parent
    files = [*root.glob("reconcile/**/*.py"), *root.glob("provider/**/*.py")]
    forms = {file.name: re.findall(r"%H:%M[^\n]{0,5} UTC", file.read_text(encoding="utf-8")) for file in files}
    # The client of the API may not import the schedule.
    found = {name: form for name, form in forms.items() if form}
    assert found == {"budget.py": ["%H:%M:%S} UTC"], "schedule.py": ["%H:%M:%S} UTC"]}
