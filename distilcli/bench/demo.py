"""The bundled recording, whole and in sentences, with the text of each. Knows no system that hears it."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from distilcli import assets
from distilcli.audio import open_audio
from distilcli.bench.values import Clip
from distilcli.sound_files import write_wave
from distilcli.types import SAMPLE_RATE

RECORDING = Path(assets.__file__).parent / "demo.mp3"
_TURNS = (
    *(0.0, 2.11, 8.0, 14.26, 21.7, 24.57, 29.79, 34.46),
    *(40.56, 43.23, 50.15, 57.43, 60.49, 62.74, 64.85),
)
"""Seconds at which the sentences begin, in the middle of the pause before, and at which the last one ends."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Some seconds of the recording, from pause to pause."""

    text: str
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return self.end - self.start


def text() -> str:
    """All that is said."""
    return " ".join(RECORDING.with_suffix(".txt").read_text(encoding="utf-8").split())


def sentences() -> tuple[Passage, ...]:
    """The sentences in their order."""
    spoken = re.split(r"(?<=\.) ", text())
    return tuple(Passage(one, *times) for one, times in zip(spoken, pairwise(_TURNS), strict=True))


def passages(count: int, shortest: float, longest: float, seed: int) -> tuple[Passage, ...]:
    """`count` passages of a sentence or two that last so many seconds; all come before one comes again."""
    single = sentences()
    double = (Passage(f"{a.text} {b.text}", a.start, b.end) for a, b in pairwise(single))
    fitting = [one for one in (*single, *double) if shortest <= one.seconds <= longest]
    draw = random.Random(seed)
    rounds = (draw.sample(fitting, len(fitting)) for _ in range(-(-count // len(fitting))))
    return tuple(one for found in rounds for one in found)[:count]


def whole(path: Path, times: int = 1) -> Clip:
    """The recording `times` over, as a file at `path`."""
    return _clip(path, [Passage(text(), _TURNS[0], _TURNS[-1])] * times)


def clips(found: Sequence[Passage], folder: Path) -> tuple[Clip, ...]:
    """A file in `folder` for each passage."""
    return tuple(_clip(folder / f"clip{number}.wav", [one]) for number, one in enumerate(found))


def _clip(path: Path, found: Sequence[Passage]) -> Clip:
    """Passages one after the other in one file."""
    with open_audio(RECORDING) as audio:
        samples = [audio.samples[round(p.start * SAMPLE_RATE) : round(p.end * SAMPLE_RATE)] for p in found]
    write_wave(path, np.concatenate([(one * 32768).astype(np.int16) for one in samples]))
    return Clip(
        path=str(path),
        text=" ".join(one.text for one in found),
        language="en",
        duration=sum(len(one) for one in samples) / SAMPLE_RATE,
    )
