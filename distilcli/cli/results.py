"""What became of each recording of a run, for the table at its end and for the report.

Imported inside command bodies only, with the pipeline.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from distilcli.errors import DistilError
from distilcli.listener import Listener
from distilcli.spans import total
from distilcli.types import Transcript
from distilcli.writers.cues import playtime

DONE, FAILED, SKIPPED, UNFINISHED = "done", "failed", "skipped", "unfinished"

_SHOWN = 20
"""Recordings up to which each has a line of its own; of more, only the failed ones have."""

_NAME = 40  # characters of a source's name, cut in front


@dataclass(slots=True)
class Result:
    """One recording: its `duration`, and the wall clock's `seconds` from its opening to its end."""

    source: str
    status: str = UNFINISHED
    duration: float = 0.0
    seconds: float = 0.0
    language: str | None = None
    probability: float | None = None
    segments: int = 0
    flags: dict[str, int] = field(default_factory=dict)
    uncovered: float = 0.0  # seconds of speech without words
    error: DistilError | None = None


class Results(Listener):
    """Writes down what happens to the recordings of a run, in the order in which they were given."""

    def __init__(self, sources: Sequence[str]) -> None:
        self.of = {source: Result(source) for source in sources}
        self.warnings: list[str] = []
        self._began: dict[str, float] = {}
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Wall time since the run began."""
        return time.monotonic() - self._start

    @property
    def counts(self) -> dict[str, int]:
        """How many recordings ended how."""
        return dict(Counter(one.status for one in self.of.values()))

    @property
    def audio_seconds(self) -> float:
        """Length of what was transcribed in this run."""
        return sum(one.duration for one in self.of.values() if one.status == DONE)

    def skipped(self, sources: Sequence[str]) -> None:
        """These recordings are left out."""
        for source in sources:
            self.of[source].status = SKIPPED

    def file_started(self, source: str, duration: float) -> None:
        self._began[source] = time.monotonic()
        self.of[source].duration = duration

    def language(self, source: str, code: str, probability: float) -> None:
        self.of[source].language, self.of[source].probability = code, probability

    def warning(self, message: str) -> None:
        self.warnings.append(message)

    def file_done(self, source: str, transcript: Transcript) -> None:
        one = self._ended(source, DONE)
        one.language, one.segments = transcript.language, len(transcript.segments)
        one.flags = dict(Counter(flag for segment in transcript.segments for flag in segment.flags))
        one.uncovered = total(transcript.uncovered)

    def file_failed(self, source: str, error: DistilError) -> None:
        self._ended(source, FAILED).error = error

    def _ended(self, source: str, status: str) -> Result:
        one = self.of[source]
        one.status = status
        one.seconds = time.monotonic() - self._began.get(source, time.monotonic())
        return one

    def table(self) -> Iterator[str]:
        """Lines that say how the run went; of many recordings only those that failed have one each."""
        shown = [one for one in self.of.values() if len(self.of) <= _SHOWN or one.status == FAILED]
        cells = [(_name(one.source), _length(one), _speed(one), _outcome(one)) for one in shown]
        widths = [max(len(row[column]) for row in cells) for column in range(3)] if cells else []
        for name, length, speed, outcome in cells:
            yield f"{name:<{widths[0]}}  {length:>{widths[1]}}  {speed:>{widths[2]}}  {outcome}"
        yield self._total()

    def _total(self) -> str:
        counts = ", ".join(f"{number} {status}" for status, number in self.counts.items())
        speed = self.audio_seconds / max(self.seconds, 1e-3)
        work = f"{playtime(self.audio_seconds)} of audio in {self.seconds:.1f} s ({speed:.1f}x)"
        return f"{len(self.of)} recordings: {counts}" + (f"; {work}" if self.audio_seconds else "")


def _name(source: str) -> str:
    name = str(Path(source)) if "://" not in source else source
    return name if len(name) <= _NAME else "..." + name[3 - _NAME :]


def _length(one: Result) -> str:
    return playtime(one.duration) if one.duration else ""


def _speed(one: Result) -> str:
    return f"{one.duration / one.seconds:.1f}x" if one.status == DONE and one.seconds else ""


def _outcome(one: Result) -> str:
    if one.status == DONE:
        language = f", {one.language}" if one.language else ""
        return f"{one.segments} segment{'' if one.segments == 1 else 's'}{language}"
    return f"{one.status}: {one.error.message.removeprefix(f'{one.source}: ')}" if one.error else one.status
