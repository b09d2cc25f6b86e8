"""JSON: everything a transcript knows, in the shape of openai/whisper with more keys and a schema number."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from distilcli.types import FRAMES_PER_SECOND, Segment, Span, Transcript, Word

SCHEMA = 1
"""Grows when a key changes its meaning or goes away; new keys do not change it."""


def render(transcript: Transcript) -> str:
    """One JSON document on one line; ``complete`` is there, and false, only after an interrupt."""
    document: dict[str, object] = {
        "schema": SCHEMA,
        "text": transcript.text,
        "segments": [record(number, segment) for number, segment in enumerate(transcript.segments)],
        "language": transcript.language,
        "duration": _number(transcript.duration),
        "task": transcript.task,
        "model": transcript.model,
        "backend": transcript.backend,
    }
    document |= _where_there_is_any(
        speech=[_bounds(span) for span in transcript.speech or ()],
        skipped=[_bounds(span) for span in transcript.skipped],
        uncovered=[_bounds(span) for span in transcript.uncovered],
        dropped=[record(number, segment) for number, segment in enumerate(transcript.dropped)],
    )
    if transcript.vad:
        document["vad"] = {name: None if value is None else _number(value) for name, value in transcript.vad}
    if not transcript.complete:
        document["complete"] = False
    return json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n"


def record(number: int, segment: Segment) -> dict[str, object]:
    """One segment as in openai/whisper's JSON: times in seconds, `seek` in frames of 10 ms."""
    return {
        "id": number,
        "seek": round(segment.seek * FRAMES_PER_SECOND) if math.isfinite(segment.seek) else 0,
        "start": _number(segment.span.start),
        "end": _number(segment.span.end),
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": _number(segment.temperature),
        "avg_logprob": _number(segment.avg_logprob),
        "compression_ratio": _number(segment.compression_ratio),
        "no_speech_prob": _number(segment.no_speech_prob),
        **_where_there_is_any(
            words=[_word(word) for word in segment.words],
            flags=list(segment.flags),
            tried=list(segment.tried),
            speaker=segment.speaker or "",
        ),
    }


def _word(word: Word) -> dict[str, object]:
    """One word as in openai/whisper's JSON."""
    return {
        "word": word.text,
        "start": _number(word.span.start),
        "end": _number(word.span.end),
        "probability": _number(word.probability),
    }


def _where_there_is_any(**values: Sequence[object]) -> dict[str, object]:
    """The keys whose values are not empty."""
    return {key: found for key, found in values.items() if found}


def _bounds(span: Span) -> list[float | None]:
    return [_number(span.start), _number(span.end)]


def _number(value: float) -> float | None:
    """`value`, or None (``null``) for what JSON has no number for."""
    return value if math.isfinite(value) else None
