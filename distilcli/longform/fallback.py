"""Temperature fallback: windows whose text fails a gate are decoded again, alone. Knows no strategy.

Source: openai/whisper `decode_with_fallback`; of several failed attempts the most likely one is kept, as
faster-whisper does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from distilcli.config import FallbackOptions
from distilcli.longform.base import Decode
from distilcli.text import compression_ratio
from distilcli.tokens import Tokenizer
from distilcli.types import Hypothesis, Window

DecodeAt = Callable[[Sequence[Window], float], list[Hypothesis]]
"""Decode windows at a temperature."""


def with_fallback(decode_at: DecodeAt, tokenizer: Tokenizer, options: FallbackOptions) -> Decode:
    """A decode function that tries the temperatures in turn for the windows that need it."""

    def repeats(hypothesis: Hypothesis) -> bool:
        limit = options.compression_ratio_threshold
        text = tokenizer.decode(hypothesis.tokens).strip()
        return limit is not None and compression_ratio(text) > limit

    def decode(windows: Sequence[Window]) -> list[Hypothesis]:
        tried: list[list[Hypothesis]] = [[] for _ in windows]
        pending = list(range(len(windows)))
        for temperature in options.temperatures:
            answers = decode_at([windows[index] for index in pending], temperature)
            for index, answer in zip(pending, answers, strict=True):
                tried[index].append(answer)
            pending = [index for index in pending if _fails(tried[index][-1], repeats, options)]
            if not pending:
                break
        return [
            _best(attempts, repeats) if index in pending else attempts[-1]
            for index, attempts in enumerate(tried)
        ]

    return decode


def _fails(hypothesis: Hypothesis, repeats: Callable[[Hypothesis], bool], options: FallbackOptions) -> bool:
    unlikely = options.logprob_threshold is not None and hypothesis.avg_logprob < options.logprob_threshold
    silent = (
        options.no_speech_threshold is not None and hypothesis.no_speech_prob > options.no_speech_threshold
    )
    if silent and unlikely:
        return False
    return unlikely or repeats(hypothesis)


def _best(attempts: list[Hypothesis], repeats: Callable[[Hypothesis], bool]) -> Hypothesis:
    """The most likely attempt, among those that do not repeat themselves if there are any.

    It carries the last temperature, because the prompt is reset by how hard the window was.
    """
    sound = [attempt for attempt in attempts if not repeats(attempt)] or attempts
    best = max(sound, key=lambda attempt: attempt.avg_logprob)
    return replace(best, temperature=attempts[-1].temperature)
