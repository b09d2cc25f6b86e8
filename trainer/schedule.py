"""The learning rate as a function of the step.

It knows numbers only.
"""

from __future__ import annotations

import math


def scale(step: int, *, warmup: int, total: int, shape: str) -> float:
    """Returns the factor on the peak learning rate at a step (0-based).

    Linear warm-up, then one of three shapes: `constant`, or `linear` and `cosine`, which reach 0 at `total`.
    """
    if step < warmup:
        return (step + 1) / warmup
    done = min((step - warmup) / max(total - warmup, 1), 1.0)
    return {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1.0 + math.cos(math.pi * done))}[shape]
