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
from distilcli.converters.space import BYTES
from distilcli.converters.tensor_file import Stored, stored_tensors
from distilcli.errors import ModelError
from distilcli.model_folder import TRANSFORMERS, Heads, existing_heads, inspect, read_json, weight_files
from distilcli.tokens import Tokenizer, Vocab

if TYPE_CHECKING:
    from torch import Tensor

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
    _tensors: Mapping[str, Stored] = field(repr=False)  # by the names as stored
    _names: Mapping[str, str] = field(repr=False)  # openai/whisper's name -> name as stored

    def names(self) -> tuple[str, ...]:
        """The tensors as they are called in the weight files, without the tied output matrix."""
        return tuple(self._names.values())

    def tensor(self, name: str) -> Tensor:
        """A tensor by its name in the weight files, in its own number format; see `Stored.read`."""
        return self._tensors[name].read()

    def openai_tensor(self, name: str) -> Tensor:
        """A tensor by openai/whisper's name; see `tensor`."""
        return self.tensor(self._names[name])

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
    tensors = _open_weights(folder)
    names = _checked_names(folder, tensors, dims)
    if values:
        _check_values(folder, tensors, names)
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
        _tensors=tensors,
        _names=names,
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


def _open_weights(folder: Path) -> dict[str, Stored]:
    """The tensors of all weight files by their names."""
    tensors: dict[str, Stored] = {}
    for path in weight_files(folder):
        for name, tensor in sorted(stored_tensors(path).items()):
            if name in tensors:
                raise ModelError(f"{folder} stores {name} twice, the second time in {path.name}")
            tensors[name] = tensor
    return tensors


def _checked_names(folder: Path, tensors: Mapping[str, Stored], dims: Dims) -> dict[str, str]:
    """openai/whisper's name -> name as stored, in the order of `expected_shapes`."""
    names: dict[str, str] = {}
    for name in tensors:
        if name == OUTPUT:
            continue
        try:
            names[openai_name(name)] = name
        except ModelError as error:
            raise ModelError(f"the weights in {folder} are not a Whisper's: {error.message}") from error
    shapes = expected_shapes(dims)
    missing = next((name for name in shapes if name not in names), None)
    extra = next((names[name] for name in names if name not in shapes), None)
    if missing or extra:
        wrong = f"{extra} is not expected" if extra else f"{missing} (openai/whisper's name) is missing"
        raise ModelError(f"the weights in {folder} do not agree with config.json: {wrong}")
    for name, shape in shapes.items():
        found = tensors[names[name]]
        if found.shape != shape:
            raise ModelError(
                f"the weights in {folder} do not agree with config.json: expected {names[name]} of shape "
                f"{shape}, found {found.shape}"
            )
        if found.dtype not in BYTES:
            raise ModelError(
                f"the weights in {folder}: expected {names[name]} in {', '.join(BYTES)}, found {found.dtype}"
            )
    return {name: names[name] for name in shapes}


def _check_values(folder: Path, tensors: Mapping[str, Stored], names: Mapping[str, str]) -> None:
    import torch

    for name in names.values():
        if not _is_finite(tensors[name].read()):
            raise ModelError(f"the weights in {folder} are not finite: {name} holds NaN or infinity")
    if OUTPUT in tensors:
        output, embedding = tensors[OUTPUT], tensors[names[EMBEDDING]]
        alike = (output.shape, output.dtype) == (embedding.shape, embedding.dtype)
        if not alike or not torch.equal(output.read(), embedding.read()):
            raise ModelError(
                f"the weights in {folder}: {OUTPUT} differs from the token embedding; "
                "every runtime expects the two to be one matrix"
            )


def _is_finite(tensor: Tensor) -> bool:
    """Whether there is neither NaN nor infinity, by two looks at the bits and without a mask as large again.

    Floats of one sign are ordered as their bits are, and infinity and NaN come last.
    """
    import torch

    size = tensor.element_size()
    whole = {2: torch.int16, 4: torch.int32}[size]
    bits = tensor.view(-1).view(whole).numpy()
    infinity = int(torch.full((1,), torch.inf, dtype=tensor.dtype).view(whole))
    negative = 1 << 8 * size - 1
    return bool(bits.max() < infinity and bits.view(f"u{size}").max() < negative + infinity)


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
    kept = existing_heads(pairs, dims.n_text_layer, dims.n_text_head)
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
