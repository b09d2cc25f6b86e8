"""Merging of overlapping windows, against Transformers' own functions and by hand."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.models.whisper import tokenization_whisper as peer

from distilcli.longform.merge import Chunk, Merger, merge, overlap
from distilcli.tokens import Tokenizer, Vocab

VOCAB = Vocab(51866)


def test_overlap_cuts_both_sides_in_the_middle_of_the_match() -> None:
    # 3 4 5 6 is shared: the left gives 3 4, the right goes on with 5 6.
    assert merge([[1, 2, 3, 4, 5, 6], [3, 4, 5, 6, 7, 8]]) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert overlap([1, 2, 3, 4, 5, 6], [3, 4, 5, 6, 7, 8]) == (4, 2)


def test_one_equal_token_is_no_match() -> None:
    assert merge([[1, 2, 3], [3, 9, 8]]) == [1, 2, 3, 3, 9, 8]


def test_nothing_to_merge() -> None:
    assert merge([]) == []
    assert merge([[7]]) == [7]
    assert merge([[], [1, 2]]) == [1, 2]


@pytest.mark.parametrize("seed", range(40))
def test_merge_equals_transformers(seed: int) -> None:
    draw = random.Random(seed)
    text = [draw.randrange(6 if seed % 2 else 500) for _ in range(60)]
    sequences, start = [], 0
    while start < len(text):
        piece = text[start : start + draw.randrange(8, 20)]
        # A few misrecognised tokens in the overlap, as real windows have.
        sequences.append([token if draw.random() > 0.15 else 900 + draw.randrange(5) for token in piece])
        start += draw.randrange(5, 9)
    assert merge(sequences) == peer._find_longest_common_sequence(sequences)


@pytest.fixture(scope="module")
def peer_tokenizer(tokenizer_folder: Path) -> Any:
    from transformers import WhisperTokenizer

    return WhisperTokenizer.from_pretrained(tokenizer_folder)


def _spoken(draw: random.Random, begin: int) -> tuple[int, ...]:
    """A plausible hypothesis: segments of random length that follow each other, the last one maybe open."""
    tokens, time = [], draw.randrange(0, 50)
    for _ in range(draw.randrange(0, 7)):
        tokens.append(begin + time)
        tokens += [draw.randrange(300, 330) for _ in range(draw.randrange(1, 8))]
        time = min(time + draw.randrange(20, 300), 1249)
        if draw.random() > 0.1:
            tokens.append(begin + time)
        if time >= 1249:
            break
        time += draw.choice((0, 0, 10))
    return tuple(tokens)


@pytest.mark.parametrize("seed", range(150))
def test_merger_equals_the_pipeline_of_transformers(
    seed: int, peer_tokenizer: Any, tokenizer: Tokenizer
) -> None:
    draw = random.Random(seed)
    length, stride = 25.0, 25.0 / 6
    count = draw.randrange(1, 6)
    chunks = [
        Chunk(
            tokens=_spoken(draw, VOCAB.timestamp_begin),
            length=length,
            stride_left=stride if index else 0.0,
            stride_right=stride if index < count - 1 else 0.0,
        )
        for index in range(count)
    ]
    outputs = [
        {
            "tokens": torch.tensor([chunk.tokens], dtype=torch.long),
            "stride": (length, chunk.stride_left, chunk.stride_right),
        }
        for chunk in chunks
    ]
    _, optional = peer._decode_asr(
        peer_tokenizer, outputs, return_timestamps=True, return_language=None, time_precision=0.02
    )
    expected = [(tuple(one["timestamp"]), one["text"]) for one in optional["chunks"]]

    merger = Merger(VOCAB)
    pieces = [piece for chunk in chunks for piece in merger.add(chunk)] + merger.finish()
    assert [((one.start, one.end), tokenizer.decode(one.tokens)) for one in pieces] == expected
