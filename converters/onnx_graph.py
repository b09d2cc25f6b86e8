"""Whisper's encoder and decoder as ONNX graphs, traced without a single weight: those stream into the file.

Knows the names and axes that Transformers.js asks for; knows no checkpoint and no number format but the two
that torch can trace.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import onnx_ir
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from distilcli.converters.dims import Dims
from distilcli.converters.onnx_network import CACHED, Decoder, Encoder
from distilcli.converters.onnx_quiet import without_advice
from distilcli.converters.onnx_weights import PREPARED

ENCODER = "encoder"
DECODER = "decoder"

OPSET = 18
SIDECAR = "_data"
"""End of the name of a graph's weights where they lie beside it, as Transformers.js expects it."""

# Input or output, by how its name begins and ends -> axis -> name. The cache's batch axis must be called
# batch_size: Transformers.js fills every other symbolic axis of the first step's cache with 0.
_BATCH = "batch_size"
_AXES: tuple[tuple[str, str, dict[int, str]], ...] = (
    ("input_features", "", {}),
    ("last_hidden_state", "", {}),
    ("input_ids", "", {1: "decoder_sequence_length"}),
    ("logits", "", {1: "decoder_sequence_length"}),
    ("encoder_hidden_states", "", {1: "encoder_sequence_length"}),
    ("past_key_values.", "decoder", {2: "past_decoder_sequence_length"}),
    ("past_key_values.", "encoder", {2: "past_encoder_sequence_length"}),
    ("present.", "decoder", {2: "total_decoder_sequence_length"}),
    ("present.", "encoder", {2: "total_encoder_sequence_length"}),
    ("cross_attentions.", "", {2: "decoder_sequence_length", 3: "total_encoder_sequence_length"}),
)


@lru_cache(maxsize=4)  # tracing takes longer than all the rest, and most kinds of a model share their graphs
def trace(part: str, dims: Dims, dtype: torch.dtype) -> onnx_ir.Model:
    """The graph of `ENCODER` or `DECODER` that computes in `dtype`, with float32 inputs and outputs.

    Its weights have names and shapes (those of `onnx_network`), and no values: `save` asks for them. Do not
    change it: it is handed out again.
    """
    with FakeTensorMode(allow_non_fake_inputs=True), without_advice():
        network, arguments, axes, inputs, outputs = _SAMPLES[part](dims)
        for parameter in network.parameters():
            parameter.data = parameter.data.to(dtype)  # Module.to cannot exchange weights that are not there
        program = torch.onnx.export(
            network.eval(),
            arguments,
            dynamo=True,
            optimize=False,
            verbose=False,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=axes,
        )
        assert program is not None, "torch.onnx.export returns a program with dynamo=True"
        for value in program.model.graph.initializers.values():
            if isinstance(getattr(value.const_value, "raw", None), FakeTensor):
                value.const_value = None  # the optimiser looks into every value that claims to be there
        program.optimize()
    model = program.model
    _name_axes(model)
    _forget_origin(model)
    model.metadata_props.update(PREPARED)
    return model


def weight_names(model: onnx_ir.Model) -> tuple[str, ...]:
    """The weights that a traced graph asks for."""
    return tuple(name for name, value in model.graph.initializers.items() if value.const_value is None)


def save(model: onnx_ir.Model, weight: Callable[[str], Tensor], path: Path, *, sidecar: bool) -> None:
    """Write a traced graph with its weights; one of them is in memory at a time where they lie in `sidecar`.

    Args:
        model: from `trace`; its weights are asked for here and not kept.
        weight: a weight by name, of the traced shape and number format.
        path: file to write.
        sidecar: put the weights beside the file, in one called as it is with `SIDECAR` behind.
    """
    names = weight_names(model)
    for name in names:
        value = model.graph.initializers[name]
        assert value.dtype is not None, f"{name} was traced without a number format"
        assert value.shape is not None, f"{name} was traced without a shape"
        value.const_value = onnx_ir.LazyTensor(
            partial(_stored, weight, name), dtype=value.dtype, shape=onnx_ir.Shape(value.shape), name=name
        )
    try:
        onnx_ir.save(model, path, external_data=path.name + SIDECAR if sidecar else None)
    finally:
        for name in names:
            model.graph.initializers[name].const_value = None


def _stored(weight: Callable[[str], Tensor], name: str) -> onnx_ir.Tensor[Any]:
    return onnx_ir.Tensor(weight(name).contiguous().numpy(), name=name)


_Sample = tuple[nn.Module, tuple[Tensor, ...], dict[str, Any], list[str], list[str]]


def _encoder(dims: Dims) -> _Sample:
    """Network, arguments to trace it with, which of their axes vary, names of inputs and outputs."""
    features = torch.zeros(2, dims.n_mels, 2 * dims.n_audio_ctx)
    varies = {"input_features": {0: torch.export.Dim.DYNAMIC}}
    return Encoder(dims), (features,), varies, ["input_features"], ["last_hidden_state"]


def _decoder(dims: Dims) -> _Sample:
    """See `_encoder`. No two axes that vary may have one length: the tracer would take them for the same."""
    batch, new, known, heard = 2, 3, 5, 7
    heads, layers = dims.n_text_head, range(dims.n_text_layer)
    caches = tuple(
        torch.zeros(batch, heads, known if name.startswith("decoder") else heard, dims.n_text_state // heads)
        for _ in layers
        for name in CACHED
    )
    ids = torch.zeros(batch, new, dtype=torch.long)
    states = torch.zeros(batch, dims.n_audio_ctx, dims.n_text_state)
    varies = torch.export.Dim.DYNAMIC
    axes = {
        "input_ids": {0: varies, 1: varies},
        "encoder_hidden_states": {0: varies, 1: varies},
        "past": tuple({0: varies, 2: varies} for _ in caches),
    }
    inputs = [f"past_key_values.{layer}.{name}" for layer in layers for name in CACHED]
    outputs = [f"present.{layer}.{name}" for layer in layers for name in CACHED]
    looks = [f"cross_attentions.{layer}" for layer in layers]
    return (
        Decoder(dims),
        (ids, states, *caches),
        axes,
        ["input_ids", "encoder_hidden_states", *inputs],
        ["logits", *outputs, *looks],
    )


_SAMPLES: dict[str, Callable[[Dims], _Sample]] = {ENCODER: _encoder, DECODER: _decoder}


def _name_axes(model: onnx_ir.Model) -> None:
    for value in (*model.graph.inputs, *model.graph.outputs):
        begin, _, axes = next(
            row for row in _AXES if str(value.name).startswith(row[0]) and row[1] in str(value.name)
        )
        assert value.shape is not None, f"{begin} was traced without a shape"
        lengths: list[int | str] = [size if isinstance(size, int) else "" for size in value.shape]
        for axis, name in {0: _BATCH, **axes}.items():
            lengths[axis] = name
        value.shape = onnx_ir.Shape(lengths)


def _forget_origin(model: onnx_ir.Model) -> None:
    """Drop what the tracer notes on every node: lines of source files on this machine."""
    graph = model.graph
    values = [output for node in graph for output in node.outputs]
    for noted in (model, graph, *graph, *graph.inputs, *graph.initializers.values(), *values):
        noted.metadata_props.clear()
        noted.doc_string = None
