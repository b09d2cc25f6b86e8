"""The objective of distillation: from a batch to loss terms, by way of student, teacher and caches.

It knows networks and states; it does not know optimisers, processes or where batches come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import WhisperForConditionalGeneration

from distilcli.backends.hf_network import encode
from distilcli.trainer.caches import StateCache
from distilcli.trainer.losses import IGNORED, LossTerms, LossWeights, distillation
from distilcli.trainer.recipe import DistilOptions
from distilcli.trainer.records import WindowBatch
from distilcli.trainer.teacher import Teacher


def loss_weights(options: DistilOptions, temperature: float | None = None) -> LossWeights:
    """Returns the weights of the loss; `temperature` replaces the options' (1 to measure)."""
    return LossWeights(
        cross_entropy=options.ce_weight,
        kl=options.kl_weight,
        mse=options.mse_weight,
        temperature=options.temperature if temperature is None else temperature,
    )


@dataclass(kw_only=True, slots=True)
class Objective:
    """A student, what it learns from, and the loss between them.

    Teacher and student are always given the same decoder inputs. States of frozen networks are rounded to the
    number format of the computation whether or not there is a cache, and those of a cache never change once
    they are written: with a cache and without, resumed and uninterrupted, the loss is the same.
    """

    student: WhisperForConditionalGeneration
    options: DistilOptions
    device: torch.device
    teacher: Teacher | None = None
    encoder_cache: StateCache | None = None
    """Of the student's encoder, by window key; only with a frozen one."""
    teacher_cache: StateCache | None = None
    """Of the teacher's last decoder states, by variant; the rows with a target only."""

    @property
    def dtype(self) -> torch.dtype:
        """Number format of matrix products and of stored states."""
        found: torch.dtype = getattr(torch, self.options.dtype)
        return found

    @property
    def caches(self) -> bool:
        """Whether any states may come from disk."""
        return self.encoder_cache is not None or self.teacher_cache is not None

    def needs_sound(self, batch: WindowBatch) -> bool:
        """Whether the loss of this batch cannot be had without its log-mel frames."""
        if self.encoder_cache is None or not self.encoder_cache.has(batch.keys):
            return True
        if self.teacher is None or self.teacher.shares_encoder:
            return False
        return self.teacher_cache is None or not self.teacher_cache.has(batch.variants)

    def stored(self, batch: WindowBatch) -> bool:
        """Whether the caches have all that they may have of this batch."""
        encoded = self.encoder_cache is None or self.encoder_cache.has(batch.keys)
        return encoded and (self.teacher_cache is None or self.teacher_cache.has(batch.variants))

    @torch.no_grad()
    def store(self, batch: WindowBatch) -> None:
        """Puts the states of frozen networks for this batch into the caches; nothing is learnt."""
        mel = None if batch.mel is None else batch.mel.to(self.device)
        shared = self.teacher is not None and self.teacher.shares_encoder
        with self._precision():
            encoded = self._encoded(batch, mel) if shared or self.encoder_cache is not None else None
            self._taught(batch, batch.inputs.to(self.device), encoded, mel)

    def terms(self, batch: WindowBatch, weights: LossWeights) -> LossTerms:
        """Returns the summed loss terms of a batch; gradients are recorded where torch records them."""
        inputs, targets = batch.inputs.to(self.device), batch.targets.to(self.device)
        mel = None if batch.mel is None else batch.mel.to(self.device)
        with self._precision():
            encoded = self._encoded(batch, mel)
            wanted = self._taught(batch, inputs, encoded, mel)
            hidden = self.student.model.decoder(
                input_ids=inputs, encoder_hidden_states=encoded, use_cache=False
            ).last_hidden_state
            head = None if self.teacher is None else self.teacher.head
            weight = self.student.proj_out.weight
            return distillation(hidden, weight, targets, wanted, head, weights, self.options.chunk_tokens)

    def _precision(self) -> torch.autocast:
        """The number format of matrix products, for a with statement."""
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    def _encoded(self, batch: WindowBatch, mel: Tensor | None) -> Tensor:
        """The student's encoder states (batch, positions, d)."""
        cache = self.encoder_cache
        if cache is None and not self.options.freeze_encoder:
            assert mel is not None, "an encoder that is trained needs the sound"
            return encode(self.student.model.encoder, mel)
        if cache is not None and cache.has(batch.keys):
            return _stacked(cache, batch.keys).to(self.device)
        assert mel is not None, "encoder states that are not in the cache need the sound"
        with torch.no_grad():
            states = encode(self.student.model.encoder, mel).to(self.dtype)
        if cache is None:
            return states
        cache.add(dict(zip(batch.keys, states, strict=True)))
        return _stacked(cache, batch.keys).to(self.device)

    @torch.no_grad()
    def _taught(
        self, batch: WindowBatch, inputs: Tensor, encoded: Tensor | None, mel: Tensor | None
    ) -> Tensor | None:
        """The teacher's last decoder states (batch, tokens, d); from a cache only those with a target."""
        if self.teacher is None:
            return None
        cache, valid = self.teacher_cache, batch.targets != IGNORED
        names = batch.variants
        if cache is None or not cache.has(names):
            live = self.teacher.states(inputs, encoded, mel).to(self.dtype)
            if cache is None:
                return live
            rows = zip(names, live.cpu(), valid, strict=True)
            cache.add({name: row[kept] for name, row, kept in rows})
        states = torch.zeros(*valid.shape, self.teacher.head.shape[1], dtype=self.dtype)
        states[valid] = torch.cat([cache.get(name) for name in names])
        return states.to(self.device)


def _stacked(cache: StateCache, keys: Sequence[str]) -> Tensor:
    """Encoder states of several windows, (batch, positions, d)."""
    return torch.stack([cache.get(key) for key in keys])
