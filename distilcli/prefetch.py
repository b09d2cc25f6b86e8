"""Work in threads beside the work: opening what will be needed next, and going over what was begun.

In order, never far ahead and never far behind. Knows functions; nothing of what they do.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from types import TracebackType
from typing import Generic, TypeVar

from distilcli.stages import stage

T = TypeVar("T")
R = TypeVar("R")


class Stopped(Exception):
    """Nobody waits for what is being opened any more."""


class Ahead(Generic[T, R]):
    """What `opened` makes of each item, in their order; up to `jobs` are being opened or wait at a time.

    `opened` is handed a function that raises `Stopped` when it should give up, and calls it now and then.
    `closed` takes what was opened for nobody. With one job nothing happens before it is asked for.
    """

    def __init__(
        self, items: Iterable[T], opened: Callable[[T, Callable[[], None]], R], closed: Callable[[R], None]
    ) -> None:
        self._items, self._opened, self._closed = items, opened, closed
        self._stop = threading.Event()

    def results(self, jobs: int) -> Iterator[R]:
        """Open the items one after the other; closing the generator closes what was not taken."""
        if jobs == 1:
            for item in self._items:
                yield self._opened(item, self._check)
            return
        waiting: deque[Future[R]] = deque()
        items = iter(self._items)
        pool = ThreadPoolExecutor(jobs, thread_name_prefix="prefetch")
        try:
            waiting += (pool.submit(self._opened, item, self._check) for item in islice(items, jobs))
            while waiting:
                with stage("idle"):
                    found = waiting.popleft().result()
                waiting += (pool.submit(self._opened, item, self._check) for item in islice(items, 1))
                yield found
        finally:
            self._stop.set()
            pool.shutdown(cancel_futures=True)
            for one in waiting:
                if not one.cancelled() and one.exception() is None:
                    self._closed(one.result())

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped


class Behind:
    """Does what it is handed in a thread of its own, one thing after the other.

    Who hands over more than `most` things that wait has to wait, so that memory stays bounded. What goes
    wrong is raised at a later call.
    """

    def __init__(self, most: int = 2) -> None:
        self._most = most
        self._waiting: deque[Future[None]] = deque()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="behind")

    def __enter__(self) -> Behind:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def do(self, work: Callable[[], None]) -> None:
        """Have this done after what was handed over before."""
        self._wait(self._most - 1)
        self._waiting.append(self._pool.submit(work))

    def done(self) -> None:
        """Wait until all is done."""
        self._wait(0)

    def _wait(self, left: int) -> None:
        with stage("idle"):
            while len(self._waiting) > left:
                self._waiting.popleft().result()
