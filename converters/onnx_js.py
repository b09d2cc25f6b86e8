"""ONNX for Transformers.js and onnxruntime: an encoder, one decoder for all steps, and the JSON files.

Knows the folder that Transformers.js reads; neither how graphs are traced nor how they are quantised.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from distilcli.converters.compared import Compared, compare
from distilcli.converters.naming import EMBEDDING, expected_shapes
from distilcli.model_folder import write_json

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from distilcli.converters.checkpoint import Checkpoint
    from distilcli.converters.dims import Dims

FILES = {"encoder": "encoder_model", "decoder": "decoder_model_merged"}
"""Half of a model -> name of its graph, before the kind's ending."""

ENDINGS = {"fp32": "", "fp16": "_fp16", "q8": "_quantized", "q4": "_q4"}
"""Kind -> end of the graphs' names; Transformers.js calls the kinds ``dtype``, by the same words."""

FOLDER = "onnx"
"""Folder of the graphs inside the export."""

LARGEST_FILE = 2_000_000_000
"""Bytes that fit into one ONNX file; the weights of a larger one lie beside it."""

_QUANTISED = ("q8", "q4")
_FLOAT32, _FLOAT16 = 4, 2  # bytes
_MATRIX_BYTES = {"fp32": 4.0, "fp16": 2.0, "q8": 1.0, "q4": 0.5 + (4 + 0.5) / 32}
_EMBEDDING_BYTES = {"fp32": 4, "fp16": 2, "q8": 1, "q4": 1}
_GRAPH_BYTES = {"encoder": (30_000, 12_000), "decoder": (40_000, 30_000)}  # of a graph, and of each layer
_COPIED = ("tokenizer.json", "tokenizer_config.json")
_TOKENIZER_CONFIG = {"tokenizer_class": "WhisperTokenizer", "eos_token": "<|endoftext|>"}
_JSON_BYTES = 30_000

_LARGEST_4BIT_ERROR = 0.16
"""32 weights around 0 are rounded no further: their spread is at least 1/8 of their range, a step 1/15."""


def predict(checkpoint: Checkpoint, kind: str) -> int:
    """Bytes of the folder.

    Raises:
        ModelError: a network that openai/whisper's does not cover.
    """
    checkpoint.need_plain("onnx")
    graphs = sum(_graph_bytes(checkpoint.dims, part, kind) for part in FILES)
    copied = [path for path in (checkpoint.folder / name for name in _COPIED) if path.is_file()]
    return graphs + sum(path.stat().st_size for path in copied) + _JSON_BYTES


def scratch(checkpoint: Checkpoint, kind: str) -> int:
    """Bytes that lie on the disk while the folder is written, and not afterwards.

    The quantisers read a half of the model in float32 from a file; that for 4 bits writes the decoder once
    more, with the embedding in 8.
    """
    if kind not in _QUANTISED:
        return 0
    needed = {part: _graph_bytes(checkpoint.dims, part, "fp32") for part in FILES}
    if kind == "q4":
        embedding = math.prod(expected_shapes(checkpoint.dims)[EMBEDDING])
        needed["decoder"] += needed["decoder"] - (_FLOAT32 - _EMBEDDING_BYTES[kind]) * embedding
    return max(needed.values())


def warnings(checkpoint: Checkpoint, kind: str) -> tuple[str, ...]:
    """What this kind costs where it runs."""
    told = []
    if kind == "fp16":
        told.append(
            "fp16 is for WebGPU: processors compute it in float32, slower than fp32; q8 is the kind for them"
        )
    told += [
        f"{FILES[part]}.onnx keeps its weights in a file beside it, for being larger than 2 GB; "
        "few browsers have that much memory: fp16 or q8 is for them"
        for part in FILES
        if _needs_sidecar(checkpoint.dims, part, kind)
    ]
    return tuple(told)


def write(checkpoint: Checkpoint, kind: str, target: Path) -> None:
    """Write the folder: ``onnx/`` with the two graphs, and the JSON files that Transformers.js asks for.

    Raises:
        ModelError: see `predict`.
    """
    checkpoint.need_plain("onnx")
    (target / FOLDER).mkdir(parents=True)
    for part in FILES:
        path = target / FOLDER / _file_name(part, kind)
        if kind in _QUANTISED:
            _write_quantised(checkpoint, part, kind, path)
        else:
            _write_traced(checkpoint, part, kind, path, sidecar=_needs_sidecar(checkpoint.dims, part, kind))
    _write_json_files(checkpoint, kind, target)


def read_back(target: Path, checkpoint: Checkpoint, kind: str) -> Iterator[Compared]:
    """Every tensor, as its half and graph call it: quantised ones within their limits, others bit by bit."""
    import torch

    from distilcli.converters.onnx_weights import StoredWeights

    for part in FILES:
        stored = StoredWeights(target / FOLDER / _file_name(part, kind))
        weight = _reader(checkpoint, part, _computes_in(kind))
        for name in _weights_of(checkpoint, part):
            expected, bits = weight(name), stored.bits(name)
            if bits is None:
                yield Compared(f"{part}.{name}", math.inf, 0.0)
            else:
                found = torch.from_numpy(stored.read(name).copy())
                yield compare(f"{part}.{name}", expected, found, _limit(bits, expected))


def _limit(bits: int, expected: Tensor) -> float:
    """Largest relative error of a weight that is stored in so many bits; 0: in a floating-point format."""
    if bits == 8:  # half of a step; the largest value is 127 steps
        return float(expected.abs().max()) / 254 / (float(expected.std()) or 1.0)
    return _LARGEST_4BIT_ERROR if bits else 0.0


def _weights_of(checkpoint: Checkpoint, part: str) -> dict[str, str]:
    """Name in the traced graph -> name in the checkpoint, for one half of the model."""
    found = {}
    for name in checkpoint.names():
        side, _, inside = name.removeprefix("model.").partition(".")
        if side == part:
            found[inside] = name
    return found


def _reader(checkpoint: Checkpoint, part: str, dtype: torch.dtype) -> Callable[[str], Tensor]:
    """A weight by its name in the traced graph, which has matrices as (in, out)."""
    from distilcli.converters.halves import need_range

    names = _weights_of(checkpoint, part)

    def read(name: str) -> Tensor:
        tensor = checkpoint.tensor(names[name])
        if dtype.itemsize == _FLOAT16:
            need_range(tensor, names[name], "fp16")
        tensor = tensor.to(dtype)
        return tensor.T if tensor.ndim == 2 and not name.startswith("embed_") else tensor

    return read


def _computes_in(kind: str) -> torch.dtype:
    import torch

    return torch.float16 if kind == "fp16" else torch.float32


def _write_traced(checkpoint: Checkpoint, part: str, kind: str, path: Path, *, sidecar: bool) -> None:
    from distilcli.converters.onnx_graph import save, trace

    dtype = _computes_in(kind)
    save(trace(part, checkpoint.dims, dtype), _reader(checkpoint, part, dtype), path, sidecar=sidecar)


def _write_quantised(checkpoint: Checkpoint, part: str, kind: str, path: Path) -> None:
    from distilcli.converters.onnx_weights import quantise_4bit, quantise_8bit

    with TemporaryDirectory(dir=path.parent) as folder:
        exact = Path(folder) / "float32.onnx"
        _write_traced(checkpoint, part, "fp32", exact, sidecar=True)
        {"q8": quantise_8bit, "q4": quantise_4bit}[kind](exact, path)


def _write_json_files(checkpoint: Checkpoint, kind: str, target: Path) -> None:
    config = dict(checkpoint.config)
    apart = [_file_name(part, kind) for part in FILES if _needs_sidecar(checkpoint.dims, part, kind)]
    if apart:
        config["transformers.js_config"] = {"use_external_data_format": dict.fromkeys(apart, True)}
    # Transformers.js takes none where it is told none.
    heads = checkpoint.heads or checkpoint.dims.last_half()
    generation = {**checkpoint.generation, "alignment_heads": [list(pair) for pair in heads]}
    write_json(target / "config.json", config)
    write_json(target / "generation_config.json", generation)
    write_json(target / "preprocessor_config.json", checkpoint.feature_extractor)
    write_json(target / "tokenizer_config.json", _TOKENIZER_CONFIG)
    for name in _COPIED:
        if (checkpoint.folder / name).is_file():
            shutil.copyfile(checkpoint.folder / name, target / name)


def _file_name(part: str, kind: str) -> str:
    return f"{FILES[part]}{ENDINGS[kind]}.onnx"


def _needs_sidecar(dims: Dims, part: str, kind: str) -> bool:
    return _graph_bytes(dims, part, kind) > LARGEST_FILE


def _graph_bytes(dims: Dims, part: str, kind: str) -> int:
    """Bytes of one graph with its weights, within a few per cent."""
    start, per_layer = _GRAPH_BYTES[part]
    layers = dims.n_audio_layer if part == "encoder" else dims.n_text_layer
    total = float(start + layers * per_layer)
    others = _FLOAT16 if kind == "fp16" else _FLOAT32
    for name, shape in expected_shapes(dims).items():
        if name.startswith(part):
            matrix = len(shape) == 2 and not name.endswith("positional_embedding")
            size = _EMBEDDING_BYTES[kind] if name == EMBEDDING else _MATRIX_BYTES[kind] if matrix else others
            total += math.prod(shape) * size
    return int(total)
