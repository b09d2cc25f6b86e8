"""Media of every kind, whole and damaged, against faster-whisper's decoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from faster_whisper.audio import decode_audio

from distilcli import features
from distilcli.audio import from_array, open_audio
from tests.support.media import KINDS, Kind, babble, truncate, write, write_kind, write_wav
from tests.support.recordings import complaint, decoded


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILCLI_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", KINDS)
def test_samples_are_faster_whispers(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    path = write_kind(tmp_path / f"a{kind.suffix}", kind, 2.0, video=kind.suffix in {".mp4", ".mov", ".mkv"})
    samples, warnings = decoded(path)
    np.testing.assert_array_equal(samples, decode_audio(str(path)))
    assert not warnings
    assert len(samples) == pytest.approx(32_000, abs=1_000)


def test_samples_of_a_recording_of_several_groups(tmp_path: Path) -> None:
    path = write_kind(tmp_path / "long.flac", KINDS["flac"], 30.0)  # 1.3 million source samples
    progress: list[tuple[float, float | None]] = []
    with open_audio(path, n_mels=128, progress=lambda *seconds: progress.append(seconds)) as audio:
        expected = decode_audio(str(path))
        np.testing.assert_array_equal(audio.samples[0 : len(audio.samples)], expected)
        assert audio.duration == 30.0
        assert list(audio.log_mel_peak) == [128]
        assert audio.log_mel_peak[128] == features.peak(from_array(expected, "array"), 128)
    assert len(progress) >= 3
    assert progress == sorted(progress)
    assert progress[-1] == (30.0, 30.0)


def test_full_scale_and_clipped_samples(tmp_path: Path) -> None:
    loud = np.array([[0.0], [1.0], [-1.0], [7.5], [-7.5], [0.5]], np.float32).repeat(4_000, axis=0)
    samples, warnings = decoded(write(tmp_path / "a.wav", loud, Kind(".wav", "pcm_f32le", 16_000, "mono")))
    assert samples[::4_000].tolist() == [0.0, 32767 / 32768, -1.0, 32767 / 32768, -1.0, 0.5]
    assert not warnings


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_samples_that_are_not_numbers_become_silence(tmp_path: Path, rate: int) -> None:
    sound = babble(2.0, rate).astype(np.float32) / 32768
    broken = sound.copy()
    broken[rate // 2 : rate // 2 + 60, 0] = np.nan
    broken[rate, 0] = np.inf
    kind = Kind(".wav", "pcm_f32le", rate, "mono")
    samples, warnings = decoded(write(tmp_path / "a.wav", broken, kind))
    expected, _ = decoded(write(tmp_path / "b.wav", sound, kind))
    assert len(warnings) == 1
    assert "61 samples are not finite" in warnings[0]
    untouched = np.ones(len(expected), bool)
    untouched[7_800:8_300] = untouched[15_800:16_200] = False
    np.testing.assert_array_equal(samples[untouched], expected[untouched])
    assert np.abs(samples[8_005:8_015]).max() < 0.05


def test_a_recording_whose_format_changes(tmp_path: Path) -> None:
    """Two MP3 files one after the other, as broadcasters and `cat` make them."""
    stereo = write_kind(tmp_path / "1.mp3", KINDS["mp3"], 2.0)
    mono = write_kind(tmp_path / "2.mp3", KINDS["mp3-22k-mono"], 3.0)
    (tmp_path / "both.mp3").write_bytes(stereo.read_bytes() + mono.read_bytes())
    samples, _ = decoded(tmp_path / "both.mp3")
    assert len(samples) / 16_000 == pytest.approx(5.0, abs=0.2)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (KINDS["mp3"], {}),
        (KINDS["m4a-aac"], {"movflags": "faststart"}),
        (KINDS["flac"], {}),
        (Kind(".mka", "flac", 48_000, "stereo"), {}),
        (KINDS["wav-16k-mono"], {}),
    ],
)
def test_a_truncated_file_gives_what_it_has(tmp_path: Path, kind: Kind, options: dict[str, str]) -> None:
    channels = 1 if kind.layout == "mono" else 2
    path = write(tmp_path / f"a{kind.suffix}", babble(10.0, kind.rate, channels), kind, options=options)
    whole = decode_audio(str(path))
    short = truncate(path, tmp_path / f"short{kind.suffix}", 0.6)
    samples, warnings = decoded(short)
    assert len(samples) / len(whole) == pytest.approx(0.6, abs=0.1)
    np.testing.assert_array_equal(samples[:-2_000], whole[: len(samples) - 2_000])
    assert warnings[-1].startswith(f"{short}: ends after ")
    assert warnings[-1].endswith("of 10.0 seconds: the file is cut short")


def test_a_truncated_mp4_whose_index_was_at_its_end(tmp_path: Path) -> None:
    path = write_kind(tmp_path / "a.mp4", KINDS["mp4"], 2.0, video=True)
    short = truncate(path, tmp_path / "short.mp4", 0.8)
    assert "found an MP4 file whose index is missing, as if it had been cut short" in complaint(short)


@pytest.mark.parametrize("name", ["mp3", "m4a-aac"])
def test_damage_in_the_middle_costs_only_the_damaged_part(tmp_path: Path, name: str) -> None:
    path = write_kind(tmp_path / f"a{KINDS[name].suffix}", KINDS[name], 10.0)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 600] = np.random.default_rng(1).bytes(600)
    path.write_bytes(data)
    samples, warnings = decoded(path)
    assert len(samples) / 16_000 == pytest.approx(10.0, abs=0.3)
    assert len(warnings) == 1
    assert "of audio left out" in warnings[0]


def test_a_wav_file_whose_length_was_never_written(tmp_path: Path) -> None:
    """What a recorder leaves behind that writes to a pipe: 0xFFFFFFFF as size."""
    data = bytearray(write_wav(tmp_path / "a.wav", babble(2.0)).read_bytes())
    data[4:8] = data[40:44] = b"\xff" * 4
    (tmp_path / "a.wav").write_bytes(data)
    samples, warnings = decoded(tmp_path / "a.wav")
    np.testing.assert_array_equal(samples, decode_audio(str(tmp_path / "a.wav")))
    assert len(samples) == 32_000
    assert not warnings
