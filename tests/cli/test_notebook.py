"""The notebook of what was told: lost, damaged, forged, signed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.cli.test_notices import APPLY, SLACK, told
from tests.support.listener import Listener

if TYPE_CHECKING:
    import pytest

    from tests.cli.conftest import Stage
    from tests.real.run import ForkServer


def test_a_record_store_that_is_down_is_told_all_the_same(nursery: ForkServer) -> None:
    """What was told cannot be read: failures are told, with the same id for the whole day."""
    with told(nursery) as (made, listener):
        listener.log.clear()
        folder = made.folder / ".keyturn/keyturn/notices"
        (document,) = folder.glob("*.json")
        whole = document.read_text()
        document.write_text("{")
        made.token = "dop_v1_" + "0" * 64
        for _ in range(2):
            assert "What was told cannot be stored" in made.run(*APPLY, code=5).stdout
        ids = [one["id"] for one in listener.notices()]
        assert len(ids) == 2
        assert len(set(ids)) == 1
        document.write_text(whole)


def test_a_signed_notebook_in_openbao(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was told is signed like a record. One that someone changed counts for nothing, and the next run goes on."""
    with Listener() as listener:
        monkeypatch.setenv("KEYTURN_RECORD_KEY", "ab" * 32)
        monkeypatch.setenv("KEYTURN_NOTIFY_CHAT_URL", f"{listener.url}{SLACK}")
        stage.edit("\nkeys:\n", "\nnotify: [{type: slack, name: chat, on: [rotated]}]\n\nkeys:\n")
        stage.make_keys()
        stage.run("apply", "--yes")
        assert len(listener.log) == 2
        listener.down()
        assert "1 notice waits for receiver chat" in stage.run("rotate", "report-bot", "--yes").stdout
        (name,) = stage.openbao.call("GET", f"secret/metadata/{stage.prefix}/records/notices?list=true")["data"]["keys"]  # type: ignore[index]
        path = f"secret/data/{stage.prefix}/records/notices/{name}"
        stored: Any = stage.openbao.call("GET", path)["data"]
        fields = stored["data"]
        assert '"signature":' in json.dumps(fields).replace("\\", "")
        forged = {field: str(text).replace("report-bot", "other-bot") for field, text in fields.items()}
        stage.openbao.call("POST", path, {"data": forged})
        listener.up()
        stage.run("rotate", "report-bot", "--yes")
        texts = [got.notice["text"] for got in listener.log[2:]]
        assert len(texts) == 1
        assert "other-bot" not in texts[0]
        assert "wait" not in stage.run("status").stderr
