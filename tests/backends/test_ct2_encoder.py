"""The encoder in PyTorch against CTranslate2's, on the weights of the same folder."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import ctranslate2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from distilcli import models
from distilcli.audio import open_audio
from distilcli.backends.ct2_encoder import load_encoder
from distilcli.features import log_mel
from distilcli.types import Audio, Span, Window
from tests.support.toy import toy_clip, toy_ct2_folder

Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def nano() -> Path:
    return models.resolve("nano", "ctranslate2").folder


@pytest.fixture(scope="module")
def speech() -> Floats:
    """Features of the first 30 s of the bundled recording, for nano."""
    with as_file(files("distilcli.assets") / "demo.mp3") as recording, open_audio(recording) as audio:
        return log_mel(Window(audio, Span(0.0, 30.0)), 128)


def peer(folder: Path, mel: Floats, compute_type: str = "float32") -> Floats:
    """CTranslate2's states of a window."""
    model = ctranslate2.models.Whisper(str(folder), compute_type=compute_type, intra_threads=1)
    output = model.encode(ctranslate2.StorageView.from_array(np.ascontiguousarray(mel[None])))
    states: Floats = np.asarray(output.to(ctranslate2.DataType.float32))[0]
    return states


def error(states: Floats, expected: Floats) -> float:
    """Relative to the expected states, as the square root of the mean of squares."""
    assert (states.shape, states.dtype) == (expected.shape, expected.dtype)
    return float(np.linalg.norm(states - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("frames", [3000, 1000, 401, 2])
@pytest.mark.parametrize(("kind", "n_mels"), [("multi", 80), ("v3", 128)])
def test_equals_ctranslate2_in_float32(kind: str, n_mels: int, frames: int) -> None:
    folder = toy_ct2_folder(kind)
    mel = log_mel(Window(Audio("rise", toy_clip("rise")), Span(0.0, 30.0)), n_mels)[:, :frames]
    assert error(load_encoder(folder, 1, torch.float32)(mel), peer(folder, mel)) < 1e-5


@pytest.mark.parametrize("frames", [3000, 500])
def test_a_trained_encoder_equals_ctranslate2s(nano: Path, speech: Floats, frames: int) -> None:
    mel = speech[:, :frames]
    assert error(load_encoder(nano, 1, torch.float32)(mel), peer(nano, mel)) < 1e-5


def test_bfloat16_is_nearer_to_float32_than_int8(nano: Path, speech: Floats) -> None:
    exact = peer(nano, speech)
    rounded = models.resolve("nano", "ctranslate2", kept_as="int8").folder
    bfloat16 = error(load_encoder(nano, 1)(speech), exact)
    of_int8 = error(load_encoder(rounded, 1)(speech), exact)
    int8 = error(peer(nano, speech, "int8"), exact)
    assert bfloat16 < of_int8 < int8 < 0.03
    assert bfloat16 < int8 / 2


def test_threads_change_no_bit(nano: Path, speech: Floats) -> None:
    one, two = (load_encoder(nano, threads)(speech) for threads in (1, 2))
    np.testing.assert_array_equal(one, two)
