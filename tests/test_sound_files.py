"""Sound files: WAV keeps every sample, MP3 keeps length and pitch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distilcli.errors import OutputError
from distilcli.sound_files import mp3, write_wave
from distilcli.trainer.corpus import decode
from tests.support.recordings import decoded


def test_a_wave_file_has_the_same_samples(tmp_path: Path) -> None:
    samples = np.random.default_rng(1).integers(-32768, 32767, 5000, dtype=np.int16)
    write_wave(tmp_path / "a.wav", samples)
    assert np.array_equal(decode(tmp_path / "a.wav", "a.wav"), samples)


def test_a_wave_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        write_wave(tmp_path / "nowhere" / "a.wav", np.zeros(10, dtype=np.int16))


def test_mp3_keeps_length_and_pitch(tmp_path: Path) -> None:
    time = np.arange(3 * 16_000) / 16_000
    sound = (8000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3(sound))
    assert path.stat().st_size < sound.nbytes / 4
    heard, warnings = decoded(path)
    assert not warnings
    assert len(heard) / 16_000 == pytest.approx(3.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(heard[16_000:32_000]))
    assert int(spectrum.argmax()) == 440  # of one second: a bin is 1 Hz


def test_even_a_short_recording_becomes_mp3() -> None:
    assert mp3(np.zeros(160, dtype=np.int16))
