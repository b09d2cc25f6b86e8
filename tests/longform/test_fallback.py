"""Temperature fallback: who is asked again, and which attempt is kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distilcli.config import FallbackOptions
from distilcli.longform.fallback import with_fallback
from distilcli.tokens import Tokenizer
from distilcli.types import Audio, Hypothesis, Span, Window

AUDIO = Audio("a", np.zeros(16_000, dtype=np.float32))
WINDOWS = [Window(AUDIO, Span(index, index + 1)) for index in range(3)]


class Table:
    """Answers from a table of (window, temperature) -> hypothesis; the rest is good."""

    def __init__(
        self, tokenizer: Tokenizer, table: dict[tuple[int, float], tuple[str, float, float]]
    ) -> None:
        self.tokenizer, self.table = tokenizer, table
        self.asked: list[tuple[float, list[int]]] = []

    def __call__(self, windows: Sequence[Window], temperature: float) -> list[Hypothesis]:
        self.asked.append((temperature, [int(one.span.start) for one in windows]))
        answers = []
        for one in windows:
            text, logprob, silence = self.table.get((int(one.span.start), temperature), (" fine", -0.1, 0.0))
            answers.append(Hypothesis(tuple(self.tokenizer.encode(text)), logprob, silence, temperature))
        return answers


def test_only_the_windows_that_fail_are_asked_again(tokenizer: Tokenizer) -> None:
    table = Table(tokenizer, {(1, 0.0): (" doubt", -1.5, 0.0), (1, 0.2): (" doubt", -1.2, 0.0)})
    found = with_fallback(table, tokenizer, FallbackOptions())(WINDOWS)
    assert table.asked == [(0.0, [0, 1, 2]), (0.2, [1]), (0.4, [1])]
    assert [one.temperature for one in found] == [0.0, 0.4, 0.0]


def test_repetition_is_measured_on_the_text(tokenizer: Tokenizer) -> None:
    table = Table(tokenizer, {(0, 0.0): (" the same again" * 30, -0.05, 0.0)})
    (found,) = with_fallback(table, tokenizer, FallbackOptions())(WINDOWS[:1])
    assert (found.temperature, tokenizer.decode(found.tokens)) == (0.2, " fine")
    off = FallbackOptions(compression_ratio_threshold=None)
    (found,) = with_fallback(table, tokenizer, off)(WINDOWS[:1])
    assert found.temperature == 0.0


def test_silence_is_not_asked_again(tokenizer: Tokenizer) -> None:
    table = Table(tokenizer, {(0, 0.0): (" hm", -1.4, 0.9)})
    (found,) = with_fallback(table, tokenizer, FallbackOptions())(WINDOWS[:1])
    assert found.no_speech_prob == 0.9
    assert len(table.asked) == 1


def test_when_all_fail_the_likeliest_that_does_not_repeat_is_kept(tokenizer: Tokenizer) -> None:
    loop = " the same again" * 30
    table = Table(
        tokenizer,
        {(0, 0.0): (loop, -0.1, 0.0), (0, 0.5): (" better", -1.1, 0.0), (0, 1.0): (" worse", -3.0, 0.0)},
    )
    (found,) = with_fallback(table, tokenizer, FallbackOptions(temperatures=(0.0, 0.5, 1.0)))(WINDOWS[:1])
    assert tokenizer.decode(found.tokens) == " better"
    # The prompt is reset by the temperature that the window needed, as in faster-whisper.
    assert found.temperature == 1.0


def test_no_windows_need_nothing(tokenizer: Tokenizer) -> None:
    assert with_fallback(Table(tokenizer, {}), tokenizer, FallbackOptions())([]) == []
