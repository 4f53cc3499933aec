"""Names chosen by an attacker reach no terminal, log or comment as anything but text."""

from __future__ import annotations

import io
import json
import re

import pytest
from rich.console import Console

from keyturn.core.forecast import Coming, What
from keyturn.report.documents import (
    Checked,
    Document,
    HistoryDocument,
    PlanDocument,
    ReportDocument,
    ScheduleDocument,
    SmokeDocument,
    StatusDocument,
    dump,
)
from keyturn.report.history import history_lines
from keyturn.report.lines import Line, paint_plain, paint_rich
from keyturn.report.markdown import plan_markdown, run_markdown
from keyturn.report.plan import plan_lines
from keyturn.report.run import run_lines
from keyturn.report.schedule import schedule_lines
from keyturn.report.status import smoke_lines, status_lines
from tests.support.hostile import NAMES, breaches
from tests.support.outcomes import NOW, events, run_plan, run_report, statuses, unowned

CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)")
WORDS = re.compile(r"[\w .:;,()*→…#-]*", re.ASCII)


def stories(name: str) -> list[list[Line]]:
    """Return everything that can be told as lines."""
    checks = [(status.key, status.deliveries[0][0], status.verdict) for status in statuses(name) if status.verdict]
    return [
        plan_lines([run_plan(name)]),
        run_lines([run_report(name)]),
        status_lines(StatusDocument(NOW, 1, statuses(name), unowned(name))),
        schedule_lines(schedule_document(name)),
        history_lines(events(name)),
        smoke_lines(checks),
    ]


def schedule_document(name: str) -> ScheduleDocument:
    """Return a schedule with a moment of each kind."""
    coming = tuple(Coming(NOW, what, name, "bot", NOW, name, 3) for what in What)
    return ScheduleDocument(NOW, NOW, 0, coming, (name,))


def documents(name: str) -> list[Document]:
    """Return a document of each kind."""
    checks = tuple(Checked(s.key, s.deliveries[0][0], s.verdict) for s in statuses(name) if s.verdict)
    return [
        PlanDocument(NOW, 4, (run_plan(name),)),
        ReportDocument(NOW, 1, (run_report(name),)),
        StatusDocument(NOW, 1, statuses(name), unowned(name)),
        schedule_document(name),
        HistoryDocument("bot", name, 3, events(name)),
        SmokeDocument(1, checks),
    ]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_plain_lines(name: str) -> None:
    """A pipe gets no control or bidi character and no line that commands a CI runner."""
    for story in stories(name):
        assert breaches(paint_plain(story)) == []


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_terminal(name: str) -> None:
    """A terminal gets the same letters as a pipe: markup and emoji codes stay as they are typed."""
    for story in stories(name):
        out = io.StringIO()
        console = Console(file=out, force_terminal=False, width=80, highlight=False)
        console.print(paint_rich(story), end="", soft_wrap=True)
        painted = [row.rstrip() for row in out.getvalue().splitlines()]
        assert painted == ["".join(span.text for span in row).rstrip() for row in story]
        assert breaches(out.getvalue()) == []


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_markdown(name: str) -> None:
    """Outside of code spans markdown holds only our own words, so nothing of a name is read as markdown."""
    for text in (plan_markdown([run_plan(name)]), run_markdown([run_report(name)])):
        assert breaches(text) == []
        for row in text.splitlines():
            cells = re.split(r"(?<!\\)\|", row)[1:-1] if row.startswith("| ") else [row]
            for cell in cells:
                assert WORDS.fullmatch(CODE_SPAN.sub("", cell)), cell
        tables = [row for row in text.splitlines() if row.startswith("|")]
        widths = {5} if "keyturn plan" in text else {4}
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in tables} == widths


@pytest.mark.parametrize("name", [name for name in NAMES if "\ud800" not in name], ids=ascii)
def test_json(name: str) -> None:
    """JSON is plain ASCII and gives a name back exactly."""
    for document in documents(name):
        text = dump(document)
        assert text.isascii()
        assert breaches(text.replace("\\n", "")) == []
        assert name in strings(json.loads(text))


def strings(node: object) -> set[str]:
    """Return every string of a JSON value."""
    if isinstance(node, dict):
        return set().union(*map(strings, node.values()))
    if isinstance(node, list):
        return set().union(*map(strings, node))
    return {node} if isinstance(node, str) else set()
