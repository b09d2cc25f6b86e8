"""The corpus: every container decoded, every problem listed, the same data under the same digest."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from distilcli.errors import NoInputError
from distilcli.trainer.corpus import open_corpus
from distilcli.trainer.recipe import DataOptions, SourceOptions
from distilcli.trainer.records import Corpus
from distilcli.types import SAMPLE_RATE
from tests.support.media import KINDS, babble, truncate, write_kind, write_wav
from tests.support.recordings import decoded


def manifest(path: Path, rows: list[dict[str, object]]) -> SourceOptions:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return SourceOptions(path=str(path))


def opened(folder: Path, *sources: SourceOptions, **options: float) -> Corpus:
    data = DataOptions(sources=sources, **options)  # type: ignore[arg-type]  # limits are floats
    return open_corpus(sources, data, folder / "cache")


@pytest.mark.parametrize("kind", ["wav-16k-mono", "wav-44k", "mp3", "ogg-opus", "flac", "m4a-aac"])
def test_every_container_gives_the_samples_of_the_transcriber(tmp_path: Path, kind: str) -> None:
    path = write_kind(tmp_path / f"a{KINDS[kind].suffix}", KINDS[kind], 1.5)
    corpus = opened(tmp_path, manifest(tmp_path / "m.jsonl", [{"audio": path.name}]))
    expected, _ = decoded(path)
    np.testing.assert_array_equal(corpus.sound(0) / np.float32(32768), expected)
    assert corpus.recordings[0].seconds == len(expected) / SAMPLE_RATE


def test_unusable_recordings_are_listed_and_skipped(tmp_path: Path) -> None:
    write_wav(tmp_path / "good.wav", babble(1.0)[:, 0])
    write_wav(tmp_path / "short.wav", babble(0.05)[:, 0])
    write_wav(tmp_path / "long.wav", np.zeros(31 * SAMPLE_RATE, np.int16))
    truncate(write_wav(tmp_path / "whole.wav", babble(4.0)[:, 0]), tmp_path / "cut.wav", 0.5)
    (tmp_path / "text.wav").write_text("not a recording")
    (tmp_path / "empty.wav").write_bytes(b"")
    names = ["missing.wav", "short.wav", "long.wav", "cut.wav", "text.wav", "empty.wav", "good.wav"]
    source = manifest(tmp_path / "m.jsonl", [{"audio": name} for name in names])
    for _ in range(2):  # the second time from the cache
        corpus = opened(tmp_path, source)
        assert [one.id for one in corpus.recordings] == ["good.wav"]
        assert [one.where for one in corpus.rejected] == [str(tmp_path / name) for name in names[:-1]]
        reasons = [one.reason for one in corpus.rejected]
        expected = ("cannot be opened", "0.05 s", "longer than 30 s", "cut short", "text", "0 bytes")
        for reason, word in zip(reasons, expected, strict=True):
            assert word in reason
            assert str(tmp_path) not in reason  # `where` says it


def test_both_limits_of_the_length_are_inclusive(tmp_path: Path) -> None:
    for name, seconds in (("a", 30.0), ("b", 1.0), ("c", 0.5)):
        write_wav(tmp_path / f"{name}.wav", np.zeros(round(seconds * SAMPLE_RATE), np.int16))
    source = manifest(tmp_path / "m.jsonl", [{"audio": f"{name}.wav"} for name in "abc"])
    assert [one.id for one in opened(tmp_path, source, min_seconds=1.0).recordings] == ["a.wav", "b.wav"]
    assert [one.id for one in opened(tmp_path, source, max_seconds=0.5).recordings] == ["c.wav"]


def test_several_sources_keep_order_ids_weights_and_languages(tmp_path: Path) -> None:
    for name in "abc":
        write_wav(tmp_path / f"{name}.wav", babble(1.0, seed=ord(name))[:, 0])
    first = manifest(
        tmp_path / "1.jsonl", [{"audio": "a.wav", "id": "x", "text": "One."}, {"audio": "b.wav", "id": "x"}]
    )
    second = SourceOptions(
        path=manifest(tmp_path / "2.jsonl", [{"audio": "c.wav", "id": "x"}]).path, weight=2.0, language="de"
    )
    corpus = opened(tmp_path, first, second)
    assert [(one.id, one.source, one.language, one.weight) for one in corpus.recordings] == [
        ("x", first.path, "en", 1.0),
        ("x#2", first.path, "en", 1.0),
        ("x", second.path, "de", 2.0),
    ]
    assert len({one.key for one in corpus.recordings}) == 3
    assert [one.offset for one in corpus.recordings] == [0, 16_000, 32_000]
    np.testing.assert_array_equal(corpus.sound(2), babble(1.0, seed=ord("c"))[:, 0])


def test_the_digest_is_that_of_the_data(tmp_path: Path) -> None:
    def digest(folder: Path, text: str = "One.", seed: int = 0, weight: float = 1.0) -> str:
        write_wav(tmp_path / "a.wav", babble(1.0, seed=seed)[:, 0])
        path = manifest(tmp_path / "m.jsonl", [{"audio": "a.wav", "text": text}]).path
        return opened(folder, SourceOptions(path=path, weight=weight)).digest

    first = digest(tmp_path / "1")
    assert digest(tmp_path / "2") == first == digest(tmp_path / "1", weight=3.0)
    assert digest(tmp_path / "3", text="Two.") != first
    assert digest(tmp_path / "4", seed=1) != first  # as long as before, another sound


def test_nothing_usable_says_why(tmp_path: Path) -> None:
    source = manifest(tmp_path / "m.jsonl", [{"audio": f"missing-{number}.wav"} for number in range(5)])
    with pytest.raises(NoInputError, match=r"missing-2\.wav: cannot be opened.*and 2 more"):
        opened(tmp_path, source)
