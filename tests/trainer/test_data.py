"""Manifests and the bank: what is read, what is skipped and said, what is cached."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from distilcli.converters.tokenizer_files import whisper_tokenizer
from distilcli.errors import NoInputError
from distilcli.trainer.data import open_bank, read_manifest, token_centres
from tests.support.media import KINDS, write
from tests.trainer.recordings import write_wave

TOKENIZER = whisper_tokenizer(51866)


def manifest(folder: Path, lines: list[str]) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def row(audio: str, text: str = "Hello there.") -> str:
    return json.dumps({"audio": audio, "text": text, "duration": 1.0, "speaker": "a"})


def test_sounds_lie_end_to_end_and_texts_start_with_a_space(tmp_path: Path) -> None:
    write_wave(tmp_path / "a.wav", 100)
    write_wave(tmp_path / "b.wav", 50)
    bank = open_bank(
        [manifest(tmp_path, [row("a.wav"), "", row("b.wav", "Bye.")])], TOKENIZER, tmp_path / "cache"
    )
    assert [len(bank.sound(i)) for i in range(2)] == [100, 50]
    assert bank.sound(1).tolist() == list(range(50))
    assert TOKENIZER.decode(bank.utterances[0].tokens) == " Hello there."


def test_bad_lines_and_files_are_listed_and_skipped(tmp_path: Path) -> None:
    write_wave(tmp_path / "good.wav", 100)
    write_wave(tmp_path / "long.wav", 30 * 16_000 + 1)
    write_wave(tmp_path / "empty.wav", 0)
    (tmp_path / "text.wav").write_text("not a recording")
    lines = [row("missing.wav"), row("long.wav"), row("empty.wav"), row("text.wav")]
    path = manifest(tmp_path, [*lines, "{broken", '{"audio": "x.wav"}', row("good.wav")])
    for _ in range(2):  # the second time from the cache
        bank = open_bank([path], TOKENIZER, tmp_path / "cache")
        assert len(bank.utterances) == 1
        assert len(bank.sound(0)) == 100
        for name in ("missing.wav", "long.wav", "empty.wav", "text.wav", ":5: ", ":6: "):
            assert any(name in line for line in bank.rejected), name


def test_a_recording_may_have_any_container_and_needs_no_duration(tmp_path: Path) -> None:
    time = np.arange(2 * 48_000) / 48_000
    tone = (8000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
    write(tmp_path / "tone.ogg", tone[:, None], KINDS["ogg-opus"])
    write_wave(tmp_path / "stereo.wav", 48_000, rate=48_000, channels=2)
    lines = [json.dumps({"audio": name, "text": "So."}) for name in ("tone.ogg", "stereo.wav")]
    bank = open_bank([manifest(tmp_path, lines)], TOKENIZER, tmp_path / "cache")
    assert not bank.rejected
    assert [one.seconds for one in bank.utterances] == pytest.approx([2.0, 1.0], abs=0.02)
    spectrum = np.abs(np.fft.rfft(bank.sound(0)[8_000:24_000].astype(np.float64)))
    assert int(spectrum.argmax()) == 440  # of one second: a bin is 1 Hz


def test_nothing_usable_is_an_error_with_an_example(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match=r"missing\.wav"):
        open_bank([manifest(tmp_path, [row("missing.wav")])], TOKENIZER, tmp_path / "cache")
    with pytest.raises(NoInputError, match=r"nowhere\.jsonl"):
        list(read_manifest(tmp_path / "nowhere.jsonl", []))


def test_the_cache_is_used_and_belongs_to_its_manifest(tmp_path: Path) -> None:
    write_wave(tmp_path / "a.wav", 100)
    path = manifest(tmp_path, [row("a.wav")])
    open_bank([path], TOKENIZER, tmp_path / "cache")
    (tmp_path / "a.wav").unlink()
    assert len(open_bank([path], TOKENIZER, tmp_path / "cache").sound(0)) == 100
    write_wave(tmp_path / "b.wav", 50)
    other = manifest(tmp_path, [row("b.wav")])
    assert len(open_bank([other], TOKENIZER, tmp_path / "cache").sound(0)) == 50


def test_token_centres_are_the_middles_of_the_tokens_characters() -> None:
    tokens = TOKENIZER.encode(" Hello there.")
    assert [TOKENIZER.decode([token]) for token in tokens] == [" Hello", " there", "."]
    np.testing.assert_allclose(token_centres(TOKENIZER, tokens), [3 / 13, 9 / 13, 12.5 / 13])
