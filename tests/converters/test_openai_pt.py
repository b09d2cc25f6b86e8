"""openai/whisper's file: loaded by the package itself, read without executing anything."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from distilcli.converters import openai_pt
from distilcli.converters.checkpoint import Checkpoint, open_checkpoint
from distilcli.converters.naming import expected_shapes
from distilcli.errors import ModelError
from tests.support.checkpoint import change_json, tiny_checkpoint

whisper = pytest.importorskip("whisper")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("source") / "tiny"
    return open_checkpoint(tiny_checkpoint(folder, layers=(2, 1), heads=[[0, 1]]))


def _state(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    return {name: checkpoint.openai_tensor(name) for name in expected_shapes(checkpoint.dims)}


def _save(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def test_logits_equal_those_of_transformers(checkpoint: Checkpoint, tmp_path: Path) -> None:
    from transformers import WhisperForConditionalGeneration

    openai_pt.write(checkpoint, "float32", tmp_path / "x.pt")
    features = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(2))
    ids = torch.tensor([[50258, 50259, 50359]])
    theirs = WhisperForConditionalGeneration.from_pretrained(checkpoint.folder).eval()
    with torch.inference_mode():
        found = whisper.load_model(str(tmp_path / "x.pt"), device="cpu")(features, ids)
        torch.testing.assert_close(found, theirs(features, decoder_input_ids=ids).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_size_and_tensors(checkpoint: Checkpoint, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.pt"
    openai_pt.write(checkpoint, kind, path)
    assert openai_pt.predict(checkpoint, kind) == pytest.approx(path.stat().st_size, rel=0.03)
    compared = list(openai_pt.read_back(path, checkpoint, kind))
    assert len(compared) == len(checkpoint.names())
    assert all(one.passed and one.limit == 0.0 for one in compared)


def test_a_changed_tensor_is_found(checkpoint: Checkpoint, tmp_path: Path) -> None:
    state = {name: tensor.clone() for name, tensor in _state(checkpoint).items()}
    state["decoder.ln.bias"][3] += 1e-6
    path = _save(tmp_path / "x.pt", {"dims": checkpoint.dims.openai(), "model_state_dict": state})
    wrong = [one.name for one in openai_pt.read_back(path, checkpoint, "float32") if not one.passed]
    assert wrong == ["decoder.ln.bias"]


def test_what_the_file_cannot_hold_is_said(checkpoint: Checkpoint) -> None:
    heads, rounding = openai_pt.warnings(checkpoint, "float16")
    assert "alignment heads" in heads
    assert "float16 rounds" in rounding


def test_networks_that_openai_does_not_have_are_refused(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "tiny")
    change_json(folder / "config.json", activation_function="relu")
    with pytest.raises(ModelError, match="activation_function"):
        openai_pt.predict(open_checkpoint(folder), "float32")


class _Boom:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "ran")


def test_code_in_a_pickle_does_not_run(checkpoint: Checkpoint, tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    path = _save(tmp_path / "x.pt", {"dims": checkpoint.dims.openai(), "model_state_dict": _Boom(trap)})
    with pytest.raises(ModelError, match="more than numbers and tensors"):
        openai_pt.read(path)
    path.write_bytes(pickle.dumps(_Boom(trap)))
    with pytest.raises(ModelError, match="not a file of openai/whisper"):
        openai_pt.read(path)
    assert not trap.exists()


def test_a_compressed_archive_is_refused_unopened(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"\0" * 50_000_000)
    with pytest.raises(ModelError, match="compressed"):
        openai_pt.read(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dims": None}, "expected dims"),
        ({"model_state_dict": None}, "model_state_dict is missing"),
        ({"n_text_layer": 2}, r"decoder\.blocks\.1\..* is missing"),
        ({"n_audio_layer": 10**9}, "at most 64"),
        ({"decoder.ln.bias": torch.zeros(17)}, r"of shape \(16,\), found \(17,\)"),
        ({"decoder.ln.bias": torch.zeros(1).expand(16).to(torch.int64)}, "found torch.int64"),
        ({"decoder.ln.bias": torch.full((16,), float("nan"))}, "NaN or infinity"),
        ({"decoder.ln.bias": 3}, "found int"),
        ({"decoder.more": torch.zeros(1)}, "decoder.more is not expected"),
    ],
)
def test_files_at_odds_are_refused(
    checkpoint: Checkpoint, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    content: dict[str, Any] = {"dims": checkpoint.dims.openai(), "model_state_dict": _state(checkpoint)}
    for key, value in change.items():
        place = content if key in content else content["dims" if key.startswith("n_") else "model_state_dict"]
        place[key] = value
    with pytest.raises(ModelError, match=message):
        openai_pt.read(_save(tmp_path / "x.pt", content))
