"""Hugging Face data sets: saved, in splits, by name, streamed; and the message without the package."""

from __future__ import annotations

import importlib.util
import sys
import zipfile
from pathlib import Path

import pytest

from distilcli.errors import EnvironmentProblem, NoInputError, UsageError
from distilcli.trainer.corpus import open_corpus
from distilcli.trainer.recipe import DataOptions, SourceOptions
from distilcli.trainer.records import Corpus
from distilcli.trainer.sources import open_source
from tests.support.media import KINDS, babble, write_kind, write_wav

needs_datasets = pytest.mark.skipif(
    importlib.util.find_spec("datasets") is None, reason="needs the datasets package"
)


def rows(folder: Path) -> dict[str, list[object]]:
    """Three recordings of several containers, the last one damaged; the columns of a data set."""
    folder.mkdir(exist_ok=True)
    files = [write_wav(folder / "a.wav", babble(1.0)[:, 0]), write_kind(folder / "b.mp3", KINDS["mp3"], 1.0)]
    (folder / "c.wav").write_bytes(b"no sound")
    return {
        "audio": [str(file) for file in (*files, folder / "c.wav")],
        "text": ["One.", None, "Three."],
        "speaker": ["s1", "s2", "s2"],
        "utt": ["u1", "u2", "u3"],
    }


def dataset(folder: Path) -> object:
    import datasets

    return datasets.Dataset.from_dict(rows(folder)).cast_column("audio", datasets.Audio())


def opened(folder: Path, source: SourceOptions) -> Corpus:
    data = DataOptions(sources=(source,))
    return open_corpus(data.sources, data, folder / "cache")


@needs_datasets
def test_a_saved_data_set_gives_ids_texts_and_speakers(tmp_path: Path) -> None:
    dataset(tmp_path / "speech").save_to_disk(str(tmp_path / "saved"))  # type: ignore[attr-defined]
    source = SourceOptions(path=str(tmp_path / "saved"), id_column="utt")
    assert open_source(source, "en").identity == open_source(source, "en").identity
    corpus = opened(tmp_path, source)
    assert [(one.id, one.text, one.speaker) for one in corpus.recordings] == [
        ("u1", "One.", "s1"),
        ("u2", None, "s2"),
    ]
    assert corpus.sound(0).tolist() == babble(1.0)[:, 0].tolist()
    assert len(corpus.rejected) == 1
    assert "u3" in corpus.rejected[0].where


@needs_datasets
def test_splits_of_a_saved_data_set(tmp_path: Path) -> None:
    import datasets

    splits = datasets.DatasetDict({"train": dataset(tmp_path / "speech")})
    splits.save_to_disk(str(tmp_path / "saved"))
    path = str(tmp_path / "saved")
    assert len(opened(tmp_path, SourceOptions(path=path, max_samples=1)).recordings) == 1
    with pytest.raises(UsageError, match=r"no split .trian. .did you mean .train"):
        open_source(SourceOptions(path=path, split="trian"), "en")
    with pytest.raises(UsageError, match="no column 'sound'"):
        open_source(SourceOptions(path=path, audio_column="sound"), "en")


@needs_datasets
@pytest.mark.parametrize("streaming", [False, True])
def test_a_data_set_by_name(tmp_path: Path, streaming: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local folder of Parquet files stands in for the hub: the same call, the same reader."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    (tmp_path / "repo").mkdir()
    dataset(tmp_path / "speech").to_parquet(str(tmp_path / "repo" / "train.parquet"))  # type: ignore[attr-defined]
    corpus = opened(tmp_path, SourceOptions(dataset=str(tmp_path / "repo"), streaming=streaming))
    assert [one.text for one in corpus.recordings] == ["One.", None]
    assert corpus.sound(0).tolist() == babble(1.0)[:, 0].tolist()


@needs_datasets
def test_sound_may_lie_in_an_archive(tmp_path: Path) -> None:
    import datasets

    with zipfile.ZipFile(tmp_path / "speech.zip", "w") as archive:
        archive.write(write_wav(tmp_path / "a.wav", babble(1.0)[:, 0]), "a.wav")
    urls = [f"zip://{name}.wav::{tmp_path / 'speech.zip'}" for name in ("a", "missing")]
    datasets.Dataset.from_dict({"audio": urls}).save_to_disk(str(tmp_path / "saved"))
    corpus = opened(tmp_path, SourceOptions(path=str(tmp_path / "saved")))
    assert [one.id for one in corpus.recordings] == urls[:1]
    assert corpus.sound(0).tolist() == babble(1.0)[:, 0].tolist()
    assert "cannot be fetched" in corpus.rejected[0].reason


@needs_datasets
def test_a_data_set_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises((NoInputError, EnvironmentProblem), match="nobody/nothing"):
        open_source(SourceOptions(dataset="nobody/nothing"), "en")


def test_without_the_package_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(EnvironmentProblem, match="datasets package") as caught:
        open_source(SourceOptions(dataset="someone/speech"), "en")
    assert caught.value.hint == "pip install datasets"
