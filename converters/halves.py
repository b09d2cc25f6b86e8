"""16-bit floats: refuses what they cannot hold, instead of writing infinity. Knows no format."""

from __future__ import annotations

import torch
from torch import Tensor

from distilcli.errors import ModelError

LARGEST = torch.finfo(torch.float16).max
"""65504; bfloat16 and float32 reach far beyond."""


def need_range(tensor: Tensor, name: str, kind: str) -> None:
    """Refuse a tensor with values that float16, or a scale in float16, cannot express.

    Raises:
        ModelError: names the tensor and the `kind` that was asked for.
    """
    if tensor.dtype != torch.float16 and not all(abs(end) <= LARGEST for end in torch.aminmax(tensor)):
        raise ModelError(
            f"{name} holds values beyond {LARGEST:.0f}, the largest that {kind} can express",
            hint="choose a kind of 32 bits",
        )
