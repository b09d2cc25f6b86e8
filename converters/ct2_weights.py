"""The tensors of CTranslate2's ``model.bin``: how they are fused, quantised and stored, read independently.

Source: CTranslate2 4.8 `model_spec.py` (`_serialize`, `_quantize`), `transformers.py` (`BartLoader`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from distilcli import ct2_file
from distilcli.converters.checkpoint import Checkpoint
from distilcli.converters.compared import Compared, compare
from distilcli.converters.dims import Dims
from distilcli.converters.naming import EMBEDDING
from distilcli.converters.space import BYTES
from distilcli.errors import ModelError

if TYPE_CHECKING:
    import torch

_NORMS = {"weight": "gamma", "bias": "beta"}


@dataclass(frozen=True, slots=True)
class Layout:
    """Number formats of a kind: of matrices and convolutions, and of everything else; None: as they are."""

    matrix: str
    rest: str | None

    def rest_of(self, dtype: str) -> str:
        """Format of biases, norms and positions for a checkpoint in `dtype`."""
        return self.rest or dtype

    def bytes(self, dtype: str) -> tuple[int, int, int]:
        """Bytes of a matrix's value, of a row's scale, and of any other value."""
        rest = BYTES[self.rest_of(dtype)]
        return (1, 4, rest) if self.matrix == "int8" else (BYTES.get(self.matrix, 2), 0, rest)


LAYOUT = {
    "float32": Layout("float32", "float32"),
    "float16": Layout("float16", "float16"),
    "bfloat16": Layout("bfloat16", "bfloat16"),
    "int16": Layout("int16", "float32"),
    "int8_float32": Layout("int8", "float32"),
    "int8_float16": Layout("int8", "float16"),
    "int8_bfloat16": Layout("int8", "bfloat16"),
    "int8": Layout("int8", None),
}
"""Kind -> what is in the file."""


def is_quantizable(name: str) -> bool:
    """Whether CTranslate2 quantises a tensor (openai/whisper's name): matrices and convolutions."""
    return name.endswith(".weight") and ".ln" not in name and "_ln." not in name


def dtype_of(name: str, kind: str, dtype: str) -> str:
    """Number format of a tensor (openai/whisper's name) in a file of `kind`, of a checkpoint in `dtype`."""
    layout = LAYOUT[kind]
    return layout.matrix if is_quantizable(name) else layout.rest_of(dtype)


def parts(dims: Dims) -> dict[str, tuple[str, ...]]:
    """CTranslate2's name of a tensor -> openai/whisper's names of the tensors that are joined in it.

    A name that starts with ``-`` stands for zeros: keys have no bias.
    """
    table: dict[str, tuple[str, ...]] = {
        "decoder/embeddings/weight": (EMBEDDING,),
        **{
            f"encoder/conv{number}/{end}": (f"encoder.conv{number}.{end}",)
            for number in (1, 2)
            for end in _NORMS
        },
    }
    for side, last, layers in (
        ("encoder", "ln_post", dims.n_audio_layer),
        ("decoder", "ln", dims.n_text_layer),
    ):
        table[f"{side}/position_encodings/encodings"] = (f"{side}.positional_embedding",)
        table |= _norm(f"{side}/layer_norm", f"{side}.{last}")
        for layer in range(layers):
            table |= _block(f"{side}/layer_{layer}", f"{side}.blocks.{layer}", cross=side == "decoder")
    return table


def _norm(ours: str, theirs: str) -> dict[str, tuple[str, ...]]:
    return {f"{ours}/{new}": (f"{theirs}.{end}",) for end, new in _NORMS.items()}


def _block(ours: str, theirs: str, *, cross: bool) -> dict[str, tuple[str, ...]]:
    linears = {
        "self_attention/linear_0": ("attn.query", "attn.key", "attn.value"),
        "self_attention/linear_1": ("attn.out",),
        "ffn/linear_0": ("mlp.0",),
        "ffn/linear_1": ("mlp.2",),
    }
    norms = {"self_attention": "attn_ln", "ffn": "mlp_ln"}
    if cross:
        linears |= {
            "attention/linear_0": ("cross_attn.query",),
            "attention/linear_1": ("cross_attn.key", "cross_attn.value"),
            "attention/linear_2": ("cross_attn.out",),
        }
        norms["attention"] = "cross_attn_ln"
    table: dict[str, tuple[str, ...]] = {}
    for name, joined in linears.items():
        table[f"{ours}/{name}/weight"] = tuple(f"{theirs}.{one}.weight" for one in joined)
        table[f"{ours}/{name}/bias"] = tuple(
            f"{'-' if one.endswith('.key') else ''}{theirs}.{one}.bias" for one in joined
        )
    for name, norm in norms.items():
        table |= _norm(f"{ours}/{name}/layer_norm", f"{theirs}.{norm}")
    return table


def fused(checkpoint: Checkpoint, names: tuple[str, ...], dtype: str) -> torch.Tensor:
    """The checkpoint's tensors behind one another, in a number format; see `parts`.

    Raises:
        ModelError: float16 cannot express a value.
    """
    import torch

    from distilcli.converters.halves import need_range
    from distilcli.converters.memory import converted, joined

    zeros = torch.zeros(checkpoint.dims.n_audio_state)
    tensors = [zeros if name.startswith("-") else checkpoint.openai_tensor(name) for name in names]
    if dtype == "float16":
        for name, tensor in zip(names, tensors, strict=True):
            need_range(tensor, name, dtype)
    return converted(tensors[0], _torch(dtype)) if len(tensors) == 1 else joined(tensors, _torch(dtype))


def _read(path: Path, variable: ct2_file.Variable) -> torch.Tensor:
    import torch

    stored = torch.from_numpy(ct2_file.raw(path, variable))
    return stored.view(_torch(variable.dtype)).reshape(variable.shape)


def compare_all(path: Path, checkpoint: Checkpoint, kind: str) -> Iterator[Compared]:
    """Every tensor of `path` against the checkpoint's.

    Raises:
        ModelError: a tensor is missing.
    """
    found = ct2_file.variables(path)
    for name, names in parts(checkpoint.dims).items():
        if name not in found:
            raise ModelError(f"{path} has no {name}")
        dtype = dtype_of(names[0], kind, checkpoint.dtype)
        if dtype.startswith("int"):
            scale = found[f"{found[name].name}_scale"]
            expected = fused(checkpoint, names, "float32")
            yield _quantised(name, expected, _read(path, found[name]), _read(path, scale))
        else:
            yield compare(name, fused(checkpoint, names, dtype), _read(path, found[name]), 0.0)


def _torch(dtype: str) -> torch.dtype:
    import torch

    found = getattr(torch, dtype)
    assert isinstance(found, torch.dtype)
    return found


def _quantised(name: str, expected: torch.Tensor, numbers: torch.Tensor, scales: torch.Tensor) -> Compared:
    """A tensor of whole numbers and scales; no value may be further off than half a step.

    int8 has 127 steps for the largest value of a row, int16 has 1024 for the largest of the tensor (ten bits,
    so that sums of products fit 32).
    """
    import torch

    rows = expected.flatten(1)
    if numbers.dtype == torch.int8:
        step = rows.abs().amax(1, keepdim=True) / 127
    else:
        step = (rows.abs().amax() / 1024).expand(len(rows), 1)
    if numbers.shape != expected.shape or scales.numel() not in (1, len(rows)):
        return Compared(name, inf, 0.0)
    found = numbers.flatten(1).float() / scales.float().reshape(-1, 1)
    # Half a step, and the last bit of the product.
    limit = float((0.5001 * step).square().mean().sqrt() / rows.std(correction=0).clamp_min(1e-30))
    worst = (found - rows).abs() > 0.5001 * step + 1e-30
    return Compared(name, inf, limit) if bool(worst.any()) else compare(name, rows, found, limit)
