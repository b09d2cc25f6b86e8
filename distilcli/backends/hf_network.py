"""One Whisper network of Transformers: encode, start from a prompt, take a step. Knows no search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from transformers import DynamicCache, EncoderDecoderCache, WhisperForConditionalGeneration
from transformers.models.whisper.modeling_whisper import WhisperAttention, WhisperEncoder

from distilcli.features import WINDOW_FRAMES


@dataclass(slots=True, eq=False)
class State:
    """Where the decoder stands: `logits` of the next token (rows, vocabulary), and its keys and values."""

    logits: torch.Tensor
    encoded: torch.Tensor
    cache: EncoderDecoderCache

    def repeat(self, times: int) -> None:
        """Every row `times` times, next to each other."""
        rows = range(self.logits.shape[0])
        self.select([row for row in rows for _ in range(times)])

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order."""
        index = torch.tensor(rows, device=self.logits.device)
        self.logits = self.logits[index]
        self.encoded = self.encoded[index]
        self.cache.batch_select_indices(index)

    def reorder(self, rows: Sequence[int]) -> None:
        """As `select`, when every row stays with its window: what was read from the audio stays in place."""
        index = torch.tensor(rows, device=self.logits.device)
        self.logits = self.logits[index]
        self.cache.self_attention_cache.batch_select_indices(index)

    def forget(self, tokens: int) -> None:
        """Take back the last `tokens` steps; `logits` are then out of date."""
        self.cache.crop(-tokens)


class Network:
    """A loaded model; all tensors live on its device."""

    def __init__(self, model: WhisperForConditionalGeneration, *, compiled: bool = False) -> None:
        self.model = model
        self.device = model.device
        self.dtype = model.dtype
        self._encoder: Any = model.model.encoder  # torch.compile returns a callable of no particular class
        self._decoder: Any = model.model.decoder
        if compiled:
            self._encoder = torch.compile(self._encoder, dynamic=True)
            self._decoder = torch.compile(self._decoder, dynamic=True)

    def encode(self, mel: torch.Tensor) -> torch.Tensor:
        """Log-mel (batch, n_mels, frames) to encoder output (batch, frames / 2, d_model)."""
        features = mel.to(self.device, self.dtype)
        if features.shape[-1] != WINDOW_FRAMES:
            return encode(self.model.model.encoder, features)
        output: torch.Tensor = self._encoder(features).last_hidden_state
        return output

    def start(self, encoded: torch.Tensor, prompts: Sequence[Sequence[int]]) -> tuple[State, torch.Tensor]:
        """The state after the prompts, and the logits after each of their tokens.

        `encoded` is (batch, 1500, d_model), all prompts have one length, the logits are
        (batch, prompt, vocabulary).
        """
        state = State(torch.empty(0), encoded, EncoderDecoderCache(DynamicCache(), DynamicCache()))
        logits = self.step(state, torch.tensor(prompts, device=self.device))
        return state, logits

    def step(self, state: State, tokens: torch.Tensor) -> torch.Tensor:
        """Read `tokens` (rows, n); returns the logits after each of them (rows, n, vocabulary)."""
        hidden = self._decoder(
            input_ids=tokens,
            encoder_hidden_states=state.encoded,
            past_key_values=state.cache,
            use_cache=True,
        ).last_hidden_state
        logits: torch.Tensor = self.model.proj_out(hidden)
        state.logits = logits[:, -1]
        return logits

    def read(self, encoded: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
        """The decoder's output after each of given tokens, (1, tokens, d_model), for one window."""
        hidden: torch.Tensor = self.model.model.decoder(
            input_ids=torch.tensor([tokens], device=self.device),
            encoder_hidden_states=encoded,
            use_cache=False,
        ).last_hidden_state
        return hidden

    def cross_attention(self, layer: int) -> WhisperAttention:
        """The attention of a decoder layer to the sound."""
        attention: WhisperAttention = self.model.model.decoder.layers[layer].encoder_attn
        return attention

    def same_encoder(self, other: Network) -> bool:
        """Whether both networks turn audio into the same output."""
        mine, theirs = (network.model.model.encoder.state_dict() for network in (self, other))
        return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def encode(encoder: WhisperEncoder, mel: torch.Tensor) -> torch.Tensor:
    """Encodes (batch, mels, frames) with frames even and at most 3000 into (batch, frames / 2, d).

    The same arithmetic as the library's encoder, whose only difference is that it insists on 3000 frames.
    """
    hidden = functional.gelu(encoder.conv1(mel))
    hidden = functional.gelu(encoder.conv2(hidden)).permute(0, 2, 1)
    hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
    hidden = functional.dropout(hidden, p=encoder.dropout, training=encoder.training)
    for layer in encoder.layers:
        hidden = layer(hidden, None)
    normed: torch.Tensor = encoder.layer_norm(hidden)
    return normed
