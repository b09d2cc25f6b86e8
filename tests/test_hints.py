"""Hotwords and a prefix: the prompts are those of faster-whisper."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilcli.audio import from_array
from distilcli.backends.prompts import prompt_of
from distilcli.config import DecodeOptions, TranscribeOptions
from distilcli.errors import UsageError
from distilcli.hints import Hints
from distilcli.types import Span, Window
from tests.support.tokenizer import tokenizer_of

SIZE = 51866
AUDIO = from_array(np.zeros(16_000 * 90, np.float32), "talk.wav")
WORDS = st.sampled_from(["Aubrey", "Llanfairpwll", "the nine o'clock", " ", ""])


def hinted(start: float, prompt: tuple[int, ...], options: TranscribeOptions) -> Window:
    window = Window(AUDIO, Span(start, start + 30), prompt=prompt, language="nl")
    (found,) = Hints(tokenizer_of(SIZE), options).add([window], lambda audio: 30.0)
    return found


@given(
    hotwords=WORDS,
    prefix=WORDS,
    previous=st.lists(st.integers(0, 5000), max_size=150),
    first=st.booleans(),
    timestamps=st.booleans(),
)
def test_prompts_are_faster_whispers(
    hotwords: str, prefix: str, previous: list[int], first: bool, timestamps: bool
) -> None:
    whisper = pytest.importorskip("faster_whisper.transcribe").WhisperModel
    tokenizer = tokenizer_of(SIZE)
    vocab = tokenizer.vocab
    theirs = SimpleNamespace(
        encode=tokenizer.encode,
        sot_prev=vocab.sot_prev,
        sot_sequence=vocab.prefix("nl"),
        no_timestamps=vocab.no_timestamps,
        timestamp_begin=vocab.timestamp_begin,
    )
    expected = whisper.get_prompt(
        SimpleNamespace(max_length=448),
        theirs,
        previous,
        without_timestamps=not timestamps,
        prefix=prefix.strip() if first else None,
        hotwords=hotwords.strip(),
    )
    window = hinted(
        30.0 if first else 60.0, tuple(previous), TranscribeOptions(hotwords=hotwords, prefix=prefix)
    )
    assert prompt_of(window, vocab, DecodeOptions(timestamps=timestamps)) == expected


def test_hotwords_and_long_previous_text_leave_room_for_the_answer() -> None:
    window = hinted(0.0, tuple(range(400)), TranscribeOptions(hotwords="Aubrey and Maturin"))
    vocab = tokenizer_of(SIZE).vocab
    prompt = prompt_of(window, vocab, DecodeOptions())
    assert len(prompt) == 1 + 223 + 3
    assert tuple(prompt[1 : 1 + len(window.hotwords)]) == window.hotwords
    assert prompt[-4] == 399


def test_hotwords_that_are_too_many() -> None:
    with pytest.raises(UsageError, match=r"--hotwords has \d+ tokens, and the decoder takes at most 223"):
        Hints(tokenizer_of(SIZE), TranscribeOptions(hotwords="Llanfairpwllgwyngyll " * 40))
