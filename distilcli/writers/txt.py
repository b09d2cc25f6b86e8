"""Plain text: one line per segment."""

from __future__ import annotations

from distilcli.types import Transcript
from distilcli.writers.cues import cues


def render(transcript: Transcript) -> str:
    """The text of the segments, a line each."""
    return "".join(cue.text.replace("\n", " ") + "\n" for cue in cues(transcript))
