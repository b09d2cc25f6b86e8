"""Short contexts: fewer frames than 3000 for models that were trained to hear less. Knows no runtime.

An encoder costs as much as the sound that it is given: a clip of 5 s needs less than a sixth of the work.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from distilcli.features import log_mel
from distilcli.stages import stage
from distilcli.types import FRAMES_PER_SECOND, WINDOW_SECONDS, Window


def context_mel(window: Window, n_mels: int, contexts: Sequence[float]) -> NDArray[np.float32]:
    """The features of a window, in as many frames as the shortest context that holds its sound, or in 3000.

    `contexts` are seconds, ascending, as `model_folder.trained_contexts` returns them.
    """
    sound = min(window.span.end, window.audio.duration) - window.span.start
    seconds = next((seconds for seconds in contexts if seconds >= sound), WINDOW_SECONDS)
    # Two frames become one position.
    with stage("features"):
        return log_mel(window, n_mels)[:, : round(seconds * FRAMES_PER_SECOND / 2) * 2]


def alike(keys: Iterable[Hashable]) -> list[list[int]]:
    """Positions of equal keys together, in the order in which the keys first occur."""
    groups: dict[Hashable, list[int]] = {}
    for position, key in enumerate(keys):
        groups.setdefault(key, []).append(position)
    return list(groups.values())
