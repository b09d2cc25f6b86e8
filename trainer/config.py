"""Options of a network trained from scratch: its size, its recordings, its curriculum.

It knows names and types of options; it does not know what they do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distilcli.errors import UsageError
from distilcli.trainer.options import load_options


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelOptions:
    """Size of a network that is trained from scratch."""

    width: int = 256
    """d_model; a multiple of 64."""
    heads: int = 4
    """Attention heads of every layer."""
    encoder_layers: int = 4
    decoder_layers: int = 2
    mels: int = 128
    """Mel bands: 80 or 128."""
    dropout: float = 0.0
    start: str = ""
    """Begin with these weights instead of random ones: a checkpoint, the folder of a run, or a model. Layers
    that it lacks are put between its own and change nothing at first."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise UsageError(f"width must be a multiple of heads, not {self.width} with {self.heads} heads")
        if self.mels not in (80, 128):
            raise UsageError(f"mels must be 80 or 128, not {self.mels}")


@dataclass(frozen=True, kw_only=True, slots=True)
class DataOptions:
    """Where recordings and texts are."""

    manifests: tuple[str, ...]
    """JSONL manifests; relative to the working directory."""
    validation: tuple[str, ...] = ()
    """Manifests that are never trained on; their loss is reported."""
    tokenizer: str = ""
    """Folder with tokenizer.json; empty: rebuilt from the openai-whisper package."""
    language: str = "en"
    """Code of the language that is spoken."""
    vocabulary_size: int = 51866


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseOptions:
    """One part of the curriculum: which windows, which auxiliary losses, for how long."""

    name: str
    steps: int
    min_seconds: float = 0.0
    """Windows are filled with sentences up to a length drawn between min and max; 0: one sentence each."""
    max_seconds: float = 0.0
    batch_seconds: float = 100.0
    """Audio in one batch, padding included."""
    cut: float = 0.0
    """Share of windows whose end cuts a sentence."""
    no_timestamps: float = 0.2
    """Share of windows without timestamps."""
    previous: float = 0.0
    """Share of windows with previous text as prompt."""
    silence: float = 0.0
    """Share of windows without speech."""
    padded: float = 0.0
    """Share of windows that are padded to 30 s, as the last window of a recording is."""
    mixed: float = 0.0
    """Share of windows with several speakers."""
    joined: float = 0.0
    """Share of sentences that follow the one before after hardly a pause and share its timestamps."""
    disturbed: float = 0.0
    """Share of tokens fed to the decoder that are wrong: another word, a word too many, or a timestamp some
    80 ms off. Answers stay right, so that the network learns to go on after its own mistakes."""
    noise: float = 0.0
    """Share of windows with noise at 15 to 45 dB SNR."""
    ctc: tuple[float, float] = (0.0, 0.0)
    """Weight of the CTC loss at the phase's first and last step."""
    guide: tuple[float, float] = (0.0, 0.0)
    """Weight of the guided-attention loss at the phase's first and last step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainOptions:
    """Optimiser, schedule, checkpoints."""

    lr: float = 1.5e-3
    """Peak learning rate."""
    warmup: int = 200
    """Steps of linear warm-up."""
    schedule: str = "linear"
    """constant, linear or cosine; the latter two reach 0 at the last step."""
    weight_decay: float = 0.01
    clip: float = 1.0
    """Largest norm of the gradient."""
    optimizer: str = "adamw"
    """adamw, or muon (for matrices inside the layers; the rest stays with AdamW)."""
    accumulate: int = 1
    """Micro-batches per step; the loss is weighted by real tokens over all of them."""
    sigma: float = 0.5
    """Tolerance of the guided attention in seconds."""
    dtype: str = "bfloat16"
    """float32, or bfloat16 (autocast)."""
    seed: int = 1
    threads: int = 1
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    validate_every: int = 500
    log_every: int = 25

    def __post_init__(self) -> None:
        for name, known in (
            ("schedule", ("constant", "linear", "cosine")),
            ("optimizer", ("adamw", "muon")),
            ("dtype", ("float32", "bfloat16")),
        ):
            if getattr(self, name) not in known:
                raise UsageError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}")
        for name in (
            "accumulate",
            "threads",
            "checkpoint_every",
            "keep_checkpoints",
            "validate_every",
            "log_every",
        ):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Everything that a supervised run depends on."""

    run: str
    """Folder of checkpoints and metrics; relative to the working directory."""
    data: DataOptions
    phases: tuple[PhaseOptions, ...]
    model: ModelOptions = dataclasses.field(default_factory=ModelOptions)
    train: TrainOptions = dataclasses.field(default_factory=TrainOptions)

    def __post_init__(self) -> None:
        if not self.phases or not self.total_steps:
            raise UsageError("phases: expected at least one phase with steps")

    @property
    def total_steps(self) -> int:
        """Steps of all phases together."""
        return sum(phase.steps for phase in self.phases)


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe of supervised training; see `options.load_options` for overrides and errors."""
    return load_options(Recipe, path, overrides)
