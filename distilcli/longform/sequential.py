"""The sliding window of the Whisper paper (section 3.8), and its one-window case.

One window at a time: read the last closed timestamp, move there. Token for token the loop of openai/whisper
and faster-whisper. Knows no backend, no file and no clock.
"""

from __future__ import annotations

from distilcli.config import SequentialOptions, TranscribeOptions
from distilcli.longform.base import Flow, Step
from distilcli.longform.segments import is_silent, segment, split
from distilcli.tokens import SECONDS_PER_TIMESTAMP, Tokenizer
from distilcli.types import (
    FRAMES_PER_SECOND,
    SAMPLE_RATE,
    WINDOW_SECONDS,
    Audio,
    Segment,
    Span,
    Window,
)

_WINDOW_FRAMES = int(WINDOW_SECONDS * FRAMES_PER_SECOND)
_MAX_TARGET = 448  # the decoder's context; more of the past cannot be used


def content_frames(audio: Audio) -> int:
    """Log-mel frames that carry sound: whole hops of 10 ms."""
    return len(audio.samples) * FRAMES_PER_SECOND // SAMPLE_RATE


def sequential(audio: Audio, tokenizer: Tokenizer, options: TranscribeOptions) -> Flow:
    """Slide over the recording; yields segments in the order of time."""
    frames = content_frames(audio)
    history = _initial_prompt(tokenizer, options.sequential)
    prompt_start = 0  # tokens of the history before this are forgotten
    seek = 0
    ready: list[Segment] = []
    while seek < frames:
        size = min(_WINDOW_FRAMES, frames - seek)
        recent = history[max(prompt_start, len(history) - _MAX_TARGET) :]
        window = _window(audio, seek, size, tuple(recent), options.language)
        (hypothesis,) = yield Step(tuple(ready), (window,), seek / FRAMES_PER_SECOND)
        ready = []
        if is_silent(hypothesis, options.fallback):
            seek += size
            continue
        parts = split(hypothesis.tokens, tokenizer.vocab, size / FRAMES_PER_SECOND)
        advance = size if parts.resume is None else round(parts.resume * FRAMES_PER_SECOND)
        # A last timestamp of 0.00 would ask for this very window for ever.
        seek += advance or size
        for piece in parts.pieces:
            final = segment(window, hypothesis, piece, tokenizer)
            if final is not None:
                ready.append(final)
                history.extend(final.tokens)
        past = options.sequential
        if not past.condition_on_previous_text or hypothesis.temperature > past.prompt_reset_on_temperature:
            prompt_start = len(history)
    yield Step(tuple(ready), (), audio.duration)


def short_form(audio: Audio, tokenizer: Tokenizer, options: TranscribeOptions) -> Flow:
    """Decode a recording of at most one window once; a last segment without an end lasts as long as it."""
    frames = content_frames(audio)
    if frames == 0:
        yield Step(position=audio.duration)
        return
    window = _window(
        audio, 0, frames, tuple(_initial_prompt(tokenizer, options.sequential)), options.language
    )
    (hypothesis,) = yield Step((), (window,))
    ready: list[Segment | None] = []
    if not is_silent(hypothesis, options.fallback):
        duration = frames / FRAMES_PER_SECOND
        parts = split(hypothesis.tokens, tokenizer.vocab, duration)
        pieces = list(parts.pieces)
        if parts.tail:
            start = tokenizer.vocab.seconds(parts.tail[0])
            pieces.append((start, max(duration, start + SECONDS_PER_TIMESTAMP), parts.tail))
        ready = [segment(window, hypothesis, piece, tokenizer) for piece in pieces]
    yield Step(tuple(final for final in ready if final is not None), (), audio.duration)


def _initial_prompt(tokenizer: Tokenizer, options: SequentialOptions) -> list[int]:
    return tokenizer.encode(" " + options.initial_prompt.strip()) if options.initial_prompt else []


def _window(audio: Audio, seek: int, size: int, prompt: tuple[int, ...], language: str | None) -> Window:
    span = Span(seek / FRAMES_PER_SECOND, (seek + size) / FRAMES_PER_SECOND)
    return Window(audio=audio, span=span, prompt=prompt, language=language)
