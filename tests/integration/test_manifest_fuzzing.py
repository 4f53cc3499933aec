"""Manifests made by chance: whatever a file holds, it is right or a ManifestError; too slow for `make unit`."""

from __future__ import annotations

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from keyturn.core.errors import ManifestError, Mistake
from tests.support.manifests import read


def complaints(source: str | bytes) -> tuple[Mistake, ...]:
    """Return the mistakes of what may also be right; any other exception is a failure."""
    try:
        read(source)
    except ManifestError as error:
        return error.mistakes
    return ()


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.binary()))
def test_nothing_but_a_manifest_error_comes_of_anything(source: str | bytes) -> None:
    """Whatever the file holds; noise is never right."""
    assert all(each.text and each.line for each in complaints(source))
    assert complaints(source)


_NAMES = """apiVersion keyturn/v1 name targets keys defaults deliver rotation every 30d smoke timing records local vault
type adopt window cron state absent ~ 1e999999999 ${KEYTURN_A:-b} \u202e sk-do- https://[ true <<"""

_WORDS = st.sampled_from([*_NAMES.split(), "9" * 5000, "0 0 31 2 *", "* * * * *", ""])

_TREES = st.recursive(
    st.one_of(_WORDS, st.integers(), st.floats(), st.none(), st.booleans(), st.text(max_size=5)),
    lambda below: st.one_of(st.lists(below, max_size=4), st.dictionaries(_WORDS, below, max_size=6)),
    max_leaves=30,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(_WORDS, _TREES, max_size=8))
def test_every_shape_of_data_is_either_right_or_a_manifest_error(data: dict[str, object]) -> None:
    """Fields of the right names with values of any shape, through YAML."""
    assert all(each.text and each.line for each in complaints(yaml.safe_dump(data)))
