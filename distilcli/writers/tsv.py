"""Tab-separated values: start and end in whole milliseconds, then the text."""

from __future__ import annotations

from distilcli.types import Transcript
from distilcli.writers.cues import cues


def render(transcript: Transcript) -> str:
    """A header and a row per segment; tabs and line breaks of the text become spaces."""
    rows = (
        f"{cue.start}\t{cue.end}\t{cue.text.replace(chr(9), ' ').replace(chr(10), ' ')}\n"
        for cue in cues(transcript)
    )
    return "start\tend\ttext\n" + "".join(rows)
