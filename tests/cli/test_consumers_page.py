"""docs/consumers.md: the program that reads again after a 401 gets over a rotation that has no overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.blocks import ROOT, blocks

if TYPE_CHECKING:
    from tests.cli.conftest import Stage


def test_the_program_reads_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret that it keeps dies; the next call reads the new one. Without a new one, the 401 is raised."""
    [text] = [block.text for block in blocks(ROOT / "docs/consumers.md") if block.language == "python"]
    path = "/v1/secret/data/apps/report/inference"
    assert path in text
    program: dict[str, Any] = {}
    exec(text.replace(path, f"/v1/secret/data/{stage.prefix}/report"), program)  # noqa: S102 - the page's own block
    monkeypatch.setenv("INFERENCE_URL", stage.sandbox.url)
    stage.make_keys()
    stage.run("apply", "report-bot", "--yes")
    assert "llama3.3-70b-instruct" in program["models"]()
    held = stage.delivered("report")
    stage.run("rotate", "report-bot", "--yes")
    assert stage.delivered("report") != held
    assert "llama3.3-70b-instruct" in program["models"]()
    stage.sandbox.by_hand(
        "delete", next(key.uuid for key in stage.sandbox.state.keys.values() if key.name == "report-bot")
    )
    with pytest.raises(Exception, match="401"):
        program["models"]()
