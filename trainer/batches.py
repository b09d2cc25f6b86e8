"""Turns planned windows into tensors: sound with gain and noise, log-mel frames, rows, characters.

It knows samples and tensors; it does not know why a window was planned, nor the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.audio_utils import mel_filter_bank

from distilcli.trainer.data import Bank
from distilcli.trainer.labels import IGNORED
from distilcli.trainer.network import CHARACTERS
from distilcli.trainer.vocabulary import CompactVocabulary
from distilcli.trainer.windows import WindowPlan
from distilcli.types import SAMPLE_RATE

HOP = 160
FFT = 400


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


@cache
def _filters(mels: int) -> Tensor:
    """Mel filters (mels, 201) float32."""
    bank = mel_filter_bank(
        FFT // 2 + 1, mels, 0.0, SAMPLE_RATE / 2, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
    )
    return torch.from_numpy(bank.T.astype(np.float32)).contiguous()


def log_mel(samples: Tensor, mels: int, headroom: Tensor | None = None) -> Tensor:
    """Whisper's log-mel of (batch, n) float32 samples: (batch, mels, n / 160) float32.

    `headroom` (batch,), in log10 units, raises the peak that the floor is 8 below: the rest of a recording is
    often louder than one window of it.
    """
    spectrum = torch.stft(samples, FFT, HOP, window=torch.hann_window(FFT), return_complex=True)[..., :-1]
    power = _filters(mels) @ (spectrum.real**2 + spectrum.imag**2)
    log = power.clamp_min(1e-10).log10()
    peak = log.amax(dim=(1, 2), keepdim=True)
    if headroom is not None:
        peak = peak + headroom[:, None, None]
    return (torch.maximum(log, peak - 8.0) + 4.0) / 4.0


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
    samples = torch.from_numpy(np.stack([render(plan, bank, frames * HOP) for plan in plans]))
    generators = [np.random.default_rng([plan.key, 2]) for plan in plans]
    headroom = torch.tensor([max(float(g.normal(0.0, 0.3)), 0.0) for g in generators], dtype=torch.float32)
    mel = log_mel(samples, mels, headroom)
    for row, (plan, generator) in enumerate(zip(plans, generators, strict=True)):
        if generator.random() < 0.5:  # some decoders pad with silent sound, others with zeros in mel space
            mel[row, :, round(plan.seconds * 50) * 2 :] = 0.0
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
        mel=mel,
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
