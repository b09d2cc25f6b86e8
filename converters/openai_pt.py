"""openai/whisper: its ``.pt`` file, written, and read without executing what a pickle may carry.

The file is ``{"dims": ten numbers, "model_state_dict": tensors}``. It has no place for alignment heads:
`whisper.load_model` then takes the last half of the decoder's layers.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distilcli.converters.checkpoint import Checkpoint
from distilcli.converters.compared import Compared, compare
from distilcli.converters.dims import Dims
from distilcli.converters.halves import need_range
from distilcli.converters.imported import Imported
from distilcli.converters.memory import converted
from distilcli.converters.naming import expected_shapes
from distilcli.converters.space import BYTES, parameters
from distilcli.errors import ModelError

_DTYPES = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}


def predict(checkpoint: Checkpoint, kind: str) -> int:
    """Bytes of the file."""
    checkpoint.need_plain("openai/whisper")
    return parameters(checkpoint.dims) * BYTES[kind] + 500 * len(checkpoint.names())


def warnings(checkpoint: Checkpoint, kind: str) -> tuple[str, ...]:
    """What the file cannot hold."""
    found = []
    if checkpoint.heads:
        found.append(
            "an openai file has no place for alignment heads: word times come from the last half of the "
            "decoder's layers, unless the model card's line sets them"
        )
    if kind == "float16" and checkpoint.dtype != "float16":
        found.append(f"the weights are {checkpoint.dtype}; float16 rounds them")
    return tuple(found)


def write(checkpoint: Checkpoint, kind: str, target: Path) -> None:
    """Make the file `target`."""
    checkpoint.need_plain("openai/whisper")
    dtype = getattr(torch, kind)
    state = {}
    for name in expected_shapes(checkpoint.dims):
        tensor = checkpoint.openai_tensor(name)
        if kind == "float16":
            need_range(tensor, name, kind)
        state[name] = converted(tensor, dtype)
    torch.save({"dims": checkpoint.dims.openai(), "model_state_dict": state}, target)


def read_back(target: Path, checkpoint: Checkpoint, kind: str) -> Iterator[Compared]:
    """Every tensor of the file against the checkpoint's, rounded to `kind`: equal bits."""
    found = read(target)
    for name, tensor in found.tensors.items():
        rounded = checkpoint.openai_tensor(name).to(getattr(torch, kind))
        yield compare(name, rounded, tensor(), 0.0)


def read(path: Path) -> Imported:
    """Read a file of openai/whisper; nothing in it is executed.

    Raises:
        ModelError: not such a file, damaged, or its tensors do not agree with its dims.
    """
    _check_members(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} is refused: it holds more than numbers and tensors, or is damaged ({_first(error)})"
        ) from error
    except Exception as error:  # a damaged archive raises whatever its first wrong byte leads to
        raise ModelError(f"{path} cannot be read as a file of openai/whisper: {_first(error)}") from error
    if not isinstance(content, Mapping) or not isinstance(content.get("dims"), Mapping):
        raise ModelError(f"{path} is not a file of openai/whisper: expected dims and model_state_dict")
    dims = Dims.from_openai(content["dims"], str(path))
    state = _checked(content.get("model_state_dict"), dims, path)
    return Imported(
        dims=dims,
        tensors={name: partial(_same, state[name]) for name in expected_shapes(dims)},
        dtypes={name: _DTYPES[state[name].dtype] for name in expected_shapes(dims)},
    )


def _check_members(path: Path) -> None:
    """Refuse an archive whose members unfold to more than the file has: torch stores them uncompressed."""
    try:
        with zipfile.ZipFile(path) as archive:
            inflated = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ModelError(f"{path} is not a file of openai/whisper: {error}") from error
    if inflated > path.stat().st_size:
        raise ModelError(f"{path} is refused: its parts are compressed, which openai/whisper's are not")


def _checked(state: object, dims: Dims, path: Path) -> dict[str, Tensor]:
    if not isinstance(state, Mapping):
        raise ModelError(f"{path} is not a file of openai/whisper: model_state_dict is missing")
    shapes = expected_shapes(dims)
    wrong = sorted(set(shapes) ^ set(state), key=str)
    if wrong:
        what = "is missing" if wrong[0] in shapes else "is not expected"
        raise ModelError(f"{path} does not agree with its dims: {wrong[0]} {what}")
    checked: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        tensor: Any = state[name]
        found = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
        if found != shape:
            raise ModelError(f"{path}: expected {name} of shape {shape}, found {found}")
        if tensor.dtype not in _DTYPES or tensor.layout != torch.strided:
            raise ModelError(f"{path}: expected {name} in float32 or float16, found {tensor.dtype}")
        # Both ends in one pass; NaN shows in both of them.
        if not all(end.isfinite() for end in torch.aminmax(tensor)):
            raise ModelError(f"{path}: {name} holds NaN or infinity")
        checked[name] = tensor
    return checked


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _first(error: Exception) -> str:
    """The first line of an error."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
