"""Batches: the sound that is heard, the mel frames, the padding, the letters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distilcli.audio import from_array
from distilcli.features import log_mel, log_mel_whole
from distilcli.tokens import Vocab
from distilcli.trainer.batches import make_batch, raise_floor, render
from distilcli.trainer.data import Bank, Utterance
from distilcli.trainer.labels import IGNORED, Form, build_label
from distilcli.trainer.network import CHARACTERS
from distilcli.trainer.vocabulary import CompactVocabulary
from distilcli.trainer.windows import Placed, WindowPlan
from distilcli.types import Span, Window

VOCAB = Vocab(51866)
LABEL = build_label(VOCAB, [], Form())


@pytest.fixture
def bank() -> Bank:
    samples = np.full(32_000, 1000, dtype=np.int16)
    spoken = [
        Utterance(offset=i * 16_000, samples=16_000, tokens=(5,), centres=(0.5,), text=text, speaker="a")
        for i, text in enumerate(["Don't go, now.", "abcdefghij"])
    ]
    return Bank(samples, tuple(spoken), ())


def plan(*placed: Placed, seconds: float, width: float | None = None, key: int = 1) -> WindowPlan:
    return WindowPlan(
        placed=placed, seconds=seconds, width=width or seconds, label=LABEL, key=key, noisy=False
    )


@pytest.mark.parametrize("mels", [80, 128])
def test_features_are_those_of_transcription_over_a_raised_floor(bank: Bank, mels: int) -> None:
    vocabulary = CompactVocabulary(range(51866), 51866)
    plans = [plan(Placed(index=0, start=0.25), seconds=1.5, key=key) for key in range(8)]
    raised = []
    for row, window in zip(make_batch(plans, bank, vocabulary, mels).mel.numpy(), plans, strict=True):
        audio = from_array(render(window, bank, 24_000), "window")
        heard = log_mel(Window(audio, Span(0.0, 1.5)), mels)[:, :150]
        floor = row.min()
        np.testing.assert_allclose(row, np.maximum(heard, floor), rtol=0, atol=1e-6)
        raised.append(float(floor - (heard.max() - 2.0)))
    assert min(raised) == pytest.approx(0.0, abs=1e-6)  # half of the windows are as loud as their recording
    assert 0.0 < max(raised) < 0.3


def test_headroom_raises_the_floor_only() -> None:
    samples = np.zeros(16_000, np.float32)
    samples[4000:8000] = np.random.default_rng(0).standard_normal(4000)
    plain = log_mel_whole(samples, 80)
    raised = raise_floor(plain, 1.0)
    np.testing.assert_allclose(raise_floor(plain, 0.0), plain, atol=1e-6)
    assert float(raised.min() - plain.min()) == pytest.approx(0.25, abs=1e-5)
    assert float(raised.max()) == pytest.approx(float(plain.max()), abs=1e-6)


def test_sound_lies_where_it_was_placed_and_ends_with_the_window(bank: Bank) -> None:
    heard = render(plan(Placed(index=0, start=0.5), Placed(index=1, start=1.75), seconds=2.0), bank, 48_000)
    level = np.abs(heard) > 1e-6
    assert not level[:8000].any()
    assert level[8000:24_000].all()
    assert not level[24_000:28_000].any()
    assert level[28_000:32_000].all()
    assert not level[32_000:].any()


def test_padding_is_silent_sound_or_zeros_in_mel_space(bank: Bank) -> None:
    vocabulary = CompactVocabulary(range(51866), 51866)
    plans = [plan(Placed(index=0, start=0.0), seconds=1.0, width=2.0, key=key) for key in range(12)]
    batch = make_batch(plans, bank, vocabulary, 80)
    assert batch.mel.shape == (12, 80, 200)
    tails = {bool((row[:, 105:] == 0.0).all()) for row in batch.mel}
    assert tails == {True, False}
    assert batch.positions == [50] * 12


def test_rows_are_padded_without_loss(bank: Bank) -> None:
    vocabulary = CompactVocabulary(range(51866), 51866)
    batch = make_batch([plan(Placed(index=0, start=0.0), seconds=1.0)], bank, vocabulary, 80)
    assert batch.inputs.tolist() == [list(LABEL.inputs)]
    assert batch.targets.tolist() == [list(LABEL.targets)]
    assert int((batch.targets != IGNORED).sum()) == 3


def test_letters_of_a_cut_sentence_are_a_proportional_part(bank: Bank) -> None:
    vocabulary = CompactVocabulary(range(51866), 51866)
    window = plan(Placed(index=0, start=0.0), Placed(index=1, start=1.5), seconds=2.0)
    (letters,) = make_batch([window], bank, vocabulary, 80).characters
    assert "".join(CHARACTERS[letter - 1] for letter in letters) == "don't go now abcde"


def test_equal_plans_make_equal_sound(bank: Bank, tmp_path: Path) -> None:
    window = plan(Placed(index=0, start=0.0), seconds=1.0)
    np.testing.assert_array_equal(render(window, bank, 16_000), render(window, bank, 16_000))
