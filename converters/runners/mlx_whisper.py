"""mlx-whisper: greedy tokens of an MLX folder, with its own features, in float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from distilcli.converters.runners import ProbeAnswer, ProbeRequest
from distilcli.converters.runners.sound import samples


def run(target: Path, request: ProbeRequest) -> ProbeAnswer:
    """Greedy tokens of the folder `target` (see `ProbeRequest`)."""
    import mlx.core as mx
    from mlx_whisper.audio import N_SAMPLES, log_mel_spectrogram, pad_or_trim
    from mlx_whisper.load_models import load_model

    model = load_model(str(target), dtype=mx.float32)
    sound = pad_or_trim(mx.array(samples(request.audio)), N_SAMPLES)
    heard = model.embed_audio(log_mel_spectrogram(sound, n_mels=request.n_mels)[None])  # (1, 1500, d)
    tokens: list[int] = []
    margins: list[float] = []
    given, cache = list(request.prompt), None
    while len(tokens) < request.max_tokens and request.eot not in tokens:
        logits, cache, _ = model.decoder(mx.array([given]), heard, kv_cache=cache)
        scores = np.array(logits[0, -1].astype(mx.float32))  # (vocabulary,)
        second, first = np.partition(scores, -2)[-2:].tolist()
        tokens.append(int(scores.argmax()))
        margins.append(first - second)
        given = tokens[-1:]
    return ProbeAnswer(tokens, margins)
