"""Transcript -> cues: text that fits a line format, times that every player accepts. Knows no file format.

The text rules and the rounding are openai/whisper's (`whisper/utils.py`); where its output would be an
invalid file, a cue is mended and a test says how.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from distilcli.config import LineOptions
from distilcli.types import Transcript
from distilcli.writers.lines import Shown, shown

_ARROW = re.compile(r"-{2,}>")


@dataclass(frozen=True, slots=True)
class Cue:
    """Text from `start` to `end`, in milliseconds; ``0 <= start < end``, and no line of the text is blank."""

    start: int
    end: int
    text: str


def cues(
    transcript: Transcript, lines: LineOptions | None = None, escape: Callable[[str], str] = str
) -> list[Cue]:
    """Cues of all segments that have text, in order, starts never going back.

    With options of `lines` there are as many cues to a segment as those ask for. `escape` writes the
    characters that a format has other uses for.

    A time that is no number, infinite or negative becomes the end of the cue before it. An empty stretch is
    made one millisecond long: WebVTT forbids ``end <= start``.
    """
    found: list[Cue] = []
    for begin, finish, written in _written(transcript, lines or LineOptions(), escape):
        text = clean(written)
        if not text:
            continue
        earliest, resume = (found[-1].start, found[-1].end) if found else (0, 0)
        start = max(_milliseconds(begin, resume), earliest)
        end = max(_milliseconds(finish, start), start + 1)
        found.append(Cue(start, end, text))
    return found


def _written(transcript: Transcript, lines: LineOptions, escape: Callable[[str], str]) -> Iterator[Shown]:
    if lines.needs_words:
        yield from shown(transcript.segments, lines, escape)
    else:
        for segment in transcript.segments:
            yield segment.span.start, segment.span.end, escape(segment.text)


def clean(text: str) -> str:
    """`text` without outer space, blank lines, NUL and the arrow that separates a cue's times."""
    lines = (line.strip() for line in _ARROW.sub("->", text).replace("\0", "\ufffd").splitlines())
    return "\n".join(line for line in lines if line)


def clock(milliseconds: int, mark: str, *, hours: bool) -> str:
    """``HH:MM:SS,mmm`` with `mark` before the milliseconds; without `hours` they are left out when zero."""
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hour, minutes = divmod(minutes, 60)
    head = f"{hour:02d}:" if hours or hour else ""
    return f"{head}{minutes:02d}:{seconds:02d}{mark}{rest:03d}"


def playtime(seconds: float) -> str:
    """``MM:SS``, with hours from the first hour on."""
    return clock(round(max(seconds, 0.0)) * 1000, ".", hours=False)[:-4]


def _milliseconds(seconds: float, fallback: int) -> int:
    at = seconds * 1000.0
    return round(at) if math.isfinite(at) and at >= 0 else fallback
