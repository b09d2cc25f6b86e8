"""Manifests and the bank: what is read, what is skipped and said, what is cached."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from distilcli.errors import NoInputError
from distilcli.trainer.data import open_bank, read_manifest, token_centres
from distilcli.trainer.tokenizer_files import whisper_tokenizer
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
    write_wave(tmp_path / "stereo.wav", 100, channels=2)
    write_wave(tmp_path / "fast.wav", 100, rate=48_000)
    write_wave(tmp_path / "empty.wav", 0)
    (tmp_path / "text.wav").write_text("not a recording")
    lines = [row("missing.wav"), row("stereo.wav"), row("fast.wav"), row("empty.wav"), row("text.wav")]
    path = manifest(tmp_path, [*lines, "{broken", '{"audio": "x.wav"}', row("good.wav")])
    for _ in range(2):  # the second time from the cache
        bank = open_bank([path], TOKENIZER, tmp_path / "cache")
        assert len(bank.utterances) == 1
        assert len(bank.sound(0)) == 100
        for name in ("missing.wav", "stereo.wav", "fast.wav", "empty.wav", "text.wav", ":6: ", ":7: "):
            assert any(name in line for line in bank.rejected), name


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
