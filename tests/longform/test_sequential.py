"""The sliding window, with answers typed by hand: which windows it asks for and which segments it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from distilcli.config import FallbackOptions, SequentialOptions, TranscribeOptions
from distilcli.longform.base import Flow, drive
from distilcli.longform.sequential import sequential, short_form
from distilcli.tokens import Tokenizer
from distilcli.types import Audio, Hypothesis, Segment, Window

OPTIONS = TranscribeOptions(language="en")


def _audio(seconds: float) -> Audio:
    return Audio("a", np.zeros(round(seconds * 16_000), dtype=np.float32))


class Script:
    """Answers in the order given; each is a list of times and texts, or a whole hypothesis."""

    def __init__(self, tokenizer: Tokenizer, *answers: list[float | str] | Hypothesis) -> None:
        self.tokenizer, self.answers = tokenizer, list(answers)
        self.windows: list[Window] = []

    def tokens(self, parts: list[float | str]) -> tuple[int, ...]:
        ids: list[int] = []
        for part in parts:
            ids += (
                self.tokenizer.encode(part)
                if isinstance(part, str)
                else [self.tokenizer.vocab.timestamp(part)]
            )
        return tuple(ids)

    def __call__(self, windows: Sequence[Window]) -> list[Hypothesis]:
        self.windows += windows
        answer = self.answers.pop(0)
        return [answer if isinstance(answer, Hypothesis) else Hypothesis(self.tokens(answer), -0.1, 0.0)]

    @property
    def spans(self) -> list[tuple[float, float]]:
        return [(round(one.span.start, 2), round(one.span.end, 2)) for one in self.windows]


def _texts(segments: list[Segment]) -> list[tuple[float, float, str]]:
    return [(round(one.span.start, 2), round(one.span.end, 2), one.text) for one in segments]


def _run(
    flow: Callable[..., Flow], audio: Audio, script: Script, options: TranscribeOptions = OPTIONS
) -> list[Segment]:
    segments = list(drive(flow(audio, script.tokenizer, options), script))
    assert not script.answers, "the flow asked for fewer windows than expected"
    return segments


def test_seeks_to_the_last_closed_timestamp(tokenizer: Tokenizer) -> None:
    script = Script(
        tokenizer,
        [0.0, " one", 4.0, 4.0, " two", 21.5, 21.5, " cut off"],
        [0.0, " three", 10.02],
    )
    segments = _run(sequential, _audio(45), script)
    assert script.spans == [(0.0, 30.0), (21.5, 45.0)]
    assert _texts(segments) == [(0.0, 4.0, " one"), (4.0, 21.5, " two"), (21.5, 31.52, " three")]
    assert [one.seek for one in segments] == [0.0, 0.0, 21.5]


def test_a_single_timestamp_at_the_end_uses_the_whole_window(tokenizer: Tokenizer) -> None:
    script = Script(tokenizer, [0.0, " one", 4.0, 6.0, " two", 8.0], [0.0, " three", 2.0])
    assert _texts(_run(sequential, _audio(40), script)) == [
        (0.0, 4.0, " one"),
        (6.0, 8.0, " two"),
        (30.0, 32.0, " three"),
    ]
    assert script.spans == [(0.0, 30.0), (30.0, 40.0)]


def test_without_timestamps_the_window_is_one_segment(tokenizer: Tokenizer) -> None:
    script = Script(tokenizer, [" all of it"], [" the rest"])
    assert _texts(_run(sequential, _audio(33), script)) == [
        (0.0, 30.0, " all of it"),
        (30.0, 33.0, " the rest"),
    ]


def test_an_end_after_the_recording_is_cut(tokenizer: Tokenizer) -> None:
    script = Script(tokenizer, [0.0, " late", 29.0])
    assert _texts(_run(sequential, _audio(12.5), script)) == [(0.0, 12.5, " late")]


def test_empty_and_zero_length_segments_are_dropped(tokenizer: Tokenizer) -> None:
    script = Script(tokenizer, [0.0, " ", 2.0, 2.0, " x", 2.0, 3.0, " kept", 5.0])
    assert _texts(_run(sequential, _audio(20), script)) == [(3.0, 5.0, " kept")]


def test_silence_is_skipped_unless_the_text_is_likely(tokenizer: Tokenizer) -> None:
    words = Script(tokenizer).tokens([0.0, " hm", 2.0])
    script = Script(tokenizer, Hypothesis(words, -1.3, 0.9), Hypothesis(words, -0.3, 0.9))
    assert _texts(_run(sequential, _audio(60), script)) == [(30.0, 32.0, " hm")]
    off = replace(OPTIONS, fallback=FallbackOptions(no_speech_threshold=None))
    script = Script(tokenizer, Hypothesis(words, -1.3, 0.9))
    assert len(_run(sequential, _audio(20), script, off)) == 1


def test_the_text_so_far_is_the_prompt(tokenizer: Tokenizer) -> None:
    first, second = [0.0, " one", 30.0], [0.0, " two", 30.0]
    script = Script(tokenizer, first, second, [0.0, " three", 9.0])
    prompted = replace(OPTIONS, sequential=SequentialOptions(initial_prompt="Names: Ada "))
    _run(sequential, _audio(70), script, prompted)
    names = tuple(tokenizer.encode(" Names: Ada"))
    assert [one.prompt for one in script.windows] == [
        names,
        names + script.tokens(first),
        names + script.tokens(first) + script.tokens(second),
    ]


@pytest.mark.parametrize(("condition", "temperature"), [(False, 0.0), (True, 0.6)])
def test_the_prompt_is_forgotten(tokenizer: Tokenizer, condition: bool, temperature: float) -> None:
    words = Script(tokenizer).tokens([0.0, " one", 30.0])
    script = Script(tokenizer, Hypothesis(words, -0.1, 0.0, temperature), [0.0, " two", 9.0])
    options = replace(OPTIONS, sequential=SequentialOptions(condition_on_previous_text=condition))
    _run(sequential, _audio(40), script, options)
    assert script.windows[1].prompt == ()


def test_a_window_that_closes_at_zero_does_not_loop(tokenizer: Tokenizer) -> None:
    begin = tokenizer.vocab.timestamp_begin
    script = Script(tokenizer, Hypothesis((begin, begin), -0.1, 0.0), [0.0, " go on", 3.0])
    assert _texts(_run(sequential, _audio(40), script)) == [(30.0, 33.0, " go on")]


def test_short_form_decodes_once_and_keeps_an_open_end(tokenizer: Tokenizer) -> None:
    script = Script(tokenizer, [0.0, " one", 4.0, 4.0, " and more"])
    assert _texts(_run(short_form, _audio(9.5), script)) == [(0.0, 4.0, " one"), (4.0, 9.5, " and more")]
    assert script.spans == [(0.0, 9.5)]


@pytest.mark.parametrize("flow", [sequential, short_form])
def test_less_than_a_frame_has_no_window(flow: Callable[..., Flow], tokenizer: Tokenizer) -> None:
    assert _run(flow, _audio(0.005), Script(tokenizer)) == []
