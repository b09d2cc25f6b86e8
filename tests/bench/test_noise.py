"""Noise has the level and the colour that it is said to have, and is the same in every run."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from distilcli.bench.noise import ALONE_DB, NoiseSource, alone, noisy, recordings_in, samples_of
from distilcli.bench.values import Clip, ClipSet
from distilcli.errors import NoInputError, UsageError
from distilcli.sound_files import write_wave

SECONDS = 4
RATE = 16_000


def tone(hertz: float = 440.0, seconds: float = SECONDS, level: float = 0.2) -> NDArray[np.int16]:
    """A sine, (n,) int16."""
    time = np.arange(round(seconds * RATE)) / RATE
    return np.round(32767 * level * np.sin(2 * np.pi * hertz * time)).astype(np.int16)


@pytest.fixture
def clips(tmp_path: Path) -> ClipSet:
    """Two recordings with text."""
    found = []
    for number in range(2):
        path = tmp_path / f"speech{number}.wav"
        write_wave(path, tone(300.0 + 200 * number))
        os.utime(path, (1, 1))  # noise belongs to a file as it is: the same in every run of the test
        found.append(Clip(path=str(path), text=f"number {number}", language="en", duration=SECONDS))
    return ClipSet(name="speech", clips=tuple(found))


def decibels(samples: NDArray[np.floating]) -> float:
    """Mean power of samples in dB of full scale."""
    return 10 * float(np.log10(np.mean(np.square(samples, dtype=np.float64))))


def ratio_of(speech: NDArray[np.float32], mixture: NDArray[np.float32]) -> float:
    """Signal-to-noise ratio in dB: the speech in the mixture is found by projection, the rest is noise."""
    gain = float(np.dot(mixture, speech) / np.dot(speech, speech))
    return decibels(gain * speech) - decibels(mixture - gain * speech)


@pytest.mark.parametrize("level", [40.0, 10.0, 0.0, -5.0])
def test_the_ratio_is_the_stated_one(clips: ClipSet, tmp_path: Path, level: float) -> None:
    for mixed in noisy(clips, [level], NoiseSource(("white", "pink")), tmp_path / "noise"):
        assert (mixed.snr, mixed.name) == (level, f"speech, {mixed.noise} noise {level:g} dB")
        for before, after in zip(clips.clips, mixed.clips, strict=True):
            assert (after.text, after.language, after.duration) == (before.text, "en", SECONDS)
            found = ratio_of(samples_of(Path(before.path)), samples_of(Path(after.path)))
            assert found == pytest.approx(level, abs=0.2)


def test_every_level_hears_the_same_noise(clips: ClipSet, tmp_path: Path) -> None:
    speech = samples_of(Path(clips.clips[0].path))
    rests = []
    for mixed in noisy(clips, [10.0, 0.0], NoiseSource(("white",)), tmp_path / "noise"):
        mixture = samples_of(Path(mixed.clips[0].path))
        rest = mixture - speech * np.float32(np.dot(mixture, speech) / np.dot(speech, speech))
        rests.append(rest / np.linalg.norm(rest))
    assert float(np.dot(*rests)) == pytest.approx(1.0, abs=0.01)


def test_pink_noise_has_equal_power_in_every_octave() -> None:
    samples = NoiseSource(("pink",)).make("pink", 60 * RATE, "any")
    power = np.abs(np.fft.rfft(samples)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    octaves = [power[(hertz >= low) & (hertz < 2 * low)].sum() for low in (62.5, 250, 1000, 4000)]
    assert max(octaves) / min(octaves) < 1.15
    assert np.mean(np.square(samples)) == pytest.approx(1.0, rel=1e-3)


def test_recorded_noise_goes_round_from_anywhere(tmp_path: Path) -> None:
    folder = tmp_path / "rain"
    (folder / "more").mkdir(parents=True)
    write_wave(folder / "more" / "rain.wav", tone(50.0, 1.0))
    write_wave(folder / "silence.wav", np.zeros(RATE, dtype=np.int16))
    (folder / "LICENSE").write_text("free")
    recordings = recordings_in(folder)
    assert list(recordings) == ["more/rain.wav"]
    made = NoiseSource(("recorded",), recordings).make("recorded", 2 * RATE, "a clip")
    assert made[:RATE] == pytest.approx(made[RATE:])
    (loudest,) = np.flatnonzero(np.abs(np.fft.rfft(made[:RATE])) > RATE / 4)
    assert loudest == 50


def test_noise_depends_on_recording_kind_and_seed_alone() -> None:
    source = NoiseSource(("white",))
    assert np.array_equal(source.make("white", 100, "a"), source.make("white", 100, "a"))
    assert not np.array_equal(source.make("white", 100, "a"), source.make("white", 100, "b"))
    assert not np.array_equal(
        source.make("white", 100, "a"), NoiseSource(("white",), seed=1).make("white", 100, "a")
    )


def test_files_of_an_earlier_run_are_used_again(clips: ClipSet, tmp_path: Path) -> None:
    source, folder = NoiseSource(("white",)), tmp_path / "noise"
    first = noisy(clips, [5.0], source, folder)
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert noisy(clips, [5.0], source, folder) == first
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == times
    write_wave(Path(clips.clips[0].path), tone(700.0))  # another recording under the same name
    assert noisy(clips, [5.0], source, folder)[0].clips[0] != first[0].clips[0]


def test_noise_alone_has_no_text_and_its_own_level(tmp_path: Path) -> None:
    found = alone(NoiseSource(("white", "pink")), tmp_path, clips=2, seconds=2.0)
    assert len(found.clips) == 4
    assert found.noise
    assert found.snr is None
    for clip in found.clips:
        assert (clip.text, clip.duration) == (None, 2.0)
        samples = samples_of(Path(clip.path))
        assert len(samples) == 2 * RATE
        assert decibels(samples) == pytest.approx(ALONE_DB, abs=0.1)


def test_what_cannot_be_mixed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not 'pnk' \\(did you mean 'pink'"):
        NoiseSource(("pnk",))
    with pytest.raises(UsageError, match="needs a folder"):
        NoiseSource(("recorded",))
    with pytest.raises(NoInputError, match="found none"):
        recordings_in(tmp_path)
