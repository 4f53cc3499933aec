"""Side by side: many keys with worker threads, and the deliveries of one key with a thread each."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
L = TypeVar("L")

Say = Callable[[L], None]

WORKERS = 64
"""Keys at work at once: many, since most of them wait, and only the API's rate limit is to hold a run back."""


def map_in_threads(
    items: Sequence[T], work: Callable[[T, Say[L]], R], hear: Say[L], workers: int, *, only_reads: bool = False
) -> tuple[R, ...]:
    """Work on every item and return the results in the items' order.

    What the workers say is heard in the calling thread only: a terminal that is slow, or gone, never holds up a worker
    that has a fresh secret in its hands. Raises what `work` raises, when all have ended.

    If the caller is interrupted, nothing more is started. What is under way ends first, unless it `only_reads`: then
    nobody waits for it. Where the system gives fewer threads, there are fewer workers.
    """
    said: SimpleQueue[tuple[L] | None] = SimpleQueue()
    results: list[Future[R]] = [Future() for _ in items]
    waiting = deque(zip(items, results, strict=True))

    def labour() -> None:
        while True:
            try:
                item, result = waiting.popleft()
            except IndexError:
                return
            try:
                result.set_result(work(item, lambda line: said.put((line,))))
            except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
                result.set_exception(error)
            said.put(None)

    workers = max(1, min(workers, len(items)))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="keyturn")
    try:
        for number in range(workers):
            try:
                pool.submit(labour)
            except RuntimeError:
                if number == 0:
                    raise
                break
        _hear_all(said, hear, len(results))
    except BaseException:
        waiting.clear()
        pool.shutdown(wait=not only_reads, cancel_futures=True)
        raise
    pool.shutdown()
    return tuple(result.result() for result in results)


def run_all(tasks: Sequence[Callable[[], None]]) -> None:
    """Run each task in a thread of its own, wait for all, then raise the first unexpected error.

    Where the system gives no more threads a task runs in the caller's: a fresh secret still gets everywhere.
    """
    errors: list[Exception] = []

    def run(task: Callable[[], None]) -> None:
        try:
            task()
        except Exception as error:  # noqa: BLE001 - the other tasks go on; raised below
            errors.append(error)

    started: list[threading.Thread] = []
    for task in tasks[1:]:
        thread = threading.Thread(target=run, args=(task,), name="keyturn-delivery")
        try:
            thread.start()
        except RuntimeError:
            run(task)
        else:
            started.append(thread)
    for task in tasks[:1]:
        run(task)
    for thread in started:
        thread.join()
    if errors:
        raise errors[0]


def _hear_all(said: SimpleQueue[tuple[L] | None], hear: Say[L], working: int) -> None:
    while working:
        line = said.get()
        if line is None:
            working -= 1
        else:
            hear(*line)
