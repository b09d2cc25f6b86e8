"""Flows and their drivers: a strategy asks for windows, a driver has them decoded.

A flow is a generator in the manner of httpx's auth flows. It yields a `Step` and is sent one hypothesis per
window that the step needs. It never sees a backend, a file or a clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from distilcli.types import Hypothesis, Segment, Window


@dataclass(frozen=True, slots=True)
class Step:
    """What a flow has and what it wants next.

    `ready` segments are final. `need` holds the windows to decode, in order; an empty tuple wants nothing but
    to be resumed. `position` is the second of the recording before which nothing will change any more.
    """

    ready: tuple[Segment, ...] = ()
    need: tuple[Window, ...] = ()
    position: float = 0.0


Flow = Generator[Step, list[Hypothesis], None]
Decode = Callable[[Sequence[Window]], list[Hypothesis]]
Key = TypeVar("Key")


@dataclass(slots=True)
class _Running(Generic[Key]):
    key: Key
    flow: Flow
    step: Step
    answers: list[Hypothesis] = field(default_factory=list)

    @property
    def missing(self) -> tuple[Window, ...]:
        return self.step.need[len(self.answers) :]


def resumed(flow: Flow, answers: list[Hypothesis]) -> Step | None:
    """The next step of a flow that has been waiting for `answers`; None at its end."""
    try:
        return flow.send(answers)
    except StopIteration:
        return None


def drive(flow: Flow, decode: Decode) -> Iterator[Segment]:
    """Run one flow to its end and yield its segments as soon as they are final."""
    for _, step in drive_many([(None, flow)], decode, batch_size=1):
        if step is not None:
            yield from step.ready


def drive_many(
    flows: Iterable[tuple[Key, Flow]], decode: Decode, batch_size: int
) -> Iterator[tuple[Key, Step | None]]:
    """Run many flows, with up to `batch_size` windows of any of them in each call of `decode`.

    Yields ``(key, step)`` for each step and ``(key, None)`` when a flow has ended. `flows` is consumed
    lazily: the next one is started only when the running ones cannot fill a batch. A flow that needs more
    windows than fit is answered in parts. Order within a flow is kept.
    """
    waiting = iter(flows)
    running: deque[_Running[Key]] = deque()
    more = True
    while True:
        while more and sum(len(one.missing) for one in running) < batch_size:
            started = next(waiting, None)
            if started is None:
                more = False
                break
            key, flow = started
            one = _Running(key, flow, next(flow, Step()))
            yield key, one.step
            running.append(one)
        if not running:
            return
        _answer(running, decode, batch_size)
        for _ in range(len(running)):
            one = running.popleft()
            if not one.missing:
                try:
                    one.step = one.flow.send(one.answers)
                except StopIteration:
                    yield one.key, None
                    continue
                one.answers = []
                yield one.key, one.step
            running.append(one)


def _answer(running: Iterable[_Running[Key]], decode: Decode, batch_size: int) -> None:
    """Decode one batch: windows of the oldest flows first."""
    batch: list[Window] = []
    owners: list[_Running[Key]] = []
    for one in running:
        for window in one.missing[: batch_size - len(batch)]:
            batch.append(window)
            owners.append(one)
    if batch:
        for one, answer in zip(owners, decode(batch), strict=True):
            one.answers.append(answer)
