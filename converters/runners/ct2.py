"""The probe, answered by CTranslate2."""

from __future__ import annotations

from pathlib import Path

from distilcli.converters.runners import ProbeAnswer, ProbeRequest
from distilcli.converters.runners.sound import features


def run(target: Path, request: ProbeRequest) -> ProbeAnswer:
    """Greedy tokens of the folder `target`, in the number format that its file has (see `ProbeRequest`)."""
    import ctranslate2

    model = ctranslate2.models.Whisper(str(target), device="cpu", compute_type="default", intra_threads=1)
    heard = ctranslate2.StorageView.from_array(features(request)[None])
    given = len(request.prompt)
    answer = model.generate(
        heard,
        [list(request.prompt)],
        beam_size=1,
        # CTranslate2 stops after min(max_length / 2, max_length - given) tokens.
        max_length=max(2 * request.max_tokens, request.max_tokens + given),
        suppress_blank=False,
        suppress_tokens=[],
    )[0]
    tokens = list(answer.sequences_ids[0])[: request.max_tokens]
    # Left out of the answer: what ends before the limit has ended with end-of-text.
    return ProbeAnswer([*tokens, request.eot] if len(tokens) < request.max_tokens else tokens)
