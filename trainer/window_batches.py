"""Turns packed windows into tensors: sound, log-mel frames, decoder inputs and answers, in a given epoch.

It knows samples, tensors and the order of windows; it does not know models or losses. A batch depends on its
windows, the recipe and the epoch alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distilcli.features import log_mel_whole
from distilcli.tokens import Tokenizer, Vocab
from distilcli.trainer.augment import add_noise, bpe_dropout, change_speed, mask
from distilcli.trainer.elastic import shortened
from distilcli.trainer.labels import IGNORED, Label
from distilcli.trainer.recipe import DistilRecipe
from distilcli.trainer.records import Corpus, PackedWindow, WindowBatch
from distilcli.trainer.variants import Respell, WindowForm, draw_form, generator, variant_name, window_label
from distilcli.types import FRAMES_PER_SECOND, SAMPLE_RATE, WINDOW_SECONDS

Floats = NDArray[np.float32]


def epoch_order(
    count: int, seed: int, epoch: int, weights: Sequence[float] | None = None
) -> NDArray[np.int64]:
    """Returns the windows of one epoch in random order, by number; equal arguments give equal orders.

    `weights` say how often each window occurs: 1.5 is once and, in half of the epochs, twice.
    """
    rng = generator(seed, epoch, "", "order")
    numbers = np.arange(count, dtype=np.int64)
    if weights is not None:
        wanted = np.asarray(weights, dtype=np.float64)
        times = np.floor(wanted) + (rng.random(count) < wanted % 1.0)
        numbers = np.repeat(numbers, times.astype(np.int64))
    return rng.permutation(numbers)


def make_window_batch(
    indices: Sequence[int],
    windows: Sequence[PackedWindow],
    corpus: Corpus,
    tokenizer: Tokenizer,
    recipe: DistilRecipe,
    epoch: int,
    n_mels: int,
    *,
    with_mel: bool = True,
) -> WindowBatch:
    """Returns the micro-batch of some windows, each in the form that is drawn for it in this epoch.

    The log-mel frames are those of `distilcli.features` for the window as a recording of its own, with zeros
    behind its end. They cover 30 s, or with `distil.elastic_seconds` a length that is drawn for the batch by
    the key of its first window. Without `with_mel` no sound is touched: encoder states come from a cache.

    Raises:
        UsageError: a label does not fit into the decoder.
        NoInputError: the folder of noises has no recordings.
    """
    vocab = tokenizer.vocab
    asked = [windows[index] for index in indices]
    seconds, heard = _fit(asked, vocab, recipe, epoch)
    forms = [_form(window, recipe, epoch, seconds) for window in heard]
    labels = [
        window_label(
            window,
            windows[window.previous] if window.previous is not None else None,
            form,
            vocab,
            _respell(window, tokenizer, recipe, epoch),
        )
        for window, form in zip(heard, forms, strict=True)
    ]
    changed_in = epoch if recipe.augment.changes_sound or recipe.distil.elastic_seconds else None
    inputs, targets = _padded(labels, vocab.eot)
    mel = None
    if with_mel:
        frames = round(seconds * FRAMES_PER_SECOND)
        features = [
            _features(window, form, corpus, recipe, epoch, (n_mels, frames))
            for window, form in zip(heard, forms, strict=True)
        ]
        mel = torch.from_numpy(np.stack(features))
    return WindowBatch(
        mel=mel,
        inputs=inputs,
        targets=targets,
        keys=tuple(window.key for window in asked),
        variants=tuple(
            variant_name(window.key, label, changed_in=changed_in)
            for window, label in zip(asked, labels, strict=True)
        ),
        seconds=sum(window.seconds / form.speed for window, form in zip(heard, forms, strict=True)),
    )


def render(window: PackedWindow, corpus: Corpus) -> Floats:
    """Returns the window's sound, (n,) float32 in [-1, 1]; parts that reach over its edges are cut off."""
    out = np.zeros(round(window.seconds * SAMPLE_RATE), dtype=np.float32)
    for part in window.parts:
        sound = corpus.sound(part.recording)
        first = round(part.start * SAMPLE_RATE)
        inside = sound[max(-first, 0) : max(len(out) - first, 0)]
        first = max(first, 0)
        out[first : first + len(inside)] = inside.astype(np.float32) / np.float32(32768.0)
    return out


def padded_log_mel(samples: Floats, n_mels: int, frames: int) -> Floats:
    """Returns log-mel features (n_mels, frames) of (n,) samples, with 0 behind their end.

    The values of `features.log_mel` for a recording of these samples; frames that are too many are cut off.
    """
    mel = np.zeros((n_mels, frames), dtype=np.float32)
    whole = log_mel_whole(samples, n_mels)[:, :frames]
    mel[:, : whole.shape[1]] = whole
    return mel


def _fit(
    windows: Sequence[PackedWindow], vocab: Vocab, recipe: DistilRecipe, epoch: int
) -> tuple[float, list[PackedWindow]]:
    """Returns the batch's length in seconds, and its windows shortened to it.

    The length is drawn from the recipe's; where a window has no sentence that is short enough, the next
    longer one is taken, and at last 30 s.
    """
    lengths = sorted(recipe.distil.elastic_seconds)
    if not lengths:
        return WINDOW_SECONDS, list(windows)
    seed = recipe.distil.seed
    drawn = int(generator(seed, epoch, windows[0].key, "length").integers(len(lengths)))
    for seconds in lengths[drawn:]:
        fitted = [
            shortened(window, seconds, vocab, generator(seed, epoch, window.key, "stretch"))
            for window in windows
        ]
        whole = [window for window in fitted if window is not None]
        if len(whole) == len(windows):
            return seconds, whole
    return WINDOW_SECONDS, list(windows)


def _form(window: PackedWindow, recipe: DistilRecipe, epoch: int, seconds: float) -> WindowForm:
    """Draws a form whose sound is not longer than the batch."""
    form = draw_form(window, recipe, epoch)
    return replace(form, speed=max(form.speed, window.seconds / seconds)) if form.speed < 1.0 else form


def _respell(window: PackedWindow, tokenizer: Tokenizer, recipe: DistilRecipe, epoch: int) -> Respell | None:
    """Returns the window's BPE dropout for this epoch; None where there is none."""
    probability = recipe.augment.bpe_dropout
    if not probability:
        return None
    rng = generator(recipe.distil.seed, epoch, window.key, "spelling")
    return partial(bpe_dropout(tokenizer).respell, probability=probability, rng=rng)


def _features(
    window: PackedWindow,
    form: WindowForm,
    corpus: Corpus,
    recipe: DistilRecipe,
    epoch: int,
    shape: tuple[int, int],
) -> Floats:
    """Returns one window's log-mel features of the given shape (mels, frames), augmented."""
    samples = render(window, corpus)
    options = recipe.augment
    if not options.changes_sound:
        return padded_log_mel(samples, *shape)
    rng = generator(recipe.distil.seed, epoch, window.key, "sound")
    samples = change_speed(samples, form.speed)
    samples = add_noise(samples, options, rng)
    spoken = min(len(samples) * FRAMES_PER_SECOND // SAMPLE_RATE, shape[1])
    return mask(padded_log_mel(samples, *shape), spoken, options, rng)


def _padded(labels: Sequence[Label], end: int) -> tuple[Tensor, Tensor]:
    """Returns decoder inputs and targets (batch, tokens) int64, padded to the longest label."""
    width = max(len(label.inputs) for label in labels)
    inputs = torch.full((len(labels), width), end)
    targets = torch.full((len(labels), width), IGNORED)
    for row, label in enumerate(labels):
        inputs[row, : len(label.inputs)] = torch.tensor(label.inputs)
        targets[row, : len(label.targets)] = torch.tensor(label.targets)
    return inputs, targets
