"""L1: a hostile manifest is judged in linear time, and no more than a hundred of its mistakes are shown."""

from __future__ import annotations

import time

import pytest

from tests.support.manifests import KEYS, TOP, mistakes

MANY = 2000
HEAD = "apiVersion: keyturn/v1\nname: x\n"
FILES = HEAD + "targets: {files: {type: files}}\n"


def lines(text: str) -> str:
    """Return a line for each number."""
    return "".join(text.replace("#", str(number)) for number in range(MANY))


HOSTILE = {
    "wrong fields": TOP + KEYS + lines("wrongfield#: 1\n"),
    "wrong fields of a key": TOP + "keys:\n  bot:\n" + lines("    wrongfield#: 1\n"),
    "wrong ids": TOP + "keys:\n" + lines("  '!#': {deliver: []}\n"),
    "wrong deliveries": TOP + "keys:\n  bot:\n    deliver:\n" + lines("      - {targt: #}\n"),
    "wrong types of target": HEAD + "targets:\n" + lines("  t#: {type: vaulx}\n") + KEYS,
    "unknown names beside many known": (
        HEAD
        + "targets:\n"
        + lines("  target#: {type: files}\n")
        + "keys:\n  bot:\n    deliver:\n"
        + lines("      - {target: targot#, path: a, field: b}\n")
    ),
    "duplicate names": TOP + KEYS + "x: 1\n" * MANY,
    "names that are taken": TOP
    + "keys:\n"
    + lines("  b#: {name: same, deliver: [{target: vault, path: a, field: K}]}\n"),
    "a pool of every name": TOP
    + "pool: {prefix: b}\nkeys:\n"
    + lines("  b#: {deliver: [{target: vault, path: a/b#, field: K}]}\n"),
}


@pytest.mark.finding("L1", before="103 KiB of wrong names: 26 s; 297 KiB: more than 60 s", now="linear, 100 mistakes")
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_thousands_of_mistakes_take_no_longer_than_thousands_of_fields(text: str) -> None:
    """Each mistake was compared with all others, or with all names; now a hundred are shown, and the rest counted."""
    began = time.process_time()
    found = mistakes(text)
    assert time.process_time() - began < 15
    assert len(found) <= 101
    assert len(found) < 101 or any("more mistakes" in one.text for one in found)


@pytest.mark.finding("L1", before="defaults × keys: a file of 100 KiB fills the memory", now="refused")
def test_defaults_count_for_each_key() -> None:
    """What is written once and merged into each key is as much as if it were written so often."""
    found = mistakes(FILES + "defaults:\n  smoke:\n" + lines("    w#: 1\n") + "keys:\n" + lines("  b#: {}\n"))
    assert [one.text for one in found] == ["too many values (defaults count for each key)"]


def test_a_long_list_of_known_names_is_cut() -> None:
    """A suggestion does not list thousands of targets."""
    text = FILES.replace("files: {type: files}", ", ".join(f"t{number:03}: {{type: files}}" for number in range(200)))
    found = mistakes(text + "keys: {bot: {deliver: [{target: zzzzzz, path: a, field: K}]}}\n")
    (told,) = [one.text for one in found if "no such target" in one.text]
    assert told.endswith("t049 and 150 more")
