"""Whisper models of any size with random weights, for measuring time, with the bundled model's vocabulary."""

from __future__ import annotations

import json
import shutil
from pathlib import Path


def random_model(shape: str, scratch: Path) -> Path:
    """A CTranslate2 folder in `scratch`; `shape`: width x encoder layers x decoder layers, as in 384x4x4."""
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    from distilcli import bundled
    from distilcli.converters.ct2 import convert

    width, encoder_layers, decoder_layers = map(int, shape.split("x"))
    source, checkpoint = bundled.folder_of_nano(), scratch / "checkpoint"
    heads = width // 64
    config = json.loads((source / "config.json").read_text()) | {
        "d_model": width,
        "encoder_layers": encoder_layers,
        "num_hidden_layers": encoder_layers,  # another name of the same, which would win
        "decoder_layers": decoder_layers,
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        "encoder_ffn_dim": 4 * width,
        "decoder_ffn_dim": 4 * width,
    }
    torch.manual_seed(0)
    WhisperForConditionalGeneration(WhisperConfig(**config)).half().save_pretrained(checkpoint)
    for path in source.glob("*.json"):
        if path.name != "config.json":
            shutil.copy(path, checkpoint)
    convert(checkpoint, scratch / "model")
    return scratch / "model"
