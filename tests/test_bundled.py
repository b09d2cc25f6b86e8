"""The bundled archive: unpacked once, whole, and only into its own folder."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from distilcli.bundled import folder_of_nano, unpack
from distilcli.errors import EnvironmentProblem, ModelError


def test_transformers_knows_how_to_pad_batches_of_the_bundled_model() -> None:
    transformers = pytest.importorskip("transformers")
    assert transformers.WhisperTokenizer.from_pretrained(folder_of_nano()).pad_token_id == 50257


def _archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_unpacked_once_per_content(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "nano.zip", {"config.json": b"{}", "model.safetensors": b"weights"})
    folder = unpack(archive, tmp_path / "cache")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "config.json": b"{}",
        "model.safetensors": b"weights",
    }
    (folder / "mark").touch()
    assert unpack(archive, tmp_path / "cache") == folder
    assert (folder / "mark").exists()

    _archive(archive, {"config.json": b"{}", "model.safetensors": b"better weights"})
    assert unpack(archive, tmp_path / "cache") != folder


def test_tokens_without_a_name_get_theirs(tmp_path: Path) -> None:
    given = {"pad_token": "<|nospeech|>", "task": None}
    archive = _archive(tmp_path / "nano.zip", {"tokenizer_config.json": json.dumps(given).encode()})
    found = json.loads((unpack(archive, tmp_path / "cache") / "tokenizer_config.json").read_bytes())
    end = "<|endoftext|>"
    assert found == {**given, "bos_token": end, "eos_token": end, "unk_token": end}


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "..\\evil", "C:evil"])
def test_members_outside_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    archive = _archive(tmp_path / "nano.zip", {"config.json": b"{}", name: b"x"})
    with pytest.raises(ModelError, match="is not a model archive"):
        unpack(archive, tmp_path / "deep" / "cache")
    assert not list(tmp_path.rglob("evil"))
    assert not list((tmp_path / "deep" / "cache").glob("nano*"))


def test_a_damaged_archive_leaves_nothing(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "nano.zip", {"model.safetensors": bytes(10_000)})
    content = bytearray(archive.read_bytes())
    content[500] ^= 1
    archive.write_bytes(content)
    with pytest.raises(ModelError, match="is damaged"):
        unpack(archive, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*nano*/*"))


def test_an_unusable_cache_is_an_environment_problem(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the cache should be")
    archive = _archive(tmp_path / "nano.zip", {"config.json": b"{}"})
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        unpack(archive, tmp_path / "cache")
