"""The ONNX export: the graphs compute what Transformers does, and have what Transformers.js asks for."""

from __future__ import annotations

import json
import shutil
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from distilcli.converters import onnx_js
from distilcli.converters.checkpoint import open_checkpoint
from distilcli.errors import ModelError
from tests.support.checkpoint import change_json, tiny_checkpoint

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
ort = pytest.importorskip("onnxruntime")

LAYERS = 2
PROMPT = [[50258, 50259, 50359, 50363], [50258, 50261, 50359, 50363]]
TEXT = [[440, 1002, 11], [5, 50257, 291]]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("source") / "tiny", layers=(1, LAYERS))


@pytest.fixture(scope="module")
def export(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("export") / "tiny"
    onnx_js.write(open_checkpoint(source), "fp32", target)
    return target


@pytest.fixture
def copy(export: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(export, tmp_path / "copy"))


def _graph(folder: Path, name: str) -> Any:
    return onnx.load(folder / "onnx" / f"{name}.onnx").graph


def _axes(value: Any) -> list[str | int]:
    return [one.dim_param or one.dim_value for one in value.type.tensor_type.shape.dim]


def _steps(export: Path, features: NDArray[np.float32]) -> list[dict[str, NDArray[np.float32]]]:
    """What the decoder says to the prompt, and then to every token of the text alone, fed its own cache."""
    sessions = [
        ort.InferenceSession(str(export / "onnx" / f"{name}.onnx"), providers=["CPUExecutionProvider"])
        for name in ("encoder_model", "decoder_model_merged")
    ]
    (states,) = sessions[0].run(None, {"input_features": features})
    names = [one.name for one in sessions[1].get_outputs()]
    cache = {
        one.name: np.zeros((2, one.shape[1], 0, one.shape[3]), np.float32)
        for one in sessions[1].get_inputs()
        if one.name.startswith("past_key_values")
    }
    found = []
    for ids in (np.array(PROMPT), *np.array(TEXT).T[:, :, None]):
        inputs = {"input_ids": ids, "encoder_hidden_states": states, **cache}
        found.append(dict(zip(names, sessions[1].run(None, inputs), strict=True)))
        cache = {name: found[-1][name.replace("past_key_values", "present")] for name in cache}
    return found


def test_logits_and_attentions_of_every_step_equal_those_of_transformers(source: Path, export: Path) -> None:
    import torch
    from transformers import WhisperForConditionalGeneration

    features = np.random.default_rng(3).normal(size=(2, 80, 3000)).astype(np.float32)
    ids = np.concatenate([PROMPT, TEXT], axis=1)
    model = WhisperForConditionalGeneration.from_pretrained(source, attn_implementation="eager").eval()
    with torch.no_grad():
        expected = model(
            torch.from_numpy(features), decoder_input_ids=torch.from_numpy(ids), output_attentions=True
        )
    steps = _steps(export, features)
    logits = np.concatenate([one["logits"] for one in steps], axis=1)
    np.testing.assert_allclose(logits, expected.logits.numpy(), atol=1e-5)
    for layer in range(LAYERS):
        looks = np.concatenate([one[f"cross_attentions.{layer}"] for one in steps], axis=2)
        np.testing.assert_allclose(looks, expected.cross_attentions[layer].numpy(), atol=1e-6)


def test_sound_is_in_the_cache_once(export: Path) -> None:
    features = np.zeros((2, 80, 3000), np.float32)
    steps = _steps(export, features)
    for one in (steps[0], steps[-1]):
        assert one["present.1.encoder.key"].shape == (2, 2, 1500, 8)
    assert steps[-1]["present.1.decoder.value"].shape == (2, 2, len(PROMPT[0]) + len(TEXT[0]), 8)
    np.testing.assert_array_equal(steps[-1]["present.0.encoder.value"], steps[0]["present.0.encoder.value"])


def test_names_and_axes_are_those_that_transformers_js_fills(export: Path) -> None:
    """It gives the first step a cache of length 0 in every axis that has a name other than batch_size."""
    graph = _graph(export, "decoder_model_merged")
    axes = {one.name: _axes(one) for one in graph.input}
    kinds = [f"{side}.{part}" for side in ("decoder", "encoder") for part in ("key", "value")]
    caches = [f"{layer}.{kind}" for layer in range(LAYERS) for kind in kinds]
    assert list(axes) == [
        "input_ids",
        "encoder_hidden_states",
        *(f"past_key_values.{name}" for name in caches),
    ]
    for name in caches:
        batch, heads, length, width = axes[f"past_key_values.{name}"]
        assert (batch, heads, width) == ("batch_size", 2, 8)
        assert isinstance(length, str)
    outputs = [one.name for one in graph.output]
    assert outputs == [
        "logits",
        *(f"present.{name}" for name in caches),
        *(f"cross_attentions.{layer}" for layer in range(LAYERS)),
    ]
    encoder = _graph(export, "encoder_model")
    assert {one.name: _axes(one) for one in encoder.input} == {"input_features": ["batch_size", 80, 3000]}
    assert {one.name: _axes(one) for one in encoder.output} == {"last_hidden_state": ["batch_size", 1500, 16]}


def test_embedding_is_stored_once(export: Path) -> None:
    graph = _graph(export, "decoder_model_merged")
    assert sum(1 for one in graph.initializer if 51865 in one.dims) == 1


def test_nothing_of_the_machine_that_wrote_them_is_in_the_graphs(export: Path) -> None:
    for path in (export / "onnx").iterdir():
        content = path.read_bytes()
        assert b".py" not in content
        assert b"torch.onnx" not in content


def test_equal_tensors_of_two_layers_are_all_read_back(source: Path, export: Path) -> None:
    """The norms of an untrained model are all alike."""
    checkpoint = open_checkpoint(source)
    compared = list(onnx_js.read_back(export, checkpoint, "fp32"))
    assert len({one.name for one in compared}) == len(checkpoint.names())
    assert all(one.passed and one.limit == 0.0 for one in compared)


def test_models_of_one_shape_share_a_trace_but_no_weights(source: Path, export: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(source, tmp_path / "other"))
    weights = {name: -value for name, value in load_file(other / "model.safetensors").items()}
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    onnx_js.write(open_checkpoint(other), "fp32", tmp_path / "export")
    for folder, checkpoint, equal in ((tmp_path / "export", other, True), (export, other, False)):
        compared = list(onnx_js.read_back(folder, open_checkpoint(checkpoint), "fp32"))
        assert all(one.passed for one in compared) == equal


def test_changed_weight_is_noticed(source: Path, copy: Path) -> None:
    path = copy / "onnx" / "encoder_model.onnx"
    model = onnx.load(path)
    weight = next(one for one in model.graph.initializer if one.name == "layers.0.fc1.weight")
    changed = onnx.numpy_helper.to_array(weight).copy()
    changed[3, 5] += 1e-3
    weight.CopyFrom(onnx.numpy_helper.from_array(changed, weight.name))
    onnx.save(model, path)
    failed = [one.name for one in onnx_js.read_back(copy, open_checkpoint(source), "fp32") if not one.passed]
    assert failed == ["encoder.layers.0.fc1.weight"]


def test_files_beside_the_graphs(export: Path) -> None:
    content = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in export.glob("*.json")}
    assert content.keys() == {
        "config.json",
        "generation_config.json",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert content["preprocessor_config.json"]["feature_size"] == 80
    generation = content["generation_config.json"]
    assert generation["lang_to_id"]["<|de|>"] == 50261
    assert generation["alignment_heads"] == [[1, 0], [1, 1]], "the last half of the layers"
    assert "transformers.js_config" not in content["config.json"]


def test_large_graphs_keep_their_weights_beside_them(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_js, "LARGEST_FILE", 1_000_000)  # between encoder and decoder
    checkpoint = open_checkpoint(source)
    target = tmp_path / "large"
    assert "fp16" in onnx_js.warnings(checkpoint, "fp32")[0]
    onnx_js.write(checkpoint, "fp32", target)
    assert sorted(path.name for path in (target / "onnx").iterdir()) == [
        "decoder_model_merged.onnx",
        "decoder_model_merged.onnx_data",
        "encoder_model.onnx",
    ]
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    beside = config["transformers.js_config"]["use_external_data_format"]
    assert beside == {"decoder_model_merged.onnx": True}
    assert all(one.passed for one in onnx_js.read_back(target, checkpoint, "fp32"))


@pytest.mark.parametrize("kind", ["q8", "q4"])
def test_room_that_quantising_takes_is_predicted(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    kept: list[Path] = []

    def keep(dir: Path) -> AbstractContextManager[Path]:
        kept.append(Path(mkdtemp(dir=tmp_path)))
        return nullcontext(kept[-1])

    monkeypatch.setattr(onnx_js, "TemporaryDirectory", keep)
    checkpoint = open_checkpoint(source)
    onnx_js.write(checkpoint, kind, tmp_path / "out")
    most = max(sum(path.stat().st_size for path in folder.iterdir()) for folder in kept)
    assert onnx_js.scratch(checkpoint, kind) == pytest.approx(most, rel=0.05)


def test_another_activation_is_refused(source: Path, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(source, tmp_path / "changed"))
    change_json(changed / "config.json", activation_function="relu")
    with pytest.raises(ModelError, match=r"onnx expects activation_function 'gelu', found 'relu'"):
        onnx_js.predict(open_checkpoint(changed), "fp32")
