"""The options of distillation, one dataclass per stage: label, filter, pack, init, distil, evaluate.

It knows names, types and limits of options; it does not know what they do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from distilcli.errors import UsageError, closest
from distilcli.trainer.options import load_options


def _one_of(where: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise UsageError(f"{where} must be one of {', '.join(known)}, not {value!r}{closest(value, known)}")


def _within(options: object, limits: dict[str, tuple[float, float]]) -> None:
    """Checks fields against inclusive limits; lists every violation."""
    wrong = [
        f"{name} must be between {low:g} and {high:g}, not {getattr(options, name):g}"
        for name, (low, high) in limits.items()
        if not low <= getattr(options, name) <= high
    ]
    if wrong:
        raise UsageError("; ".join(wrong))


INFINITE = float("inf")


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceOptions:
    """One source of recordings: a JSONL manifest, a folder of audio, or a Hugging Face data set."""

    path: str = ""
    """A manifest (*.jsonl), an audio folder (file + .txt, or metadata.csv), or a data set saved to disk."""
    dataset: str = ""
    """Name of a data set on the hub; give this or `path`."""
    config: str = ""
    """Configuration of the data set."""
    split: str = "train"
    """Split of the data set; for a manifest with a `split` key, the lines that are read."""
    streaming: bool = False
    """Read the hub data set without downloading it first."""
    weight: float = 1.0
    """How often this source is drawn relative to the others; 2 repeats it twice per epoch."""
    max_samples: int = 0
    """Use only the first so many recordings; 0: all."""
    audio_column: str = "audio"
    text_column: str = "text"
    id_column: str = ""
    speaker_column: str = "speaker"
    language: str = ""
    """Language of this source; empty: the recipe's."""

    def __post_init__(self) -> None:
        if bool(self.path) == bool(self.dataset):
            raise UsageError("a source needs either path or dataset")
        _within(self, {"weight": (0.0, 1000.0), "max_samples": (0, INFINITE)})


@dataclass(frozen=True, kw_only=True, slots=True)
class DataOptions:
    """Recordings to learn from and to measure with. Paths are relative to the working directory."""

    sources: tuple[SourceOptions, ...]
    validation: tuple[SourceOptions, ...] = ()
    """Never trained on: the loss and the error rates of `evaluate` are measured here. Text is needed."""
    language: str = "en"
    task: str = "transcribe"
    min_seconds: float = 0.1
    """Shorter recordings are listed and left out."""
    max_seconds: float = 30.0
    """Longer recordings are listed and left out: a label covers one window."""

    def __post_init__(self) -> None:
        if not self.sources:
            raise UsageError("data.sources: expected at least one source")
        _one_of("task", self.task, ("transcribe", "translate"))
        _within(self, {"min_seconds": (0.0, 30.0), "max_seconds": (0.1, 30.0)})


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherOptions:
    """The model that labels and that the student learns from."""

    model: str = ""
    """Name, hub id or folder, as for `distilcli transcribe --model`; empty: no teacher (fine-tuning)."""
    recipe: str = ""
    """Train the teacher from scratch first, by this recipe of supervised training."""
    overrides: tuple[str, ...] = ()
    """What `--set` would say to that recipe, for instance ["train.threads=2"]."""

    def __post_init__(self) -> None:
        if self.model and self.recipe:
            raise UsageError("teacher: give model or recipe, not both")
        if self.overrides and not self.recipe:
            raise UsageError("teacher: overrides are for teacher.recipe, which is empty")


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelOptions:
    """How the teacher labels."""

    backend: str = "ctranslate2"
    """ctranslate2 or transformers."""
    device: str = "auto"
    compute_type: str = "auto"
    threads: int = 0
    """CPU threads; 0: the library's choice."""
    batch_size: int = 16
    beam_size: int = 1
    timestamps: bool = True
    max_tokens: int = 256
    """Longest label; a longer one is marked as truncated. Scripts of many tokens per word need more."""
    shard_size: int = 256
    """Labels that are committed to disk together: what a killed run repeats at most."""

    def __post_init__(self) -> None:
        _one_of("backend", self.backend, ("ctranslate2", "transformers"))
        _within(
            self,
            {
                "batch_size": (1, 4096),
                "beam_size": (1, 100),
                "max_tokens": (8, 444),
                "shard_size": (1, 1_000_000),
            },
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterOptions:
    """Which labels are good enough, per recording."""

    wer_threshold: float = 10.0
    """Largest word error rate, per cent, of a label against the text; recordings without text pass."""
    metric: str = "auto"
    """wer, cer, or auto: cer for languages written without spaces."""
    min_logprob: float = -1.0
    """Smallest average log-probability per token."""
    max_compression: float = 2.4
    """Largest zlib ratio of the label's text: repetition."""
    min_rate: float = 0.0
    """Fewest characters per second of recording."""
    max_rate: float = 40.0
    """Most characters per second of recording."""
    max_no_speech: float = 0.6
    """Largest no-speech probability of a label with text, where its log-probability is low as well."""
    drop_truncated: bool = True
    keep_empty: bool = True
    """Keep recordings whose label and text are both empty: silence is worth learning."""
    examples: int = 5
    """Dropped examples per reason in the report."""

    def __post_init__(self) -> None:
        _one_of("metric", self.metric, ("auto", "wer", "cer"))


@dataclass(frozen=True, kw_only=True, slots=True)
class PackOptions:
    """How recordings become windows of up to 30 s, and in which forms their labels are learnt."""

    method: str = "best-fit"
    """best-fit (fewest windows), next-fit (in order, so that the previous window is a prompt), or none."""
    window_seconds: float = 30.0
    gap: float = 0.0
    """Silence between recordings in one window, in seconds."""
    by_speaker: bool = True
    """Only recordings of one speaker share a window; the unknown speaker is a speaker of its own file."""
    timestamp_probability: float = 0.2
    """Share of windows, drawn anew in every epoch, that are learnt with timestamps."""
    prompt_probability: float = 0.5
    """Share of windows, drawn anew in every epoch, with the previous transcript as prompt."""
    max_tokens: int = 256
    """Longest answer; windows are packed so that it fits."""

    def __post_init__(self) -> None:
        _one_of("method", self.method, ("best-fit", "next-fit", "none"))
        _within(
            self,
            {
                "window_seconds": (1.0, 30.0),
                "gap": (0.0, 5.0),
                "timestamp_probability": (0.0, 1.0),
                "prompt_probability": (0.0, 1.0),
                "max_tokens": (8, 444),
            },
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class InitOptions:
    """Which layers of the teacher the student starts with."""

    student: str = ""
    """Start from this model instead of the teacher's layers: fine-tuning, language transfer, a warm start."""
    decoder_layers: int = 2
    decoder_layer_list: tuple[int, ...] = ()
    """Teacher layers to copy, for instance [0, 31] or [0, -1]; empty: maximally spaced."""
    encoder_layers: int = 0
    """0: all of the teacher's."""
    encoder_layer_list: tuple[int, ...] = ()
    search: bool = False
    """Choose the decoder layers whose student has the lowest KL divergence before training."""
    search_windows: int = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentOptions:
    """Changes of the sound and of the labels; all off by default, and none with cached encoder states."""

    spec_time_masks: int = 0
    """SpecAugment (arXiv:1904.08779): masked stretches per window, of up to `spec_time_frames`."""
    spec_time_frames: int = 100
    spec_mel_masks: int = 0
    spec_mel_bands: int = 27
    bpe_dropout: float = 0.0
    """Probability that a merge of the tokenizer is left out (arXiv:1910.13267)."""
    noise_probability: float = 0.0
    noise_folder: str = ""
    """Recordings to mix in; empty: white noise."""
    noise_snr: tuple[float, float] = (10.0, 40.0)
    """Signal-to-noise ratio in dB, drawn between the two."""
    speed_probability: float = 0.0
    speed: tuple[float, float] = (0.9, 1.1)
    """Playback speed, drawn between the two; timestamps follow."""

    @property
    def changes_sound(self) -> bool:
        """Whether the encoder's input differs from epoch to epoch."""
        return bool(
            self.spec_time_masks or self.spec_mel_masks or self.noise_probability or self.speed_probability
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class DistilOptions:
    """The loss, the optimiser, and the paths that make a step cheap."""

    steps: int = 5000
    batch_size: int = 16
    """Windows per device and micro-batch."""
    accumulate: int = 1
    """Micro-batches per step; every real token of all of them weighs the same."""
    ce_weight: float = 1.0
    """Weight of the cross-entropy on the labels (paper, Eq. 6: 1.0; upstream code: 0.8)."""
    kl_weight: float = 0.8
    """Weight of the KL divergence from the teacher (paper, Eq. 6: 0.8; upstream code: 1.0)."""
    mse_weight: float = 0.0
    """Weight of the mean squared distance of the last decoder states to the teacher's, per element."""
    temperature: float = 2.0
    """Of both softmaxes in the KL divergence, which is scaled by its square."""
    freeze_encoder: bool = True
    freeze_embeddings: bool = False
    freeze_positions: bool = False
    lr: float = 1e-4
    warmup: int = 500
    schedule: str = "linear"
    """constant, linear or cosine, after the warm-up."""
    weight_decay: float = 0.0
    clip: float = 1.0
    ema: float = 0.0
    """Decay of the averaged weights that are evaluated and exported; 0: none."""
    dtype: str = "bfloat16"
    """float32, bfloat16 or float16 (autocast)."""
    gradient_checkpointing: bool = False
    chunk_tokens: int = 256
    """Tokens whose logits exist at once; 0: the plain loss over the whole batch."""
    cache_encoder: bool = True
    """Keep the frozen encoder's states on disk from the first epoch on (3.8 MB a window for large-v3)."""
    cache_teacher: bool = True
    """Keep the teacher's last decoder states on disk: KL stays exact without the teacher in memory."""
    store_ahead: bool = True
    """Fill the caches before training begins, which then never loads the teacher; off: at first use."""
    elastic_seconds: tuple[float, ...] = ()
    """Window lengths to train for, for instance [5, 10, 20, 30]; empty: 30 s only."""
    seed: int = 1
    device: str = "auto"
    threads: int = 0
    checkpoint_every: int = 500
    validate_every: int = 500
    log_every: int = 25
    keep_last: int = 2
    keep_best: int = 1

    def __post_init__(self) -> None:
        _one_of("schedule", self.schedule, ("constant", "linear", "cosine"))
        _one_of("dtype", self.dtype, ("float32", "bfloat16", "float16"))
        counts = ("steps", "batch_size", "accumulate", "checkpoint_every", "validate_every", "log_every")
        _within(
            self,
            dict.fromkeys((*counts, "keep_last"), (1, INFINITE))
            | {
                "ce_weight": (0.0, INFINITE),
                "kl_weight": (0.0, INFINITE),
                "mse_weight": (0.0, INFINITE),
                "temperature": (0.01, 100.0),
                "ema": (0.0, 0.999999),
                "chunk_tokens": (0, INFINITE),
                "keep_best": (0, INFINITE),
            },
        )
        if not self.ce_weight and not self.kl_weight and not self.mse_weight:
            raise UsageError("at least one of ce_weight, kl_weight and mse_weight must be above 0")

    @property
    def stores_ahead(self) -> bool:
        """Whether there is a teacher whose states are stored before training begins."""
        return bool(self.kl_weight or self.mse_weight) and self.cache_teacher and self.store_ahead


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateOptions:
    """What is measured at the end, teacher beside student."""

    modes: tuple[str, ...] = ("short", "sequential", "chunked")
    backend: str = "ctranslate2"
    compute_type: str = "auto"
    beam_size: int = 1
    batch_size: int = 8
    max_samples: int = 0
    """Use only the first so many validation recordings; 0: all."""
    snr: tuple[float, ...] = ()
    """Noise sweep: word error rates with white noise at these signal-to-noise ratios in dB."""
    bootstrap: int = 1000
    """Resamples of the confidence intervals."""

    def __post_init__(self) -> None:
        for mode in self.modes:
            _one_of("modes", mode, ("short", "sequential", "chunked"))


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportOptions:
    """Who is told how it goes."""

    tensorboard: bool = True
    """Write TensorBoard events where it is installed."""
    wandb_project: str = ""
    """Log to this Weights & Biases project; empty: not at all."""
    push_to_hub: str = ""
    """Upload student, card and report to this repository of the hub when done; empty: not at all."""
    worst: int = 10
    """Worst examples in the report."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DistilRecipe:
    """Everything that a student depends on."""

    run: str
    """Folder of everything that is made; relative to the working directory."""
    data: DataOptions
    teacher: TeacherOptions = field(default_factory=TeacherOptions)
    label: LabelOptions = field(default_factory=LabelOptions)
    filter: FilterOptions = field(default_factory=FilterOptions)
    pack: PackOptions = field(default_factory=PackOptions)
    init: InitOptions = field(default_factory=InitOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    distil: DistilOptions = field(default_factory=DistilOptions)
    evaluate: EvaluateOptions = field(default_factory=EvaluateOptions)
    report: ReportOptions = field(default_factory=ReportOptions)

    def __post_init__(self) -> None:
        teacher = bool(self.teacher.model or self.teacher.recipe)
        if not teacher and not self.init.student:
            raise UsageError("give teacher.model or teacher.recipe, or init.student to fine-tune a model")
        if not teacher and (self.distil.kl_weight or self.distil.mse_weight):
            raise UsageError("without a teacher, distil.kl_weight and distil.mse_weight must be 0")
        if self.distil.cache_encoder and self.augment.changes_sound:
            raise UsageError(
                "distil.cache_encoder cannot be used with augmentation of the sound: set one of them off"
            )
        if self.distil.elastic_seconds and self.distil.cache_encoder:
            raise UsageError(
                "distil.cache_encoder cannot be used with distil.elastic_seconds: set it to false"
            )

    @property
    def folder(self) -> Path:
        """Folder of everything that is made."""
        return Path(self.run)


def load_distil_recipe(path: Path, overrides: Sequence[str] = ()) -> DistilRecipe:
    """Reads a recipe of distillation; see `options.load_options` for overrides and errors."""
    return load_options(DistilRecipe, path, overrides)


def resolved(recipe: DistilRecipe) -> dict[str, object]:
    """Returns every option with its value, defaults included, as plain JSON types."""
    return dataclasses.asdict(recipe)
