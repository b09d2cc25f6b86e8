"""Where the time of a run goes: a clock that the pipeline's stages tick, and that costs nothing unused.

Knows names and seconds, not what the stages do. Stages may lie in each other: each has its own time only, so
the stages of the thread that measures add up to the time of the run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

STAGES = ("decode", "features", "vad", "encoder", "decoder", "alignment", "writing", "idle", "other")
"""In the order of the work; ``idle`` waits for what others do, ``other`` is what no stage has claimed."""

OTHER = "other"
_NOTHING: AbstractContextManager[None] = nullcontext()


class Clock:
    """Seconds of the stages: of the thread that made it, and in the `background`, of all other threads."""

    def __init__(self) -> None:
        self.background: dict[str, float] = {}
        self._own: dict[str, float] = {}
        self._thread = threading.get_ident()
        self._inside = threading.local()
        self._lock = threading.Lock()
        self._began = time.perf_counter()
        self._ended: float | None = None

    @property
    def wall(self) -> float:
        """Seconds since the clock was made, or until it was stopped."""
        return (self._ended or time.perf_counter()) - self._began

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of each stage of the thread that measures, and of what is left: their sum is `wall`."""
        found = {**self._own, OTHER: self.wall - sum(self._own.values())}
        order = [*STAGES, *found]  # names of others come last
        return {name: found[name] for name in dict.fromkeys(order) if name in found}

    def stop(self) -> None:
        """End the run."""
        self._ended = time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """The time of the block without that of the stages in it."""
        outer: list[float] | None = getattr(self._inside, "stages", None)
        inner = self._inside.stages = [0.0]  # seconds of the stages in this one
        began = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - began
            self._inside.stages = outer
            if outer is not None:
                outer[0] += took
            self._add(name, took - inner[0])

    def _add(self, name: str, seconds: float) -> None:
        table = self._own if threading.get_ident() == self._thread else self.background
        with self._lock:
            table[name] = table.get(name, 0.0) + seconds


_clock: Clock | None = None


def stage(name: str) -> AbstractContextManager[None]:
    """The block is work of this stage; nothing happens unless somebody measures."""
    return _NOTHING if _clock is None else _clock.stage(name)


def measuring() -> bool:
    """Whether somebody measures: what runs on another device must then be waited for."""
    return _clock is not None


@contextmanager
def measured() -> Iterator[Clock]:
    """Measure the stages of the block, in all threads; one block at a time."""
    global _clock
    assert _clock is None, "a run is being measured already"
    _clock = clock = Clock()
    try:
        yield clock
    finally:
        _clock = None
        clock.stop()
