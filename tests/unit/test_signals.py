"""A signal that asks to stop is noted, not obeyed at once."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from keyturn.engine.signals import STOPPING, Signals, stop_requested


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_is_noted_and_the_process_lives_on(number: signal.Signals) -> None:
    """All three that ask politely; also where the tests themselves were started under `nohup`."""
    before = signal.signal(number, signal.SIG_DFL)
    with Signals() as signals:
        assert (signals.stop_requested, stop_requested()) == (None, None)
        os.kill(os.getpid(), number)
        assert (signals.stop_requested, stop_requested()) == (number, number)
    assert stop_requested() is None
    signal.signal(number, before)


def test_the_first_signal_is_the_one_that_counts() -> None:
    """The exit code tells what came first."""
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.stop_requested == signal.SIGTERM


def test_every_signal_is_told_at_once_in_a_thread_of_its_own() -> None:
    """With its number, and how many there were of it; an error of the listener stops nothing."""
    told: list[tuple[int, int, bool]] = []
    heard = threading.Semaphore(0)

    def hear(number: int, times: int) -> None:
        told.append((number, times, threading.current_thread() is threading.main_thread()))
        heard.release()
        raise KeyError

    with Signals(hear):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
            assert heard.acquire(timeout=20)
    assert told == [(signal.SIGINT, 1, False), (signal.SIGTERM, 1, False), (signal.SIGINT, 2, False)]
    assert not any(thread.name == "signals" for thread in threading.enumerate())


def test_the_handlers_are_given_back() -> None:
    """After the block a signal does what it did before, also after an error."""
    before = [signal.getsignal(number) for number in STOPPING]
    inside: list[object] = []

    def fail() -> None:
        with Signals():
            inside.append(signal.getsignal(signal.SIGINT))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert inside != before[:1]
    assert [signal.getsignal(number) for number in STOPPING] == before


def test_an_ignored_signal_stays_ignored() -> None:
    """Under nohup a closed terminal stops nothing."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signals.stop_requested is None
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_only_the_main_thread_can_listen_and_a_failed_try_leaves_nothing_behind() -> None:
    """Python gives signals to the main thread; elsewhere the try fails and nothing is noted as active."""
    errors: list[BaseException] = []

    def listen() -> None:
        try:
            Signals().__enter__()
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join(10)
    assert len(errors) == 1
    assert stop_requested() is None
