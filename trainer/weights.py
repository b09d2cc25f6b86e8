"""Tensors of model folders by name: read one, compare parts, fingerprint parts, without loading a model.

It knows safetensors files; it does not know networks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from distilcli.errors import ModelError
from distilcli.model_folder import read_json, weight_files

ENCODER = "model.encoder."
EMBEDDING = "model.decoder.embed_tokens.weight"
"""Tied to the output matrix in every Whisper; `OUTPUT` where a folder stores the two apart."""
OUTPUT = "proj_out.weight"

_USE = {
    "": ("activation_function", "scale_embedding", "encoder_attention_heads", "decoder_attention_heads"),
    ENCODER: ("activation_function", "scale_embedding", "encoder_attention_heads"),
}
"""Keys of config.json that change what a part computes and do not show in its tensors."""


def tensors(folder: Path, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """Yields (name, tensor) of all tensors whose name starts with `prefix`, sorted by name.

    Raises:
        ModelError: a file is missing or damaged.
    """
    places: dict[str, Path] = {}
    for path in weight_files(folder):
        with _opened(path) as file:
            names = file.keys()
        places |= {name: path for name in names if name.startswith(prefix)}
    for name in sorted(places):
        with _opened(places[name]) as file:
            yield name, file.get_tensor(name)


def output_matrix(folder: Path) -> Tensor:
    """Returns the matrix that turns decoder states into logits, (vocabulary, d), as it is stored.

    Raises:
        ModelError: the folder has none.
    """
    for wanted in (OUTPUT, EMBEDDING):
        for _, matrix in tensors(folder, wanted):
            return matrix
    raise ModelError(f"the weights in {folder} have neither {OUTPUT} nor {EMBEDDING}")


def fingerprint(folder: Path, prefix: str = "") -> str:
    """Returns a hash of the values (as float32) of a whole model, or of its encoder, and of their use.

    Two encoders with the same fingerprint compute the same states: number formats on disk do not count.
    Read once per process as long as the files stay as they are.

    Raises:
        ModelError: a file is missing or damaged.
    """
    config = read_json(folder / "config.json")
    states = [path.stat() for path in weight_files(folder)]
    stamp = tuple((state.st_size, state.st_mtime_ns, state.st_ino) for state in states)
    return _fingerprint(folder, prefix, repr([config.get(key) for key in _USE[prefix]]), stamp)


@lru_cache(maxsize=16)
def _fingerprint(folder: Path, prefix: str, use: str, _stamp: tuple[tuple[int, ...], ...]) -> str:
    digest = hashlib.sha256(use.encode())
    for name, tensor in tensors(folder, prefix):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.float().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _opened(path: Path) -> safe_open:
    """Opens a safetensors file."""
    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot read the weights {path}: {error}") from error
