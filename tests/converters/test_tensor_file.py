"""Safetensors files that are written piecemeal, read by the library itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from distilcli.converters.tensor_file import Entry, stored_tensors, write_safetensors
from distilcli.errors import ModelError


def test_the_library_reads_what_was_written(tmp_path: Path) -> None:
    numbers = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    tensors = {
        "b": numbers,
        "a": numbers.half(),
        "c": numbers.T.bfloat16(),
        "heads": torch.tensor([[1, 2]], dtype=torch.int32),
        "scalar": torch.tensor(2.5),
    }
    path = tmp_path / "x.safetensors"
    write_safetensors(
        path,
        {
            name: Entry(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), tensor.clone)
            for name, tensor in tensors.items()
        },
    )
    found = load_file(path)
    assert set(found) == set(tensors)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_numbers_are_rounded_to_the_format(tmp_path: Path) -> None:
    numbers = torch.tensor([0.1, 1e-9])
    write_safetensors(tmp_path / "x", {"a": Entry((2,), "float16", numbers.clone)})
    assert torch.equal(load_file(tmp_path / "x")["a"], numbers.half())


def test_nothing_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(FileExistsError):
        write_safetensors(tmp_path / "x", {})


def test_what_the_library_wrote_is_read(tmp_path: Path) -> None:
    numbers = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    tensors = {"b": numbers, "a": numbers.half(), "c": numbers.bfloat16(), "odd": numbers[:1, :3].half()}
    save_file(tensors, tmp_path / "x", metadata={"format": "pt"})
    found = stored_tensors(tmp_path / "x")
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        assert (found[name].shape, f"torch.{found[name].dtype}") == (tensor.shape, str(tensor.dtype))
        assert torch.equal(found[name].read(), tensor)
    assert stored_tensors(tmp_path / "x")["a"].read().zero_().sum() == 0
    assert torch.equal(load_file(tmp_path / "x")["a"], tensors["a"]), "the file is as it was"


def test_a_file_that_ends_early_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(100)}, tmp_path / "x")
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:-1])
    with pytest.raises(ModelError, match="cannot read the weights"):
        stored_tensors(tmp_path / "x")
