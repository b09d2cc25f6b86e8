"""The sliding window of the Whisper paper (section 3.8), and its one-window case.

One window at a time: read the last closed timestamp, move there. Token for token the loop of openai/whisper
and faster-whisper. Knows no backend, no file and no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from distilcli.config import SequentialOptions, TranscribeOptions
from distilcli.longform.base import Flow, Step
from distilcli.longform.segments import is_silent, segment, shares, split
from distilcli.tokens import Tokenizer
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


def sequential(
    audio: Audio, tokenizer: Tokenizer, options: TranscribeOptions, clips: Sequence[Span] | None = None
) -> Flow:
    """Slide over the recording, or over its `clips` alone; yields segments in the order of time."""
    past = options.sequential
    history = _initial_prompt(tokenizer, past)
    prompt_start = 0  # tokens of the history before this are forgotten
    ready: list[Segment] = []
    for seek, end, limit in _stretches(audio, clips):  # frames
        while seek < end:
            size = min(_WINDOW_FRAMES, end - seek)
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
            words = shares(parts.pieces, hypothesis.words, tokenizer.vocab)
            for piece, spoken in zip(parts.pieces, words, strict=True):
                final = segment(window, hypothesis, piece, tokenizer, limit, spoken)
                if final is not None:
                    ready.append(final)
                    history.extend(final.tokens)
            was_hard = hypothesis.temperature > past.prompt_reset_on_temperature
            if was_hard or not past.condition_on_previous_text:
                prompt_start = len(history)
    yield Step(tuple(ready), (), audio.duration)


def short_form(
    audio: Audio, tokenizer: Tokenizer, options: TranscribeOptions, clips: Sequence[Span] | None = None
) -> Flow:
    """Decode a recording of at most one window, or each of its `clips`, once.

    A last segment without an end lasts as long as its window.
    """
    prompt = tuple(_initial_prompt(tokenizer, options.sequential))
    stretches = list(_stretches(audio, clips))
    windows = [_window(audio, seek, end - seek, prompt, options.language) for seek, end, _ in stretches]
    answers = (yield Step((), tuple(windows))) if windows else []
    ready: list[Segment | None] = []
    for window, hypothesis, (seek, end, limit) in zip(windows, answers, stretches, strict=True):
        if is_silent(hypothesis, options.fallback):
            continue
        duration = (end - seek) / FRAMES_PER_SECOND
        pieces = split(hypothesis.tokens, tokenizer.vocab, duration).closed(tokenizer.vocab, duration)
        words = shares(pieces, hypothesis.words, tokenizer.vocab)
        ready += [
            segment(window, hypothesis, piece, tokenizer, limit, spoken)
            for piece, spoken in zip(pieces, words, strict=True)
        ]
    yield Step(tuple(final for final in ready if final is not None), (), audio.duration)


def _stretches(audio: Audio, clips: Sequence[Span] | None) -> Iterator[tuple[int, int, float | None]]:
    """First frame of each stretch to decode, the frame behind its last, and the second where a clip ends.

    A clip that ends with the recording has no such second: it ends as the recording does.
    """
    frames = content_frames(audio)
    for clip in [Span(0.0, audio.duration)] if clips is None else clips:
        start = round(clip.start * FRAMES_PER_SECOND)
        end = min(round(clip.end * FRAMES_PER_SECOND), frames)
        if start < end:
            yield start, end, end / FRAMES_PER_SECOND if end < frames else None


def _initial_prompt(tokenizer: Tokenizer, options: SequentialOptions) -> list[int]:
    return tokenizer.encode(" " + options.initial_prompt.strip()) if options.initial_prompt else []


def _window(audio: Audio, seek: int, size: int, prompt: tuple[int, ...], language: str | None) -> Window:
    span = Span(seek / FRAMES_PER_SECOND, (seek + size) / FRAMES_PER_SECOND)
    return Window(audio=audio, span=span, prompt=prompt, language=language)
