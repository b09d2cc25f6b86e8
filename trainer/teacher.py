"""The teacher of a distillation: its output matrix, and its last decoder states when nobody has them yet.

It knows one model folder; it does not know the student, the loss or the cache.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import WhisperForConditionalGeneration

from distilcli.backends.hf_network import encode
from distilcli.quiet import without_progress_bars
from distilcli.trainer.weights import output_matrix


class Teacher:
    """A frozen model. Its output matrix is always in memory; the rest is loaded when it is first needed."""

    def __init__(
        self, folder: Path, *, device: torch.device, dtype: torch.dtype, shares_encoder: bool
    ) -> None:
        """Reads the output matrix.

        Args:
            folder: Hugging Face folder.
            device: where it computes.
            dtype: number format of its weights.
            shares_encoder: the student's encoder states are its own as well, so that it needs none.
        """
        self.folder = folder
        self.shares_encoder = shares_encoder
        self.head: Tensor = output_matrix(folder).to(device, dtype)
        """(vocabulary, d)."""
        self._device, self._dtype = device, dtype
        self._model: WhisperForConditionalGeneration | None = None
        self._idle = True

    @property
    def loaded(self) -> bool:
        """Whether the whole model is in memory."""
        return self._model is not None

    def release_if_idle(self) -> None:
        """Frees the model where nobody has asked since the last call of this; `states` loads it again."""
        if self._idle:
            self._model = None
        self._idle = True

    @torch.no_grad()
    def states(self, inputs: Tensor, encoded: Tensor | None, mel: Tensor | None) -> Tensor:
        """Returns the last decoder states (batch, tokens, d) for exactly these decoder inputs.

        Args:
            inputs: (batch, tokens) int64, the same that the student is given, the prompt included.
            encoded: the student's encoder states (batch, positions, d), used when the encoder is shared.
            mel: (batch, mels, frames), used when it is not.
        """
        self._idle = False
        model = self._load()
        if not self.shares_encoder:
            assert mel is not None, "a teacher with an encoder of its own needs the sound"
            encoded = encode(model.model.encoder, mel.to(self._device, self._dtype))
        assert encoded is not None, "a teacher without an encoder needs the student's states"
        states: Tensor = model.model.decoder(
            input_ids=inputs.to(self._device), encoder_hidden_states=encoded.to(self._dtype), use_cache=False
        ).last_hidden_state
        return states

    def _load(self) -> WhisperForConditionalGeneration:
        """Returns the model, without its encoder where that is shared."""
        if self._model is None:
            with without_progress_bars():
                model = WhisperForConditionalGeneration.from_pretrained(self.folder, dtype=self._dtype)
            if self.shares_encoder:
                del model.model.encoder
            self._model = model.requires_grad_(False).eval().to(self._device)
        return self._model
