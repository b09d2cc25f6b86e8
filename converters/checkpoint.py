"""A Hugging Face Whisper checkpoint, opened and checked once: numbers, JSON files, tensors on request.

What it says is mended where converters copy it unchecked. The checkpoint itself is never changed. Knows no
target format.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distilcli.converters.dims import Dims
from distilcli.converters.generation import language_keys
from distilcli.converters.naming import EMBEDDING, OUTPUT, expected_shapes, openai_name
from distilcli.errors import ModelError
from distilcli.model_folder import TRANSFORMERS, inspect, read_json, weight_files
from distilcli.tokens import Tokenizer, Vocab

if TYPE_CHECKING:
    from torch import Tensor

Heads = tuple[tuple[int, int], ...]
"""(decoder layer, head) of the cross-attention that follows the sound."""

FEATURE_EXTRACTOR: Mapping[str, Any] = {
    "feature_extractor_type": "WhisperFeatureExtractor",
    "chunk_length": 30,
    "hop_length": 160,
    "n_fft": 400,
    "n_samples": 480_000,
    "nb_max_frames": 3000,
    "padding_side": "right",
    "padding_value": 0.0,
    "processor_class": "WhisperProcessor",
    "return_attention_mask": False,
    "sampling_rate": 16_000,
}
"""Content of preprocessor_config.json but for ``feature_size``."""

_STORED = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_PLAIN = {"activation_function": "gelu", "scale_embedding": False}
_BLOCK = 1 << 20  # bytes


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that passed every check of `open_checkpoint`.

    Attributes:
        folder: where it lies.
        dims: its shape.
        config: content of config.json.
        generation: content for generation_config.json, mended: the alignment heads that exist, suppressed
            tokens as lists, ids of languages and tasks.
        feature_extractor: content for preprocessor_config.json.
        heads: alignment heads that the decoder has; empty: runtimes take the last half of the layers.
        vocab: ids of its special tokens.
        dtype: number format of most weights: float32, float16 or bfloat16.
        warnings: what was mended, for the user.
    """

    folder: Path
    dims: Dims
    config: Mapping[str, Any]
    generation: Mapping[str, Any]
    feature_extractor: Mapping[str, Any]
    heads: Heads
    vocab: Vocab
    dtype: str
    warnings: tuple[str, ...]
    _files: Mapping[str, Any] = field(repr=False)  # name as stored -> open safetensors file
    _paths: Mapping[str, Path] = field(repr=False)  # name as stored -> that file's path
    _stored: Mapping[str, str] = field(repr=False)  # openai/whisper's name -> name as stored

    def names(self) -> tuple[str, ...]:
        """The tensors as they are called in the weight files, without the tied output matrix."""
        return tuple(self._stored.values())

    def tensor(self, name: str) -> Tensor:
        """A tensor by its name in the weight files, memory-mapped in its own number format: do not write."""
        return self._files[name].get_tensor(name)  # type: ignore[no-any-return]  # untyped library

    def openai_tensor(self, name: str) -> Tensor:
        """A tensor by openai/whisper's name; see `tensor`."""
        return self.tensor(self._stored[name])

    def private_tensor(self, name: str) -> Tensor:
        """A tensor by openai/whisper's name, in a private mapping: for code that writes into what it gets."""
        stored = self._stored[name]
        with _opened(self._paths[stored]) as file:
            return file.get_tensor(stored)  # type: ignore[no-any-return]  # untyped library

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weight files, one after the other in the order of their names."""
        digest = hashlib.sha256()
        for path in weight_files(self.folder):
            with path.open("rb") as content:
                while block := content.read(_BLOCK):
                    digest.update(block)
        return digest.hexdigest()

    def need_plain(self, target: str) -> None:
        """Refuse what runtimes that copy openai/whisper's network would compute wrongly.

        Raises:
            ModelError: another activation, scaled embeddings, or a feed-forward width that is not 4 d.
        """
        for key, expected in _PLAIN.items():
            found = self.config.get(key, expected)
            if found != expected:
                raise ModelError(
                    f"{self.folder / 'config.json'}: {target} expects {key} {expected!r}, found {found!r}"
                )
        if self.dims.ffn != 4 * self.dims.n_audio_state:
            raise ModelError(
                f"{self.folder / 'config.json'}: {target} expects encoder_ffn_dim "
                f"{4 * self.dims.n_audio_state} (4 x d_model), found {self.dims.ffn}"
            )


def open_checkpoint(folder: Path, *, values: bool = True) -> Checkpoint:
    """Open a Hugging Face folder and check it: every number, the set of tensors, their shapes and values.

    Args:
        folder: with config.json, tokenizer.json and safetensors.
        values: read every weight and refuse NaN and infinity; False looks at headers only.

    Raises:
        ModelError: damaged, not a Whisper, at odds with its tokenizer or config, or not finite.
    """
    facts = inspect(folder, prefer=TRANSFORMERS)
    if facts.format != TRANSFORMERS:
        raise ModelError(f"{folder} is a CTranslate2 model; expected a Hugging Face checkpoint")
    config = read_json(folder / "config.json")
    vocab = _checked_vocab(folder, config)
    dims = Dims.from_config(config, str(folder / "config.json"))
    files, paths = _open_weights(folder)
    stored = _checked_names(folder, files, dims)
    if values:
        _check_values(folder, files, stored)
        files, paths = _open_weights(folder)  # what was read counts as memory as long as it stays mapped
    found = _generation(folder)
    heads, warnings = _heads(found.pop("alignment_heads", None), dims)
    return Checkpoint(
        folder=folder,
        dims=dims,
        config=config,
        generation=_mended(found, config, vocab, heads),
        feature_extractor=_feature_extractor(folder, dims.n_mels),
        heads=heads,
        vocab=vocab,
        dtype=facts.dtype or "float32",
        warnings=warnings,
        _files=files,
        _paths=paths,
        _stored=stored,
    )


def _checked_vocab(folder: Path, config: Mapping[str, Any]) -> Vocab:
    """The vocabulary, after checking that tokenizer and weights speak of the same one.

    A missing tokenizer is silent in CTranslate2's converter: it writes a vocabulary full of timestamps.
    """
    vocab = Tokenizer.from_folder(folder).vocab
    for name, expected in (
        ("vocab_size", vocab.size),
        ("decoder_start_token_id", vocab.sot),
        ("eos_token_id", vocab.eot),
    ):
        if config.get(name, expected) != expected:
            raise ModelError(
                f"{folder / 'tokenizer.json'} does not belong to this model: it expects {name} {expected}, "
                f"config.json says {config[name]}"
            )
    return vocab


def _open_weights(folder: Path) -> tuple[dict[str, Any], dict[str, Path]]:
    """Name of a tensor -> the open file that holds it, and that file's path."""
    files: dict[str, Any] = {}
    paths: dict[str, Path] = {}
    for path in weight_files(folder):
        file = _opened(path)
        for name in sorted(file.keys()):
            if name in files:
                raise ModelError(f"{folder} stores {name} twice, the second time in {path.name}")
            files[name], paths[name] = file, path
    return files, paths


def _opened(path: Path) -> Any:  # safetensors has no type information
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot read the weights {path}: {error}") from error


def _checked_names(folder: Path, files: Mapping[str, Any], dims: Dims) -> dict[str, str]:
    """openai/whisper's name -> name as stored, in the order of `expected_shapes`."""
    stored: dict[str, str] = {}
    for name in files:
        if name == OUTPUT:
            continue
        try:
            stored[openai_name(name)] = name
        except ModelError as error:
            raise ModelError(f"the weights in {folder} are not a Whisper's: {error.message}") from error
    shapes = expected_shapes(dims)
    missing = next((name for name in shapes if name not in stored), None)
    extra = next((stored[name] for name in stored if name not in shapes), None)
    if missing or extra:
        wrong = f"{extra} is not expected" if extra else f"{missing} (openai/whisper's name) is missing"
        raise ModelError(f"the weights in {folder} do not agree with config.json: {wrong}")
    for name, shape in shapes.items():
        entry = files[stored[name]].get_slice(stored[name])
        if tuple(entry.get_shape()) != shape:
            raise ModelError(
                f"the weights in {folder} do not agree with config.json: expected {stored[name]} of shape "
                f"{shape}, found {tuple(entry.get_shape())}"
            )
        if entry.get_dtype() not in _STORED:
            raise ModelError(
                f"the weights in {folder}: expected {stored[name]} in {', '.join(_STORED.values())}, "
                f"found {entry.get_dtype()}"
            )
    return {name: stored[name] for name in shapes}


def _check_values(folder: Path, files: Mapping[str, Any], stored: Mapping[str, str]) -> None:
    import torch

    for name in stored.values():
        # Both ends in one pass, without a mask as large as the tensor; NaN shows in both of them.
        if not all(end.isfinite() for end in torch.aminmax(files[name].get_tensor(name))):
            raise ModelError(f"the weights in {folder} are not finite: {name} holds NaN or infinity")
    if OUTPUT in files:
        output = files[OUTPUT].get_tensor(OUTPUT)
        embedding = files[stored[EMBEDDING]].get_tensor(stored[EMBEDDING])
        if output.shape != embedding.shape or not torch.equal(output, embedding):
            raise ModelError(
                f"the weights in {folder}: {OUTPUT} differs from the token embedding; "
                "every runtime expects the two to be one matrix"
            )


def _generation(folder: Path) -> dict[str, Any]:
    path = folder / "generation_config.json"
    found = read_json(path) if path.is_file() else {}
    # Transformers drops every field of its own invention from a file with this mark when it reads it back.
    found.pop("_from_model_config", None)
    return found


def _heads(listed: object, dims: Dims) -> tuple[Heads, tuple[str, ...]]:
    """The alignment heads that the decoder has, and what to say of the others.

    A student often inherits its teacher's list; a layer that is not there makes CTranslate2 crash.
    """
    pairs = listed if isinstance(listed, list) else []
    kept = tuple(
        (int(pair[0]), int(pair[1]))
        for pair in pairs
        if isinstance(pair, list)
        and [type(number) for number in pair] == [int, int]
        and 0 <= pair[0] < dims.n_text_layer
        and 0 <= pair[1] < dims.n_text_head
    )
    if len(kept) == len(pairs):
        return kept, ()
    instead = "" if kept else "; word times will come from the last half of the decoder's layers"
    return kept, (
        f"{len(pairs) - len(kept)} of {len(pairs)} alignment heads name layers or heads that this decoder "
        f"does not have and are left out{instead}",
    )


def _mended(found: dict[str, Any], config: Mapping[str, Any], vocab: Vocab, heads: Heads) -> dict[str, Any]:
    for name in ("suppress_tokens", "begin_suppress_tokens"):
        if found.get(name) is None:
            found[name] = config.get(name) or []
    if heads:
        found["alignment_heads"] = [list(pair) for pair in heads]
    return {**found, **language_keys(vocab)}


def _feature_extractor(folder: Path, n_mels: int) -> Mapping[str, Any]:
    """Content of preprocessor_config.json: runtimes that find none assume 80 mel bands.

    Transformers 5 writes processor_config.json in its place.
    """
    for content in _described(folder):
        return {**FEATURE_EXTRACTOR, **content, "feature_size": n_mels}
    return {**FEATURE_EXTRACTOR, "feature_size": n_mels}


def _described(folder: Path) -> Iterator[dict[str, Any]]:
    if (folder / "preprocessor_config.json").is_file():
        yield read_json(folder / "preprocessor_config.json")
    if (folder / "processor_config.json").is_file():
        inner = read_json(folder / "processor_config.json").get("feature_extractor")
        if isinstance(inner, dict):
            yield inner
