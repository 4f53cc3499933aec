"""What is not a manifest is refused with a place, quickly, and never with anything but a ManifestError."""

from __future__ import annotations

import time

import pytest
import yaml

from keyturn.core.errors import ManifestError
from keyturn.manifest.mistakes import Mistakes
from keyturn.manifest.yaml_text import parse
from tests.support.manifests import KEYS, TOP, mistake, mistakes

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level + 1}: &a{level + 1} [{', '.join([f'*a{level}'] * 10)}]\n" for level in range(12)
)


@pytest.mark.parametrize(
    ("source", "line", "column", "text"),
    [
        ("", 1, 1, "keyturn init"),
        ("# only a comment\n", 1, 1, "keyturn init"),
        ("~\n", 1, 1, "keyturn init"),
        ("just a word", 1, 1, "mapping"),
        ("- a\n- b\n", 1, 1, "mapping"),
        ("a: [1, 2\nb: 3\n", 2, 2, "not YAML"),
        ("a: b: c\n", 1, 5, "not YAML"),
        ("a:\n\t- b\n", 2, 1, "not YAML"),
        ("a: *nowhere\n", 1, 4, "alias"),
        ("a: b\n---\nc: d\n", 2, 1, "second document"),
        ("a: b\x00c\n", 1, 5, "U+0000"),
        ("a: b\n# \x1b[31mred\n", 2, 3, "U+001B"),
        ("a: b\n# left \u202e right\n", 2, 8, "bidirectional"),
        (b"a: b\nc: \xff\xfe\n", 2, 4, "UTF-8"),
        ("a: b\n".encode("utf-16"), 1, 1, "UTF-8"),
        ("a: \ud800\n", 1, 4, "U+D800"),
        ("x" * (1024 * 1024 + 1), 1, 1, "larger than 1024 KiB"),
        ("[" * 100_000, 1, 25, "nested deeper"),
        ("- " * 100_000, 1, 49, "nested deeper"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_at_its_place(
    source: str | bytes, line: int, column: int, text: str
) -> None:
    """Empty, broken, binary, too large, too deep: one mistake, where it is."""
    found = mistakes(source)
    assert any((each.line, each.column) == (line, column) and text in each.text for each in found), found


def test_an_alias_bomb_is_refused_before_it_goes_off() -> None:
    """Ten to the thirteenth values from a few hundred bytes."""
    begun = time.monotonic()
    assert any("too many values" in each.text for each in mistakes(BOMB))
    assert time.monotonic() - begun < 5


def test_aliases_cannot_nest_what_text_may_not() -> None:
    """Depth counts through aliases too."""
    text = "a0: &a0 [x]\n" + "".join(f"a{level + 1}: &a{level + 1} [*a{level}]\n" for level in range(40))
    assert any("nested deeper" in each.text for each in mistakes(text))


def test_an_alias_to_what_holds_it_is_refused() -> None:
    """A tree has no circles."""
    assert any("alias" in each.text for each in mistakes("a: &a [*a]\n"))


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system [id]", "!!str x", "!mine x", "!!binary eA=="])
def test_tags_are_refused(tag: str) -> None:
    """A manifest holds plain values, and nothing in it is ever constructed."""
    found = mistakes((TOP + KEYS).replace("platform-keys", tag))
    assert {each.line for each in found} == {2}
    assert any("tags" in each.text and each.column == 7 for each in found)


def test_merge_keys_are_refused() -> None:
    """`defaults` is there for that."""
    found = mistakes(TOP + KEYS + "    <<: {name: x}\n")
    assert any("merge keys" in each.text and each.line == 12 for each in found)


def test_a_field_named_twice_is_refused_at_the_second() -> None:
    """YAML readers keep one of them without a word."""
    only = mistake(TOP + KEYS + "  bot:\n    state: absent\n")
    assert (only.line, only.path) == (12, "keys.bot")
    assert "first on line 9" in only.text


def test_a_mapping_as_a_field_s_name_is_refused() -> None:
    """Its place is told."""
    assert any(each.line == 12 and "plain word" in each.text for each in mistakes(TOP + KEYS + "? {a: b}\n: c\n"))


def test_a_hundred_mistakes_are_enough() -> None:
    """Then it only says how many more there are."""
    found = mistakes("".join(f"a{number}: 1\n" for number in range(150)))
    assert len(found) == 101
    assert "and at least 53 more mistakes" in [one.text for one in found]


@pytest.mark.parametrize("ending", ["", "a: [1, 2\n", "? !tag x\n", "  rotation: {every: yes}\n", "keys: {}\n"])
def test_with_and_without_libyaml_a_manifest_is_the_same(monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    """The same tree, and the same mistakes at the same places: libyaml is only faster."""
    source = TOP + KEYS + ending
    assert yaml.__with_libyaml__
    read: list[object] = []
    for libyaml in (True, False):
        monkeypatch.setattr(yaml, "__with_libyaml__", libyaml)
        found = Mistakes("keyturn.yaml")
        try:
            read.append((parse(source, found), found.found))
        except ManifestError as error:
            read.append(error.mistakes)
    assert read[0] == read[1]
