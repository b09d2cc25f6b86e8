"""The channels of a recording, apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distilcli.audio import open_audio, open_channels
from distilcli.errors import InputError
from tests.support.media import KINDS, babble, write, write_wav


def test_each_channel_is_what_it_would_be_alone(tmp_path: Path) -> None:
    both = babble(3.0, channels=2)
    write_wav(tmp_path / "both.wav", both)
    with open_channels(tmp_path / "both.wav") as channels:
        assert len(channels) == 2
        for number, audio in enumerate(channels):
            write_wav(tmp_path / "alone.wav", both[:, number])
            with open_audio(tmp_path / "alone.wav") as alone:
                assert np.array_equal(audio.samples[0:48_000], alone.samples[0:48_000])
                assert audio.log_mel_peak == alone.log_mel_peak


def test_channels_of_another_rate_have_one_length(tmp_path: Path) -> None:
    kind = KINDS["mkv"]
    write(tmp_path / "six.mkv", babble(2.0, kind.rate, 6), kind)
    with open_channels(tmp_path / "six.mkv") as channels:
        assert [audio.duration for audio in channels] == pytest.approx([2.0] * 6, abs=0.1)


def test_one_channel_of_two(tmp_path: Path) -> None:
    both = babble(1.0, channels=2)
    path = write_wav(tmp_path / "both.wav", both)
    with open_channels(path, channel=2) as (audio,):
        assert np.array_equal(audio.samples[0:16_000], both[:, 1].astype(np.float32) / 32768)


def test_a_channel_that_is_not_there(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "mono.wav", babble(1.0)[:, 0])
    with (
        pytest.raises(InputError, match=r"mono\.wav: has 1 channel, and --channels asks for number 2"),
        open_channels(path, channel=2),
    ):
        pass
