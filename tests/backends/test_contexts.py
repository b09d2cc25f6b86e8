"""Short contexts: which frames the encoder gets, on both backends, and what a folder may say about them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from distilcli.backends import ct2, hf
from distilcli.backends.contexts import alike, context_mel
from distilcli.backends.hf_network import Network
from distilcli.config import DecodeOptions, EngineOptions
from distilcli.converters.ct2 import convert
from distilcli.errors import ModelError
from distilcli.features import log_mel
from distilcli.model_folder import CONTEXTS, trained_contexts
from distilcli.types import Audio, Span, Window
from tests.support.checkpoint import change_json
from tests.support.toy import toy_folder

GREEDY = DecodeOptions(beam_size=1, max_new_tokens=8)


def engine(backend: str) -> EngineOptions:
    return EngineOptions(backend=backend, device="cpu", compute_type="float32", threads=1)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy model, as if it had been trained for contexts of 4 s and 10 s."""
    folder = tmp_path_factory.mktemp("short") / "model"
    shutil.copytree(toy_folder("multi"), folder)
    change_json(folder / "config.json", **{CONTEXTS: [10, 4.0]})
    return folder


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lengths of what the Transformers encoder gets."""
    seen: list[int] = []
    encode = Network.encode

    def watched(network: Network, mel: torch.Tensor) -> torch.Tensor:
        seen.append(mel.shape[-1])
        return encode(network, mel)

    monkeypatch.setattr(Network, "encode", watched)
    return seen


def windows(*seconds: float) -> list[Window]:
    """Windows on the first seconds of one noise."""
    noise = np.random.default_rng(0).normal(0, 0.1, 30 * 16_000).astype(np.float32)
    return [Window(Audio("noise", noise), Span(0.0, end), language="en") for end in seconds]


@pytest.mark.parametrize(
    ("seconds", "expected"), [(1.0, 400), (4.0, 400), (4.01, 1000), (10.0, 1000), (10.01, 3000), (30.0, 3000)]
)
def test_the_shortest_context_that_holds_the_sound(seconds: float, expected: int) -> None:
    (window,) = windows(seconds)
    mel = context_mel(window, 80, (4.0, 10.0))
    np.testing.assert_array_equal(mel, log_mel(window, 80)[:, :expected])


def test_sound_ends_with_the_recording() -> None:
    window = Window(Audio("clip", np.ones(16_000, np.float32)), Span(0.0, 30.0))
    assert context_mel(window, 80, (4.0,)).shape == (80, 400)


def test_without_contexts_every_window_has_3000_frames() -> None:
    assert context_mel(windows(1.0)[0], 80, ()).shape == (80, 3000)


def test_equal_keys_stay_together() -> None:
    assert alike(["a", "b", "a", "c", "b"]) == [[0, 2], [1, 4], [3]]


def test_both_backends_hear_the_same_short_contexts(short: Path, tmp_path: Path, frames: list[int]) -> None:
    convert(short, tmp_path / "ct2")
    one, other = hf.load(short, engine("transformers")), ct2.load(tmp_path / "ct2", engine("ctranslate2"))
    asked = windows(3.0, 30.0, 8.0, 3.5)
    answers = [backend.decode(asked, GREEDY) for backend in (one, other)]
    assert sorted(frames) == [400, 400, 1000, 3000]
    for mine, theirs in zip(*answers, strict=True):
        assert mine.tokens == theirs.tokens
        assert mine.avg_logprob == pytest.approx(theirs.avg_logprob, abs=1e-3)
    languages = [backend.detect_language(asked) for backend in (one, other)]
    for mine_, theirs_ in zip(*languages, strict=True):
        assert mine_["en"] == pytest.approx(theirs_["en"], abs=1e-3)
    alone = [one.decode([window], GREEDY)[0] for window in asked]
    assert [answer.tokens for answer in alone] == [answer.tokens for answer in answers[0]]
    one.close()
    other.close()


def test_other_models_always_hear_30_seconds(frames: list[int]) -> None:
    hf.load(toy_folder("multi"), engine("transformers")).decode(windows(3.0), GREEDY)
    assert frames == [3000]


@pytest.mark.parametrize("listed", ["5", [0], [31.0], [True], {"5": 1}])
def test_what_is_no_list_of_seconds_is_refused(tmp_path: Path, listed: object) -> None:
    change_json(tmp_path / "config.json", **{CONTEXTS: listed})
    with pytest.raises(ModelError, match=r"config.json: expected audio_contexts to list seconds up to 30"):
        trained_contexts(tmp_path)


def test_contexts_are_sorted(short: Path) -> None:
    assert trained_contexts(short) == (4.0, 10.0)
