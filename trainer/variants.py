"""The forms in which a window is learnt: with or without timestamps and prompt, drawn anew in every epoch.

It knows token ids and seeds; it does not know sound or tensors. Every draw comes from a counter-based
generator keyed by (seed, epoch, window, purpose): no process, worker or cache can change or repeat it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from distilcli.tokens import Vocab
from distilcli.trainer.labels import IGNORED, MAX_TARGET, Form, Label, Piece, build_label
from distilcli.trainer.pieces import Heard, heard, plain_tokens, timed_tokens
from distilcli.trainer.recipe import DistilRecipe
from distilcli.trainer.records import PackedWindow
from distilcli.types import WINDOW_SECONDS

MAX_PROMPT = MAX_TARGET // 2 - 1
"""Tokens of previous text: half of the decoder's positions, less the start of previous text."""

Respell = Callable[[tuple[int, ...]], tuple[int, ...]]
"""Writes the same text with other tokens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowForm:
    """What was drawn for a window in one epoch."""

    timestamps: bool = False
    """Learn it with timestamps, where its labels have them."""
    prompted: bool = False
    """Give the transcript of the window before, where there is one."""
    speed: float = 1.0
    """The sound is played so many times as fast; timestamps follow."""


def generator(seed: int, epoch: int, key: str, purpose: str) -> np.random.Generator:
    """Returns the random numbers of one purpose for one window in one epoch."""
    digest = hashlib.blake2b(f"{seed}\0{epoch}\0{key}\0{purpose}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "big")))


def draw_form(window: PackedWindow, recipe: DistilRecipe, epoch: int) -> WindowForm:
    """Draws a window's form for an epoch; it depends on nothing but the arguments."""
    rng = generator(recipe.distil.seed, epoch, window.key, "form")
    stamped, prompted, faster, between = rng.random(4)
    slowest, fastest = recipe.augment.speed
    speed = slowest + (fastest - slowest) * between
    return WindowForm(
        timestamps=bool(stamped < recipe.pack.timestamp_probability),
        prompted=bool(prompted < recipe.pack.prompt_probability) and window.previous is not None,
        # A slower window must not become longer than the encoder's 30 s.
        speed=max(speed, window.seconds / WINDOW_SECONDS)
        if faster < recipe.augment.speed_probability
        else 1.0,
    )


def label_of(windows: Sequence[PackedWindow], index: int, form: WindowForm, vocab: Vocab) -> Label:
    """Returns the decoder's inputs and answers for one window in one form.

    Timestamps need labels that have them, everywhere in the window. The prompt keeps its newest tokens, 223
    at most and as many as fit, and has timestamps only where the answer has them.
    """
    window = windows[index]
    previous = windows[window.previous] if window.previous is not None else None
    return window_label(window, previous, form, vocab)


def window_label(
    window: PackedWindow,
    previous: PackedWindow | None,
    form: WindowForm,
    vocab: Vocab,
    respell: Respell | None = None,
) -> Label:
    """Returns the label of a window whose predecessor is at hand; see `label_of`.

    `respell` rewrites the answer's sentences (BPE dropout); the label keeps its own spelling where the other
    is too long for the decoder.
    """
    parts = [heard(part, vocab) for part in window.parts]
    timestamps = form.timestamps and all(part.timed for part in parts)
    whole = Form(timestamps=timestamps, language=window.language, task=window.task)
    pieces = [_faster(piece, form.speed) for part in parts for piece in part.pieces]
    if respell:
        respelled = [replace(piece, tokens=respell(piece.tokens)) for piece in pieces]
        if _length(respelled, vocab, whole) <= MAX_TARGET:
            pieces = respelled
    last = parts[-1]
    cut = None if last.cut is None or last.cut > window.seconds else last.cut / form.speed
    label = build_label(vocab, pieces, whole, cut)
    room = min(MAX_TARGET - len(label.inputs) - 1, MAX_PROMPT)
    if form.prompted and previous is not None and room > 0:
        prompt = _prompt(previous, vocab, timestamps)[-room:]
        label = build_label(vocab, pieces, replace(whole, previous=prompt), cut)
    return _without_end(label, last, timestamps)


def variant_name(key: str, label: Label, *, changed_in: int | None = None) -> str:
    """Names a window in one form: equal names have equal sound and equal decoder inputs.

    `changed_in` is the epoch, where the sound differs from epoch to epoch.
    """
    ids = np.asarray(label.inputs, dtype="<i4").tobytes()
    name = f"{key}-{hashlib.blake2b(ids, digest_size=8).hexdigest()}"
    return name if changed_in is None else f"{name}-{changed_in}"


def _faster(piece: Piece, speed: float) -> Piece:
    return piece if speed == 1.0 else replace(piece, start=piece.start / speed, end=piece.end / speed)


def _length(pieces: Sequence[Piece], vocab: Vocab, form: Form) -> int:
    """Returns an upper bound of a label's inputs."""
    prefix = vocab.prefix(form.language, form.task, timestamps=form.timestamps)
    answer = timed_tokens(pieces, vocab) if form.timestamps else plain_tokens(pieces)
    return len(prefix) + len(answer) + 1


def _prompt(window: PackedWindow, vocab: Vocab, timestamps: bool) -> tuple[int, ...]:
    """Returns a window's transcript as a decoder would have written it, without its end."""
    parts = [heard(part, vocab) for part in window.parts]
    pieces = [piece for part in parts for piece in part.pieces]
    stamped = timestamps and all(part.timed for part in parts)
    return timed_tokens(pieces, vocab) if stamped else plain_tokens(pieces)


def _without_end(label: Label, last: Heard, timestamps: bool) -> Label:
    """Takes back the answers that the teacher did not give: after a label that its limit cut."""
    if not last.unknown:
        return label
    guessed = 1 if timestamps and last.unknown == 2 else 0  # the timestamp that `build_label` closed with
    kept = len(label.inputs) - guessed
    return Label(
        inputs=label.inputs[:kept],
        targets=(*label.targets[: kept - 1], IGNORED),
        times=(*label.times[: kept - 1], None),
    )
