"""The published schemas are what the code prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyturn.cli.schema import KINDS, schema_text

SCHEMAS = Path(__file__).parent.parent.parent / "schemas"


@pytest.mark.parametrize("kind", KINDS)
def test_a_published_schema_is_fresh(kind: str) -> None:
    """`keyturn schema KIND > schemas/KIND.v1.json` would change nothing."""
    assert (SCHEMAS / f"{kind}.v1.json").read_text() == schema_text(kind)


def test_no_other_schema_is_published() -> None:
    """Each file of the folder is one that the code prints."""
    assert {path.name for path in SCHEMAS.iterdir()} == {f"{kind}.v1.json" for kind in KINDS}
