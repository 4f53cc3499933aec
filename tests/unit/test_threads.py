"""Side by side: results in order, errors kept apart, and no thread to be had is no disaster."""

from __future__ import annotations

import threading
from itertools import count

import pytest

from keyturn.engine.threads import map_in_threads, run_all


def test_results_come_in_the_items_order() -> None:
    """Anyone who is done first."""
    gate = threading.Event()

    def work(item: int, _say: object) -> int:
        if item == 0:
            assert gate.wait(20)
        else:
            gate.set()
        return item * 10

    assert map_in_threads([0, 1, 2], work, lambda line: None, 8) == (0, 10, 20)
    assert map_in_threads([], work, lambda line: None, 8) == ()


def test_no_more_threads_than_asked_for() -> None:
    """Two workers: never three at once."""
    lock, now, most = threading.Lock(), 0, 0

    def work(_item: int, _say: object) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.005)
        with lock:
            now -= 1

    map_in_threads(range(12), work, lambda line: None, 2)
    assert most <= 2


def test_an_error_is_raised_when_all_have_ended() -> None:
    """The others are not left half done."""
    done: list[int] = []

    def work(item: int, _say: object) -> None:
        if item == 0:
            raise KeyError
        threading.Event().wait(0.02)
        done.append(item)

    with pytest.raises(KeyError):
        map_in_threads([0, 1, 2], work, lambda line: None, 8)
    assert sorted(done) == [1, 2]


def test_an_interrupted_caller_starts_nothing_more() -> None:
    """What is under way ends, what waits is dropped."""
    started: list[int] = []

    def work(item: int, say: object) -> None:
        started.append(item)
        assert callable(say)
        say("line")
        threading.Event().wait(0.05)

    def hear(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_in_threads(range(50), work, hear, 1)
    assert len(started) < 5


def test_an_interrupted_caller_does_not_wait_for_what_only_reads() -> None:
    """A server that does not answer holds nobody up."""
    answer, ended = threading.Event(), threading.Event()

    def work(_item: int, say: object) -> None:
        assert callable(say)
        say("line")
        answer.wait(20)
        ended.set()

    def hear(_line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_in_threads([0], work, hear, 1, only_reads=True)
    assert not ended.is_set()
    answer.set()
    assert ended.wait(20)


def test_tasks_run_at_the_same_time() -> None:
    """Three that wait for each other all get there."""
    barrier = threading.Barrier(3, timeout=20)
    run_all([lambda: (barrier.wait(), None)[1]] * 3)
    assert not barrier.broken


def test_an_unexpected_error_of_one_task_waits_for_the_others() -> None:
    """And is then raised, not lost."""
    done: list[str] = []

    def fail() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        run_all([fail, lambda: done.append("b"), lambda: done.append("c")])
    assert sorted(done) == ["b", "c"]


def test_without_threads_every_task_still_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh secret still gets everywhere, one after the other."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    done: list[int] = []
    run_all([lambda: done.append(1), lambda: done.append(2), lambda: done.append(3)])
    assert sorted(done) == [1, 2, 3]


def test_no_tasks_are_done_at_once() -> None:
    """Nothing to wait for."""
    before = threading.active_count()
    run_all([])
    assert threading.active_count() == before


@pytest.mark.parametrize("given", [1, 3])
def test_where_the_system_gives_fewer_threads_fewer_workers_do_it_all(
    monkeypatch: pytest.MonkeyPatch, given: int
) -> None:
    """Every item is worked on, and once."""
    start, started, done = threading.Thread.start, count(), count()

    def some(thread: threading.Thread) -> None:
        if next(started) >= given:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", some)
    assert map_in_threads(range(20), lambda item, _: (next(done), item)[1], lambda line: None, 8) == tuple(range(20))
    assert next(done) == 20
