"""Candle's folders: the names, formats and config keys that its loaders ask for (none runs in Python)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from distilcli.converters import candle
from distilcli.converters.checkpoint import Checkpoint, open_checkpoint
from distilcli.converters.targets import TARGETS
from distilcli.errors import ModelError
from distilcli.folders import size_of
from tests.support.checkpoint import change_json, tiny_checkpoint
from tests.support.toy import toy_folder

gguf = pytest.importorskip("gguf")

# candle-transformers `models/whisper/mod.rs`, `Config`: every one is required, none may be null.
CONFIG_KEYS = {
    "num_mel_bins",
    "max_source_positions",
    "d_model",
    "encoder_attention_heads",
    "encoder_layers",
    "vocab_size",
    "max_target_positions",
    "decoder_attention_heads",
    "decoder_layers",
}


@pytest.fixture(scope="module")
def toy() -> Checkpoint:
    return open_checkpoint(toy_folder("multi"))


@pytest.mark.parametrize("kind", TARGETS["candle"].kinds)
def test_folder_is_complete(toy: Checkpoint, kind: str, tmp_path: Path) -> None:
    target = tmp_path / "candle"
    candle.write(toy, kind, target)
    assert size_of(target) == pytest.approx(candle.predict(toy, kind), rel=0.05)
    assert all(one.passed for one in candle.read_back(target, toy, kind))
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    assert all(type(config[key]) is int for key in CONFIG_KEYS)
    assert config["suppress_tokens"] == toy.generation["suppress_tokens"] != []
    assert (target / "tokenizer.json").is_file()
    assert (target / ("model.gguf" if kind.startswith("q") else "model.safetensors")).is_file()


def test_null_in_the_config_becomes_the_list_that_candle_needs(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "tiny", size=51864)
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**content, "suppress_tokens": None}), encoding="utf-8")
    change_json(folder / "generation_config.json", suppress_tokens=[-1, 1, 2])
    candle.write(open_checkpoint(folder), "f32", tmp_path / "candle")
    config = json.loads((tmp_path / "candle" / "config.json").read_text(encoding="utf-8"))
    assert config["suppress_tokens"] == [1, 2]


def test_gguf_has_the_formats_of_candles_own_tool(toy: Checkpoint, tmp_path: Path) -> None:
    """Read with ggml-org's reader: matrices quantised, all else in float32, names of Hugging Face."""
    candle.write(toy, "q8_0", tmp_path / "candle")
    kind = gguf.GGMLQuantizationType
    found = {one.name: one for one in gguf.GGUFReader(tmp_path / "candle" / candle.WEIGHTS).tensors}
    assert found.keys() == set(toy.names())
    for name, one in found.items():
        matrix = len(one.shape) == 2
        assert one.tensor_type == (kind.Q8_0 if matrix else kind.F32), name
        weights = toy.tensor(name).float().numpy()
        assert tuple(reversed(one.shape.tolist())) == weights.shape
        values = gguf.quants.dequantize(one.data, one.tensor_type).reshape(weights.shape)
        np.testing.assert_allclose(values, weights, atol=np.abs(weights).max() / 127)


def test_rows_that_cannot_be_cut_stay_in_float32(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(tiny_checkpoint(tmp_path / "tiny", size=51864))
    candle.write(checkpoint, "q4_0", tmp_path / "candle")
    kinds = {
        one.name: one.tensor_type for one in gguf.GGUFReader(tmp_path / "candle" / candle.WEIGHTS).tensors
    }
    assert kinds["model.decoder.layers.0.fc1.weight"] == gguf.GGMLQuantizationType.F32  # rows of 16
    assert kinds["model.decoder.layers.0.fc2.weight"] == gguf.GGMLQuantizationType.Q4_0  # rows of 64
    assert all(one.passed for one in candle.read_back(tmp_path / "candle", checkpoint, "q4_0"))


def test_positions_of_its_own_are_refused(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "tiny", size=51864)
    weights = load_file(folder / "model.safetensors")
    weights["model.encoder.embed_positions.weight"][7] += 0.1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"differ from Whisper's sinusoids by up to 0\.100"):
        candle.write(open_checkpoint(folder), "f16", tmp_path / "candle")
    assert not (tmp_path / "candle").exists()


def test_another_activation_is_refused(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "tiny", size=51864)
    change_json(folder / "config.json", activation_function="relu")
    with pytest.raises(ModelError, match="candle expects activation_function 'gelu', found 'relu'"):
        candle.write(open_checkpoint(folder), "q8_0", tmp_path / "candle")
