"""Opening recordings in tests: what came out, and what was said about it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from distilcli.audio import open_audio
from distilcli.errors import InputError


def decoded(source: str | Path, track: int | None = None) -> tuple[NDArray[np.float32], list[str]]:
    """All samples of a recording, and the warnings."""
    warnings: list[str] = []
    with open_audio(source, track=track, warn=warnings.append) as audio:
        return audio.samples[0 : len(audio.samples)], warnings


def complaint(source: str | Path, track: int | None = None) -> str:
    """The one line that refuses a recording."""
    with pytest.raises(InputError) as caught, open_audio(source, track=track):
        pass
    assert "\n" not in caught.value.message
    return caught.value.message
