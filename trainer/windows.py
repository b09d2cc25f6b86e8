"""Plans windows of up to 30 s out of single sentences: which, where, with which form of label.

It knows lengths, speakers and probabilities; it does not know samples, mel frames or tensors. Everything is
drawn from generators keyed by (seed, bucket): a plan depends on nothing but the seed and the sampler's state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from distilcli.tokens import Vocab
from distilcli.trainer.config import PhaseOptions
from distilcli.trainer.data import Utterance
from distilcli.trainer.labels import MAX_TARGET, Form, Label, Piece, build_label
from distilcli.types import WINDOW_SECONDS

MAX_PREVIOUS = 100
"""Longest prompt of previous text, in tokens."""

LEAST_PAUSE = 0.15
"""Seconds of silence between segments, where some sentences are joined."""

BUCKET = 8
"""Batches that are planned together and sorted by length."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """One utterance in a window."""

    index: int
    start: float
    joined: bool = False
    """Goes on after hardly a pause: one segment with the utterance before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowPlan:
    """One window: what is heard, how long it is, what must be answered."""

    placed: tuple[Placed, ...]
    seconds: float
    """Length of the sound."""
    width: float
    """Length with padding."""
    label: Label
    key: int
    """Seeds gain and noise."""
    noisy: bool


class Sampler:
    """Deals utterances of every speaker in shuffled rounds and composes windows of them."""

    def __init__(self, utterances: Sequence[Utterance], vocab: Vocab, seed: int, language: str) -> None:
        self._utterances, self._vocab, self._seed, self._language = utterances, vocab, seed, language
        self._by_speaker: dict[str, list[int]] = {}
        for index, utterance in enumerate(utterances):
            self._by_speaker.setdefault(utterance.speaker, []).append(index)
        self._speakers = sorted(self._by_speaker)
        self._cursor = {speaker: [0, 0] for speaker in self._speakers}
        self._orders: dict[tuple[str, int], list[int]] = {}
        self.bucket = 0

    def state(self) -> dict[str, object]:
        """Returns the number of the next bucket and each speaker's round and position."""
        return {"bucket": self.bucket, "cursor": {name: list(place) for name, place in self._cursor.items()}}

    def restore(self, state: dict[str, object]) -> None:
        """Goes on from a saved state; speakers that are new start at their first round."""
        cursor = state["cursor"]
        assert isinstance(cursor, dict)
        assert isinstance(state["bucket"], int)
        self.bucket = state["bucket"]
        self._cursor = {name: list(cursor.get(name, [0, 0])) for name in self._speakers}

    def next_bucket(self, phase: PhaseOptions) -> list[list[WindowPlan]]:
        """Returns some batches of windows of similar lengths."""
        rng = np.random.default_rng([self._seed, self.bucket])
        self.bucket += 1
        budget = phase.batch_seconds * BUCKET
        plans: list[WindowPlan] = []
        while sum(plan.width for plan in plans) < budget:
            plans.append(self._window(phase, rng))
        plans.sort(key=lambda plan: plan.width)
        batches: list[list[WindowPlan]] = [[]]
        for plan in plans:
            if batches[-1] and plan.width * (len(batches[-1]) + 1) > phase.batch_seconds:
                batches.append([])
            batches[-1].append(plan)
        rng.shuffle(batches)
        return batches

    def _next(self, speaker: str) -> int:
        """Deals the next utterance of a speaker."""
        place = self._cursor[speaker]
        pool = self._by_speaker[speaker]
        if place[1] >= len(pool):
            place[0], place[1] = place[0] + 1, 0
        key = (speaker, place[0])
        if key not in self._orders:
            rng = np.random.default_rng([self._seed, self._speakers.index(speaker), place[0]])
            self._orders = {kept: order for kept, order in self._orders.items() if kept[0] != speaker}
            self._orders[key] = rng.permutation(pool).tolist()
        place[1] += 1
        return self._orders[key][place[1] - 1]

    def _window(self, phase: PhaseOptions, rng: np.random.Generator) -> WindowPlan:
        """Draws one window."""
        limit = min(float(rng.uniform(phase.min_seconds, phase.max_seconds)), WINDOW_SECONDS)
        if rng.random() < phase.silence:
            return self._plan((), max(limit, 2.0), None, phase, rng)
        mixed = rng.random() < phase.mixed
        cut_wanted = limit > 0.0 and rng.random() < phase.cut
        speaker = str(rng.choice(self._speakers))
        pause_scale = float(rng.choice([0.25, 0.5, 0.9]))
        placed: list[Placed] = []
        now, joined = _opening_pause(rng), False
        while True:
            index = self._next(str(rng.choice(self._speakers)) if mixed else speaker)
            length = self._utterances[index].seconds
            if placed and now + length > limit:
                break
            placed.append(Placed(index=index, start=now, joined=joined))
            joined = bool(phase.joined) and not mixed and rng.random() < phase.joined
            now += length + _pause(phase, joined, pause_scale, rng)
        now += LEAST_PAUSE if joined else 0.0
        if cut_wanted and now < limit - 0.3:
            placed.append(Placed(index=index, start=now))
            return self._plan(tuple(placed), limit, now, phase, rng)
        end = placed[-1].start + self._utterances[placed[-1].index].seconds + 0.5 * float(rng.random())
        seconds = limit if phase.cut and rng.random() < 0.7 else end
        return self._plan(tuple(placed), min(max(seconds, end), WINDOW_SECONDS), None, phase, rng)

    def _plan(
        self,
        placed: tuple[Placed, ...],
        seconds: float,
        cut: float | None,
        phase: PhaseOptions,
        rng: np.random.Generator,
    ) -> WindowPlan:
        """Adds the label and the padding; rounds lengths up to the encoder's grid of 20 ms."""
        whole = placed if cut is None else placed[:-1]
        timestamps = cut is not None or bool(rng.random() >= phase.no_timestamps)
        form = Form(timestamps=timestamps, language=self._language, previous=self._previous(phase, rng))
        label = build_label(self._vocab, [self._piece(group) for group in _groups(whole)], form, cut)
        if phase.disturbed:
            label = self._disturb(label, phase.disturbed, rng)
        seconds = min(math.ceil(seconds * 50) / 50, WINDOW_SECONDS)
        return WindowPlan(
            placed=placed,
            seconds=seconds,
            width=WINDOW_SECONDS if rng.random() < phase.padded else seconds,
            label=label,
            key=int(rng.integers(2**31)),
            noisy=bool(rng.random() < phase.noise),
        )

    def _piece(self, group: Sequence[Placed]) -> Piece:
        """Turns joined utterances into one piece of a label."""
        start, last = group[0].start, group[-1]
        end = min(last.start + self._utterances[last.index].seconds, WINDOW_SECONDS)
        tokens: list[int] = []
        centres: list[float] = []
        for placed in group:
            utterance = self._utterances[placed.index]
            tokens += utterance.tokens
            seconds = [placed.start + centre * utterance.seconds for centre in utterance.centres]
            centres += [(second - start) / (end - start) for second in seconds]
        return Piece(tokens=tuple(tokens), start=start, end=end, centres=tuple(centres))

    def _disturb(self, label: Label, share: float, rng: np.random.Generator) -> Label:
        """Feeds wrong tokens behind the start token: other ones, and words too many. The answers stay right.

        After a word too many the answer is the one that was due before it, so that the network goes on from
        where it was.
        """
        start = label.inputs.index(self._vocab.sot)
        rows: list[tuple[int, int, float | None]] = []
        for place, (token, target, time) in enumerate(
            zip(label.inputs, label.targets, label.times, strict=True)
        ):
            hit = place > start and rng.random() < share
            if hit and token < self._vocab.eot and rng.random() < 1 / 3:
                rows.append((token, target, time))
                rows.append((token if rng.random() < 0.5 else self._any_word(rng), target, time))
            else:
                rows.append((self._wrong(token, rng) if hit else token, target, time))
        inputs, targets, times = zip(*rows[:MAX_TARGET], strict=True)
        return replace(label, inputs=inputs, targets=targets, times=times)

    def _any_word(self, rng: np.random.Generator) -> int:
        """Draws a text token."""
        tokens = self._utterances[int(rng.integers(len(self._utterances)))].tokens
        return tokens[int(rng.integers(len(tokens)))]

    def _wrong(self, token: int, rng: np.random.Generator) -> int:
        """Returns another word for a word, a time some 80 ms off for a timestamp, prompts as they are."""
        if token < self._vocab.eot:
            return self._any_word(rng)
        if self._vocab.is_timestamp(token):
            shifted = token + round(float(rng.normal(0.0, 4.0)))
            return min(max(shifted, self._vocab.timestamp_begin), self._vocab.size - 1)
        return token

    def _previous(self, phase: PhaseOptions, rng: np.random.Generator) -> tuple[int, ...]:
        """Draws previous text for a share of the windows."""
        if rng.random() >= phase.previous:
            return ()
        tokens: list[int] = []
        for index in rng.integers(len(self._utterances), size=int(rng.integers(1, 9))):
            tokens += self._utterances[int(index)].tokens
        return tuple(tokens[-MAX_PREVIOUS:])


def _opening_pause(rng: np.random.Generator) -> float:
    """Draws the silence before the first sentence: mostly short, at most the 1 s that decoders allow."""
    return float(rng.uniform(0.0, 0.95) if rng.random() < 0.4 else rng.uniform(0.0, 0.3))


def _pause(phase: PhaseOptions, joined: bool, scale: float, rng: np.random.Generator) -> float:
    """Draws the silence behind a sentence; only its length tells whether the next one is joined."""
    if joined:
        return 0.08 * float(rng.random())
    return (LEAST_PAUSE if phase.joined else 0.03) + scale * float(rng.random())


def _groups(placed: Sequence[Placed]) -> list[list[Placed]]:
    """Splits utterances into segments."""
    groups: list[list[Placed]] = []
    for item in placed:
        if item.joined:
            groups[-1].append(item)
        else:
            groups.append([item])
    return groups
