"""MLX folders: the sentence, and the times of its words, from mlx-whisper itself."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from distilcli.converters import mlx
from distilcli.converters.checkpoint import Checkpoint, open_checkpoint
from distilcli.converters.targets import TARGETS
from distilcli.errors import EnvironmentProblem, ModelError
from distilcli.folders import size_of
from tests.support.checkpoint import change_json, tiny_checkpoint
from tests.support.probes import toy_probe
from tests.support.toy import SENTENCES, toy_clip, toy_folder

OPENAI_DIMS = {
    "n_mels": 80,
    "n_audio_ctx": 1500,
    "n_audio_state": 64,
    "n_audio_head": 2,
    "n_audio_layer": 2,
    "n_vocab": 51865,
    "n_text_ctx": 448,
    "n_text_state": 64,
    "n_text_head": 2,
    "n_text_layer": 2,
}


@pytest.fixture(scope="module")
def toy() -> Checkpoint:
    return open_checkpoint(toy_folder("multi"))


@pytest.mark.parametrize("kind", TARGETS["mlx"].kinds)
def test_folder_reads_back(toy: Checkpoint, kind: str, tmp_path: Path) -> None:
    if kind != "f16":
        pytest.importorskip("mlx.core")
    target = tmp_path / "mlx"
    mlx.write(toy, kind, target)
    assert size_of(target) == pytest.approx(mlx.predict(toy, kind), rel=0.02)
    compared = list(mlx.read_back(target, toy, kind))
    assert len(compared) == 7 - 1 + 4 + 15 * 2 + 24 * 2  # all but the encoder's positions
    assert all(one.passed for one in compared)


@pytest.mark.parametrize("kind", ["8bit", "4bit"])
def test_quantised_weights_are_read_as_mlx_reads_them(toy: Checkpoint, kind: str, tmp_path: Path) -> None:
    mx = pytest.importorskip("mlx.core")
    mlx.write(toy, kind, tmp_path / "mlx")
    found = mx.load(str(tmp_path / "mlx" / mlx.WEIGHTS))
    stem, bits = "decoder.blocks.1.mlp1.", int(kind[0])
    scales, biases = (found[stem + part].astype(mx.float32) for part in ("scales", "biases"))
    theirs = np.array(mx.dequantize(found[stem + "weight"], scales, biases, group_size=64, bits=bits))
    ours = toy.openai_tensor("decoder.blocks.1.mlp.0.weight").numpy()
    steps = (ours.reshape(-1, 64).max(1) - ours.reshape(-1, 64).min(1)) / (2**bits - 1)
    assert (np.abs(theirs - ours).reshape(-1, 64).max(1) <= steps).all()  # MLX moves the ends by up to half
    assert np.corrcoef(theirs.ravel(), ours.ravel())[0, 1] > 0.99


def test_config_holds_the_dims_and_nothing_unknown(toy: Checkpoint, tmp_path: Path) -> None:
    mlx.write(toy, "f16", tmp_path / "mlx")
    config = json.loads((tmp_path / "mlx" / "config.json").read_text(encoding="utf-8"))
    assert config == {"model_type": "whisper", **OPENAI_DIMS}


@pytest.mark.parametrize(("kind", "clip"), [("f16", "rise"), ("f16", "fall"), ("4bit", "fall")])
def test_mlx_whisper_says_the_sentence(toy: Checkpoint, kind: str, clip: str, tmp_path: Path) -> None:
    pytest.importorskip("mlx_whisper")
    from distilcli.converters.runners import mlx_whisper

    mlx.write(toy, kind, tmp_path / "mlx")
    request, answer = toy_probe("multi", clip, tmp_path)
    found = mlx_whisper.run(tmp_path / "mlx", request)
    assert found.tokens == answer
    assert found.margins is not None
    assert min(found.margins) > 1.0


def test_alignment_heads_travel_along(tmp_path: Path) -> None:
    mlx_whisper = pytest.importorskip("mlx_whisper")
    folder = tmp_path / "toy"
    folder.mkdir()
    for path in toy_folder("multi").iterdir():
        (folder / path.name).symlink_to(path)
    generation = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    (folder / "generation_config.json").unlink()
    change_json(folder / "generation_config.json", **generation, alignment_heads=[[1, 0], [9, 9]])
    checkpoint = open_checkpoint(folder)
    mlx.write(checkpoint, "f16", tmp_path / "mlx")
    assert all(one.passed for one in mlx.read_back(tmp_path / "mlx", checkpoint, "f16"))
    model = mlx_whisper.load_models.load_model(str(tmp_path / "mlx"))
    assert model.alignment_heads.tolist() == [[1, 0]]
    said = mlx_whisper.transcribe(
        toy_clip("fall"), path_or_hf_repo=str(tmp_path / "mlx"), language="de", word_timestamps=True
    )
    words = [word["word"] for segment in said["segments"] for word in segment["words"]]
    assert "".join(words).split() == "".join(text for _, _, text in SENTENCES["fall"]).split()


def test_positions_of_its_own_are_refused(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "tiny", size=51864)
    weights = load_file(folder / "model.safetensors")
    weights["model.encoder.embed_positions.weight"] *= 1.5
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"mlx computes the encoder's positions itself"):
        mlx.write(open_checkpoint(folder), "f16", tmp_path / "mlx")


def test_rows_that_cannot_be_cut_into_groups_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("mlx.core")
    checkpoint = open_checkpoint(tiny_checkpoint(tmp_path / "tiny", size=51864))
    with pytest.raises(ModelError, match="mlx 4bit needs a d_model divisible by 64, found 16"):
        mlx.write(checkpoint, "4bit", tmp_path / "mlx")


def test_quantising_without_mlx_says_what_to_install(
    toy: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match=r"mlx 8bit needs MLX, not installed here") as caught:
        mlx.write(toy, "8bit", tmp_path / "mlx")
    assert caught.value.hint == "pip install 'mlx[cpu]'"
    mlx.write(toy, "f16", tmp_path / "mlx")


def test_half_precision_comes_from_the_source_itself(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "tiny", size=51864, dtype="bfloat16")
    checkpoint = open_checkpoint(folder)
    mlx.write(checkpoint, "f16", tmp_path / "mlx")
    found = load_file(tmp_path / "mlx" / mlx.WEIGHTS)
    expected = checkpoint.openai_tensor("encoder.conv1.weight").to(torch.float16)
    assert torch.equal(found["encoder.conv1.weight"], expected.transpose(1, 2))
