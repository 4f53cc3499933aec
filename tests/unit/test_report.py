"""What an operator reads: plans, reports and states as lines and as markdown."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from keyturn.core.model import Delivery, SlotName, SmokeResult, Verdict
from keyturn.core.reasons import Condition, Reason
from keyturn.core.results import Change, End, KeyPlan, KeyReport, Planned, RunPlan, RunReport
from keyturn.report.documents import StatusDocument
from keyturn.report.lines import Span, Tone, columns, fold, length, line, moment, paint_plain
from keyturn.report.markdown import LIMIT, plan_markdown, run_markdown
from keyturn.report.plan import plan_lines, plan_summary
from keyturn.report.remedies import of_verdict
from keyturn.report.run import run_lines
from keyturn.report.status import HEADS, smoke_lines, status_lines
from tests.support.outcomes import NOW, UUID, run_plan, run_report, statuses, unowned

PLACE = Delivery("vault", "apps/x", "KEY")
ROTATE = Planned(Change.ROTATE, "rotation-due", "the secret is 31 days old", SlotName.B, UUID)
DELIVER = Planned(
    Change.DELIVER, "new-secret", "the new secret goes there", delivery=Delivery("vault", "apps/x", "KEY")
)
DELETE = Planned(Change.DELETE, "absent", "the entry says absent", SlotName.A, UUID)
WAIT = End(Reason.OVERLAP, "the old secret is retired then", NOW)


def plan(*keys: KeyPlan) -> RunPlan:
    """Return a plan of one owner."""
    return RunPlan("platform", keys)


def test_a_plan_says_what_where_why_and_how_it_ends() -> None:
    """Every change has its own line, aligned, and the end of the key comes last."""
    text = paint_plain(plan_lines([plan(KeyPlan("bot", (ROTATE, DELIVER), WAIT, "", mints=True))]))
    assert text == (
        "platform\n"
        "\n"
        "  bot\n"
        f"    rotate   slot b {UUID[:8]}   the secret is 31 days old [rotation-due]\n"
        "    deliver  vault:apps/x#KEY  the new secret goes there [new-secret]\n"
        "    then overlap until 2026-08-24 12:00:00 UTC: the old secret is retired then [overlap]\n"
        "\n"
        "2 changes to 1 key of 1; new secrets for 1 key.\n"
    )
    whole = paint_plain(plan_lines([plan(KeyPlan("bot", (ROTATE, DELIVER), WAIT, "", mints=True))], whole=True))
    assert f"    rotate   slot b {UUID}  the secret" in whole


def test_a_brief_plan_has_a_line_per_key() -> None:
    """Nobody reads twelve hundred lines that are about to be done."""
    keys = [KeyPlan(f"bot-{number}", (ROTATE, DELIVER, DELIVER), WAIT, "", mints=True) for number in range(2)]
    text = paint_plain(plan_lines([plan(*keys)], brief=True))
    assert text.startswith("platform\n  bot-0  rotate, deliver\n  bot-1  rotate, deliver\n\n6 changes to 2 keys")


def test_a_plan_speaks_of_the_future() -> None:
    """Nothing of it has happened yet."""
    text = paint_plain(plan_lines([plan(KeyPlan("bot", (DELETE,), WAIT, "", deletes=1))]))
    assert text.endswith("1 change to 1 key of 1; deletes 1 API key.\n")


def test_a_plan_without_changes_is_short() -> None:
    """Keys at rest are counted, not listed."""
    quiet = [KeyPlan(f"bot-{number}", (), End(Reason.AT_REST), "") for number in range(300)]
    assert paint_plain(plan_lines([plan(*quiet)])) == "platform\n\nNothing to do for 300 keys.\n"
    waiting = KeyPlan("bot", (), WAIT, "")
    assert paint_plain(plan_lines([plan(*quiet, waiting)])).endswith("\nNothing to do for 301 keys; 1 overlap.\n")


def test_a_plan_that_ends_as_it_is_now_says_so_once() -> None:
    """The paragraph of what is wrong is not repeated."""
    silent = End(Reason.NO_ANSWER, "target vault: no answer")
    text = paint_plain(plan_lines([plan(KeyPlan("bot", (ROTATE,), silent, "", conditions=(silent,)))]))
    assert text.count(silent.why) == 1
    assert "then unknown: as now [no-answer]" in text


def test_a_report_of_a_loop_has_its_time_in_the_one_header() -> None:
    """The name of the manifest stands there once."""
    report = RunReport("platform", "run", (KeyReport("bot", (), End(Reason.AT_REST)),))
    head, *rest = paint_plain(run_lines([report], at=NOW)).splitlines()
    assert head == f"platform, {moment(NOW)}"
    assert not any("platform" in row for row in rest)


def test_a_plan_without_changes_does_not_say_that_nothing_is_to_do_if_an_operator_is_needed() -> None:
    """What it does not change is counted; of what could not be read it promises nothing."""
    held, unread = (KeyPlan(code, (), End(code, "why"), "") for code in (Reason.HAND_OFF, Reason.NO_ANSWER))
    assert plan_summary(plan(held)) == "No change to 1 key; 1 action-needed."
    told = "No change to 1 key; not known what to do for 1 key; 1 unknown; 1 action-needed."
    assert plan_summary(plan(held, unread)) == told


def test_a_report_tells_what_was_done_and_what_is_wrong() -> None:
    """A sentence of what was done; below it a bad smoke-check and problems; the steps only if asked for."""
    smoke = SmokeResult(Verdict.REFUSED, "refused 3 times", None, 0.1)
    report = RunReport("platform", "r", (KeyReport("bot", (ROTATE,), WAIT, ("OldSecretAlive",), smoke, 1),))
    head = "platform\n  bot  rotated\n"
    tail = (
        f"    smoke-check  refused in 100 ms: refused 3 times; {of_verdict(Verdict.REFUSED, 'bot')}\n"
        "    problem  OldSecretAlive\n"
        "\n"
        "1 key: 1 rotated; 1 overlap; 1 problem.\n"
    )
    assert paint_plain(run_lines([report])) == head + tail
    step = f"    rotate  slot b {UUID}  the secret is 31 days old [rotation-due]\n"
    assert paint_plain(run_lines([report], steps=True)) == head + step + tail


def test_a_report_counts_what_is_unchanged() -> None:
    """Keys at rest, and keys that only wait, have no line; if only what is needed is shown, there is nothing at all."""
    quiet = [KeyReport(f"bot-{number}", (), End(Reason.AT_REST)) for number in range(300)]
    report = RunReport("platform", "r", (*quiet, KeyReport("late", (), WAIT)))
    assert paint_plain(run_lines([report])) == "platform\n\n301 keys: nothing changed; 1 overlap; 300 ready.\n"
    assert run_lines([report], needed=True) == []
    failed = replace(report, reports=(*quiet, KeyReport("bad", (), End(Reason.NO_ANSWER, "sealed"))))
    assert "  bad  unknown: sealed [no-answer]\n    do   wait, or run `keyturn apply bad` again later\n" in paint_plain(
        run_lines([failed], needed=True)
    )


def test_long_lines_fold_between_words() -> None:
    """With a hanging indent, and with their tones; a word and a command between backticks stay whole."""
    row = line("  ", Span("bot", Tone.NAME), "  do  run `keyturn apply bot --take-over` and wait for it to end")
    folded = fold([row], 30)
    assert paint_plain(folded).splitlines() == [
        "  bot  do  run",
        "      `keyturn apply bot --take-over`",
        "      and wait for it to end",
    ]
    assert folded[0][1] == Span("bot", Tone.NAME)
    assert fold([row], 200) == [row]
    assert paint_plain(fold([line("x" * 50)], 20)) == "x" * 50 + "\n"


def test_deferred_unmanaged_and_stopped_are_told() -> None:
    """What concerns the whole run stands above its summary."""
    text = paint_plain(plan_lines([RunPlan("platform", (), ("late",), ("lost",), "another team's token", 4)]))
    assert "over rotations_per_run: late." in text
    assert "left alone: lost." in text
    assert "The whole run stops: another team's token" in text


def test_the_markdown_of_a_plan_is_a_table() -> None:
    """A pull request shows a row a change, its names in code spans."""
    text = plan_markdown([plan(KeyPlan("bot", (DELIVER,), WAIT, ""))])
    assert "### keyturn plan: `platform`\n" in text
    assert "| `bot` | deliver | `vault:apps/x#KEY` | `the new secret goes there` |\n" in text
    assert "| `bot` | → overlap | until 2026-08-24 12:00:00 UTC | `the old secret is retired then` |\n" in text


def test_the_markdown_of_a_report_is_a_table() -> None:
    """What was done in words, what is wrong in bold."""
    bad = KeyReport("bad", (), End(Reason.NO_ANSWER, "sealed"))
    text = run_markdown([RunReport("platform", "r", (KeyReport("bot", (ROTATE,), WAIT), bad))])
    assert "| `bot` | done | rotated |\n" in text
    assert "| `bad` | **unknown** | `sealed` |\n" in text


def test_a_long_plan_still_fits_a_comment() -> None:
    """Rows beyond what GitHub takes are counted instead of shown."""
    keys = [KeyPlan(f"bot-{number}", (ROTATE, DELIVER), WAIT, "") for number in range(1000)]
    text = plan_markdown([plan(*keys)])
    assert LIMIT * 0.9 < len(text) < 65_536
    assert "more." in text


def test_status_has_a_row_a_key() -> None:
    """Live slot, age, next rotation and deliveries stand in columns."""
    _, _, heads, row, *_ = paint_plain(status_lines(StatusDocument(NOW, 1, statuses()))).splitlines()
    assert heads.split() == [*(word for head in HEADS for word in head.split())]
    assert heads.index("DELIVERED") == row.index("1/2")
    assert re.split("  +", row) == [
        "key-refused",
        "refused",
        "-",
        "a",
        "3",
        "12d",
        "2026-09-11 12:00:00 UTC",
        "1/2",
        "recorded",
        "aws:because and 1 more",
    ]


def test_status_lists_unowned_keys_only_when_asked() -> None:
    """Nobody asked is not the same as none."""
    assert "owned by no manifest" not in paint_plain(status_lines(StatusDocument(NOW, 1, statuses())))
    assert "0 keys of the account owned by no manifest" in paint_plain(status_lines(StatusDocument(NOW, 1, (), ())))
    assert f"  {UUID}  because  400d\n" in paint_plain(status_lines(StatusDocument(NOW, 1, (), unowned())))


def test_smoke_lines_tell_stdin_from_deliveries() -> None:
    """A secret from standard input has no place."""
    result = SmokeResult(Verdict.SKIPPED)
    text = paint_plain(smoke_lines([("bot", Delivery("vault", "x"), result), ("", None, result)]))
    assert text == "bot  vault:x  skipped\n     stdin    skipped\n"


def test_columns_align_and_the_last_is_not_padded() -> None:
    """Two spaces between columns, none at the end."""
    rows = columns([(Span("a"), Span("bb")), (Span("ccc"), Span("d"))])
    assert paint_plain(rows) == "a    bb\nccc  d\n"


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (timedelta(seconds=42), "42s"),
        (timedelta(minutes=17), "17m"),
        (timedelta(hours=5), "5h"),
        (timedelta(12), "12d"),
    ],
)
def test_lengths_of_time(time: timedelta, text: str) -> None:
    """The largest unit that still counts to two."""
    assert length(time) == text


def test_moments() -> None:
    """Seconds are shown only where they say something."""
    assert moment(NOW) == "2026-08-24 12:00:00 UTC"
    assert moment(NOW + timedelta(seconds=5)) == "2026-08-24 12:00:05 UTC"


def test_every_condition_and_change_can_be_told() -> None:
    """No enum member is forgotten by a renderer."""
    told = paint_plain(plan_lines([run_plan()])) + paint_plain(run_lines([run_report()]))
    assert all(word.value in told for word in (*Condition, *Change) if word is not Condition.READY)
    assert line("x")[0].text == "x"
