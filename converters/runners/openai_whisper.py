"""The probe, answered by openai/whisper, which makes its features itself."""

from __future__ import annotations

from pathlib import Path

from distilcli.converters.runners import ProbeAnswer, ProbeRequest
from distilcli.converters.runners.sound import samples


def run(target: Path, request: ProbeRequest) -> ProbeAnswer:
    """Greedy tokens of the file `target`, computed in float32 (see `ProbeRequest`)."""
    import torch
    import whisper

    torch.set_num_threads(1)
    model = whisper.load_model(str(target), device="cpu")
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(samples(request.audio)), request.n_mels)
    tokens: list[int] = []
    with torch.inference_mode():
        heard = model.embed_audio(mel[None])  # (1, 1500, d)
        cache, hooks = model.install_kv_cache_hooks()
        given = list(request.prompt)
        while len(tokens) < request.max_tokens and request.eot not in tokens:
            logits = model.decoder(torch.tensor([given]), heard, kv_cache=cache)
            tokens.append(int(logits[0, -1].argmax()))
            given = tokens[-1:]
        for hook in hooks:
            hook.remove()
    return ProbeAnswer(tokens)
