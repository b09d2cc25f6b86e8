"""Quantised matrices in ONNX files: written by ONNX Runtime's quantisers, read back and dequantised here.

Knows graphs of `onnx_graph` and the names of their weights; knows no checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from distilcli.converters.onnx_quiet import without_advice

EMBEDDING = "embed_tokens.weight"
"""The token embedding, which the graph also turns around to compute logits."""

BLOCK = 32
"""Values along the input that share a scale and a zero point in 4 bits."""

PREPARED = {"onnx.quant.pre_process": "onnxruntime.quant"}
"""Metadata of a file that is ready for the quantiser, which complains on the terminal where it is missing."""

_MATRIX_OPERATOR = "MatMul"
_BITS = 4
_TO_8BIT, _TO_4BIT = "_quantized", f"_Q{_BITS}"


def quantise_8bit(source: Path, target: Path) -> None:
    """Write `source` with every matrix and the token embedding in 8 bits, one scale each.

    Convolutions, norms, biases and positions stay as they are.
    """
    graph = onnx.load(source, load_external_data=False).graph
    _quantise_dynamic(source, target, [*_matrix_products(graph), *_embedding_uses(graph)])


def quantise_4bit(source: Path, target: Path) -> None:
    """Write `source` with every matrix in 4 bits, and the token embedding in 8.

    The embedding is most of a small model. In 4 bits it would cost more than it saves: the quantiser cannot
    share it between its two uses.
    """
    uses = list(_embedding_uses(onnx.load(source, load_external_data=False).graph))
    if uses:
        halfway = source.with_name(f"{source.stem}-embedding.onnx")
        _quantise_dynamic(source, halfway, uses, sidecar=True)
        source = halfway
    with without_advice():
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

        quantiser = MatMulNBitsQuantizer(onnx.load(source), block_size=BLOCK)
        quantiser.process()
    quantiser.model.save_model_to_file(str(target), False)


def _quantise_dynamic(source: Path, target: Path, nodes: list[str], *, sidecar: bool = False) -> None:
    with without_advice():
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=[_MATRIX_OPERATOR, "Gather", "Transpose"],
            nodes_to_quantize=nodes,
            weight_type=QuantType.QInt8,
            use_external_data_format=sidecar,
            # The logits are a product with the turned embedding, which the quantiser takes for an activation.
            extra_options={"MatMulConstBOnly": False},
        )


def _matrix_products(graph: onnx.GraphProto) -> Iterator[str]:
    """Names of the nodes that multiply by a weight; those of attention multiply two activations."""
    stored = {one.name for one in graph.initializer}
    for node in graph.node:
        if node.op_type == _MATRIX_OPERATOR and node.input[1] in stored:
            yield node.name


def _embedding_uses(graph: onnx.GraphProto) -> Iterator[str]:
    """Names of the nodes that look tokens up, and turn and multiply by the same matrix for the logits."""
    turned = None
    for node in graph.node:
        if EMBEDDING in node.input:
            yield node.name
            turned = node.output[0] if node.op_type == "Transpose" else turned
        elif turned in node.input:
            yield node.name


class StoredWeights:
    """The weights of an ONNX file by the name they were traced with, dequantised where they are quantised."""

    def __init__(self, path: Path) -> None:
        """Reads the whole file.

        Raises:
            google.protobuf.message.DecodeError: it is damaged.
        """
        graph = onnx.load(path).graph
        self._stored = {one.name: one for one in graph.initializer}
        self._rows = {  # length of a row before it was filled up to whole blocks
            node.input[1]: next(one.i for one in node.attribute if one.name == "K")
            for node in graph.node
            if node.op_type == "MatMulNBits"
        }

    def bits(self, name: str) -> int | None:
        """8 or 4 for a quantised weight, 0 for one that is not quantised, None for one that is missing."""
        found = ((0, ""), (8, _TO_8BIT), (_BITS, _TO_4BIT))
        return next((bits for bits, end in found if name + end in self._stored), None)

    def read(self, name: str) -> NDArray[np.generic]:
        """A weight as the graph has it: matrices are (in, out); float32 where it is quantised."""
        return {0: self._array, 8: self._from_8bit, _BITS: self._from_4bit}[self.bits(name) or 0](name)

    def _array(self, name: str) -> NDArray[Any]:  # in the file's number format
        return onnx.numpy_helper.to_array(self._stored[name])

    def _from_8bit(self, name: str) -> NDArray[np.generic]:
        levels = self._array(name + _TO_8BIT).astype(np.float32)
        levels -= self._array(f"{name}_zero_point").astype(np.float32)
        return np.asarray(levels * self._array(f"{name}_scale"), dtype=np.float32)

    def _from_4bit(self, name: str) -> NDArray[np.generic]:
        """Undoes `MatMulNBits`: (out, blocks, 16) bytes, two levels in each, the lower half first."""
        packed = self._array(name + _TO_4BIT)
        out, blocks, _ = packed.shape
        scales = self._array(f"{name}_scales").reshape(out, blocks, 1)
        zeros = _halves(self._array(f"{name}_zero_points").reshape(out, -1))[:, :blocks, None]
        levels = _halves(packed) - zeros
        weights = np.asarray(levels * scales, dtype=np.float32).reshape(out, blocks * BLOCK)
        return weights[:, : self._rows[name + _TO_4BIT]].T


def _halves(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Bytes (..., n) as numbers of 4 bits (..., 2 n)."""
    low_high = np.stack((packed & 15, packed >> 4), axis=-1)
    return low_high.reshape(*packed.shape[:-1], -1).astype(np.float32)
