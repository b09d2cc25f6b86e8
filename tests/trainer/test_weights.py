"""Fingerprints of weights: equal for equal networks, whatever the number format, and for nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from distilcli.errors import ModelError
from distilcli.trainer.recipe import InitOptions
from distilcli.trainer.student import make_student
from distilcli.trainer.weights import EMBEDDING, ENCODER, OUTPUT, fingerprint, output_matrix
from tests.support.checkpoint import change_json, tiny_checkpoint


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A random model in float16 whose weights can be changed."""
    return tiny_checkpoint(tmp_path / "model", layers=(1, 2), dtype="float16")


def rewrite(model: Path, changes: dict[str, torch.Tensor], dtype: torch.dtype | None = None) -> None:
    """Changes tensors of a model's file, or the number format of all."""
    weights = load_file(model / "model.safetensors") | changes
    stored = {name: value.to(dtype or value.dtype) for name, value in weights.items()}
    save_file(stored, model / "model.safetensors", metadata={"format": "pt"})


def test_a_student_has_its_teacher_s_encoder_and_not_its_decoder(model: Path, tmp_path: Path) -> None:
    make_student(model, tmp_path / "student", InitOptions(decoder_layers=1))
    assert fingerprint(model, ENCODER) == fingerprint(tmp_path / "student", ENCODER)
    assert fingerprint(model) != fingerprint(tmp_path / "student")


def test_the_number_format_on_disk_does_not_count(model: Path) -> None:
    before = fingerprint(model), fingerprint(model, ENCODER)
    rewrite(model, {}, torch.float32)
    assert (fingerprint(model), fingerprint(model, ENCODER)) == before


def test_one_changed_number_does(model: Path) -> None:
    before = fingerprint(model), fingerprint(model, ENCODER)
    name = "model.encoder.layers.0.fc1.bias"
    bias = load_file(model / "model.safetensors")[name]
    bias[3] += 1e-3
    rewrite(model, {name: bias})
    assert fingerprint(model) != before[0]
    assert fingerprint(model, ENCODER) != before[1]


def test_the_number_of_heads_does_too(model: Path) -> None:
    before = fingerprint(model, ENCODER)
    change_json(model / "config.json", encoder_attention_heads=4)
    assert fingerprint(model, ENCODER) != before


def test_the_output_matrix_is_the_embedding_unless_it_is_stored_apart(model: Path) -> None:
    embedding = load_file(model / "model.safetensors")[EMBEDDING]
    assert torch.equal(output_matrix(model), embedding)
    rewrite(model, {OUTPUT: embedding * 2})
    assert torch.equal(output_matrix(model), embedding * 2)


def test_damage_is_a_clear_error(model: Path) -> None:
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        fingerprint(model)
