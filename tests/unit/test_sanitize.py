"""Untrusted text can be shown: it moves no cursor, hides nothing, commands no runner, closes no code span."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keyturn.core.sanitize import code_span, plain, unsafe


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("checkout-bot", "checkout-bot"),
        ("Küche 東京 🔑", "Küche 東京 🔑"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("left\u202eright", "left\\u202eright"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("no\u00a0break\u3000wide", "no\\xa0break\\u3000wide"),
        ("fill\u3164er", "fill\\u3164er"),
        ("line\u2028end\x85", "line\\u2028end\\x85"),
        ("lone\ud800", "lone\\ud800"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("::error::x", "\\::error::x"),
        ("  ::set-output name=x::y", "\\::set-output name=x::y"),
        ("see ##[error]x and ##vso[task]", "see #\\#[error]x and #\\#vso[task]"),
        ("[red]markup[/red]", "[red]markup[/red]"),
        ("no key 'sk-do-0123456789ab' here", "no key '[secret]' here"),
        ("x\ndop_v1_0123456789abcdef", "x\\n[secret]"),
        ("it starts with `sk-do-`, hvs. or doo_v1_…", "it starts with `sk-do-`, hvs. or doo_v1_…"),
        ("", ""),
    ],
)
def test_unsafe_characters_are_written_out(text: str, shown: str) -> None:
    """What is safe stays as it is."""
    assert plain(text) == shown


def test_long_text_is_cut() -> None:
    """To the limit, with a mark."""
    assert plain("x" * 300) == "x" * 199 + "…"
    assert plain("x" * 200) == "x" * 200
    assert plain("x " * 98 + "sk-do-0123456789abcdef").endswith(" [se…")
    assert plain("\x00" * 9, limit=10) == "\\x00\\x00\\…"


@settings(deadline=None)
@given(st.text(alphabet=st.characters()))
@example("::a")
@example("##[##[")
def test_what_is_shown_is_one_safe_line(text: str) -> None:
    """For every text; and showing it again changes nothing."""
    shown = plain(text)
    assert len(shown) <= 200
    assert not any(unicodedata.category(each) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for each in shown)
    assert not shown.lstrip().startswith("::")
    assert "##[" not in shown
    assert shown.encode().decode() == shown
    assert not unsafe(shown)
    assert plain(shown) == shown


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("`|\\ \na<>")))
def test_a_code_span_cannot_be_closed_from_inside(text: str) -> None:
    """Its fence is longer than every run of backticks in it, and a table's bar is escaped."""
    span = code_span(text)
    fence = re.match("`+", span)
    assert fence is not None
    inside = span[len(fence.group()) : -len(fence.group())]
    assert span.endswith(fence.group())
    assert len(fence.group()) not in {len(run) for run in re.findall("`+", inside)}
    assert not re.search(r"(?<!\\)\|", inside)
    assert "\n" not in span


def test_the_first_unsafe_character_is_named() -> None:
    """By its code, for a mistake's text."""
    assert unsafe("a\u202eb\x00") == "U+202E"
    assert unsafe("a\u00a0") == "U+00A0"
    assert unsafe("Küche 東京") == ""
