"""Options of the runtime that a model is loaded into."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineOptions:
    """Which backend runs the model, and where. A backend refuses what it cannot honour."""

    backend: str = "ctranslate2"
    """ctranslate2 (fast on CPU, int8) or transformers (every PyTorch device)."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    compute_type: str = "auto"
    """Number format of the weights; auto is int8 (transformers: float32) on CPU and float16 on CUDA.

    int8_bfloat16 on CPU: int8 with a bfloat16 encoder, which auto takes for wide models where it is faster.
    """
    threads: int = 0
    """CPU threads in all; 0 uses the cores that this process may use."""
    attention: str | None = None
    """Attention of the transformers backend: eager, sdpa or flash_attention_2."""
    compile: bool = False
    """Compile the model with torch.compile (transformers backend)."""
    assistant_model: str | None = None
    """Draft model for speculative decoding (transformers): faster, with exactly the main model's output."""
