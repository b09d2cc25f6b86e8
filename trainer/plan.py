"""What a run will do and roughly cost: windows, arithmetic, bytes and time per stage.

It turns counts and shapes into estimates; it opens no recording and starts nothing.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from distilcli.trainer.model_facts import FRAMES, ModelFacts
from distilcli.trainer.recipe import DistilRecipe
from distilcli.types import SAMPLE_RATE, WINDOW_SECONDS

TOKENS_PER_SECOND = 4.0
"""Of a label, timestamps included: 3 to 4 for English (reference: 100 valid tokens in a window of 30 s)."""

EFFICIENCY = {"label": 0.25, "states": 0.35, "distil": 0.35, "evaluate": 0.2}
"""Share of a large matrix product's speed that a stage reaches. Rough: kernels, batch sizes, decoding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How much there is of a set of recordings."""

    recordings: int
    seconds: float

    @property
    def hours(self) -> float:
        """Length in hours."""
        return self.seconds / 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What one stage will work on, and what that costs."""

    stage: str
    what: str
    flops: float = 0.0
    disk: float = 0.0
    """Bytes that stay."""

    def seconds(self, speed: float) -> float:
        """Time on a machine that multiplies matrices at `speed` operations per second."""
        return self.flops / (speed * EFFICIENCY.get(self.stage, 1.0))


def estimates(
    recipe: DistilRecipe,
    training: Size,
    validation: Size | None,
    teacher: ModelFacts | None,
    student: ModelFacts,
) -> list[Estimate]:
    """Returns the estimate of every stage that costs something."""
    windows = windows_of(recipe, training)
    found = [
        Estimate(
            stage="corpus",
            what=f"{training.recordings:,} recordings, {training.hours:,.2f} h",
            disk=training.seconds * SAMPLE_RATE * 2,
        )
    ]
    if teacher is not None:
        found.append(_label(recipe, training, teacher))
    found.append(
        Estimate(stage="pack", what=f"about {windows:,} windows of {recipe.pack.window_seconds:g} s")
    )
    found.append(
        Estimate(
            stage="init",
            what=f"{student.encoder_layers} encoder and {student.decoder_layers} decoder layers, "
            f"width {student.width}",
        )
    )
    found += _distil(recipe, windows, training.seconds / windows, teacher, student)
    if validation is not None:
        found.append(_evaluate(recipe, validation, [one for one in (teacher, student) if one is not None]))
    return found


def windows_of(recipe: DistilRecipe, size: Size) -> int:
    """About how many windows recordings fill; best fit leaves a hundredth empty, next fit a sixth."""
    fill = {"best-fit": 0.99, "next-fit": 0.84}.get(recipe.pack.method)
    if fill is None:
        return max(size.recordings, 1)
    least = size.seconds / (recipe.pack.window_seconds * fill)
    return max(1, min(size.recordings, round(least + 0.5)))


def _label(recipe: DistilRecipe, training: Size, teacher: ModelFacts) -> Estimate:
    tokens = training.seconds * TOKENS_PER_SECOND * recipe.label.beam_size
    flops = training.recordings * teacher.encoder_flops() + teacher.decoder_flops(tokens, training.recordings)
    return Estimate(stage="label", what=f"{training.recordings:,} labels by the teacher", flops=flops)


def _distil(
    recipe: DistilRecipe, windows: int, seconds: float, teacher: ModelFacts | None, student: ModelFacts
) -> list[Estimate]:
    """What the frozen networks do, beforehand or on the way, and what is learnt."""
    options = recipe.distil
    seen = options.steps * options.batch_size * options.accumulate
    tokens = min(seconds * TOKENS_PER_SECOND, recipe.pack.max_tokens)
    once = min(seen, windows)
    learning = 3 * student.decoder_flops(seen * tokens, seen)  # a backward pass costs two forward passes
    frozen = stored = 0.0
    if options.freeze_encoder:
        encoded = once if options.cache_encoder else seen
        frozen += encoded * student.encoder_flops()
        stored += encoded * FRAMES * student.width * 2 if options.cache_encoder else 0.0
    else:
        learning += 3 * seen * student.encoder_flops()
    forms = _forms(recipe, seen / windows)
    if teacher is not None and options.kl_weight + options.mse_weight > 0:
        taught = forms * once if options.cache_teacher else seen
        frozen += teacher.decoder_flops(taught * tokens, taught)
        stored += taught * tokens * teacher.width * 2 if options.cache_teacher else 0.0
        if not options.freeze_encoder:
            frozen += taught * teacher.encoder_flops()
    what = f"{options.steps:,} steps of {seen // options.steps} windows, {seen / windows:.1f} epochs"
    kept = _checkpoint_bytes(recipe, student)
    if not options.stores_ahead:
        return [Estimate(stage="distil", what=what, flops=learning + frozen, disk=kept + stored)]
    before = f"about {once:,} windows in {forms:.1f} forms each"
    return [
        Estimate(stage="states", what=before, flops=frozen, disk=stored),
        Estimate(stage="distil", what=what, flops=learning, disk=kept),
    ]


def _forms(recipe: DistilRecipe, epochs: float) -> float:
    """In how many forms a window is learnt on average: with or without timestamps and prompt."""
    stamped = recipe.pack.timestamp_probability
    prompted = recipe.pack.prompt_probability if recipe.pack.method == "next-fit" else 0.0
    shares = [one * other for one in (stamped, 1 - stamped) for other in (prompted, 1 - prompted)]
    return sum(1 - math.pow(1 - share, max(epochs, 1.0)) for share in shares)


def _checkpoint_bytes(recipe: DistilRecipe, student: ModelFacts) -> float:
    """Weights and two moments in float32, as often as checkpoints are kept."""
    return 12.0 * student.parameters * (recipe.distil.keep_last + recipe.distil.keep_best)


def _evaluate(recipe: DistilRecipe, validation: Size, models: list[ModelFacts]) -> Estimate:
    options = recipe.evaluate
    share = 1.0
    if options.max_samples and validation.recordings:
        share = min(1.0, options.max_samples / validation.recordings)
    short = validation.recordings * share
    long = max(1.0, validation.seconds * share / WINDOW_SECONDS)
    passes = sum(short if mode == "short" else 1.3 * long for mode in options.modes) + short * len(
        options.snr
    )
    tokens = validation.seconds * share * TOKENS_PER_SECOND * options.beam_size
    runs = len(options.modes) + len(options.snr)
    flops = sum(one.encoder_flops() * passes + one.decoder_flops(tokens * runs, passes) for one in models)
    what = f"{runs} measurements of each of {len(models)} models on {validation.hours * share:,.2f} h"
    return Estimate(stage="evaluate", what=what, flops=flops)


def measured_speed(device: str, seconds: float = 0.3) -> float:
    """Times matrix products on a device; returns operations per second (bfloat16 on a GPU, else float32)."""
    import torch

    name = device if device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    gpu = name.startswith("cuda")
    size = 4096 if gpu else 1024
    matrix = torch.ones(size, size, device=name, dtype=torch.bfloat16 if gpu else torch.float32)
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        matrix @ matrix
        done += 1
        if gpu:
            torch.cuda.synchronize()
    return done * 2.0 * size**3 / (time.perf_counter() - began)


def duration(seconds: float) -> str:
    """A rough time in words."""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{max(seconds, 1):.0f} s"


def megabytes(size: float) -> str:
    """Bytes in words."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
