"""WebVTT subtitles: hours only from the first hour on, ``&`` and ``<`` escaped (W3C WebVTT, section 3.3)."""

from __future__ import annotations

from distilcli.config import LineOptions
from distilcli.types import Transcript
from distilcli.writers.cues import clock, cues


def render(transcript: Transcript, lines: LineOptions | None = None) -> str:
    """The cues of a transcript as a WebVTT file."""
    blocks = (
        f"{clock(cue.start, '.', hours=False)} --> {clock(cue.end, '.', hours=False)}\n{cue.text}\n\n"
        for cue in cues(transcript, lines, escape)
    )
    return "WEBVTT\n\n" + "".join(blocks)


def escape(text: str) -> str:
    """`text` with the characters that would start a tag or an entity written as entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;")
