"""One member of a JSON object changed in its text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyturn.targets.json_text import changed, members

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("{}", "v", '{"K": "v"}'),
        ("{}\n", "v", '{"K": "v"}\n'),
        ('{"a": 1.10}', "v", '{"a": 1.10, "K": "v"}'),
        ('{"a":1e400,"K":"old","b":2}', "v", '{"a":1e400,"K":"v","b":2}'),
        ('{\n  "a": 1\n}\n', "v", '{\n  "a": 1,\n  "K": "v"\n}\n'),
        ('{\n  "a": 1,\n  "K": "old"\n}\n', None, '{\n  "a": 1\n}\n'),
        ('{"K": "old", "a": 1}', None, '{"a": 1}'),
        ('{ "K": "old" }', None, "{}"),
        ('{"a": 1}', None, '{"a": 1}'),
    ],
)
def test_all_else_stays_as_it_is(before: str, value: str | None, after: str) -> None:
    """Numbers, blanks and the order of members."""
    assert changed(before, "K", value) == after


@pytest.mark.parametrize(
    "text", ["", "x", "[]", '"a"', '{"a"}', '{"a": }', "{1: 2}", "{} x", '{"a": 1,}', '{"a": 1', "["]
)
def test_what_is_no_object_is_refused_without_its_text(text: str) -> None:
    """The error can be shown."""
    with pytest.raises(ValueError, match="not a JSON object") as caught:
        members(text)
    assert caught.value.__context__ is None


def test_a_name_that_stands_twice_is_refused() -> None:
    """Readers differ about which of them counts."""
    with pytest.raises(ValueError, match="duplicate member name"):
        members('{"a": 1, "a": 2}')


@settings(deadline=None)
@given(
    st.dictionaries(st.text(max_size=3), JSON, max_size=4), st.text(max_size=3), st.text(), st.sampled_from([None, 2])
)
def test_it_agrees_with_a_whole_rewrite(before: dict[str, object], name: str, value: str, indent: int | None) -> None:
    """Setting and removing give what the object would be."""
    text = json.dumps(before, indent=indent)
    fresh = changed(text, name, value)
    assert json.loads(fresh) == {**before, name: value}
    without = {other: held for other, held in before.items() if other != name}
    assert json.loads(changed(fresh, name, None)) == without
