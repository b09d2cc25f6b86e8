"""Whisper's encoder and decoder as modules to be traced: keys and values go in and out as plain tensors.

Parameters have Hugging Face's names without ``model.encoder.`` or ``model.decoder.``. Knows no file, no ONNX.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from distilcli.converters.dims import Dims

CACHED = ("decoder.key", "decoder.value", "encoder.key", "encoder.value")
"""What a decoder layer keeps from step to step, in the order of `Decoder.forward`."""


class Matrix(nn.Module):
    """A linear layer that stores its matrix as (in, out), the transpose of `torch.nn.Linear`.

    Traced, it becomes a product with a constant and nothing else, which is what quantisers look for.
    """

    def __init__(self, width: int, out: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, out))
        self.bias = nn.Parameter(torch.empty(out)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        product = x @ self.weight
        return product if self.bias is None else product + self.bias


class Attention(nn.Module):
    """Multi-head attention whose keys and values are computed outside, or come from a cache."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head_width = heads, width // heads
        self.q_proj = Matrix(width, width)
        self.k_proj = Matrix(width, width, bias=False)
        self.v_proj = Matrix(width, width)
        self.out_proj = Matrix(width, width)

    def split(self, x: Tensor) -> Tensor:
        """(batch, n, width) -> (batch, heads, n, width / heads)."""
        return x.reshape(x.shape[0], x.shape[1], self.heads, self.head_width).transpose(1, 2)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the states `x`, each (batch, heads, n, width / heads)."""
        return self.split(self.k_proj(x)), self.split(self.v_proj(x))

    def forward(
        self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Attend from `x` (batch, n, width); also returns the weights, (batch, heads, n, keys).

        `mask`, (n, keys), is added to the scores.
        """
        scores = self.split(self.q_proj(x) * self.head_width**-0.5) @ keys.transpose(2, 3)
        weights = (scores if mask is None else scores + mask).softmax(dim=-1)
        mixed = (weights @ values).transpose(1, 2)
        return self.out_proj(mixed.reshape(x.shape[0], x.shape[1], self.heads * self.head_width)), weights


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward layer, each behind its norm."""

    def __init__(self, width: int, heads: int, ffn: int) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = Matrix(width, ffn)
        self.fc2 = Matrix(ffn, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n, width) -> the same."""
        normed = self.self_attn_layer_norm(x)
        x = x + self.self_attn(normed, *self.self_attn.keys_values(normed))[0]
        return self.feed_forward(x)

    def feed_forward(self, x: Tensor) -> Tensor:
        """(batch, n, width) -> the same."""
        wide: Tensor = gelu(self.fc1(self.final_layer_norm(x)))
        added: Tensor = self.fc2(wide)
        return x + added


class DecoderLayer(EncoderLayer):
    """An encoder layer with a look at the sound between its two halves."""

    def __init__(self, width: int, heads: int, ffn: int) -> None:
        super().__init__(width, heads, ffn)
        self.encoder_attn = Attention(width, heads)
        self.encoder_attn_layer_norm = nn.LayerNorm(width)

    def step(
        self, x: Tensor, new_sound: Tensor, past: tuple[Tensor, ...], mask: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        """New states (batch, n, width), what to keep in the order of `CACHED`, and the look at the sound."""
        normed = self.self_attn_layer_norm(x)
        fresh = (*self.self_attn.keys_values(normed), *self.encoder_attn.keys_values(new_sound))
        kept = tuple(torch.cat((old.to(new.dtype), new), dim=2) for old, new in zip(past, fresh, strict=True))
        x = x + self.self_attn(normed, *kept[:2], mask)[0]
        seen, look = self.encoder_attn(self.encoder_attn_layer_norm(x), *kept[2:])
        return self.feed_forward(x + seen), kept, look


class Encoder(nn.Module):
    """Log-mel spectrogram -> states. Computes in the number format of its parameters."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        width = dims.n_audio_state
        self.conv1 = nn.Conv1d(dims.n_mels, width, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(width, width, kernel_size=3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(dims.n_audio_ctx, width)
        self.layers = nn.ModuleList(
            EncoderLayer(width, dims.n_audio_head, dims.ffn) for _ in range(dims.n_audio_layer)
        )
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, input_features: Tensor) -> Tensor:
        """(batch, n_mels, 3000) float32 -> (batch, 1500, width) float32."""
        x = gelu(self.conv1(input_features.to(self.conv1.weight.dtype)))
        x = gelu(self.conv2(x)).transpose(1, 2) + self.embed_positions.weight
        for layer in self.layers:
            x = layer(x)
            if x.dtype == torch.float16:  # as Transformers does: large encoders overflow
                limit = torch.finfo(x.dtype).max - 1000
                x = x.clamp(-limit, limit)
        states: Tensor = self.layer_norm(x)
        return states.float()


class Decoder(nn.Module):
    """Token ids -> logits, one graph for the first step and all later ones.

    The keys and values of the sound are the cached ones and those of the states that the cache does not
    cover: all of them in the first step, where the cache has length 0, and none later.
    """

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        width = dims.n_text_state
        self.embed_tokens = nn.Embedding(dims.n_vocab, width)
        self.embed_positions = nn.Embedding(dims.n_text_ctx, width)
        self.layers = nn.ModuleList(
            DecoderLayer(width, dims.n_text_head, dims.ffn) for _ in range(dims.n_text_layer)
        )
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, input_ids: Tensor, encoder_hidden_states: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        """One step for the n newest tokens.

        Args:
            input_ids: (batch, n), int64.
            encoder_hidden_states: (batch, frames, width), float32.
            past: `CACHED` of every layer, each (batch, heads, length, width / heads), float32.

        Returns:
            Logits (batch, n, vocabulary), then `CACHED` of every layer with the new positions, then every
            layer's attention to the sound (batch, heads, n, frames); all float32.
        """
        dtype = self.embed_tokens.weight.dtype
        known, heard = past[0].shape[2], past[2].shape[2]
        rows = torch.arange(known, known + input_ids.shape[1])
        columns = torch.arange(known + input_ids.shape[1])
        mask = torch.zeros((), dtype=dtype).where(columns <= rows[:, None], torch.finfo(dtype).min)
        new_sound = encoder_hidden_states[:, heard:].to(dtype)
        x = self.embed_tokens(input_ids) + self.embed_positions(rows)
        caches: list[Tensor] = []
        looks: list[Tensor] = []
        for number, layer in enumerate(self.layers):
            cached = past[len(CACHED) * number : len(CACHED) * (number + 1)]
            x, kept, look = layer.step(x, new_sound, cached, mask)  # type: ignore[operator]  # a ModuleList
            caches += kept
            looks.append(look)
        logits = self.layer_norm(x) @ self.embed_tokens.weight.T
        return tuple(one.float() for one in (logits, *caches, *looks))
