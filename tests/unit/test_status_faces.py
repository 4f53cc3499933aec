"""`status` as text, markdown, html and metrics: totals, order, next steps, filters; no name breaks one of them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from keyturn.core.model import Delivery
from keyturn.core.reasons import Condition, Reason
from keyturn.core.results import End, RunStatus
from keyturn.report.documents import StatusDocument
from keyturn.report.fold import fold, wide
from keyturn.report.html import status_html
from keyturn.report.lines import Span, Tone, line, paint_plain
from keyturn.report.openmetrics import HELP, LONGEST, status_openmetrics
from keyturn.report.overview import Kind, coming, place, status_document, totals, worst_first
from keyturn.report.status import status_lines
from keyturn.report.status_markdown import status_markdown
from tests.support.fleet import fleet, key
from tests.support.hostile import NAMES, breaches
from tests.support.outcomes import NOW, statuses, unowned
from tests.unit.test_report_hostile import CODE_SPAN, WORDS

REFUSED = End(Reason.REFUSED, "the API refuses the live secret", since=NOW - timedelta(hours=3))
WAITS = End(Reason.BACK_OFF, "the next try waits", NOW + timedelta(hours=1))
STOP = End(Reason.ALL_GONE, "every live API key is missing")


def document(*keys: object, only: tuple[str, ...] = (), stop: End | None = None) -> StatusDocument:
    """Return the document of one manifest."""
    run = RunStatus("platform", keys, stop.why if stop else "", stop=stop)  # type: ignore[arg-type] # statuses
    return status_document([run], NOW, None, only)


def test_the_totals_stand_on_top_and_the_worst_key_is_first() -> None:
    """In the order of the catalogue; of equal urgency by name."""
    found = document(key("calm"), key("zeta", REFUSED), key("alpha", REFUSED), key("later", WAITS))
    assert totals(found) == "4 keys: 2 refused, 1 waiting, 1 ready"
    assert [one.key for one in worst_first(found.keys)] == ["alpha", "zeta", "later", "calm"]
    text = paint_plain(status_lines(found)).splitlines()
    assert text[0] == totals(found)
    heads = [row.split()[0] for row in text if row[:1].isalpha()]
    assert heads == ["alpha,", "KEY", "alpha", "zeta", "later", "calm"]


def test_each_key_has_its_next_step_and_a_shared_cause_is_said_once() -> None:
    """Two keys with one cause: one sentence, one command for both; a third has its own."""
    parked = End(Reason.PARKED, "3 runs in a row failed")
    text = paint_plain(status_lines(document(key("one", REFUSED), key("two", REFUSED), key("three", parked))))
    assert text.count(REFUSED.why) == 1
    assert "one, two\n  refused since 2026-08-24 09:00:00 UTC: the API refuses the live secret [refused]\n" in text
    assert "  do: `keyturn apply one two --verify`\n" in text
    assert "  do: remove the cause, then `keyturn apply three --unpark three`\n" in text


def test_a_remedy_of_two_shared_causes_is_said_once() -> None:
    """Beside the last of them: it is for the same keys."""
    drifted = End(Reason.DRIFTED, "vault:apps#KEY holds something other than the live secret")
    text = paint_plain(status_lines(document(key("one", REFUSED, drifted), key("two", REFUSED, drifted))))
    assert text.count("do: `keyturn apply one two --verify`") == 1
    assert text.index(drifted.why) < text.index("do: ")


def test_only_filters_keys_and_the_exit_code_is_that_of_what_is_shown() -> None:
    """What is hidden is counted; what stops a whole apply is always shown, so it counts."""
    keys = (key("bad", REFUSED), key("held", End(Reason.ANOTHER_OWNER, "it is another's")), key("calm"))
    assert document(*keys).exit_code == 4
    found = document(*keys, only=(Condition.READY, Condition.REFUSED))
    assert (found.exit_code, found.hidden, found.only) == (1, 1, (Condition.REFUSED, Condition.READY))
    assert totals(found) == "2 keys: 1 refused, 1 ready; 1 key of other conditions not shown"
    assert document(*keys, only=(Condition.READY,)).exit_code == 0
    assert document(*keys, only=(Condition.READY,), stop=STOP).exit_code == 4
    assert totals(document(*keys, only=(Condition.BUSY,))) == "0 keys; 3 keys of other conditions not shown"
    lone = key("lone", End(Reason.UNMANAGED))
    assert [one.key for one in document(*keys, lone, only=("unmanaged",)).keys] == ["lone"]
    assert lone in document(*keys, lone, only=("ready",)).keys


def test_the_place_that_lacks_the_secret_is_named() -> None:
    """Of several places the one that is meant."""
    one = key("bot", places=2, held=1)
    assert place(one) == "vault:apps/bot#MODEL_ACCESS_KEY and 1 more"
    assert place(replace(one, deliveries=((Delivery("a", "x"), True), (Delivery("b", "y"), False)))) == "b:y and 1 more"
    assert place(replace(one, deliveries=())) == ""


def test_the_last_known_state_is_shown_with_its_age() -> None:
    """A server that does not answer takes nothing away."""
    text = paint_plain(status_lines(document(key("bot", End(Reason.NO_ANSWER, "no answer"), age=12))))
    assert re.search(r"^bot +unknown +- .* 12d .* 1/1 +recorded +vault:apps/bot", text, re.MULTILINE)
    assert "  the rest is as recorded at 2026-08-24 10:00:00 UTC\n" in text


@pytest.mark.parametrize("width", [200, 130, 90, 60, 40, 1])
def test_lines_fit_the_terminal_and_no_word_is_lost(width: int) -> None:
    """At every width the same words, none beyond the edge; a pipe is never folded."""
    found = fleet()
    lines = status_lines(found, width)
    assert max(map(wide, lines)) <= max(width, 20)
    text = re.sub(r"\s", "", paint_plain(lines))
    for one in found.keys:
        assert one.key in text
        assert re.sub(r"\s", "", one.why if one.condition is not Condition.READY else "") in text
    assert "do:`keyturnapplycheckout-bot--verify`" in text
    assert max(map(wide, status_lines(found))) > 150


def test_fold_keeps_tones_and_counts_wide_characters() -> None:
    """A hanging indent, no cut inside a word that fits; a Japanese letter takes two columns."""
    rows = fold([line("  ", Span("name", Tone.NAME), "  the server is sealed and more")], 20)
    assert paint_plain(rows) == "  name  the server\n    is sealed and\n    more\n"
    assert rows[0][1] == Span("name", Tone.NAME)
    whole = fold([line("  do: wait, or run `keyturn apply bot` again later")], 26)
    assert paint_plain(whole) == "  do: wait, or run\n    `keyturn apply bot`\n    again later\n"
    assert (
        paint_plain(fold([line("run `keyturn apply one two three`")], 20)) == "run `keyturn apply\n  one two three`\n"
    )
    assert [wide(row) for row in fold([line("日" * 25)], 20)] == [20, 20, 14]
    assert paint_plain(fold([line("x" * 45)], 20)) == f"{'x' * 20}\n  {'x' * 18}\n  {'x' * 7}\n"


def test_markdown_is_for_a_job_summary() -> None:
    """The totals, a table of what is wrong with its next step, a table of all keys."""
    text = status_markdown(fleet())
    assert text.startswith("### keyturn status\n\n40 keys: 2 refused, 1 gone")
    row = "| `pricing` | **held** | since 2026-08-15 12:00:00 UTC | `the record belongs to 'payments'` | `` `keyturn"
    assert row in text
    assert text.count("the server is sealed") == 1
    assert "- `onboarding-b`" in text
    assert text.count("\n| `") > 60


def test_markdown_fits_a_comment() -> None:
    """Rows beyond the room are counted, over all tables."""
    keys = [key(f"bot-{number}", End(Reason.REFUSED, f"{number} " + "long " * 50)) for number in range(400)]
    text = status_markdown(document(*keys))
    assert 50_000 < len(text) < 65_536
    assert len(re.findall(r"… and \d+ rows more\.", text)) == 2


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_hostile_names_in_markdown_metrics_and_html(name: str) -> None:
    """Nothing of a name is read as markdown, as a label, as an element or as a command of a CI runner."""
    found = StatusDocument(NOW, 1, statuses(name), unowned(name), stopped=(name,), stops=(End(Reason.ALL_GONE, name),))
    text = status_markdown(found)
    assert breaches(text) == breaches(status_openmetrics(found)) == breaches(status_html(found)) == []
    for row in text.splitlines():
        for cell in re.split(r"(?<!\\)\|", row)[1:-1] if row.startswith("| ") else [row]:
            assert WORDS.fullmatch(CODE_SPAN.sub("", cell)), cell
    if name:  # an empty name has no line among the facts
        assert elements(status_html(found)) == elements(status_html(replace(found, keys=statuses(), unowned=unowned())))


def elements(html: str) -> list[str]:
    """Return the elements of a page with their attributes' names, and check that no script or style is a second one."""
    seen: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.append(f"{tag} {' '.join(sorted(name for name, _ in attrs))}")

    Reader().feed(html)
    assert sum(tag.startswith(("script", "style")) for tag in seen) == 2
    return seen


def test_html_has_no_address_but_the_control_panel_and_no_inline_style_or_handler() -> None:
    """The page asks for nothing, and its policy would refuse it."""
    html = status_html(fleet())
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) == {
        "http://www.w3.org/2000/svg",
        "https://cloud.digitalocean.com/model-studio/manage-keys:",
    }
    assert not re.search(r"<[^>]* (?:style|on\w+|src|href=\"(?!#|data:))=", html)
    assert re.search(
        r"content=\"default-src 'none'; style-src 'sha256-[^']+'; script-src 'sha256-[^']+'; img-src", html
    )


def test_what_is_coming_is_in_order_and_once() -> None:
    """A rotation, a retire that both the record and a condition name, and the end of a wait."""
    overlap = End(Reason.OVERLAP, "", NOW + timedelta(hours=5))
    found = coming([key("both", overlap, age=10), key("wait", WAITS, every=0)])
    assert [(one.kind, one.key) for one in found] == [
        (Kind.WAIT_ENDS, "wait"),
        (Kind.RETIRE, "both"),
        (Kind.ROTATION, "both"),
    ]
    assert "due now" in status_html(document(key("late", age=40)))
    assert 'class="coming"' not in status_html(document(key("never", every=0)))


def test_a_secret_that_someone_pasted_is_masked_everywhere() -> None:
    """A name may be one."""
    secret = "sk-do-" + "v1-" + "a" * 60
    found = StatusDocument(NOW, 1, statuses(secret), unowned(secret), stopped=(secret,))
    for text in (
        status_html(found),
        status_markdown(found),
        status_openmetrics(found),
        paint_plain(status_lines(found)),
    ):
        assert secret not in text
        assert "[secret]" in text or "key_condition" in text


def test_the_page_about_status_tells_the_truth() -> None:
    """Its example is what is printed, its table has every metric, and its alerts ask for none that is not there."""
    page = (Path(__file__).parent.parent.parent / "docs/status.md").read_text(encoding="utf-8")
    keys = tuple(one for one in fleet().keys if one.key in {"checkout-bot", "support-chat", "catalog", "ads"})
    assert f"```text\n{paint_plain(status_lines(StatusDocument(NOW, 1, keys)))}```" in page
    assert "".join(f"| `{name}` | {text} |\n" for name, text in HELP.items()) in page
    [rules] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    [group] = yaml.safe_load(rules)["groups"]
    named = {name for rule in group["rules"] for name in re.findall(r"keyturn_\w+", rule["expr"])}
    assert named <= set(HELP)
    conditions = {
        word for rule in group["rules"] for words in re.findall('"(.*)"', rule["expr"]) for word in words.split("|")
    }
    assert conditions < set(Condition)


def test_metrics_have_bounded_labels_and_every_family_is_declared_once() -> None:
    """Names are cut; a family without samples is left out; the text ends as OpenMetrics asks."""
    found = status_openmetrics(StatusDocument(NOW, 4, statuses("x" * 5000)))
    assert found.endswith("# EOF\n")
    assert max(len(value) for value in re.findall(r'="([^"]*)"', found)) <= LONGEST
    declared = re.findall(r"^# TYPE (\S+) gauge$", found, re.MULTILINE)
    assert len(declared) == len(set(declared))
    assert set(declared) <= set(HELP)
    whole = status_openmetrics(fleet())
    assert {name for name in HELP if f"# TYPE {name} " in whole} == set(HELP)
    assert "vault" not in whole
