"""Opens what will be needed next while work goes on: in threads, in order, and never far ahead.

Knows functions that open and close; nothing of what they open.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
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
