"""CTranslate2's specification of Whisper, filled with a checkpoint's tensors. Holds one of them at a time.

The specification is upstream's: it checks that nothing is missing, stores equal tensors once, quantises, and
writes. Upstream's converter would fill it from a whole model that Transformers has loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from ctranslate2.specs.model_spec import Variable, index_spec
from ctranslate2.specs.whisper_spec import WhisperSpec
from numpy.typing import NDArray

from distilcli.converters.checkpoint import Checkpoint
from distilcli.converters.ct2_weights import fused, parts
from distilcli.converters.naming import EMBEDDING, expected_shapes
from distilcli.converters.space import BYTES, count
from distilcli.model_folder import read_json
from distilcli.tokens import SECONDS_PER_TIMESTAMP

_OUTPUT = "decoder/projection/weight"  # upstream finds that it equals the embedding, and stores an alias
_FIRST = 8  # values that tell most tensors apart


def specification(
    checkpoint: Checkpoint, *, rounds_convolutions: bool = True
) -> Any:  # WhisperSpec; the library has no type information
    """The specification of a checkpoint, for upstream's ``validate``, ``optimize`` and ``save``.

    Upstream's ``optimize`` rounds convolutions to 8 bits as well, and CTranslate2 computes in floats with
    what is left of them. Without `rounds_convolutions` they stay as they are, as when CTranslate2 rounds a
    model while it loads it.

    Source: CTranslate2 4.8 `transformers.py`, `WhisperLoader`.
    """
    dims, generation = checkpoint.dims, checkpoint.generation
    spec = WhisperSpec(dims.n_audio_layer, dims.n_audio_head, dims.n_text_layer, dims.n_text_head)
    shapes = expected_shapes(dims)
    for name, names in {**parts(dims), _OUTPUT: (EMBEDDING,)}.items():
        scope, _, attribute = name.rpartition("/")
        setattr(index_spec(spec, scope), attribute, Joined(checkpoint, names, _shape(names, shapes)))
    if not rounds_convolutions:
        for convolution in (spec.encoder.conv1, spec.encoder.conv2):
            del convolution.weight_scale  # upstream rounds what has one
    spec.register_vocabulary(_tokens(checkpoint))
    spec.config.suppress_ids = generation["suppress_tokens"]
    spec.config.suppress_ids_begin = generation["begin_suppress_tokens"]
    spec.config.lang_ids = sorted(generation.get("lang_to_id", {}).values())
    spec.config.alignment_heads = checkpoint.heads or dims.last_half()
    return spec


class Joined(Variable):  # type: ignore[misc]  # untyped library
    """A variable of CTranslate2: tensors of a checkpoint behind one another, read whenever they are needed.

    Names are those of `ct2_weights.parts`; the number format is the checkpoint's until upstream sets another.
    """

    def __init__(
        self, checkpoint: Checkpoint, names: tuple[str, ...], shape: tuple[int, ...], dtype: str | None = None
    ) -> None:
        self._checkpoint = checkpoint
        self._names = names
        self._shape = shape
        self._dtype = dtype or checkpoint.dtype

    @property
    def shape(self) -> list[int]:
        """As upstream wants it."""
        return list(self._shape)

    @property
    def dtype(self) -> str:
        """Number format of the values."""
        return self._dtype

    def numpy(self) -> NDArray[np.generic]:
        """The values, which upstream's quantiser overwrites.

        Raises:
            ModelError: float16 cannot express them.
        """
        return np.asarray(self._read().numpy())

    def num_bytes(self) -> int:
        """Bytes in the file."""
        return count(self._shape) * BYTES[self._dtype]

    def to_bytes(self) -> memoryview:
        """The values as upstream writes them; see `numpy`."""
        return self._read().contiguous().view(-1).view(torch.uint8).numpy().data

    @cached_property
    def _start(self) -> list[float]:
        first = fused(self._checkpoint, self._names[:1], self._dtype)
        return [float(value) for value in first.view(-1)[:_FIRST]]

    def _to(self, dtype: str) -> Joined:
        return Joined(self._checkpoint, self._names, self._shape, dtype)

    def _equal(self, other: Joined) -> bool:
        if self._names == other._names:
            return True
        alike = self._shape == other._shape and self._start == other._start
        return alike and torch.equal(self._read(), other._read())

    def _read(self) -> torch.Tensor:
        return fused(self._checkpoint, self._names, self._dtype)


def _shape(names: tuple[str, ...], shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    last = shapes[names[-1]]
    return (
        sum(shapes.get(name, last)[0] for name in names),
        *last[1:],
    )  # what is missing is a vector of zeros


def _tokens(checkpoint: Checkpoint) -> list[str]:
    """All tokens in the order of their ids; tokenizers of early checkpoints leave the timestamps out."""
    tokenizer = read_json(checkpoint.folder / "tokenizer.json")
    ids = {**tokenizer["model"]["vocab"], **{one["content"]: one["id"] for one in tokenizer["added_tokens"]}}
    tokens = sorted(ids, key=ids.__getitem__)
    absent = checkpoint.vocab.size - len(tokens)
    return tokens + [f"<|{number * SECONDS_PER_TIMESTAMP:.2f}|>" for number in range(absent)]
