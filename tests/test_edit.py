"""Editing, checked by arithmetic on the arrays."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from distilcli import edit
from distilcli.types import Span

QUIET = 1e-8
"""32-bit integers keep 2**-32 of full scale; pydub's gains and sums round a few times."""


def _noise(n: int, level: float, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, level, n).astype(np.float32)


def _power(samples: NDArray[np.float32]) -> float:
    return float(np.mean(samples.astype(np.float64) ** 2))


@pytest.mark.parametrize("snr", [-5.0, 0.0, 10.0, 30.0])
@pytest.mark.parametrize("level", [1e-4, 0.05])
def test_mix_has_the_stated_ratio(snr: float, level: float) -> None:
    speech, noise = _noise(32_007, level), _noise(5_000, 1e-3, seed=1)
    mixed = edit.mix(speech, noise, snr)
    assert mixed.shape == speech.shape
    added = mixed.astype(np.float64) - speech
    assert 10 * np.log10(_power(speech) / _power(added)) == pytest.approx(snr, abs=0.05)
    np.testing.assert_allclose(added[:5_000], added[5_000:10_000], atol=1e-6)  # the noise is repeated


def test_mix_never_clips_and_keeps_the_ratio() -> None:
    speech = np.sin(np.arange(16_000) * 0.1).astype(np.float32)
    noise = _noise(16_000, 0.3, seed=2)
    mixed = edit.mix(speech, noise, 0.0).astype(np.float64)
    assert np.abs(mixed).max() < 1.0
    loudness = np.linalg.lstsq(np.stack([speech, noise], axis=1).astype(np.float64), mixed, rcond=None)[0]
    ratio = _power(speech * np.float32(loudness[0])) / _power(noise * np.float32(loudness[1]))
    assert 10 * np.log10(ratio) == pytest.approx(0.0, abs=0.05)


def test_mix_without_energy_changes_nothing() -> None:
    speech = _noise(1_000, 0.1)
    silence = np.zeros(500, np.float32)
    np.testing.assert_array_equal(edit.mix(speech, silence, 10), speech)
    np.testing.assert_array_equal(edit.mix(silence, speech, 10), silence)


def test_cut_is_exact_to_the_sample() -> None:
    samples = _noise(16_000, 0.1)
    piece = edit.cut(samples, Span(0.10003, 0.2))
    np.testing.assert_allclose(piece, samples[1_600:3_200], atol=QUIET)
    np.testing.assert_allclose(edit.cut(samples, Span(0.9, 5.0)), samples[14_400:], atol=QUIET)


def test_join_says_where_the_pieces_lie() -> None:
    pieces = [_noise(n, 0.1, seed=n) for n in (1_000, 16_001, 7)]
    joined, spans = edit.join(pieces, silence=0.25)
    assert len(joined) == 1_000 + 16_001 + 7 + 2 * 4_000
    for piece, span in zip(pieces, spans, strict=True):
        start = round(span.start * 16_000)
        np.testing.assert_allclose(joined[start : round(span.end * 16_000)], piece, atol=QUIET)
    assert not joined[1_000:5_000].any()
    assert edit.join([])[1] == ()


def test_channels() -> None:
    three = np.stack([_noise(1_001, 0.1, seed=seed) for seed in range(3)], axis=1)
    np.testing.assert_allclose(edit.pick_channel(three, 2), three[:, 2], atol=QUIET)
    np.testing.assert_allclose(edit.mix_channels(three), three.mean(axis=1), atol=1e-7)


def test_segments_keep_full_scale() -> None:
    samples = np.array([-2.0, -1.0, 0.0, 0.25, 1.0, 2.0], np.float32)
    expected = [-1.0, -1.0, 0.0, 0.25, 1.0, 1.0]
    assert edit.from_segment(edit.to_segment(samples)).tolist() == expected
