"""Measures of text that decoding needs. Knows nothing about tokens, audio or models."""

from __future__ import annotations

import zlib


def compression_ratio(text: str) -> float:
    """UTF-8 bytes of `text` over their zlib-compressed size: high for text that repeats itself.

    openai/whisper's measure (`whisper/utils.py`), with its threshold of 2.4. Transformers' own variant works
    on token ids and has another scale (1.35).
    """
    data = text.encode("utf-8")
    return len(data) / len(zlib.compress(data))
