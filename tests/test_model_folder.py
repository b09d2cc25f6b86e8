"""Damaged and foreign model folders are told apart before any runtime touches them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from distilcli.converters.ct2 import convert
from distilcli.errors import ModelError
from distilcli.model_folder import format_of, inspect, weight_files
from tests.support.checkpoint import change_json, tiny_checkpoint


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(
        tmp_path_factory.mktemp("whole") / "tiny", layers=(3, 2), n_mels=128, dtype="float16"
    )


@pytest.fixture(scope="module")
def converted(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("converted") / "tiny"
    convert(whole, target)
    return target


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "tiny"))


def test_facts_come_from_the_weights(whole: Path) -> None:
    facts = inspect(whole)
    assert (facts.format, facts.n_mels, facts.dtype) == ("transformers", 128, "float16")
    assert (facts.encoder_layers, facts.decoder_layers, facts.distil) == (3, 2, True)


def test_mel_bands_of_a_ctranslate2_folder_without_preprocessor_config(
    converted: Path, tmp_path: Path
) -> None:
    """The published conversions of tiny to large-v2 have no such file: only their weights tell."""
    folder = Path(shutil.copytree(converted, tmp_path / "bare"))
    (folder / "preprocessor_config.json").unlink()
    facts = inspect(folder)
    assert (facts.format, facts.n_mels, facts.encoder_layers, facts.decoder_layers) == (
        "ctranslate2",
        128,
        3,
        2,
    )


@pytest.mark.parametrize("size", [0, 3, 60, 5000, -1])
def test_a_cut_ctranslate2_file_is_refused(size: int, converted: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(converted, tmp_path / "cut"))
    (folder / "model.bin").write_bytes((folder / "model.bin").read_bytes()[:size])
    with pytest.raises(ModelError, match=r"model\.bin is damaged"):
        inspect(folder)


def test_sharded_weights_are_read_through_their_index(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[:20], "model-00002-of-00002.safetensors": names[20:]}
    for shard, part in shards.items():
        save_file({name: tensors[name] for name in part}, folder / shard)
    (folder / "model.safetensors").unlink()
    weight_map = {name: shard for shard, part in shards.items() for name in part}
    change_json(folder / "model.safetensors.index.json", weight_map=weight_map)
    assert inspect(folder).encoder_layers == 3

    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelError, match=r"has no model-00002-of-00002\.safetensors"):
        inspect(folder)


def test_an_index_may_not_point_outside_its_folder(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    change_json(folder / "model.safetensors.index.json", weight_map={"a": "../secret.safetensors"})
    with pytest.raises(ModelError, match="outside its folder"):
        weight_files(folder)


def _cut(name: str, size: int) -> object:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def _without(name: str) -> object:
    return lambda folder: (folder / name).unlink()


def _only_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


DAMAGE = {
    "no config": (_without("config.json"), "config.json is missing"),
    "no weights": (_without("model.safetensors"), "neither model.safetensors"),
    "a pickle only": (_only_pickle, "pickles are not read"),
    "no tokenizer": (_without("tokenizer.json"), "has no tokenizer.json"),
    "cut weights": (
        _cut("model.safetensors", -1),
        r"model.safetensors is damaged: expected \d+ bytes, found \d+",
    ),
    "cut header": (_cut("model.safetensors", 100), "model.safetensors is damaged"),
    "empty weights": (_cut("model.safetensors", 0), "model.safetensors is damaged"),
    "cut config": (_cut("config.json", 40), "config.json cannot be read as JSON"),
    "another model": (
        lambda f: change_json(f / "config.json", model_type="bert"),
        "describes a 'bert' model",
    ),
    "wrong mel count": (
        lambda f: change_json(f / "preprocessor_config.json", feature_size=80),
        "preprocessor_config.json says 80 mel bands, but the weights .* expect 128",
    ),
    "wrong mel count in config": (
        lambda f: change_json(f / "config.json", num_mel_bins=80),
        "config.json says 80 mel",
    ),
    "wrong layer count": (
        lambda f: change_json(f / "config.json", decoder_layers=4),
        "says 4 decoder layers, but the weights have 2",
    ),
    "a list as config": (
        lambda f: (f / "config.json").write_text("[]"),
        "must hold a JSON object, not a list",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named(name: str, folder: Path) -> None:
    damage, message = DAMAGE[name]
    damage(folder)  # type: ignore[operator]
    with pytest.raises(ModelError, match=message):
        inspect(folder)


def test_a_random_folder_has_no_format(tmp_path: Path) -> None:
    assert format_of(tmp_path) is None
    (tmp_path / "config.json").write_text(json.dumps({}))
    assert format_of(tmp_path) is None
