"""Utterances of a stream whose probabilities of speech are typed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilcli.config import LiveOptions
from distilcli.types import SAMPLE_RATE
from distilcli.utterances import Utterance, Utterances
from distilcli.vad import STEP

SECOND = SAMPLE_RATE / STEP  # steps


def counted(steps: int) -> np.ndarray:
    """Samples that say where in the stream they are."""
    return np.arange(steps * STEP, dtype=np.float32)


def said(options: LiveOptions, probabilities: list[float], block: int = 7) -> list[Utterance]:
    """What a stream in blocks of so many steps gives, with its end."""
    stream, samples = Utterances(options), counted(len(probabilities))
    found: list[Utterance] = []
    for first in range(0, len(probabilities), block):
        part = probabilities[first : first + block]
        found += stream.feed(
            samples[first * STEP : (first + len(part)) * STEP], np.array(part, dtype=np.float32)
        )
    last = stream.finish()
    return [*found, last] if last else found


def steps(*spans: tuple[float, float]) -> list[float]:
    """(seconds, probability) pairs as probabilities."""
    return [probability for seconds, probability in spans for _ in range(round(seconds * SECOND))]


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_a_silence_ends_an_utterance(block: int) -> None:
    options = LiveOptions(silence=0.64, pad=0.32)
    first, second = said(options, steps((1.6, 0.1), (2.56, 0.9), (1.6, 0.0), (0.96, 0.8), (3.2, 0.1)), block)
    assert (first.start, first.closed) == (pytest.approx(1.28), True)
    assert len(first.samples) == (2.56 + 2 * 0.32) * SAMPLE_RATE
    assert first.samples[0] == 1.28 * SAMPLE_RATE
    assert second.start == pytest.approx(5.76 - 0.32)


def test_a_short_silence_ends_nothing_and_weak_speech_goes_on() -> None:
    options = LiveOptions(silence=0.64, pad=0.0)
    (one,) = said(options, steps((0.64, 0.9), (0.48, 0.0), (0.64, 0.4), (0.48, 0.0), (0.64, 0.9)))
    assert (one.start, len(one.samples)) == (0.0, 2.88 * SAMPLE_RATE)


def test_long_speech_is_cut_where_it_is_quietest() -> None:
    probabilities = steps((3.2, 0.9), (0.032, 0.5), (2.56, 0.9))
    first, second = said(LiveOptions(longest=4.0, silence=0.64, pad=0.0), probabilities)
    assert (first.start, first.closed) == (0.0, False)
    assert len(first.samples) / SAMPLE_RATE == pytest.approx(3.216)
    assert second.samples[0] == first.samples[-1] + 1
    assert len(first.samples) + len(second.samples) == len(probabilities) * STEP


def test_what_goes_on_can_be_heard() -> None:
    stream = Utterances(LiveOptions(pad=0.0))
    assert list(stream.feed(counted(10), np.zeros(10, np.float32))) == []
    assert stream.current() is None
    assert list(stream.feed(counted(5), np.full(5, 0.9, np.float32))) == []
    current = stream.current()
    assert current is not None
    assert (current.start, len(current.samples)) == (10 * STEP / SAMPLE_RATE, 5 * STEP)


def test_silence_takes_no_memory() -> None:
    stream = Utterances(LiveOptions(pad=0.32))
    for _ in range(200):
        list(stream.feed(counted(100), np.zeros(100, np.float32)))
    assert stream.seconds == pytest.approx(200 * 100 * STEP / SAMPLE_RATE)
    assert len(stream._kept) <= 0.32 * SAMPLE_RATE + STEP


@given(
    st.lists(st.sampled_from([0.0, 0.4, 0.9]), max_size=300),
    st.integers(1, 60),
    st.sampled_from([2.0, 3.0, 5.0]),
)
def test_no_speech_is_lost_or_heard_twice(probabilities: list[float], block: int, longest: float) -> None:
    options = LiveOptions(silence=0.1, pad=0.0, longest=longest)
    found = said(options, probabilities, block)
    heard = [sample for one in found for sample in one.samples[::STEP].tolist()]
    assert heard == sorted(set(heard))
    spoken = {float(index * STEP) for index, probability in enumerate(probabilities) if probability >= 0.5}
    assert all(len(one.samples) <= longest * SAMPLE_RATE + STEP for one in found)
    covered = [(one.samples[0], one.samples[-1]) for one in found if len(one.samples)]
    assert all(any(first <= sample <= last for first, last in covered) for sample in spoken)
