"""Makes a student: a model folder with some of a teacher's layers, or all of another student's.

It knows weight files and configs; it does not load a network and does not know how students are trained.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from distilcli.errors import ModelError, UsageError
from distilcli.folders import new_folder
from distilcli.model_folder import CONTEXTS, TRANSFORMERS, inspect, read_json, write_json
from distilcli.models import resolve
from distilcli.tokens import Tokenizer
from distilcli.trainer.export import generation_config
from distilcli.trainer.layer_search import LayerSearch, search_layers
from distilcli.trainer.recipe import InitOptions
from distilcli.trainer.records import WindowBatch
from distilcli.trainer.weights import OUTPUT, tensors

COPIED = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "normalizer.json",
    "preprocessor_config.json",
    "processor_config.json",
)
"""Files of the tokenizer and the processor; those that are there are copied."""

_LAYER = re.compile(r"model\.(encoder|decoder)\.layers\.(\d+)\.(.+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class StudentReport:
    """What a student was made of."""

    source: str
    """Folder of the model that the layers come from."""
    encoder_layers: tuple[int, ...]
    """Layers of the source, in the student's order."""
    decoder_layers: tuple[int, ...]
    alignment_heads: tuple[tuple[int, int], ...]
    """(layer, head) of the student's heads that follow the sound, for times of words."""
    parameters: int
    """Trained numbers; the tied embedding counts once."""
    source_parameters: int
    search: LayerSearch | None = None


def spaced_layers(n: int, k: int) -> tuple[int, ...]:
    """Returns k of n layers, maximally spaced: floor(i (n - 1) / (k - 1)), the first and the last included.

    Distil-Whisper paper, section 3.1; upstream `create_student_model.py`. One layer is the last.

    Raises:
        UsageError: k is not between 1 and n.
    """
    if not 1 <= k <= n:
        raise UsageError(f"a student of a model with {n} layers has 1 to {n} layers, not {k}")
    return (n - 1,) if k == 1 else tuple(i * (n - 1) // (k - 1) for i in range(k))


def chosen_layers(n: int, listed: Sequence[int], name: str) -> tuple[int, ...]:
    """Returns an explicit list of layers with negative numbers counted from the end.

    Raises:
        UsageError: a layer that is not there, or one that is listed twice.
    """
    layers = tuple(layer + n if layer < 0 else layer for layer in listed)
    for layer, found in zip(listed, layers, strict=True):
        if not 0 <= found < n:
            raise UsageError(
                f"{name}: there is no layer {layer} in a model with {n}: expected {-n} to {n - 1}"
            )
    if len(set(layers)) < len(layers):
        raise UsageError(f"{name}: {list(listed)} names a layer of {n} twice")
    return layers


def make_student(
    teacher: Path | None, out: Path, options: InitOptions, batches: Sequence[WindowBatch] = ()
) -> StudentReport:
    """Writes the student's folder, whole or not at all; one that is there is replaced.

    Without `options.student` the layers are the teacher's: those listed, or found by a search on `batches`,
    or maximally spaced. With it they are the other model's, all of them unless some are listed: fine-tuning,
    language transfer, a warm start. Number format, tokenizer, processor and generation config are the
    source's, and alignment heads are renumbered.

    Raises:
        UsageError: layers that are not there, or a teacher with another vocabulary.
        ModelError: the source is damaged or not a Hugging Face folder.
        EnvironmentProblem: the model is not on this machine and cannot be fetched.
    """
    source = _source(teacher, options)
    facts = inspect(source, prefer=TRANSFORMERS)
    if facts.format != TRANSFORMERS:
        raise ModelError(f"{source} is a {facts.format} model; expected a Hugging Face folder")
    if teacher is not None and source != teacher:
        _same_vocabulary(source, teacher)
    encoder = _side(
        facts.encoder_layers, options.encoder_layer_list, options.encoder_layers, "init.encoder_layer_list"
    )
    search = None
    if options.search and not options.decoder_layer_list and not options.student:
        search = search_layers(source, options.decoder_layers, batches)
        decoder = search.best
    else:
        count = 0 if options.student else options.decoder_layers
        decoder = _side(facts.decoder_layers, options.decoder_layer_list, count, "init.decoder_layer_list")
    with new_folder(out) as folder:
        heads = _write_configs(source, folder, encoder, decoder)
        parameters, total = _write_weights(source, folder, {"encoder": encoder, "decoder": decoder})
        if out.exists():  # only now: a student that is there stays until the new one is complete
            shutil.rmtree(out)
    return StudentReport(
        source=str(source),
        encoder_layers=encoder,
        decoder_layers=decoder,
        alignment_heads=heads,
        parameters=parameters,
        source_parameters=total,
        search=search,
    )


def student_heads(
    heads: Iterable[Sequence[int]], kept: Sequence[int], per_layer: int
) -> tuple[tuple[int, int], ...]:
    """Returns the alignment heads of a student with the `kept` decoder layers.

    The teacher's heads in kept layers, renumbered. Where none is left, all heads of the later half of the
    layers, which is what openai/whisper does for models without a list. Upstream leaves the teacher's numbers
    there, and word timestamps then crash.
    """
    number = {layer: new for new, layer in enumerate(kept)}
    found = sorted({(number[layer], head) for layer, head in heads if layer in number and head < per_layer})
    later = range(len(kept) // 2, len(kept))
    return tuple(found) or tuple((layer, head) for layer in later for head in range(per_layer))


def write_contexts(folder: Path, seconds: Sequence[float]) -> None:
    """Notes in a student's config.json which lengths of sound it was trained for."""
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", {**config, CONTEXTS: sorted(seconds)})


def _source(teacher: Path | None, options: InitOptions) -> Path:
    if options.student:
        return resolve(options.student, TRANSFORMERS).folder
    if teacher is None:
        raise UsageError("init: without a teacher there are no layers to start from; set init.student")
    return teacher


def _same_vocabulary(student: Path, teacher: Path) -> None:
    sizes = [Tokenizer.from_folder(folder).vocab.size for folder in (student, teacher)]
    if sizes[0] != sizes[1]:
        raise UsageError(
            f"init.student has a vocabulary of {sizes[0]} tokens and the teacher one of {sizes[1]}: "
            "labels are token ids, so both must be equal"
        )


def _side(n: int, listed: Sequence[int], count: int, name: str) -> tuple[int, ...]:
    """Returns the layers of one side: those listed, or `count` of n, or all."""
    if listed:
        return chosen_layers(n, listed, name)
    return spaced_layers(n, count) if count else tuple(range(n))


def _write_configs(
    source: Path, folder: Path, encoder: Sequence[int], decoder: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """Writes everything but the weights; returns the alignment heads."""
    for name in COPIED:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    config = read_json(source / "config.json")
    config |= {
        "encoder_layers": len(encoder),
        "decoder_layers": len(decoder),
        "num_hidden_layers": len(encoder),
    }
    write_json(folder / "config.json", config)
    path = source / "generation_config.json"
    generation: dict[str, Any] = read_json(path) if path.is_file() else {}
    heads = student_heads(
        generation.get("alignment_heads") or (), decoder, int(config["decoder_attention_heads"])
    )
    listed = [list(head) for head in heads]
    if not generation:
        generation = generation_config(Tokenizer.from_folder(source), listed).to_dict()
    # Transformers drops every field of its own invention from a file with this mark when it reads it back.
    dropped = ("_from_model_config", "forced_decoder_ids")
    kept = {key: value for key, value in generation.items() if key not in dropped}
    write_json(folder / "generation_config.json", kept | {"alignment_heads": listed})
    return heads


def _write_weights(source: Path, folder: Path, layers: dict[str, Sequence[int]]) -> tuple[int, int]:
    """Copies the tensors outside the layers and those of kept layers, renumbered; counts all parameters.

    Returns:
        Parameters of the student and of the source; an output matrix that is the embedding counts once.
    """
    numbers = {side: {old: new for new, old in enumerate(kept)} for side, kept in layers.items()}
    tied = read_json(source / "config.json").get("tie_word_embeddings", True)
    chosen: dict[str, Tensor] = {}
    total = 0
    for name, tensor in tensors(source, ""):
        if tied and name == OUTPUT:
            continue
        total += tensor.numel()
        if match := _LAYER.fullmatch(name):
            side, old, rest = match[1], int(match[2]), match[3]
            if old in numbers[side]:
                chosen[f"model.{side}.layers.{numbers[side][old]}.{rest}"] = tensor
        else:
            chosen[name] = tensor
    save_file(chosen, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # the library makes files that only their owner can read
    return sum(tensor.numel() for tensor in chosen.values()), total
