"""Cuts a stream of sound into utterances, while it comes: from the first speech to the next silence.

Knows probabilities of speech, no network that makes them and no model that listens to the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distilcli.config import LiveOptions
from distilcli.types import SAMPLE_RATE
from distilcli.vad import STEP

_ENDS_UNDER = 0.15
"""Speech ends under a probability this much lower than the one that begins it (snakers4/silero-vad)."""

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """Speech without a long silence: `start` in seconds of the stream, `samples` of shape (n,) at 16 kHz.

    `closed` says that it ended with a silence; otherwise it grew too long and was cut, and speech goes on.
    """

    start: float
    samples: Samples
    closed: bool


class Utterances:
    """Takes samples with one probability of speech per `STEP` of them, and gives back what has ended."""

    def __init__(self, options: LiveOptions) -> None:
        self._options = options
        self._kept = np.zeros(0, np.float32)  # samples from `_origin` on
        self._origin = 0
        self._steps: list[float] = []  # probabilities since speech began
        self._start: int | None = None  # first sample of the speech that goes on
        self._first = 0  # first sample of the first of `_steps`
        self._at = 0  # samples whose probability is known
        self._voice = 0  # sample behind the last speech

    @property
    def seconds(self) -> float:
        """Length of the stream so far."""
        return (self._origin + len(self._kept)) / SAMPLE_RATE

    def feed(self, samples: Samples, probabilities: Samples) -> Iterator[Utterance]:
        """Take what has come; `probabilities` belong to the whole steps that are complete with it."""
        self._kept = np.concatenate([self._kept, samples])
        for probability in probabilities:
            ended = self._step(float(probability))
            if ended is not None:
                yield ended
        if self._start is None:
            self._forget(self._at - self._pad)

    def current(self) -> Utterance | None:
        """What has been said of the utterance that goes on; None in silence."""
        if self._start is None:
            return None
        return self._cut(self._start, self._origin + len(self._kept), closed=False)

    def finish(self) -> Utterance | None:
        """The utterance that the end of the stream ends."""
        last, self._start = self.current(), None
        return last

    @property
    def _pad(self) -> int:
        return round(self._options.pad * SAMPLE_RATE)

    def _step(self, probability: float) -> Utterance | None:
        at, self._at = self._at, self._at + STEP
        begins = self._options.threshold
        if self._start is None:
            if probability < begins:
                return None
            self._start, self._first, self._steps = max(at - self._pad, self._origin), at, []
        self._steps.append(probability)
        if probability >= begins - _ENDS_UNDER:
            self._voice = self._at
        if self._at - self._voice >= self._options.silence * SAMPLE_RATE:
            ended = self._cut(self._start, min(self._voice + self._pad, self._at), closed=True)
            self._start = None
            return ended
        if self._at - self._start >= self._options.longest * SAMPLE_RATE:
            return self._too_long(self._start)
        return None

    def _too_long(self, start: int) -> Utterance:
        """Cut where speech is least likely in the last third; what follows is the next utterance."""
        third = len(self._steps) * 2 // 3
        quietest = third + int(np.argmin(self._steps[third:]))
        cut = self._first + quietest * STEP + STEP // 2
        ended = self._cut(start, cut, closed=False)
        self._forget(cut)
        self._start, self._first = cut, self._first + (quietest + 1) * STEP
        self._steps = self._steps[quietest + 1 :]
        return ended

    def _cut(self, start: int, stop: int, *, closed: bool) -> Utterance:
        samples = self._kept[start - self._origin : stop - self._origin].copy()
        return Utterance(start / SAMPLE_RATE, samples, closed)

    def _forget(self, before: int) -> None:
        """Let go of what lies before a sample of the stream."""
        if before > self._origin:
            self._kept = self._kept[before - self._origin :].copy()
            self._origin = before
