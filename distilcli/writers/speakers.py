"""Who says a segment, in front of its text: for formats that have no place of their own for it."""

from __future__ import annotations

from dataclasses import replace

from distilcli.types import Segment, Transcript


def labelled(transcript: Transcript) -> Transcript:
    """The transcript with ``Name: `` before the text of each segment that has a speaker."""
    if not any(segment.speaker for segment in transcript.segments):
        return transcript
    return replace(transcript, segments=tuple(map(said, transcript.segments)))


def said(segment: Segment) -> Segment:
    """The segment with its speaker in front of its text and of its first word."""
    if not segment.speaker or not segment.text.strip():
        return segment
    name = f" {segment.speaker}: "
    words = segment.words
    if words:
        words = (replace(words[0], text=name + words[0].text.lstrip()), *words[1:])
    return replace(segment, text=name + segment.text.lstrip(), words=words)
