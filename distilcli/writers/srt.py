"""SubRip subtitles: numbered cues, hours always written, a comma before the milliseconds."""

from __future__ import annotations

from distilcli.config import LineOptions
from distilcli.types import Transcript
from distilcli.writers.cues import clock, cues


def render(transcript: Transcript, lines: LineOptions | None = None) -> str:
    """The cues of a transcript as an SRT file."""
    blocks = (
        f"{number}\n{clock(cue.start, ',', hours=True)} --> {clock(cue.end, ',', hours=True)}\n{cue.text}\n\n"
        for number, cue in enumerate(cues(transcript, lines), start=1)
    )
    return "".join(blocks)
