"""Token times from CTranslate2, which filters and warps the attention itself. Knows no windows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from ctranslate2.models import Whisper
from numpy.typing import NDArray

from distilcli.alignment import MEDIAN_WIDTH, token_times
from distilcli.backends.ct2_engine import storage
from distilcli.backends.forced import Forced
from distilcli.model_folder import Heads, read_json
from distilcli.types import Word


def aligned(model: Whisper, encoded: NDArray[np.float32], text: Forced) -> tuple[Word, ...]:
    """When each token of a text was spoken.

    One window at a time: it needs no more memory than decoding, whatever the batch was.

    Args:
        model: its alignment heads must exist, or the process dies.
        encoded: encoder output of the window, (1500 or fewer, d_model).
        text: what was said in it.
    """
    if not text.text:
        return ()
    (result,) = model.align(
        storage(encoded[None]),
        list(text.prefix),
        [list(text.text)],
        min(text.frames, 2 * len(encoded)),
        median_filter_width=MEDIAN_WIDTH,
    )
    return token_times(text.whole, result.alignments, result.text_token_probs)


def with_heads(folder: Path, heads: Heads) -> dict[str, bytes] | None:
    """The files of a folder with these alignment heads in ``config.json``; None where they are there already.

    CTranslate2 takes the list unchecked, and a layer that the decoder does not have ends the process; without
    a list it aligns nothing.
    """
    config = read_json(folder / "config.json")
    listed = [list(pair) for pair in heads]
    if config.get("alignment_heads") == listed:
        return None
    files = [path for path in folder.iterdir() if path.name == "model.bin" or path.stem == "vocabulary"]
    return {
        **{path.name: path.read_bytes() for path in files},
        "config.json": json.dumps({**config, "alignment_heads": listed}).encode(),
    }
