"""A recording on its way through a run: as a whole, or each of its channels apart. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import reduce

from distilcli.spans import intersection, union
from distilcli.types import Audio, Segment, Span, Transcript


@dataclass(slots=True, eq=False)
class Recording:
    """A recording by its place among the sources and its name, and what keeps it open.

    `transcripts` holds what is finished of its parts, by their number, and `positions` the second up to
    which each of them is done.
    """

    index: int
    source: str
    resources: ExitStack
    duration: float
    positions: list[float]
    transcripts: dict[int, Transcript] = field(default_factory=dict)

    @property
    def position(self) -> float:
        """The second before which nothing will change any more."""
        return min(self.positions)

    @property
    def complete(self) -> bool:
        """Whether all parts are finished."""
        return len(self.transcripts) == len(self.positions)

    def transcript(self) -> Transcript:
        """The transcript of a complete recording: its parts joined by time."""
        return joined([self.transcripts[number] for number in range(len(self.positions))])


@dataclass(slots=True, eq=False)
class Part:
    """A recording, or one channel of it with its label.

    `clips` are the stretches of it that are decoded, None all of it.
    """

    recording: Recording
    number: int
    audio: Audio
    speaker: str | None
    clips: tuple[Span, ...] | None
    segments: list[Segment] = field(default_factory=list)
    dropped: list[Segment] = field(default_factory=list)

    @property
    def source(self) -> str:
        """The name of the recording."""
        return self.recording.source


def labels(number: int, names: Sequence[str], only: int | None) -> list[str]:
    """What the speakers of so many channels are called; `only` is the number of the one that was chosen."""
    first = only or 1
    known = dict(enumerate(names, first))
    return [known.get(channel, f"Channel {channel}") for channel in range(first, first + number)]


def joined(parts: Sequence[Transcript]) -> Transcript:
    """One transcript of channels: segments by their start, each with the speaker that it has.

    Speech is where any channel has some, and what was skipped is what no channel decoded. The language is
    that of the channel with most text.
    """
    if len(parts) == 1:
        return parts[0]
    loudest = max(parts, key=lambda part: len(part.text))
    known = [part.speech for part in parts if part.speech is not None]
    return replace(
        loudest,
        segments=_in_time(parts, "segments"),
        dropped=_in_time(parts, "dropped"),
        duration=max(part.duration for part in parts),
        speech=union(span for speech in known for span in speech) if known else None,
        uncovered=union(span for part in parts for span in part.uncovered),
        skipped=reduce(intersection, (part.skipped for part in parts)),
    )


def _in_time(parts: Sequence[Transcript], name: str) -> tuple[Segment, ...]:
    found: list[Segment] = [segment for part in parts for segment in getattr(part, name)]
    return tuple(sorted(found, key=lambda segment: segment.span.start))
