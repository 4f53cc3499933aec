"""Inputs made by chance for the parsers: noise, documents with parts exchanged, and words that mean something."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

CANARY = "sk-do-" + "c4n4ry" * 10
"""A secret. No message may repeat it."""

SAMPLES = tuple(file.read_text() for file in sorted(Path(__file__).parents[1].glob("unit/records/*.json")))
"""Records of this version and of earlier ones."""

CLAIM = json.dumps({"schema": 1, "owner": "o", "key": "k", "slot": "a", "uuid": "u", "at": "2026-11-24T00:00:00Z"})

ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    10**30,
    1.5,
    1e308,
    "",
    "x" * 3000,
    CANARY,
    "\x00",
    "\u202e",
    "\U0001f511",
    [],
    {},
    [[]],
    {"": 1},
)
MOMENTS = ("9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+14:00", "2026-11-24T00:00:00Z", "1e9", "24:00", "-1")

NOISE = st.one_of(st.text(max_size=200), st.binary(max_size=200).map(lambda noise: noise.decode("latin-1")))

VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(MOMENTS),
    st.sampled_from(ODD),
    st.recursive(
        st.one_of(st.sampled_from(ODD), st.integers(), st.floats(), st.text(max_size=8)),
        lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(st.text(max_size=8), below, max_size=3)),
        max_leaves=8,
    ),
)


def places(document: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of each value in a document."""
    yield path
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, value in inner:
        yield from places(value, (*path, name))


def exchanged(document: Any, path: Sequence[str | int], value: object) -> Any:  # noqa: ANN401 - a JSON value
    """Return the document with another value at a path."""
    if not path:
        return value
    head, *rest = path
    if isinstance(document, dict):
        return {name: exchanged(one, rest, value) if name == head else one for name, one in document.items()}
    return [exchanged(one, rest, value) if number == head else one for number, one in enumerate(document)]


@st.composite
def documents(draw: st.DrawFn, samples: Sequence[str]) -> str:
    """Return a sample with some values exchanged, then perhaps cut, doubled or with a character exchanged."""
    document = json.loads(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(0, 3))):
        document = exchanged(document, draw(st.sampled_from(list(places(document)))), draw(VALUES))
    text = json.dumps(document)
    match draw(st.integers(0, 9)):
        case 0:
            return text[: draw(st.integers(0, len(text)))]
        case 1:
            return text + text
        case 2:
            at = draw(st.integers(0, len(text)))
            return text[:at] + draw(st.text(max_size=3)) + text[at + 1 :]
        case _:
            return text


WORDS = (
    *(
        "apiVersion",
        "keyturn/v1",
        "name",
        "targets",
        "keys",
        "defaults",
        "deliver",
        "rotation",
        "every",
        "30d",
        "smoke",
    ),
    *("timing", "records", "local", "vault", "type", "adopt", "window", "cron", "state", "absent", "~", "1e999999999"),
    *(
        "${KEYTURN_A:-b}",
        "\u202e",
        "sk-do-",
        "https://[",
        "true",
        "<<",
        CANARY,
        "9" * 5000,
        "0 0 31 2 *",
        "* * * * *",
        "",
    ),
)
NAMES = st.sampled_from(WORDS)
TREES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(NAMES, st.integers(), st.floats(), st.none(), st.booleans(), st.text(max_size=5)),
    lambda below: st.one_of(st.lists(below, max_size=4), st.dictionaries(NAMES, below, max_size=6)),
    max_leaves=30,
)

PIECES = (
    "KEY",
    "A",
    "B",
    "=",
    "'",
    '"',
    "\\",
    "\n",
    "\r\n",
    " ",
    "\t",
    "#",
    "export ",
    "${A}",
    "${",
    "}",
    "$(id)",
    "`",
    ";",
)
FILES = st.one_of(
    NOISE,
    st.lists(st.sampled_from((*PIECES, CANARY, "\ufeff", "{", '{"KEY": ', "[", ",", "1e9", "\\ud800"))).map("".join),
)
"""Texts of files of secrets, in any format."""

SECRETS = st.one_of(st.just(CANARY), st.text(max_size=40), st.lists(st.sampled_from(PIECES), min_size=1).map("".join))

DATES = ("Mon, 99999999999999999999 Jan 2026 00:00:00 GMT", "Mon, 1 Jan 1 00:00:00 +2359", "Mon, 1 Jan 99999 0:00 GMT")
HEADERS = st.one_of(
    st.sampled_from(("", "0", "-1", "1e9", "9" * 30, "٣", *MOMENTS)),
    st.sampled_from(DATES),
    st.from_regex(
        r"[A-Z][a-z]{2}, [0-9]{1,9} [A-Z][a-z]{2} [0-9]{1,9} [0-9]{1,9}:[0-9]{2}:[0-9]{2} [+-]?[0-9A-Z]{0,9}"
    ),
    st.text(max_size=30),
)
