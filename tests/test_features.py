"""Log-mel features against faster-whisper's extractor over the whole recording, and against Transformers'."""

from __future__ import annotations

import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor
from numpy.typing import NDArray

from distilcli import features
from distilcli.audio import from_array
from distilcli.types import Span, Window
from tests.support.media import babble

ULP = 2.0**-20 / 4
"""One unit in the last place of a log10 power between -8 and -16, in features: (log10 + 4) / 4.

The order in which a matrix product adds depends on its shape and threads, so not even faster-whisper gives
the same bits on one and on two cores.
"""

SHORT = [160, 161, 199, 200, 201, 359, 360, 1_600, 4_801]


def _signal(n: int, seed: int = 0) -> NDArray[np.float32]:
    return babble(n / 16_000 + 1, seed=seed)[:n, 0].astype(np.float32) / np.float32(32768)


def _tone(n: int) -> NDArray[np.float32]:
    return np.sin(np.arange(n) * 0.3).astype(np.float32) * np.float32(0.5)


def _whole_file_columns(
    samples: NDArray[np.float32], n_mels: int, seek: int, size: int
) -> NDArray[np.float32]:
    """What faster-whisper hands to the encoder: a slice of the features of all, padded with 0."""
    whole = FeatureExtractor(feature_size=n_mels)(samples)
    segment = whole[:, seek : min(seek + size, whole.shape[-1] - 1)]
    return np.pad(segment, ((0, 0), (0, 3000 - segment.shape[1])))


@pytest.mark.parametrize("n_mels", [80, 128])
def test_filters_are_faster_whispers(n_mels: int) -> None:
    np.testing.assert_array_equal(features.mel_filters(n_mels), FeatureExtractor(n_mels).mel_filters)


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("signal", [_signal, _tone])
def test_windows_equal_the_whole_files_features(n_mels: int, signal) -> None:
    samples = signal(75 * 16_000 + 123)
    audio = from_array(samples, "recording")
    source = np.random.default_rng(n_mels)
    anywhere = source.integers((0, 1), (7400, 3001), (12, 2)).tolist()
    for seek, size in [(0, 3000), (4500, 3000), (7499, 3000), *anywhere]:
        window = Window(audio, Span(seek / 100, (seek + size) / 100))
        expected = _whole_file_columns(samples, n_mels, seek, size)
        np.testing.assert_allclose(features.log_mel(window, n_mels), expected, rtol=0, atol=ULP)


@pytest.mark.parametrize("n", SHORT)
def test_recordings_shorter_than_a_window(n: int) -> None:
    samples = _signal(n)
    ours = features.log_mel(Window(from_array(samples, "short"), Span(0, 30)), 80)
    np.testing.assert_allclose(ours, _whole_file_columns(samples, 80, 0, 3000), rtol=0, atol=ULP)


@pytest.mark.parametrize("n", [1, 39, 40, 41, 159])
def test_recordings_shorter_than_a_frame_have_no_features(n: int) -> None:
    audio = from_array(_signal(n), "shortest")
    assert not features.log_mel(Window(audio, Span(0, 30)), 80).any()
    expected = float(FeatureExtractor(80)(audio.samples[:]).max()) * 4 - 4
    assert features.peak(audio, 80) == pytest.approx(expected, abs=1e-5)


def test_silence_is_the_floor() -> None:
    window = Window(from_array(np.zeros(32_000, np.float32), "silence"), Span(0, 2))
    expected = (np.log10(1e-10) + 4) / 4
    np.testing.assert_allclose(features.log_mel(window, 80)[:, :200], expected, rtol=0, atol=ULP)


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("loud_at", [0, 100, 31 * 16_000, 75 * 16_000 - 150])
def test_the_peak_is_found_wherever_it_is(n_mels: int, loud_at: int) -> None:
    samples = _signal(75 * 16_000)
    samples[loud_at : loud_at + 150] = 1.0
    expected = float(FeatureExtractor(n_mels)(samples).max()) * 4 - 4
    assert features.peak(from_array(samples, "loud"), n_mels) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("level", [1e-6, 1e-3, 1.0])
def test_the_peak_of_steady_noise(level: float) -> None:
    """Every frame is as loud as the others: none can be left out by its energy."""
    samples = (np.random.default_rng(3).normal(0, level / 4, 40 * 16_000)).astype(np.float32)
    expected = float(FeatureExtractor(80)(samples).max()) * 4 - 4
    assert features.peak(from_array(samples, "noise"), 80) == pytest.approx(expected, abs=1e-5)


def test_the_peak_is_computed_once_per_number_of_bands() -> None:
    audio = from_array(_signal(16_000), "recording")
    audio.log_mel_peak[80] = 2.0
    assert features.peak(audio, 80) == 2.0
    assert features.peak(audio, 128) == audio.log_mel_peak[128] != 2.0
    assert features.log_mel(Window(audio, Span(0, 1)), 80)[:, :100].min() == (2.0 - 8.0 + 4.0) / 4.0


@pytest.mark.parametrize("n", [1_600, 48_000, 480_000, 777_777])
def test_whole_features(n: int) -> None:
    samples = _signal(n)
    expected = FeatureExtractor(80)(samples)[:, :-1]
    np.testing.assert_allclose(features.log_mel_whole(samples, 80), expected, rtol=0, atol=ULP)


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize(
    ("start", "end"), [(0.0, 25.0), (4.16667, 29.16667), (40.0, 70.0), (69.9, 70.0), (3.0, 32.9999)]
)
def test_isolated_windows_are_transformers_features(n_mels: int, start: float, end: float) -> None:
    """Transformers computes with torch here, to whose values its numpy path too keeps within 1e-5."""
    transformers = pytest.importorskip("transformers")
    samples = _signal(70 * 16_000)
    samples[:1000] = 1.0  # louder than every window but the first: another recording's peak must not matter
    extract = transformers.WhisperFeatureExtractor(feature_size=n_mels)
    chunk = samples[round(start * 16_000) : round(end * 16_000)]
    expected = extract(chunk, sampling_rate=16_000, return_tensors="np")["input_features"][0]
    window = Window(from_array(samples, "recording"), Span(start, end), isolated=True)
    np.testing.assert_allclose(features.log_mel(window, n_mels), expected, rtol=1e-5, atol=1e-5)


def test_isolated_silence_is_transformers_features() -> None:
    transformers = pytest.importorskip("transformers")
    samples = np.zeros(16_000, np.float32)
    expected = transformers.WhisperFeatureExtractor()(samples, sampling_rate=16_000)["input_features"][0]
    window = Window(from_array(samples, "silence"), Span(0, 1), isolated=True)
    np.testing.assert_allclose(features.log_mel(window, 80), expected, rtol=0, atol=ULP)
