"""What readers of other formats' files hand over: a Whisper's numbers and its tensors. Knows no format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distilcli.converters.dims import Dims

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Imported:
    """A file that was read and found sound: the expected tensors, no others, in the expected shapes.

    Attributes:
        dims: its shape.
        tensors: openai/whisper's name -> function that reads the tensor, so that one is in memory at a time.
        dtypes: openai/whisper's name -> float32, float16 or bfloat16: what that function returns; quantised
            tensors come as float32.
        vocabulary: bytes of the plain tokens in the order of their ids, where the file carries them.
    """

    dims: Dims
    tensors: Mapping[str, Callable[[], Tensor]]
    dtypes: Mapping[str, str]
    vocabulary: tuple[bytes, ...] | None = None
