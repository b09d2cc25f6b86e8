"""A trained student is the folder that it began with, with other weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from distilcli.errors import ModelError
from distilcli.model_folder import inspect
from distilcli.trainer.student_folder import load_student, write_student
from tests.support.checkpoint import tiny_checkpoint

NAME = "model.decoder.layer_norm.weight"


def test_only_the_weights_that_were_trained_change_and_the_number_format_stays(tmp_path: Path) -> None:
    start = tiny_checkpoint(tmp_path / "start", layers=(1, 1), dtype="float16")
    target = tmp_path / "student"
    (target / "old").mkdir(parents=True)  # of an earlier run: replaced
    write_student(start, {NAME: torch.full((16,), 1.0 / 3.0)}, target)
    before, after = (load_file(one / "model.safetensors") for one in (start, target))
    assert before.keys() == after.keys()
    assert {name for name in before if not torch.equal(before[name], after[name])} == {NAME}
    assert torch.equal(after[NAME], torch.full((16,), 1.0 / 3.0).half())
    assert inspect(target).dtype == "float16"
    others = {path.name: path.read_bytes() for path in start.iterdir() if path.suffix != ".safetensors"}
    assert others == {path.name: path.read_bytes() for path in target.iterdir() if path.name in others}
    assert not (target / "old").exists()


def test_training_is_in_float32_whatever_is_stored(tmp_path: Path) -> None:
    start = tiny_checkpoint(tmp_path / "start", dtype="float16")
    model = load_student(start, torch.device("cpu"))
    assert {value.dtype for value in model.parameters()} == {torch.float32}


def test_a_folder_without_a_model_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a model folder"):
        load_student(tmp_path, torch.device("cpu"))
