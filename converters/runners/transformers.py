"""The probe, answered by Transformers, with how sure the model was of every token."""

from __future__ import annotations

from pathlib import Path

from distilcli.converters.runners import ProbeAnswer, ProbeRequest
from distilcli.converters.runners.sound import features
from distilcli.quiet import without_progress_bars


def run(target: Path, request: ProbeRequest) -> ProbeAnswer:
    """Greedy tokens and margins of the folder `target`, computed in float32 (see `ProbeRequest`)."""
    import torch
    from transformers import WhisperForConditionalGeneration
    from transformers.modeling_outputs import BaseModelOutput

    torch.set_num_threads(1)
    with without_progress_bars():
        model = WhisperForConditionalGeneration.from_pretrained(
            target, dtype=torch.float32, local_files_only=True, use_safetensors=True
        ).eval()
    tokens: list[int] = []
    margins: list[float] = []
    with torch.inference_mode():
        heard = model.model.encoder(torch.from_numpy(features(request))[None]).last_hidden_state
        states = BaseModelOutput(last_hidden_state=heard)  # (1, 1500, d)
        past, given = None, list(request.prompt)
        while len(tokens) < request.max_tokens and request.eot not in tokens:
            step = model(
                encoder_outputs=states,
                decoder_input_ids=torch.tensor([given]),
                past_key_values=past,
                use_cache=True,
            )
            best = step.logits[0, -1].topk(2)
            tokens.append(int(best.indices[0]))
            margins.append(float(best.values[0] - best.values[1]))
            past, given = step.past_key_values, tokens[-1:]
    return ProbeAnswer(tokens, margins)
