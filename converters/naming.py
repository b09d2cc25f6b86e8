"""The one table between Hugging Face's names of Whisper's tensors, openai/whisper's and MLX's.

whisper.cpp uses openai/whisper's names. Knows names and shapes, no file.
"""

from __future__ import annotations

from functools import cache

from distilcli.converters.dims import Dims
from distilcli.errors import ModelError

OUTPUT = "proj_out.weight"
"""Hugging Face's output matrix: the token embedding under a second name, in every Whisper."""

EMBEDDING = "decoder.token_embedding.weight"
"""openai/whisper's name of the token embedding, which is also the output matrix."""

_PREFIX = "model."

_PROJECTIONS = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "out_proj": "out"}

# Hugging Face -> openai/whisper, in a block of either side.
_BLOCK = {
    **{f"self_attn.{theirs}": f"attn.{ours}" for theirs, ours in _PROJECTIONS.items()},
    "self_attn_layer_norm": "attn_ln",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
    "final_layer_norm": "mlp_ln",
}
_DECODER_BLOCK = {
    **{f"encoder_attn.{theirs}": f"cross_attn.{ours}" for theirs, ours in _PROJECTIONS.items()},
    "encoder_attn_layer_norm": "cross_attn_ln",
}
_OUTSIDE = {
    "encoder.embed_positions.weight": "encoder.positional_embedding",
    "encoder.conv1.weight": "encoder.conv1.weight",
    "encoder.conv1.bias": "encoder.conv1.bias",
    "encoder.conv2.weight": "encoder.conv2.weight",
    "encoder.conv2.bias": "encoder.conv2.bias",
    "encoder.layer_norm.weight": "encoder.ln_post.weight",
    "encoder.layer_norm.bias": "encoder.ln_post.bias",
    "decoder.embed_positions.weight": "decoder.positional_embedding",
    "decoder.embed_tokens.weight": EMBEDDING,
    "decoder.layer_norm.weight": "decoder.ln.weight",
    "decoder.layer_norm.bias": "decoder.ln.bias",
}
_MLX = {"mlp.0": "mlp1", "mlp.2": "mlp2"}


@cache
def _to_openai() -> dict[str, str]:
    """Hugging Face -> openai/whisper, with ``*`` for the number of the block."""
    table = dict(_OUTSIDE)
    for side in ("encoder", "decoder"):
        for theirs, ours in (_BLOCK if side == "encoder" else {**_BLOCK, **_DECODER_BLOCK}).items():
            table[f"{side}.layers.*.{theirs}.weight"] = f"{side}.blocks.*.{ours}.weight"
            if not theirs.endswith("k_proj"):  # Whisper's keys have no bias
                table[f"{side}.layers.*.{theirs}.bias"] = f"{side}.blocks.*.{ours}.bias"
    return table


@cache
def _to_hugging_face() -> dict[str, str]:
    return {ours: theirs for theirs, ours in _to_openai().items()}


def openai_name(hf: str) -> str:
    """openai/whisper's name of a tensor of Hugging Face; the prefix ``model.`` may be missing.

    Raises:
        ModelError: Whisper has no such tensor.
    """
    return _translated(hf.removeprefix(_PREFIX), _to_openai())


def hf_name(openai: str) -> str:
    """Hugging Face's name, with ``model.``, of a tensor of openai/whisper.

    Raises:
        ModelError: Whisper has no such tensor.
    """
    return _PREFIX + _translated(openai, _to_hugging_face())


def to_mlx(openai: str) -> str:
    """mlx-whisper's name of a tensor of openai/whisper: the two layers of ``mlp`` have names of their own."""
    for theirs, ours in _MLX.items():
        openai = openai.replace(f".{theirs}.", f".{ours}.")
    return openai


def expected_shapes(dims: Dims) -> dict[str, tuple[int, ...]]:
    """openai/whisper's name -> shape of every tensor of a model, in a fixed order.

    Convolutions are (out, in, 3), matrices (out, in), as torch has them.
    """
    width, wide = dims.n_audio_state, dims.ffn
    shapes: dict[str, tuple[int, ...]] = {
        "encoder.positional_embedding": (dims.n_audio_ctx, width),
        "encoder.conv1.weight": (width, dims.n_mels, 3),
        "encoder.conv1.bias": (width,),
        "encoder.conv2.weight": (width, width, 3),
        "encoder.conv2.bias": (width,),
        "encoder.ln_post.weight": (width,),
        "encoder.ln_post.bias": (width,),
        "decoder.positional_embedding": (dims.n_text_ctx, width),
        EMBEDDING: (dims.n_vocab, width),
        "decoder.ln.weight": (width,),
        "decoder.ln.bias": (width,),
    }
    special = {"mlp.0.weight": (wide, width), "mlp.0.bias": (wide,), "mlp.2.weight": (width, wide)}
    for pattern in _to_hugging_face():
        side, _, inside = pattern.partition(".blocks.*.")
        if not inside:
            continue
        square = inside.endswith(".weight") and not inside.split(".")[0].endswith("_ln")
        shape = special.get(inside, (width, width) if square else (width,))
        for layer in range(dims.n_audio_layer if side == "encoder" else dims.n_text_layer):
            shapes[pattern.replace("*", str(layer))] = shape
    return shapes


def _translated(name: str, table: dict[str, str]) -> str:
    parts = name.split(".")
    layer = ""
    if len(parts) > 3 and parts[1] in ("layers", "blocks"):
        layer = parts[2]
        parts[2] = "*" if layer.isascii() and layer.isdigit() else "?"
    found = table.get(".".join(parts))
    if found is None:
        raise ModelError(f"a Whisper has no tensor named {name}")
    return found.replace("*", layer)
