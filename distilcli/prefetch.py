"""Work in threads beside the work: opening what will be needed next, and going over what was begun.

In order, never far ahead and never far behind. Knows functions; nothing of what they do.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
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
    `closed` takes what was opened for nobody. With one job nothing happens before it is asked for, or begun.
    """

    def __init__(
        self,
        items: Iterable[T],
        opened: Callable[[T, Callable[[], None]], R],
        closed: Callable[[R], None],
        jobs: int,
    ) -> None:
        self._items, self._opened, self._closed = iter(items), opened, closed
        self._jobs = jobs
        self._stop = threading.Event()
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[R]] = deque()

    def begin(self) -> None:
        """Begin to open the first items; `close` is needed after that, unless all results are taken."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._jobs, thread_name_prefix="prefetch")
            self._submit(self._jobs)

    def results(self) -> Generator[R, None, None]:
        """Open the items one after the other; closing the generator closes what was not taken."""
        try:
            if self._jobs > 1:
                self.begin()
            while self._waiting:
                with stage("idle"):
                    found = self._waiting.popleft().result()
                if self._jobs > 1:
                    self._submit(1)
                yield found
            for item in self._items:
                yield self._opened(item, self._check)
        finally:
            self.close()

    def close(self) -> None:
        """Close what was not taken, and give up what goes on; calling it twice is harmless."""
        self._stop.set()
        if self._pool:
            self._pool.shutdown(cancel_futures=True)
        while self._waiting:
            one = self._waiting.popleft()
            if not one.cancelled() and one.exception() is None:
                self._closed(one.result())

    def _submit(self, count: int) -> None:
        assert self._pool is not None
        for item in islice(self._items, count):
            self._waiting.append(self._pool.submit(self._opened, item, self._check))

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
