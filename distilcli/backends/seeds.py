"""Seeds of sampling that depend on what is sampled alone, so that a run that goes on samples the same.

Knows no runtime.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from distilcli.types import Window


def seed_of(windows: Sequence[Window], temperature: float) -> int:
    """A number of 31 bits for these windows of their recordings at this temperature."""
    spans = " ".join(f"{window.span.start:.2f} {window.span.end:.2f}" for window in windows)
    return zlib.crc32(f"{spans} {temperature:.3f}".encode()) & 0x7FFF_FFFF
