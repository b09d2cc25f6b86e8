"""Opening a checkpoint: what is mended, what is refused, and what a tensor costs."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from distilcli.converters.checkpoint import open_checkpoint
from distilcli.converters.naming import hf_name, openai_name
from distilcli.errors import ModelError
from distilcli.tokens import Vocab
from tests.support.checkpoint import change_json, tiny_checkpoint

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "tiny"
    return tiny_checkpoint(folder, layers=(2, 1), dtype="float16", heads=[[0, 1], [7, 0], [0, 9]])


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "tiny"))


def _change_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    """Set tensors, or leave those out that are given as None; ``__`` stands for a dot."""
    tensors = load_file(folder / WEIGHTS)
    for name, tensor in changes.items():
        tensors.pop(name.replace("__", "."), None)
        if tensor is not None:
            tensors[name.replace("__", ".")] = tensor
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def test_numbers_names_and_tensors(original: Path) -> None:
    checkpoint = open_checkpoint(original)
    assert (checkpoint.dims.n_audio_layer, checkpoint.dims.n_text_layer, checkpoint.dims.ffn) == (2, 1, 64)
    assert checkpoint.vocab == Vocab(51865)
    assert checkpoint.dtype == "float16"
    stored = load_file(original / WEIGHTS)
    assert set(checkpoint.names()) == set(stored)
    for name, tensor in stored.items():
        assert torch.equal(checkpoint.tensor(name), tensor)
        assert torch.equal(checkpoint.openai_tensor(openai_name(name)), tensor)
    assert checkpoint.digest == hashlib.sha256((original / WEIGHTS).read_bytes()).hexdigest()


def test_writing_into_a_tensor_changes_no_other(original: Path) -> None:
    checkpoint = open_checkpoint(original)
    name = "decoder.ln.weight"
    before = checkpoint.openai_tensor(name).clone()
    checkpoint.openai_tensor(name).zero_()
    assert torch.equal(checkpoint.openai_tensor(name), before)
    assert torch.equal(load_file(original / WEIGHTS)[hf_name(name)], before)


def test_heads_that_the_decoder_lacks_are_left_out_and_said(original: Path) -> None:
    checkpoint = open_checkpoint(original)
    assert checkpoint.heads == ((0, 1),)
    assert checkpoint.generation["alignment_heads"] == [[0, 1]]
    assert checkpoint.warnings[0].startswith("2 of 3 alignment heads")


def test_generation_and_features_are_mended(folder: Path) -> None:
    change_json(
        folder / "generation_config.json", _from_model_config=True, lang_to_id=None, suppress_tokens=None
    )
    change_json(folder / "config.json", suppress_tokens=[5, 6])
    checkpoint = open_checkpoint(folder)
    assert "_from_model_config" not in checkpoint.generation
    assert checkpoint.generation["lang_to_id"]["<|de|>"] == Vocab(51865).language("de")
    assert checkpoint.generation["suppress_tokens"] == [5, 6]
    assert checkpoint.feature_extractor["feature_size"] == 80
    assert checkpoint.feature_extractor["n_fft"] == 400


def test_shards_are_read(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    names = sorted(tensors)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file({name: tensors[name] for name in part}, folder / file, metadata={"format": "pt"})
    (folder / WEIGHTS).unlink()
    index = {"weight_map": {name: file for file, part in halves.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    checkpoint = open_checkpoint(folder)
    assert all(torch.equal(checkpoint.tensor(name), tensors[name]) for name in names)


def test_a_tied_output_matrix_may_be_stored(folder: Path) -> None:
    embedding = load_file(folder / WEIGHTS)["model.decoder.embed_tokens.weight"]
    _change_weights(folder, proj_out__weight=embedding.clone())
    assert "proj_out.weight" not in open_checkpoint(folder).names()
    _change_weights(folder, proj_out__weight=embedding + 1)
    with pytest.raises(ModelError, match="differs from the token embedding"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__decoder__layer_norm__bias": None}, r"decoder\.ln\.bias .* is missing"),
        (
            {"model__decoder__layer_norm__bias": torch.zeros(17)},
            r"expected .*layer_norm\.bias of shape \(16,\)",
        ),
        ({"model__decoder__extra__weight": torch.zeros(3)}, r"no tensor named decoder\.extra\.weight"),
        ({"model__decoder__layer_norm__bias": torch.zeros(16, dtype=torch.int8)}, "found I8"),
        ({"model__decoder__layer_norm__bias": torch.full((16,), float("nan"))}, "NaN or infinity"),
        ({"model__encoder__conv1__bias": torch.full((16,), float("-inf"))}, "NaN or infinity"),
    ],
)
def test_weights_that_are_no_whispers_are_refused(
    folder: Path, changes: dict[str, torch.Tensor | None], message: str
) -> None:
    _change_weights(folder, **changes)
    with pytest.raises(ModelError, match=message):
        open_checkpoint(folder)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_largest_numbers_pass_and_nothing_beyond_them(folder: Path, dtype: torch.dtype) -> None:
    ends = torch.finfo(dtype)
    bias = torch.zeros(16, dtype=dtype)
    bias[3], bias[4] = ends.max, ends.min
    _change_weights(folder, model__encoder__conv1__bias=bias)
    open_checkpoint(folder)
    for wrong in ("nan", "-nan", "inf", "-inf"):
        bias[5] = float(wrong)
        _change_weights(folder, model__encoder__conv1__bias=bias)
        with pytest.raises(ModelError, match=r"NaN or infinity"):
            open_checkpoint(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_source_positions": 1500.5}, "positive whole number"),
        ({"max_source_positions": 3000}, "expected n_audio_ctx to be 1500"),
        ({"decoder_ffn_dim": 65}, "to be equal"),
        ({"d_model": 32}, "do not agree with config.json"),
        ({"max_target_positions": None}, "lacks max_target_positions"),
    ],
)
def test_a_config_at_odds_is_refused(folder: Path, changes: dict[str, object], message: str) -> None:
    change_json(folder / "config.json", **changes)
    with pytest.raises(ModelError, match=message):
        open_checkpoint(folder, values=False)


@pytest.mark.parametrize(("key", "value"), [("activation_function", "relu"), ("scale_embedding", True)])
def test_what_copies_of_whisper_compute_otherwise_is_refused(folder: Path, key: str, value: object) -> None:
    open_checkpoint(folder).need_plain("ggml")
    change_json(folder / "config.json", **{key: value})
    with pytest.raises(ModelError, match=f"ggml expects {key}"):
        open_checkpoint(folder).need_plain("ggml")
