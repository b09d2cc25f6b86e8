"""A Whisper network made from a config, and its forward pass on windows of any length up to 30 s.

It knows torch modules and shapes; it does not know labels, losses or files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import WhisperConfig, WhisperForConditionalGeneration

from distilcli.backends.hf_network import encode
from distilcli.tokens import N_TIMESTAMPS
from distilcli.trainer.config import ModelOptions

CHARACTERS = " abcdefghijklmnopqrstuvwxyz'"
"""Classes 1.. of the auxiliary CTC output; class 0 is the blank."""

EMBEDDINGS = ("whisper.model.decoder.embed_tokens.weight", "whisper.proj_out.weight")
"""The two names of the rows of the vocabulary among a network's weights."""


def whisper_config(options: ModelOptions, vocab_size: int) -> WhisperConfig:
    """Returns the network's config; special token ids are filled in by the export."""
    return WhisperConfig(
        vocab_size=vocab_size,
        num_mel_bins=options.mels,
        d_model=options.width,
        encoder_layers=options.encoder_layers,
        decoder_layers=options.decoder_layers,
        encoder_attention_heads=options.heads,
        decoder_attention_heads=options.heads,
        encoder_ffn_dim=4 * options.width,
        decoder_ffn_dim=4 * options.width,
        dropout=options.dropout,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
        decoder_start_token_id=0,
    )


class Network(nn.Module):
    """Whisper with the trained rows of the vocabulary only, and a CTC output over characters."""

    def __init__(self, options: ModelOptions, rows: int) -> None:
        super().__init__()
        self.whisper = WhisperForConditionalGeneration(whisper_config(options, rows))
        # On CPUs plain products in bfloat16 are faster than the fused kernel: 1.1 to 1.4 times.
        self.whisper.set_attn_implementation("eager")
        decoder = self.whisper.model.decoder
        nn.init.normal_(decoder.embed_tokens.weight, std=options.width**-0.5)
        nn.init.zeros_(decoder.embed_positions.weight)
        self.characters = nn.Linear(options.width, len(CHARACTERS) + 1)

    def place_timestamps(self, first: int) -> None:
        """Starts the timestamps, rows from `first` on, as the encoder's positions, which are 20 ms as well.

        The decoder then finds the place that a timestamp names with one linear map, where 1501 unrelated rows
        would each have to be learnt.
        """
        rows = self.rows[first : first + N_TIMESTAMPS]
        positions = self.whisper.model.encoder.embed_positions.weight
        with torch.no_grad():
            rows[: len(positions)] += positions * positions.shape[1] ** -0.5
            rows[len(positions) :] += positions[-1] * positions.shape[1] ** -0.5

    @property
    def rows(self) -> Tensor:
        """The tied input and output embedding (rows, d)."""
        weight: Tensor = self.whisper.model.decoder.embed_tokens.weight
        return weight

    def encode(self, mel: Tensor) -> Tensor:
        """Encodes (batch, mels, frames) into (batch, frames / 2, d); see `encode`."""
        return encode(self.whisper.model.encoder, mel)

    def decode(self, inputs: Tensor, encoded: Tensor) -> Tensor:
        """Returns decoder states (batch, tokens, d) for rows (batch, tokens), teacher-forced."""
        states: Tensor = self.whisper.model.decoder(
            input_ids=inputs, encoder_hidden_states=encoded, use_cache=False
        ).last_hidden_state
        return states


@contextmanager
def watched_attention(network: Network) -> Iterator[list[Tensor]]:
    """Collects cross-attention probabilities of every decoder layer, (batch, heads, tokens, positions) each.

    Recomputed from the projections that hooks see, so that any attention kernel will do.
    """
    collected: list[Tensor] = []
    handles = []
    for layer in network.whisper.model.decoder.layers:
        attention = layer.encoder_attn
        seen: dict[str, Tensor] = {}

        def keep_query(_: nn.Module, __: object, output: Tensor, seen: dict[str, Tensor] = seen) -> None:
            seen["query"] = output

        def keep_key(_: nn.Module, __: object, output: Tensor, seen: dict[str, Tensor] = seen) -> None:
            seen["key"] = output

        def combine(module: nn.Module, _: object, __: object, seen: dict[str, Tensor] = seen) -> None:
            heads = int(module.num_heads)  # type: ignore[arg-type]  # untyped in the library
            collected.append(_probabilities(seen["query"], seen["key"], heads))

        handles.append(attention.q_proj.register_forward_hook(keep_query))
        handles.append(attention.k_proj.register_forward_hook(keep_key))
        handles.append(attention.register_forward_hook(combine))
    try:
        yield collected
    finally:
        for handle in handles:
            handle.remove()


def _probabilities(query: Tensor, key: Tensor, heads: int) -> Tensor:
    """Softmax of scaled dot products: (b, q, d) and (b, k, d) to (b, heads, q, k)."""
    width = query.shape[-1] // heads
    split_query = query.unflatten(-1, (heads, width)).transpose(1, 2)
    split_key = key.unflatten(-1, (heads, width)).transpose(1, 2)
    return torch.softmax((split_query @ split_key.transpose(-1, -2)).float() * width**-0.5, dim=-1)
