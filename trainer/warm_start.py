"""Begins a network with the weights of a trained one; layers that it has more change nothing at first.

It knows weights by name and how layers add to what passes through them; it does not know losses or data.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from distilcli.errors import ModelError, UsageError
from distilcli.model_folder import TRANSFORMERS, read_json
from distilcli.models import resolve
from distilcli.trainer import checkpoint
from distilcli.trainer.config import ModelOptions
from distilcli.trainer.network import EMBEDDINGS, Network, whisper_config
from distilcli.trainer.student import spaced_layers
from distilcli.trainer.vocabulary import CompactVocabulary
from distilcli.trainer.weights import OUTPUT, tensors

SIDES = ("encoder", "decoder")

_LAYER = re.compile(r"whisper\.model\.(encoder|decoder)\.layers\.(\d+)\.(.+)")
_RESIDUAL = re.compile(r"(?:\w+_attn\.out_proj|fc2)\.(?:weight|bias)")
"""The maps whose results a layer adds to what passes through it, one after each of its parts."""

_EQUAL = {
    "vocab_size": "data.vocabulary_size",
    "d_model": "model.width",
    "num_mel_bins": "model.mels",
    "encoder_attention_heads": "model.heads",
    "decoder_attention_heads": "model.heads",
    "encoder_ffn_dim": "4 x model.width",
    "decoder_ffn_dim": "4 x model.width",
    "activation_function": "the activation",
    "scale_embedding": "the scale of embeddings",
}
"""Keys of config.json in which a start and the recipe's network must agree, and where the recipe has them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """A trained network: its weights as `Network` names them, and which ids have rows of their own."""

    path: Path
    vocabulary: CompactVocabulary
    config: Mapping[str, Any]  # values of config.json
    weights: Mapping[str, Tensor]


def find_start(name: str) -> Path:
    """Returns the checkpoint, or the model folder, that `model.start` names.

    Args:
        name: a checkpoint of training from scratch, the folder of such a run (its newest checkpoint), or a
            model as for `distilcli transcribe --model`.

    Raises:
        UsageError: there is no such thing.
        EnvironmentProblem: a model that is not here and cannot be fetched.
    """
    path = Path(name)
    if path.is_file():
        return path
    found = checkpoint.listed(path)
    return found[-1] if found else resolve(name, TRANSFORMERS).folder


def open_start(options: ModelOptions, size: int) -> Start:
    """Reads what `model.start` names; `size` is the recipe's vocabulary.

    Raises:
        UsageError: there is no such thing, or its sizes are not those of the recipe.
        ModelError: it is damaged, or not a checkpoint of training from scratch.
    """
    path = find_start(options.start)
    start = _from_folder(path) if path.is_dir() else _from_checkpoint(path)
    _refuse_other_sizes(start, whisper_config(options, size).to_dict())
    return start


def begin(network: Network, vocabulary: CompactVocabulary, start: Start) -> None:
    """Gives a fresh network the weights of a start, so that it computes the same.

    Where the network has more layers, those of the start are spaced maximally, as the layers of a student are
    in its teacher; the output projections of the others' attention and feed-forward parts are zero, so that
    they add nothing to what passes through (LLaMA Pro, arXiv:2401.02415, section 3.2). Their gradients are
    not zero. Whatever the start does not have stays as it is.

    Args:
        network: of the recipe that the start was opened for.
        vocabulary: its rows; all ids that have a row in the start have one here.
        start: the trained network.
    """
    state = network.state_dict()
    for name in EMBEDDINGS:
        state[name].copy_(vocabulary.adopt(start.weights[EMBEDDINGS[0]], start.vocabulary))
    config = network.whisper.config
    places = {
        side: spaced_layers(getattr(config, f"{side}_layers"), start.config[f"{side}_layers"])
        for side in SIDES
    }
    for name, value in start.weights.items():
        if name not in EMBEDDINGS:
            state[_moved(name, places)].copy_(value)
    for name, value in state.items():
        layer = _LAYER.fullmatch(name)
        if layer and int(layer[2]) not in places[layer[1]] and _RESIDUAL.fullmatch(layer[3]):
            value.zero_()


def _moved(name: str, places: Mapping[str, Sequence[int]]) -> str:
    """The name of a tensor after its layer has moved."""
    layer = _LAYER.fullmatch(name)
    if not layer:
        return name
    return f"whisper.model.{layer[1]}.layers.{places[layer[1]][int(layer[2])]}.{layer[3]}"


def _refuse_other_sizes(start: Start, config: Mapping[str, Any]) -> None:
    wrong = [
        f"{name} is {config[key]}, and there it is {start.config[key]}"
        for key, name in _EQUAL.items()
        if config[key] != start.config[key]
    ]
    for side in SIDES:
        asked, found = config[f"{side}_layers"], start.config[f"{side}_layers"]
        if found > asked:
            wrong.append(f"model.{side}_layers is {asked}, and there are {found}: layers are only added")
    if wrong:
        raise UsageError(f"model.start: {start.path} does not fit the recipe: {'; '.join(wrong)}")


def _from_checkpoint(path: Path) -> Start:
    state: dict[str, Any] = checkpoint.load(path)
    if not {"kept", "size", "model", "network"} <= state.keys():
        raise ModelError(f"{path} is not a checkpoint of training from scratch")
    return Start(
        path=path,
        vocabulary=CompactVocabulary(state["kept"], state["size"]),
        config=whisper_config(ModelOptions(**state["model"]), state["size"]).to_dict(),
        weights=state["network"],
    )


def _from_folder(path: Path) -> Start:
    """Reads a model folder; rows of the vocabulary that are equal count as one that their ids share."""
    weights = {f"whisper.{name}": tensor.float() for name, tensor in tensors(path, "") if name != OUTPUT}
    matrix = weights[EMBEDDINGS[0]]
    contents = [row.tobytes() for row in matrix.numpy()]
    shared, times = Counter(contents).most_common(1)[0]
    alike = [times > 1 and row == shared for row in contents]
    vocabulary = CompactVocabulary([number for number, same in enumerate(alike) if not same], len(matrix))
    weights[EMBEDDINGS[0]] = matrix[[*vocabulary.kept, *([alike.index(True)] if vocabulary.unused else [])]]
    return Start(path=path, vocabulary=vocabulary, config=read_json(path / "config.json"), weights=weights)
