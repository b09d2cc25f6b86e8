"""MLX: the folder that mlx-whisper loads. 16-bit weights need no MLX, quantising does. Knows no runtime."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distilcli.converters.blocks import rounding_limit
from distilcli.converters.checkpoint import Checkpoint
from distilcli.converters.compared import Compared, compare
from distilcli.converters.halves import need_range
from distilcli.converters.naming import expected_shapes, to_mlx
from distilcli.converters.positions import need_sinusoids
from distilcli.converters.tensor_file import Entry, write_safetensors
from distilcli.errors import EnvironmentProblem, ModelError
from distilcli.model_folder import write_json

WEIGHTS = "weights.safetensors"

_BITS = {"8bit": 8, "4bit": 4}
_GROUP = 64
"""Weights that share a scale and a bias, both in 16 bits."""

_PARTS = {"weight": "uint32", "scales": "float16", "biases": "float16"}
_HEADS = "alignment_heads"
_POSITIONS = "encoder.positional_embedding"
"""mlx-whisper computes them, and a file that has them does not load."""

_TENSOR_HEADER = 120
"""Bytes."""

_ROWS = 2048
"""Rows that are dequantised at a time."""


def predict(checkpoint: Checkpoint, kind: str) -> int:
    """Bytes of the folder.

    Raises:
        ModelError: mlx-whisper would compute this model wrongly, or its rows cannot be cut into groups.
        EnvironmentProblem: quantising needs MLX, which is not installed.
    """
    checkpoint.need_plain("mlx")
    need_sinusoids(checkpoint, "mlx")
    bits = _BITS.get(kind)
    if bits is not None:
        _need_groups(checkpoint, kind)
    total = 0
    for name, shape in _stored(checkpoint):
        elements = math.prod(shape)
        total += _TENSOR_HEADER
        if bits is not None and _is_quantized(name, shape):
            total += elements * bits // 8 + elements // _GROUP * 4 + 2 * _TENSOR_HEADER
        else:
            total += 2 * elements
    return total


def warnings(checkpoint: Checkpoint, kind: str) -> tuple[str, ...]:
    """Nothing: all of mlx-whisper works with a student, word times included."""
    return ()


def write(checkpoint: Checkpoint, kind: str, target: Path) -> None:
    """Write the folder: config.json with the ten dims and nothing unknown, and the weights, one at a time.

    Raises:
        ModelError, EnvironmentProblem: see `predict`; or a value is too large for 16 bits.
    """
    predict(checkpoint, kind)
    bits = _BITS.get(kind)
    config: dict[str, Any] = {"model_type": "whisper", **checkpoint.dims.openai()}
    if bits is not None:
        config["quantization"] = {"group_size": _GROUP, "bits": bits}
    target.mkdir()
    write_json(target / "config.json", config)
    write_safetensors(target / WEIGHTS, dict(_entries(checkpoint, bits)))


def read_back(target: Path, checkpoint: Checkpoint, kind: str) -> Iterator[Compared]:
    """Every tensor of the folder against the checkpoint's; exact for what is not quantised."""
    from safetensors import safe_open

    bits = _BITS.get(kind)
    with safe_open(target / WEIGHTS, framework="pt") as file:
        for name, shape in _stored(checkpoint):
            expected, theirs = _half(checkpoint, name), to_mlx(name)
            if bits is None or not _is_quantized(name, shape):
                yield compare(theirs, expected, file.get_tensor(theirs), 0.0)
                continue
            stem = theirs.removesuffix("weight")
            found = _dequantize([file.get_tensor(stem + part) for part in _PARTS], bits)
            expected = expected.float()
            limit = rounding_limit(expected, _GROUP, 2**bits - 1, symmetric=False)
            yield compare(theirs, expected, found, limit)
        if checkpoint.heads:
            yield compare(_HEADS, _heads(checkpoint), file.get_tensor(_HEADS), 0.0)


def _stored(checkpoint: Checkpoint) -> Iterator[tuple[str, tuple[int, ...]]]:
    """openai/whisper's name, and shape, of every tensor that a file has."""
    for name, shape in expected_shapes(checkpoint.dims).items():
        if name != _POSITIONS:
            yield name, shape


def _is_quantized(name: str, shape: tuple[int, ...]) -> bool:
    """Whether `mlx.nn.quantize` touches it: linear layers and the token embedding, not positions."""
    return len(shape) == 2 and name.endswith(".weight")


def _entries(checkpoint: Checkpoint, bits: int | None) -> Iterator[tuple[str, Entry]]:
    """mlx-whisper's name and content of every tensor, in the order of the file."""
    # The parts of a tensor follow each other: it is quantised once, and kept for no longer.
    quantized = lru_cache(maxsize=1)(partial(_quantize, checkpoint, bits or 0))
    for name, shape in _stored(checkpoint):
        if bits is not None and _is_quantized(name, shape):
            rows, columns = shape
            shapes = ((rows, columns * bits // 32), (rows, columns // _GROUP), (rows, columns // _GROUP))
            stem = to_mlx(name).removesuffix("weight")
            for number, (part, dtype) in enumerate(_PARTS.items()):
                read = partial(lambda one, place: quantized(one)[place], name, number)
                yield stem + part, Entry(shapes[number], dtype, read)
        else:
            stored = (shape[0], shape[2], shape[1]) if len(shape) == 3 else shape
            yield to_mlx(name), Entry(stored, "float16", partial(_half, checkpoint, name))
    if checkpoint.heads:
        yield _HEADS, Entry((len(checkpoint.heads), 2), "int32", partial(_heads, checkpoint))


def _half(checkpoint: Checkpoint, name: str) -> Tensor:
    """A tensor in 16 bits; convolutions as MLX has them, (out, 3, in)."""
    tensor = checkpoint.openai_tensor(name)
    need_range(tensor, name, "float16")
    half = tensor.to(torch.float16)
    return half.transpose(1, 2).contiguous() if half.ndim == 3 else half.contiguous()


def _heads(checkpoint: Checkpoint) -> Tensor:
    """(heads, 2), int32: decoder layer and head."""
    return torch.tensor(checkpoint.heads, dtype=torch.int32)


def _need_groups(checkpoint: Checkpoint, kind: str) -> None:
    if importlib.util.find_spec("mlx") is None:
        raise EnvironmentProblem(
            f"mlx {kind} needs MLX, not installed here (f16 does not)", hint="pip install 'mlx[cpu]'"
        )
    width = checkpoint.dims.n_audio_state
    if width % _GROUP:
        raise ModelError(
            f"{checkpoint.folder}: mlx {kind} needs a d_model divisible by {_GROUP}, found {width}",
            hint="choose --quantization f16",
        )


def _quantize(checkpoint: Checkpoint, bits: int, name: str) -> tuple[Tensor, ...]:
    """Packed weights (rows, columns x bits / 32), uint32; scales and biases (rows, columns / 64), float16."""
    import mlx.core as mx
    import numpy as np

    half = mx.array(_half(checkpoint, name).numpy())
    parts = mx.quantize(half, group_size=_GROUP, bits=bits, stream=mx.cpu)
    return tuple(torch.from_numpy(np.array(part)) for part in parts)


def _dequantize(parts: Sequence[Tensor], bits: int) -> Tensor:
    """The float32 matrix that packed weights, scales and biases stand for: computed here, not by MLX."""
    packed, scales, biases = parts[0].view(torch.int32), parts[1].float(), parts[2].float()
    shifts = torch.arange(0, 32, bits, dtype=torch.int32)
    matrix = torch.empty(len(packed), scales.shape[1] * _GROUP)
    for start in range(0, len(packed), _ROWS):
        rows = slice(start, start + _ROWS)
        numbers = (packed[rows, :, None] >> shifts) & (2**bits - 1)  # lowest bits first
        grouped = numbers.reshape(-1, scales.shape[1], _GROUP) * scales[rows, :, None]
        matrix[rows] = (grouped + biases[rows, :, None]).reshape(-1, matrix.shape[1])
    return matrix
