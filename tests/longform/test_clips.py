"""Clips: what is asked for, what has speech, and that no strategy goes beyond them."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from distilcli.config import ChunkedOptions, TranscribeOptions, VadOptions
from distilcli.errors import UsageError
from distilcli.longform.base import drive_many
from distilcli.longform.chunked import chunked
from distilcli.longform.clips import clips, silences
from distilcli.longform.sequential import sequential, short_form
from distilcli.spans import intersection, outside
from distilcli.tokens import Tokenizer
from distilcli.types import Audio, Hypothesis, Segment, Span, Window

STRATEGIES = {"short-form": short_form, "sequential": sequential, "chunked": chunked}


def _audio(seconds: float, *speech: tuple[float, float]) -> Audio:
    spans = tuple(Span(start, end) for start, end in speech)
    return Audio("a", np.zeros(round(seconds * 16_000), dtype=np.float32), speech=spans)


def _bounds(spans: Sequence[Span] | None) -> list[tuple[float, float]]:
    return [(round(one.start, 2), round(one.end, 2)) for one in spans or ()]


class Listening:
    """Drives a strategy with answers of a function; remembers windows and positions."""

    def __init__(self, flow, answer) -> None:
        self.windows: list[Window] = []
        self.segments: list[Segment] = []
        self.positions: list[float] = []

        def decode(windows: Sequence[Window]) -> list[Hypothesis]:
            self.windows += windows
            return [Hypothesis(tuple(answer(one)), -0.1, 0.0) for one in windows]

        for _, step in drive_many([(None, flow)], decode, batch_size=4):
            if step is not None:
                self.segments += step.ready
                self.positions.append(step.position)

    @property
    def spans(self) -> list[tuple[float, float]]:
        return _bounds([one.span for one in self.windows])


def test_clips_are_read_as_openai_whisper_reads_them() -> None:
    audio = _audio(60)
    assert clips(audio, TranscribeOptions()) is None
    assert _bounds(clips(audio, TranscribeOptions(clip_timestamps=(5, 20, 30)))) == [(5, 20), (30, 60)]
    assert _bounds(clips(audio, TranscribeOptions(clip_timestamps=(0, 5, 5, 90)))) == [(0, 5), (5, 60)]
    assert clips(audio, TranscribeOptions(clip_timestamps=(70, 80))) == ()


@pytest.mark.parametrize("times", [(5, 3), (5, 5), (0, 9, 8), (-1, 4), (float("nan"),)])
def test_clips_out_of_order_are_refused(times: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="--clip-timestamps"):
        TranscribeOptions(clip_timestamps=times)


def test_speech_is_joined_over_short_gaps_and_cut_to_the_clips() -> None:
    audio = _audio(100, (3.003, 10.0), (11.5, 20.0), (50, 60), (80, 99.999))
    options = TranscribeOptions(vad=VadOptions(filter=True, max_gap_s=2.0))
    assert _bounds(clips(audio, options)) == [(3.0, 20.0), (50.0, 60.0), (80.0, 100.0)]
    assert _bounds(silences(audio, options)) == [(0.0, 3.0), (20.0, 50.0), (60.0, 80.0)]
    asked = TranscribeOptions(vad=VadOptions(filter=True), clip_timestamps=(15, 55, 90))
    assert _bounds(clips(audio, asked)) == [(15.0, 20.0), (50.0, 55.0), (90.0, 100.0)]
    assert _bounds(silences(audio, asked)) == [(20.0, 50.0)]
    # Looking for speech alone skips nothing.
    assert clips(audio, TranscribeOptions(vad=VadOptions(detect=True))) is None


def test_the_window_slides_in_each_clip(tokenizer: Tokenizer) -> None:
    """It ends with the clip, and starts again with the next; the text so far goes on."""
    stamp, encode = tokenizer.vocab.timestamp, tokenizer.encode
    answers = iter(
        [
            [stamp(0), *encode(" one"), stamp(20), stamp(20), *encode(" cut")],
            [stamp(0), *encode(" two"), stamp(9)],
            [stamp(0), *encode(" three"), stamp(4)],
        ]
    )
    spans = (Span(10, 45), Span(50, 56))
    options = TranscribeOptions(language="en")
    heard = Listening(sequential(_audio(60), tokenizer, options, spans), lambda _: next(answers))
    assert heard.spans == [(10, 40), (30, 45), (50, 56)]
    assert [(one.text, one.span.start, one.span.end) for one in heard.segments] == [
        (" one", 10.0, 30.0),
        (" two", 30.0, 39.0),
        (" three", 50.0, 54.0),
    ]
    assert heard.positions == [10.0, 30.0, 50.0, 60.0]
    assert heard.windows[2].prompt == heard.segments[0].tokens + heard.segments[1].tokens


def test_short_form_decodes_its_clips_together(tokenizer: Tokenizer) -> None:
    stamp, encode = tokenizer.vocab.timestamp, tokenizer.encode
    spans = (Span(2, 8), Span(12, 20))
    heard = Listening(
        short_form(_audio(20), tokenizer, TranscribeOptions(language="en"), spans),
        lambda _: [stamp(0), *encode(" hm")],
    )
    assert heard.spans == [(2, 8), (12, 20)]
    assert _bounds([one.span for one in heard.segments]) == [(2, 8), (12, 20)]


def test_long_clips_are_cut_in_silences(tokenizer: Tokenizer) -> None:
    """Speech is packed into windows that do not overlap; only speech without a pause is cut with overlaps."""
    audio = _audio(120, (0, 8), (8.5, 18), (18.6, 26), (26.3, 66), (67, 70), (100, 110))
    options = TranscribeOptions(
        language="en",
        vad=VadOptions(filter=True),
        chunked=ChunkedOptions(chunk_length=20, stride=5, batch_size=2),
    )
    stamp, encode = tokenizer.vocab.timestamp, tokenizer.encode
    heard = Listening(
        chunked(audio, tokenizer, options, clips(audio, options)),
        lambda one: [stamp(0), *encode(f" {one.span.start:g}"), stamp(one.span.duration)],
    )
    assert heard.spans == [
        (0, 18),
        (18.6, 26),
        *[(26.3, 46.3), (36.3, 56.3), (46.3, 66)],
        (67, 70),
        (100, 110),
    ]
    assert heard.positions == pytest.approx([0.0, 26.3, 51.3, 100.0, 120.0])


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("seed", range(8))
def test_no_segment_crosses_a_silence(name: str, seed: int, tokenizer: Tokenizer) -> None:
    """Whatever times the decoder writes, also times after its window's end."""
    draw = random.Random(seed)
    length = 29.0 if name == "short-form" else 200.0
    borders = sorted(round(draw.uniform(0, length), 2) for _ in range(12))
    audio = _audio(length, *zip(borders[::2], borders[1::2], strict=True))
    options = TranscribeOptions(
        language="en",
        vad=VadOptions(filter=True, max_gap_s=0.5),
        chunked=ChunkedOptions(chunk_length=20, stride=4),
    )
    stamp, encode = tokenizer.vocab.timestamp, tokenizer.encode

    def answer(window: Window) -> list[int]:
        times = sorted(draw.uniform(0, 30) for _ in range(draw.choice((1, 2, 4))))
        return [id for time in times for id in (*encode(" word"), stamp(round(time * 50) / 50))]

    chosen = clips(audio, options)
    assert chosen is not None
    heard = Listening(STRATEGIES[name](audio, tokenizer, options, chosen), answer)
    assert heard.segments
    for silence in outside(chosen, length):
        inner = Span(silence.start + 1e-6, silence.end - 1e-6)
        assert all(intersection([one.span], [inner]) == () for one in heard.windows)
        # The last segment of a recording may end after it, as in openai/whisper.
        assert all(intersection([one.span], [inner]) == () for one in heard.segments)
    assert heard.positions == sorted(heard.positions)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_silent_recording_is_not_decoded(name: str, tokenizer: Tokenizer) -> None:
    audio = _audio(29.0)
    options = TranscribeOptions(vad=VadOptions(filter=True))
    heard = Listening(STRATEGIES[name](audio, tokenizer, options, clips(audio, options)), lambda _: [])
    assert (heard.windows, heard.segments, heard.positions) == ([], [], [29.0])
