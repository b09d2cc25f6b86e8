"""A Hugging Face checkpoint as a model of the openai-whisper package: the same weights under other names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
import whisper
from safetensors.torch import load_file

_NAMES = (
    (r"^model\.", ""),
    (r"\.layers\.", ".blocks."),
    (r"\.self_attn_layer_norm\.", ".attn_ln."),
    (r"\.encoder_attn_layer_norm\.", ".cross_attn_ln."),
    (r"(blocks\.\d+)\.final_layer_norm\.", r"\1.mlp_ln."),
    (r"\.self_attn\.", ".attn."),
    (r"\.encoder_attn\.", ".cross_attn."),
    (r"\.q_proj\.", ".query."),
    (r"\.k_proj\.", ".key."),
    (r"\.v_proj\.", ".value."),
    (r"\.out_proj\.", ".out."),
    (r"\.fc1\.", ".mlp.0."),
    (r"\.fc2\.", ".mlp.2."),
    (r"^encoder\.layer_norm\.", "encoder.ln_post."),
    (r"^decoder\.layer_norm\.", "decoder.ln."),
    (r"embed_positions\.weight$", "positional_embedding"),
    (r"embed_tokens\.", "token_embedding."),
)


def openai_model(folder: Path) -> whisper.Whisper:
    """Load the weights of `folder` (safetensors) in float32 into `whisper.Whisper`."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    dims = whisper.ModelDimensions(
        n_mels=config["num_mel_bins"],
        n_audio_ctx=config["max_source_positions"],
        n_audio_state=config["d_model"],
        n_audio_head=config["encoder_attention_heads"],
        n_audio_layer=config["encoder_layers"],
        n_vocab=config["vocab_size"],
        n_text_ctx=config["max_target_positions"],
        n_text_state=config["d_model"],
        n_text_head=config["decoder_attention_heads"],
        n_text_layer=config["decoder_layers"],
    )
    model = whisper.Whisper(dims)
    model.load_state_dict(
        {
            _rename(name): tensor.to(torch.float32)
            for name, tensor in load_file(folder / "model.safetensors").items()
            if name != "proj_out.weight"
        }
    )
    return model.eval()


def _rename(name: str) -> str:
    for pattern, new in _NAMES:
        name = re.sub(pattern, new, name)
    return name
