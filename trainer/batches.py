"""Turns planned windows into tensors: sound with gain and noise, log-mel frames, rows, characters.

It knows samples and tensors; it does not know why a window was planned, nor the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distilcli.features import HOP, log_mel_whole
from distilcli.trainer.data import Bank
from distilcli.trainer.labels import IGNORED
from distilcli.trainer.network import CHARACTERS
from distilcli.trainer.vocabulary import CompactVocabulary
from distilcli.trainer.windows import WindowPlan
from distilcli.types import SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Batch:
    """One micro-batch."""

    mel: Tensor
    """(batch, mels, frames) float32."""
    inputs: Tensor
    """Rows fed to the decoder (batch, tokens)."""
    targets: Tensor
    """Rows to predict (batch, tokens); `IGNORED` where there is no loss."""
    times: Tensor
    """Seconds at which each target is heard (batch, tokens); NaN where it is nowhere."""
    characters: list[list[int]]
    """CTC classes of what is heard in each window."""
    positions: list[int]
    """Encoder positions of each window that hold sound."""
    seconds: float
    """Audio in the batch, without padding."""


def raise_floor(mel: NDArray[np.float32], headroom: float) -> NDArray[np.float32]:
    """Raises the floor of log-mel features, 8 (in log10 units) under their peak, by `headroom`.

    In transcription the peak is that of the whole recording, which is often louder than one window of it.
    """
    raised: NDArray[np.float32] = np.maximum(mel, mel.max() + np.float32((headroom - 8.0) / 4.0))
    return raised


def render(plan: WindowPlan, bank: Bank, length: int) -> NDArray[np.float32]:
    """Returns the window's sound, (length,) float32 in [-1, 1]; a part that exceeds the window is cut off."""
    rng = np.random.default_rng([plan.key, 1])
    out = np.zeros(length, dtype=np.float32)
    end = min(round(plan.seconds * SAMPLE_RATE), length)
    for placed in plan.placed:
        sound = bank.sound(placed.index)
        first = round(placed.start * SAMPLE_RATE)
        room = max(end - first, 0)
        out[first : first + min(len(sound), room)] += sound[:room].astype(np.float32) / 32768.0
    out *= 10.0 ** (rng.uniform(-14.0, 3.0) / 20.0)
    power = float(np.square(out[:end]).mean()) or 1e-5
    if plan.noisy or not plan.placed:
        snr = rng.uniform(15.0, 45.0)
        noise = rng.standard_normal(end).astype(np.float32)
        if rng.random() < 0.5:  # darker noise: a first-order low pass by differences of a running sum
            noise = np.convolve(noise, np.full(6, 1 / 6, dtype=np.float32), mode="same")
        out[:end] += noise * np.float32(np.sqrt(power * 10.0 ** (-snr / 10.0)) / (noise.std() + 1e-9))
    return np.clip(out, -1.0, 1.0)


def make_batch(plans: Sequence[WindowPlan], bank: Bank, vocabulary: CompactVocabulary, mels: int) -> Batch:
    """Renders the windows of one batch, padded to the longest."""
    frames = max(round(plan.width * 50) * 2 for plan in plans)
    mel = np.empty((len(plans), mels, frames), dtype=np.float32)
    for features, plan in zip(mel, plans, strict=True):
        generator = np.random.default_rng([plan.key, 2])
        headroom = max(float(generator.normal(0.0, 0.3)), 0.0)
        features[:] = raise_floor(log_mel_whole(render(plan, bank, frames * HOP), mels), headroom)
        if generator.random() < 0.5:  # some decoders pad with silent sound, others with zeros in mel space
            features[:, round(plan.seconds * 50) * 2 :] = 0.0
    width = max(len(plan.label.inputs) for plan in plans)
    inputs = torch.zeros(len(plans), width, dtype=torch.long)
    targets = torch.full((len(plans), width), IGNORED)
    times = torch.full((len(plans), width), torch.nan)
    for row, plan in enumerate(plans):
        n = len(plan.label.inputs)
        inputs[row, :n] = torch.tensor(plan.label.inputs)
        targets[row, :n] = torch.tensor(plan.label.targets)
        times[row, :n] = torch.tensor([torch.nan if time is None else time for time in plan.label.times])
    return Batch(
        mel=torch.from_numpy(mel),
        inputs=vocabulary.compress(inputs),
        targets=vocabulary.compress(targets),
        times=times,
        characters=[_characters(plan, bank) for plan in plans],
        positions=[round(plan.seconds * 50) for plan in plans],
        seconds=sum(plan.seconds for plan in plans),
    )


def _characters(plan: WindowPlan, bank: Bank) -> list[int]:
    """CTC classes of what is heard: letters, apostrophes, spaces; of a cut sentence a proportional part."""
    texts = []
    for placed in plan.placed:
        utterance = bank.utterances[placed.index]
        heard = min((plan.seconds - placed.start) / utterance.seconds, 1.0)
        texts.append(utterance.text[: round(heard * len(utterance.text))].lower())
    kept = "".join(letter if letter in CHARACTERS else " " for letter in " ".join(texts))
    return [CHARACTERS.index(letter) + 1 for letter in " ".join(kept.split())]
