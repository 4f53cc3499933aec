"""What reads and writes records is made once, before many threads need it at the same moment."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from keyturn.core import record as records
from keyturn.core.model import Desired, RecordsConfig
from keyturn.core.record import Record
from keyturn.live.live_world import open_world

THREADS = 16


def test_threads_that_read_their_first_record_together_make_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each would make its own: it takes as long as dozens of requests."""
    text = records.dump(Record("bot", "owner", "0" * 64))
    made: list[object] = []

    def counting(kind: type) -> object:
        made.append(kind)
        return TypeAdapter(kind)

    monkeypatch.setattr(records, "TypeAdapter", counting)
    for cached in (records._record, records._claim):
        cached.cache_clear()
    desired = Desired("owner", (), RecordsConfig("local"), ())
    found: list[str] = []
    gate = threading.Barrier(THREADS)

    def read() -> None:
        gate.wait(10)
        found.append(records.parse_record(text, where="here").key)

    with open_world(desired, {"DIGITALOCEAN_TOKEN": "dop_v1_test"}, tmp_path):
        threads = [threading.Thread(target=read) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert found == ["bot"] * THREADS
    assert made == [Record, records.Claim]
