"""Chunked long-form: the windows it cuts, and the segments it gives for answers typed by hand."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from transformers.pipelines import automatic_speech_recognition as peer

from distilcli.config import ChunkedOptions, TranscribeOptions
from distilcli.errors import UsageError
from distilcli.longform.base import drive, drive_many
from distilcli.longform.chunked import chunked, cuts
from distilcli.tokens import Tokenizer
from distilcli.types import Audio, Hypothesis, Window


class _Extractor:
    """The part of a feature extractor that the peer's cutting needs."""

    sampling_rate = 16_000

    def __call__(self, chunk: np.ndarray, **_: object) -> dict[str, int]:
        return {"first": int(chunk[0]), "last": int(chunk[-1])}


@pytest.mark.parametrize("seed", range(30))
def test_cuts_equal_those_of_transformers(seed: int) -> None:
    draw = random.Random(seed)
    seconds = draw.choice((0.01, 3.0, 25.0, 25.0001, 30, 41.7, 200, draw.uniform(1, 300)))
    options = ChunkedOptions(
        chunk_length=draw.choice((10, 15, 25, 30)), stride=draw.choice((None, None, 0, 2.5))
    )
    n_samples = max(1, round(seconds * 16_000))
    length, stride = round(options.chunk_length * 16_000), round(options.overlap * 16_000)
    expected = [
        (one["first"], one["last"] + 1, one["stride"][1], one["stride"][2])
        for one in peer.chunk_iter(np.arange(n_samples), _Extractor(), length, stride, stride)
    ]
    assert [
        (one.start, one.stop, one.stride_left, one.stride_right) for one in cuts(n_samples, options)
    ] == expected


def test_overlaps_are_merged_and_times_are_those_of_the_recording(tokenizer: Tokenizer) -> None:
    """Two windows of 20 s that overlap by 10 s; the sentence across the border is in both."""
    stamp, encode = tokenizer.vocab.timestamp, tokenizer.encode
    answers = {
        0.0: [
            stamp(0),
            *encode(" The first."),
            stamp(4),
            stamp(4),
            *encode(" A long sentence across"),
            stamp(20),
        ],
        10.0: [
            stamp(0),
            *encode(" long sentence across the border."),
            stamp(12),
            stamp(12),
            *encode(" End."),
            stamp(14),
        ],
    }
    asked: list[Window] = []

    def decode(windows: Sequence[Window]) -> list[Hypothesis]:
        asked.extend(windows)
        return [Hypothesis(tuple(answers[one.span.start]), -0.2, 0.0) for one in windows]

    audio = Audio("a", np.zeros(16_000 * 25, dtype=np.float32))
    options = TranscribeOptions(language="en", chunked=ChunkedOptions(chunk_length=20, stride=5))
    segments = list(drive(chunked(audio, tokenizer, options), decode))
    assert [(one.span.start, one.span.end) for one in asked] == [(0.0, 20.0), (10.0, 25.0)]
    assert all(one.isolated for one in asked)
    assert [(one.text, one.span.start, one.span.end) for one in segments] == [
        (" The first.", 0.0, 4.0),
        (" A long sentence across the border.", 4.0, 22.0),
        (" End.", 22.0, 24.0),
    ]


def test_a_window_whose_text_stops_early_is_decoded_again_from_there(tokenizer: Tokenizer) -> None:
    """The first window stops at 6 s of 20, the rest of it at 3 s more, and the rest of that is silence."""
    stamp, encode = tokenizer.vocab.timestamp, tokenizer.encode
    answers = {
        0.0: ([stamp(0), *encode(" One."), stamp(6), stamp(6)], 0.0),
        6.0: ([stamp(0), *encode(" Two."), stamp(3), stamp(3)], 0.0),
        9.0: ([stamp(0), *encode(" hm")], 0.9),
        10.0: ([stamp(0), *encode(" Two."), stamp(1), stamp(9), *encode(" Three."), stamp(12)], 0.0),
    }
    asked: list[float] = []

    def decode(windows: Sequence[Window]) -> list[Hypothesis]:
        asked.extend(one.span.start for one in windows)
        return [
            Hypothesis(tuple(answers[one.span.start][0]), -1.5, answers[one.span.start][1]) for one in windows
        ]

    audio = Audio("a", np.zeros(16_000 * 25, dtype=np.float32))
    options = TranscribeOptions(
        language="en", chunked=ChunkedOptions(chunk_length=20, stride=5, batch_size=1)
    )
    segments = list(drive(chunked(audio, tokenizer, options), decode))
    assert asked == [0.0, 6.0, 9.0, 10.0]
    assert "".join(one.text for one in segments) == " One. Two. Three."
    assert (segments[0].span.start, segments[0].span.end) == (0.0, 6.0)


def test_text_with_a_start_after_the_end_is_kept(tokenizer: Tokenizer) -> None:
    stamp, encode = tokenizer.vocab.timestamp, tokenizer.encode
    tokens = (stamp(0), *encode(" One."), stamp(2), stamp(12), *encode(" Two."))
    audio = Audio("a", np.zeros(16_000 * 5, dtype=np.float32))
    flow = chunked(audio, tokenizer, TranscribeOptions(language="en"))
    segments = list(drive(flow, lambda windows: [Hypothesis(tokens, -0.1, 0.0) for _ in windows]))
    assert [one.text for one in segments] == [" One.", " Two."]
    assert segments[1].span.end > segments[1].span.start == 12.0


def test_batches_do_not_change_the_result(tokenizer: Tokenizer) -> None:
    stamp = tokenizer.vocab.timestamp
    words = [tokenizer.encode(f" word{number}") for number in range(200)]

    def decode(windows: Sequence[Window]) -> list[Hypothesis]:
        """A perfect model that hears one word a second."""
        found = []
        for one in windows:
            first, last = int(one.span.start), int(one.span.end)
            ids = [stamp(0), *(token for word in words[first:last] for token in word), stamp(last - first)]
            found.append(Hypothesis(tuple(ids), -0.2, 0.0))
        return found

    def run(batch_size: int) -> list[tuple[str, float, float]]:
        audio = Audio("a", np.zeros(16_000 * 120, dtype=np.float32))
        options = TranscribeOptions(
            language="en", chunked=ChunkedOptions(chunk_length=24, stride=4, batch_size=batch_size)
        )
        steps = drive_many([(0, chunked(audio, tokenizer, options))], decode, batch_size)
        return [(one.text, one.span.start, one.span.end) for _, step in steps if step for one in step.ready]

    alone = run(1)
    assert "".join(text for text, _, _ in alone) == "".join(f" word{number}" for number in range(120))
    assert run(3) == run(8) == alone


@pytest.mark.parametrize(
    ("length", "stride", "names"),
    [(31, None, "--chunk-length"), (20, 10, "--stride"), (0.5, None, "--chunk-length")],
)
def test_impossible_windows_are_refused(length: float, stride: float | None, names: str) -> None:
    with pytest.raises(UsageError, match=names):
        ChunkedOptions(chunk_length=length, stride=stride)
