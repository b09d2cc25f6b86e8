"""The trainer's options: TOML files into frozen dataclasses, every problem listed at once.

It knows names and types of options; it does not know what they do.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from dataclasses import dataclass
from pathlib import Path

from distilcli.errors import UsageError


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
    disturbed: float = 0.0
    """Share of tokens fed to the decoder that are wrong: another word, or a timestamp some 80 ms off. Answers
    stay right, so that the network learns to go on after its own mistakes."""
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


def load_recipe(path: Path, overrides: typing.Sequence[str] = ()) -> Recipe:
    """Reads a recipe; `overrides` are `section.key=value` with TOML values.

    Raises:
        UsageError: the file cannot be read, or every mistake in it, listed with file and closest name.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the recipe {path}: {error}") from error
    problems: list[str] = []
    for override in overrides:
        _override(table, override, problems)
    recipe = _build(Recipe, table, "", problems)
    if problems:
        listing = "\n  ".join(problems)
        raise UsageError(f"{path} has {len(problems)} mistake(s):\n  {listing}")
    return typing.cast(Recipe, recipe)


def _override(table: dict[str, typing.Any], override: str, problems: list[str]) -> None:  # Any: TOML values
    """Sets one dotted key of a table."""
    key, equals, text = override.partition("=")
    try:
        value = tomllib.loads(f"value = {text}")["value"] if equals else None
    except tomllib.TOMLDecodeError:
        value = text
    if value is None:
        problems.append(f"--set {override}: expected section.key=value")
        return
    *sections, name = key.split(".")
    for section in sections:
        table = table.setdefault(section, {})
    table[name] = value


def _build(kind: type, table: object, where: str, problems: list[str]) -> object:
    """Makes a dataclass from a table, adding to `problems`; returns None where that failed."""
    if not isinstance(table, dict):
        problems.append(f"{where or 'recipe'}: expected a table, found {table!r}")
        return None
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    before = len(problems)
    for key in table.keys() - fields.keys():
        close = difflib.get_close_matches(key, fields, n=1)
        hint = f", did you mean {close[0]}?" if close else f"; known: {', '.join(fields)}"
        problems.append(f"{where}{key}: unknown key{hint}")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in table:
            problems.append(f"{where}{name}: missing")
    values = {
        key: _convert(hints[key], value, f"{where}{key}", problems)
        for key, value in table.items()
        if key in fields
    }
    if len(problems) > before:
        return None
    try:
        return kind(**values)
    except UsageError as error:
        problems.append(f"{where.rstrip('.') or 'recipe'}: {error.message}")
        return None


def _convert(hint: object, value: object, where: str, problems: list[str]) -> object:
    """Checks one value against its type; whole numbers are accepted where a float is expected."""
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value, f"{where}.", problems)
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)
        wanted = None if inner[-1] is Ellipsis else len(inner)
        if not isinstance(value, list) or (wanted is not None and len(value) != wanted):
            problems.append(f"{where}: expected a list{f' of {wanted}' if wanted else ''}, found {value!r}")
            return None
        return tuple(_convert(inner[0], item, f"{where}[{i}]", problems) for i, item in enumerate(value))
    if isinstance(hint, types.UnionType):
        hint = next(kind for kind in typing.get_args(hint) if kind is not types.NoneType)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, typing.cast(type, hint)) or (isinstance(value, bool) and hint is not bool):
        problems.append(f"{where}: expected {getattr(hint, '__name__', hint)}, found {value!r}")
        return None
    return value
