"""Augmentation: pitch and length, signal-to-noise ratios, masks and spellings, all drawn from a generator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from distilcli.errors import NoInputError
from distilcli.tokens import Tokenizer
from distilcli.trainer.augment import add_noise, bpe_dropout, change_speed, mask
from distilcli.trainer.recipe import AugmentOptions
from tests.support.tokenizer import whisper_tokenizer_json
from tests.trainer.recordings import write_wave

TEXT = " Pack my box with five dozen liquor jugs, said the éminence grise."


def tone(seconds: float, hertz: float) -> NDArray[np.float32]:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * 16_000)) / 16_000).astype(np.float32) * 0.5


def loudest_hertz(samples: NDArray[np.float32]) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * 16_000 / len(samples))


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("speed", [0.5, 0.9, 1.1, 2.0])
def test_speed_changes_length_and_pitch_and_keeps_the_level(speed: float) -> None:
    played = change_speed(tone(1.0, 440.0), speed)
    assert len(played) == round(16_000 / speed)
    assert played.dtype == np.float32
    assert loudest_hertz(played) == pytest.approx(440.0 * speed, abs=2.0)
    middle = played[len(played) // 4 : -len(played) // 4]
    assert float(np.sqrt(np.square(middle).mean())) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_tones_that_a_higher_speed_moves_over_8_khz_are_gone() -> None:
    played = change_speed(tone(1.0, 6000.0), 1.5)
    assert float(np.abs(played[1000:-1000]).max()) < 0.01


def test_speed_1_changes_nothing() -> None:
    samples = tone(0.1, 440.0)
    np.testing.assert_array_equal(change_speed(samples, 1.0), samples)


@pytest.mark.parametrize("snr", [5.0, 20.0])
def test_noise_has_the_ratio_that_was_drawn(snr: float) -> None:
    speech = tone(1.0, 440.0)
    options = AugmentOptions(noise_probability=1.0, noise_snr=(snr, snr))
    noisy = add_noise(speech, options, random())
    gain = float(noisy @ speech / (speech @ speech))  # a mixture that would clip is turned down
    noise = noisy - gain * speech
    found = 10 * np.log10(gain**2 * np.square(speech).mean() / np.square(noise).mean())
    assert found == pytest.approx(snr, abs=0.3)
    assert float(np.abs(noisy).max()) <= 1.0


def test_noise_comes_to_its_share_of_windows() -> None:
    options = AugmentOptions(noise_probability=0.25)
    speech = tone(0.01, 440.0)
    source = random()
    noisy = [add_noise(speech, options, source) is not speech for _ in range(1000)]
    assert np.mean(noisy) == pytest.approx(0.25, abs=0.05)


def test_noise_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no sound")
    write_wave(tmp_path / "ramp.wav", 4000)
    options = AugmentOptions(noise_probability=1.0, noise_folder=str(tmp_path), noise_snr=(10.0, 10.0))
    silent_start = np.concatenate([np.zeros(8000, np.float32), tone(0.5, 440.0)])
    noisy = add_noise(silent_start, options, random())
    assert np.abs(noisy[:8000]).max() > 0.0
    np.testing.assert_allclose(noisy[:4000], noisy[4000:8000], atol=1e-6)  # repeated to the length


def test_a_folder_without_recordings_is_an_error(tmp_path: Path) -> None:
    options = AugmentOptions(noise_probability=1.0, noise_folder=str(tmp_path))
    with pytest.raises(NoInputError, match=r"augment.noise_folder: no recordings in"):
        add_noise(tone(0.1, 440.0), options, random())
    gone = replace(options, noise_folder=str(tmp_path / "gone"))
    with pytest.raises(NoInputError, match=r"augment.noise_folder: there is no folder .*gone"):
        add_noise(tone(0.1, 440.0), gone, random())


def test_masks_are_as_many_and_as_wide_as_asked() -> None:
    mel = np.ones((80, 300), np.float32)
    options = AugmentOptions(spec_time_masks=2, spec_time_frames=20, spec_mel_masks=1, spec_mel_bands=10)
    source = random()
    widths = []
    for _ in range(200):
        masked = mask(mel, 200, options, source)
        in_time = (masked == 0.0).all(axis=0)
        in_mel = (masked == 0.0).all(axis=1)
        assert not in_time[200:].any()
        assert in_time.sum() <= 40
        assert in_mel.sum() <= 10
        widths.append(in_time.sum())
        assert ((masked == 0.0) == (in_time[None] | in_mel[:, None])).all()
    assert max(widths) > 25
    assert mel.all()


def test_masks_of_short_windows_stay_inside() -> None:
    options = AugmentOptions(spec_time_masks=3, spec_time_frames=100)
    assert mask(np.ones((80, 300), np.float32), 4, options, random())[:, 4:].all()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    import tokenizers

    return Tokenizer(tokenizers.Tokenizer.from_file(str(whisper_tokenizer_json(51866))))


@pytest.mark.parametrize("probability", [0.1, 0.5, 1.0])
def test_other_spellings_say_the_same(tokenizer: Tokenizer, probability: float) -> None:
    tokens = tuple(tokenizer.encode(TEXT))
    other = bpe_dropout(tokenizer).respell(tokens, probability, random())
    assert tokenizer.decode(other) == tokenizer.decode(tokens) == TEXT
    assert len(other) > len(tokens)


def test_without_any_merge_letters_are_left(tokenizer: Tokenizer) -> None:
    tokens = tuple(tokenizer.encode(" box"))
    letters = bpe_dropout(tokenizer).respell(tokens, 1.0, random())
    assert [tokenizer.decode([token]) for token in letters] == [" ", "b", "o", "x"]


def test_without_dropout_the_spelling_stays(tokenizer: Tokenizer) -> None:
    tokens = tuple(tokenizer.encode(TEXT))
    assert bpe_dropout(tokenizer).respell(tokens, 0.0, random()) == tokens


def test_equal_generators_spell_alike(tokenizer: Tokenizer) -> None:
    tokens = tuple(tokenizer.encode(TEXT))
    one, same, other = (bpe_dropout(tokenizer).respell(tokens, 0.3, random(seed)) for seed in (1, 1, 2))
    assert one == same != other
