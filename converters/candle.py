"""Candle: Hugging Face's layout as it reads it, or for its quantised loader a GGUF with the same names.

Candle computes the encoder's positions and takes the suppressed tokens from config.json. Knows no runtime:
there is none in Python.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from distilcli.converters import hf_layout
from distilcli.converters.checkpoint import Checkpoint
from distilcli.converters.compared import Compared, compare
from distilcli.converters.ggml_types import F32, FORMATS, NumberFormat, decode, encode
from distilcli.converters.naming import expected_shapes, hf_name
from distilcli.converters.positions import need_sinusoids
from distilcli.model_folder import read_json, write_json

WEIGHTS = "model.gguf"
"""The weights of a quantised export; Candle's library takes any name."""

_SAFETENSORS = {"f32": "float32", "f16": "float16"}
"""Kind -> the kind of `hf_layout` that is the same files."""


_TENSOR_HEADER = 100
"""Bytes, with name and padding."""

_CONFIG = 3000
"""Bytes."""

_QUANTIZATION_VERSION = 2


def predict(checkpoint: Checkpoint, kind: str) -> int:
    """Bytes of the folder.

    Raises:
        ModelError: Candle would compute this model wrongly.
    """
    checkpoint.need_plain("candle")
    need_sinusoids(checkpoint, "candle")
    if kind in _SAFETENSORS:
        return hf_layout.predict(checkpoint, _SAFETENSORS[kind])
    shapes = expected_shapes(checkpoint.dims).values()
    tokenizer = (checkpoint.folder / "tokenizer.json").stat().st_size
    return (
        tokenizer
        + _CONFIG
        + sum(_TENSOR_HEADER + _format(shape, FORMATS[kind]).size(math.prod(shape)) for shape in shapes)
    )


def warnings(checkpoint: Checkpoint, kind: str) -> tuple[str, ...]:
    """What Candle's example program does not do with this folder."""
    if kind in _SAFETENSORS:
        return ()
    return (
        "Candle's example program knows the file names of two quantised models only, under which the model "
        f"card's commands upload; a program of your own loads {WEIGHTS} with whisper::quantized_model",
    )


def write(checkpoint: Checkpoint, kind: str, target: Path) -> None:
    """Write the folder: config.json, tokenizer.json and the weights.

    Raises:
        ModelError: see `predict`; or a value is too large for 16 bits.
    """
    predict(checkpoint, kind)
    if kind in _SAFETENSORS:
        hf_layout.write(checkpoint, _SAFETENSORS[kind], target)
        config = read_json(target / "config.json")
    else:
        target.mkdir()
        shutil.copyfile(checkpoint.folder / "tokenizer.json", target / "tokenizer.json")
        _write_gguf(checkpoint, FORMATS[kind], target / WEIGHTS)
        config = dict(checkpoint.config)
    # A list of ids, never null; the -1 that stands for a set of symbols elsewhere is no id.
    suppressed = [token for token in checkpoint.generation["suppress_tokens"] if token >= 0]
    write_json(target / "config.json", {**config, "suppress_tokens": suppressed})


def read_back(target: Path, checkpoint: Checkpoint, kind: str) -> Iterator[Compared]:
    """Every tensor of the folder against the checkpoint's; exact for what is not quantised."""
    if kind in _SAFETENSORS:
        yield from hf_layout.read_back(target, checkpoint, _SAFETENSORS[kind])
        return
    from gguf import GGUFReader

    found = {tensor.name: tensor for tensor in GGUFReader(target / WEIGHTS).tensors}
    for name, shape in expected_shapes(checkpoint.dims).items():
        form = _format(shape, FORMATS[kind])
        tensor = found.get(hf_name(name))
        if tensor is None or tensor.tensor_type != form.tensor_type or tensor.n_bytes != _size(shape, form):
            yield Compared(hf_name(name), math.inf, 0.0)
            continue
        raw = np.asarray(tensor.data).reshape(-1).view(np.uint8)
        expected = form.rounded(checkpoint.openai_tensor(name))
        yield compare(hf_name(name), expected, decode(raw, form, shape), form.limit(expected))


def _write_gguf(checkpoint: Checkpoint, matrices: NumberFormat, path: Path) -> None:
    """Write the weights, one tensor in memory at a time."""
    from gguf import GGMLQuantizationType, GGUFWriter

    shapes = expected_shapes(checkpoint.dims)
    writer = GGUFWriter(path, "whisper")
    try:
        writer.add_file_type(matrices.file_type)
        writer.add_quantization_version(_QUANTIZATION_VERSION)
        for name, shape in shapes.items():
            form = _format(shape, matrices)
            kind = GGMLQuantizationType(form.tensor_type)
            writer.add_tensor_info(hf_name(name), shape, np.dtype(np.float32), _size(shape, form), kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for name, shape in shapes.items():
            pieces = encode(checkpoint.openai_tensor(name), _format(shape, matrices), name)
            writer.write_tensor_data(np.concatenate(list(pieces)))
    finally:
        writer.close()


def _format(shape: tuple[int, ...], matrices: NumberFormat) -> NumberFormat:
    """The rule of Candle's own tool: matrices whose rows can be cut into blocks, all else in float32."""
    return matrices if len(shape) == 2 and shape[-1] % matrices.block == 0 else F32


def _size(shape: tuple[int, ...], form: NumberFormat) -> int:
    return form.size(math.prod(shape))
