"""Whisper's encoder in PyTorch on a CPU, with the weights of a CTranslate2 folder. Knows no decoder.

The arithmetic is openai/whisper's `AudioEncoder`, as CTranslate2 stores it (`WhisperEncoderSpec`): the linear
layers of queries, keys and values are one. Matrices are multiplied in bfloat16; the residual stream is added
up in float32, which costs no time and takes a third of the error away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from distilcli import ct2_file

_KERNEL = 3  # frames under a convolution

_Values = Callable[[str], Tensor]
"""Name of a variable, without ``encoder/`` -> its values in float32."""


@dataclass(frozen=True, slots=True)
class _Linear:
    weight: Tensor  # (outputs, inputs)
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class _Norm:
    gamma: Tensor  # float32, as the residual stream
    beta: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, self.gamma.shape, self.gamma, self.beta)


@dataclass(frozen=True, slots=True)
class _Layer:
    heads: int
    attention_norm: _Norm
    qkv: _Linear  # queries are scaled already
    out: _Linear
    ffn_norm: _Norm
    up: _Linear
    down: _Linear

    def __call__(self, x: Tensor) -> Tensor:
        dtype = self.out.weight.dtype
        x = x + self.out(_attend(self.qkv(self.attention_norm(x).to(dtype)), self.heads))
        return x + self.down(functional.gelu(self.up(self.ffn_norm(x).to(dtype))))


@dataclass(frozen=True, slots=True)
class Encoder:
    """The network, called with features; see `load_encoder`."""

    conv1: _Linear
    conv2: _Linear
    positions: Tensor  # (1500, d_model), float32
    layers: tuple[_Layer, ...]
    norm: _Norm

    @torch.inference_mode()
    def __call__(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """States (frames / 2, d_model) of a window, for its features (mel bands, frames), at most 3000."""
        x = torch.from_numpy(mel).to(self.conv1.weight.dtype).T
        x = functional.gelu(_convolved(x, self.conv1, stride=1))
        x = functional.gelu(_convolved(x, self.conv2, stride=2))
        x = x + self.positions[: len(x)]
        for layer in self.layers:
            x = layer(x)
        states: NDArray[np.float32] = self.norm(x).numpy()
        return states


def load_encoder(folder: Path, threads: int, dtype: torch.dtype = torch.bfloat16) -> Encoder:
    """The encoder of a CTranslate2 folder, whose weights may be stored in any number format.

    Args:
        folder: whole, as `model_folder.inspect` makes sure.
        threads: CPU threads of PyTorch, in this process and from now on.
        dtype: what matrices are multiplied in.

    Raises:
        ModelError: a tensor is missing.
    """
    torch.set_num_threads(threads)
    path = folder / "model.bin"
    found = ct2_file.variables(path)

    def values(name: str) -> Tensor:
        return torch.from_numpy(ct2_file.values(path, found, f"encoder/{name}"))

    layers = 0
    while f"encoder/layer_{layers}/ffn/linear_0/weight" in found:
        layers += 1
    heads = int(values("num_heads"))
    return Encoder(
        conv1=_convolution(values, "conv1", dtype),
        conv2=_convolution(values, "conv2", dtype),
        positions=values("position_encodings/encodings"),
        layers=tuple(_layer(values, f"layer_{layer}", heads, dtype) for layer in range(layers)),
        norm=_norm(values, "layer_norm"),
    )


def _layer(values: _Values, name: str, heads: int, dtype: torch.dtype) -> _Layer:
    weight = values(f"{name}/self_attention/linear_0/weight")
    bias = values(f"{name}/self_attention/linear_0/bias")
    width = weight.shape[1]
    # A power of two in every released Whisper (heads of 64 numbers), so that nothing is rounded.
    scale = (width // heads) ** -0.5
    weight[:width] *= scale
    bias[:width] *= scale
    return _Layer(
        heads=heads,
        attention_norm=_norm(values, f"{name}/self_attention/layer_norm"),
        qkv=_Linear(weight.to(dtype), bias.to(dtype)),
        out=_linear(values, f"{name}/self_attention/linear_1", dtype),
        ffn_norm=_norm(values, f"{name}/ffn/layer_norm"),
        up=_linear(values, f"{name}/ffn/linear_0", dtype),
        down=_linear(values, f"{name}/ffn/linear_1", dtype),
    )


def _linear(values: _Values, name: str, dtype: torch.dtype) -> _Linear:
    return _Linear(values(f"{name}/weight").to(dtype), values(f"{name}/bias").to(dtype))


def _norm(values: _Values, name: str) -> _Norm:
    return _Norm(values(f"{name}/gamma"), values(f"{name}/beta"))


def _convolution(values: _Values, name: str, dtype: torch.dtype) -> _Linear:
    """A convolution (outputs, inputs, 3) as the matrix (outputs, 3 * inputs) that `_convolved` multiplies."""
    weight = values(f"{name}/weight").transpose(1, 2).flatten(1)
    return _Linear(weight.to(dtype), values(f"{name}/bias").to(dtype))


def _convolved(x: Tensor, convolution: _Linear, stride: int) -> Tensor:
    """A convolution over (frames, inputs), padded by a frame on both sides: (frames / stride, outputs).

    Neighbouring frames lie behind each other in memory, so that what the kernel sees is a view.
    """
    padded = functional.pad(x, (0, 0, 1, 1)).contiguous()
    return convolution(padded.unfold(0, _KERNEL, stride).transpose(1, 2).flatten(1))


def _attend(qkv: Tensor, heads: int) -> Tensor:
    """Attention of all positions to all, (positions, 3 * d_model) -> (positions, d_model).

    Head by head, so that the scores (1500, 1500) stay in the processor's cache: without AMX this takes 0.4 of
    the time of PyTorch's fused attention. What all keys have in common adds the same to every score of a row,
    which the softmax takes out again; without it the scores are smaller, and bfloat16 rounds them less.
    """
    q, k, v = qkv.view(len(qkv), 3, heads, -1).permute(1, 2, 0, 3)  # each (heads, positions, width of a head)
    k = k - k.mean(1, keepdim=True)
    attended = torch.empty(q.shape[1], heads, q.shape[2], dtype=qkv.dtype)
    for head in range(heads):
        attended[:, head] = (q[head] @ k[head].T).softmax(-1) @ v[head]
    return attended.flatten(1)
