"""Whisper checkpoints with random weights, as Transformers saves them, for tests of files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from distilcli.tokens import Vocab
from tests.support.tokenizer import write_tokenizer


def tiny_checkpoint(
    folder: Path,
    *,
    size: int = 51865,
    n_mels: int = 80,
    layers: tuple[int, int] = (1, 1),
    dtype: str = "float32",
    heads: list[list[int]] | None = None,
) -> Path:
    """Write a Hugging Face folder with `layers` of encoder and decoder, and 16 channels; return it."""
    import torch
    from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

    vocab = Vocab(size)
    config = WhisperConfig(
        vocab_size=size,
        num_mel_bins=n_mels,
        d_model=16,
        encoder_layers=layers[0],
        decoder_layers=layers[1],
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        decoder_start_token_id=vocab.sot,
        bos_token_id=vocab.eot,
        eos_token_id=vocab.eot,
        pad_token_id=vocab.eot,
    )
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(config).to(getattr(torch, dtype))
    extra: dict[str, Any] = {"alignment_heads": heads} if heads is not None else {}
    if vocab.multilingual:
        extra["lang_to_id"] = {f"<|{code}|>": vocab.language(code) for code in vocab.languages}
    model.generation_config = GenerationConfig(
        decoder_start_token_id=vocab.sot, eos_token_id=vocab.eot, suppress_tokens=[1, 2], **extra
    )
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    write_tokenizer(folder, size)
    # What Transformers 5 writes for a processor: no preprocessor_config.json.
    extractor = {"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": n_mels}
    change_json(folder / "processor_config.json", feature_extractor=extractor)
    return folder


def change_json(path: Path, **changes: object) -> None:
    """Set keys of a JSON file, or delete those that are given as None; the file may be new."""
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    content.update(changes)
    kept = {key: value for key, value in content.items() if value is not None}
    path.write_text(json.dumps(kept), encoding="utf-8")
