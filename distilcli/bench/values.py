"""What is measured and what came out: cases, clips, samples, summaries, reports, and their JSON.

Frozen values. Knows no system, no process and no clock.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from distilcli.accuracy import Accuracy
from distilcli.bench.json_values import from_json
from distilcli.errors import InputError
from distilcli.intervals import Interval
from distilcli.writers.atomic import write_atomically

SCHEMA = 1
OURS = "distilcli"


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One system with a model and all settings that decide its speed and its text.

    A system that lacks a setting says so in its `differences`.
    """

    system: str = OURS
    """A name of `systems.SYSTEMS`, or a module of one's own."""
    model: str
    """A name, owner/name or folder; every system gets the same weights in the form that it reads."""
    backend: str = "ctranslate2"
    device: str = "auto"
    compute_type: str = "auto"
    strategy: str = "sequential"
    """sequential, chunked or chunked-vad; faster-whisper's batched pipeline is its chunked."""
    batch_size: int = 1
    """Windows decoded together. 1 hands over one recording after the other; more, all of them at once."""
    threads: int = 1
    beam_size: int = 5
    temperatures: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    condition_on_previous_text: bool = False
    """Prompt each window with the text so far."""
    timestamps: bool = True
    detect_language: bool = False
    """Do not tell the system what language a clip is in."""
    chunk_length: float | None = None
    """Seconds; None is what suits the model."""
    assistant: str | None = None
    """Draft model of speculative decoding."""
    defaults: bool = False
    """Leave everything but model, device, threads and language to the system: what its user gets."""
    repeat: int = 0
    """Above 0: the same case again in a process of its own, to show how much of a ratio is noise (A/A)."""

    def language_of(self, clip: Clip) -> str | None:
        """The language that the system is told for a clip; None has it detect the language."""
        return None if self.detect_language else clip.language

    @property
    def key(self) -> str:
        """Names the case in a file of samples."""
        return digest_of(dataclasses.asdict(self))

    @property
    def words(self) -> tuple[str, ...]:
        """The case in a few words, each of which may be what tells it from another."""
        words = [self.system, self.model]
        if self.defaults:
            words.append("defaults")
        else:
            words += [self.backend] if self.system == OURS else []
            words += [self.compute_type, self.strategy]
            words += [f"batch {self.batch_size}"] if self.batch_size > 1 else []
            words += [f"beam {self.beam_size}"] if self.beam_size > 1 else ["greedy"]
            words += [f"{self.chunk_length:g} s"] if self.chunk_length else []
            words += [f"+ {self.assistant}"] if self.assistant else []
        words += [f"{self.threads} threads"] if self.threads > 1 else []
        return (*words, "(A/A)") if self.repeat else tuple(words)

    @property
    def label(self) -> str:
        """The case in a few words, for people."""
        return " ".join(self.words)


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """One recording. `text` None: nobody knows what is said; `language` is a code, None: not known either."""

    path: str
    text: str | None = None
    language: str | None = None
    duration: float = 0.0
    """Seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipSet:
    """Recordings that are measured together, in this order."""

    name: str
    clips: tuple[Clip, ...]
    noise: str = ""
    """white, pink or the name of a recording; empty: as recorded."""
    snr: float | None = None
    """Signal-to-noise ratio in dB."""

    @property
    def seconds(self) -> float:
        """Seconds of sound."""
        return sum(clip.duration for clip in self.clips)

    @property
    def key(self) -> str:
        """Names the set in a file of samples; changes with its recordings and texts."""
        return f"{self.name}-{digest_of(dataclasses.asdict(self))}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One measured run of one case over one set of clips. Seconds and bytes; None is not known.

    `latencies` and `first_segments` are seconds from the request of a clip to its text and to the first
    segment of it: one for each clip, none where all were asked for at once. `stages` sums to `wall`.
    """

    case: str
    data: str
    round: int
    wall: float
    """From recordings on disk to texts on disk."""
    cpu: float
    """User and system time of the process and its children."""
    load: float
    """From the first import to a model that answers."""
    model: float | None = None
    """Encoder and decoder alone."""
    latencies: tuple[float, ...] = ()
    first_segments: tuple[float, ...] = ()
    tokens: int | None = None
    token_digests: tuple[str, ...] = ()
    """Hash of the token ids of each clip, to compare transcripts exactly; none where ids are not known."""
    texts: tuple[str, ...] = ()
    stages: dict[str, float] = field(default_factory=dict)
    background: dict[str, float] = field(default_factory=dict)
    """Stages of other threads, beside the one whose stages sum to `wall`."""
    windows: int | None = None
    """Windows that were asked for, retries not counted."""
    encoder_calls: int | None = None
    """Windows that went through the encoder."""
    fallbacks: int | None = None
    """Windows that were decoded again."""
    retries: int | None = None
    """How often they were."""
    flags: dict[str, int] = field(default_factory=dict)
    """Segments that look wrong, by reason."""
    peak_rss: int = 0
    """Of the whole process since it began."""
    peak_vram: int | None = None
    compute_type: str = ""
    """What was really selected."""
    machine_load: float = 0.0
    """Load average before the run."""
    error: str | None = None
    """Why there is nothing else in this sample."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Where it was measured."""

    cpu: str
    cores: int
    usable_cores: int
    """Cores that this process may run on, within the limits of its container."""
    instructions: tuple[str, ...]
    """Instruction sets that matter to models."""
    memory: int
    """Bytes of main memory."""
    gpus: tuple[str, ...]
    """Name, memory and driver."""
    limits: dict[str, str]
    """Limits of the container, and variables that change how libraries run."""
    system: str
    load: tuple[float, ...]
    """Load averages before the run and after it."""
    steal: float
    """Share of the time during the run that the hypervisor gave to others, 0 to 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """A model that was measured; `sha256` is that of its weights as they were published or given."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What the samples of one case on one set come to. Medians over the rounds; None is not known."""

    case: str
    data: str
    rounds: int
    wall: Interval
    cpu: float
    rtfx: Interval
    """Seconds of sound per second, from recordings on disk to texts on disk."""
    rtfx_model: float | None
    latency_p50: float | None
    latency_p95: float | None
    first_segment: float | None
    tokens_per_second: float | None
    load: float
    peak_rss: int
    peak_vram: int | None
    fallbacks_per_hour: float | None
    retries_per_hour: float | None
    windows: int | None
    encoder_calls: int | None
    flags: dict[str, int]
    stages: dict[str, float]
    """Those of the run with the median wall time; they sum to it."""
    accuracy: Accuracy | None
    compute_type: str
    stable: bool
    """Whether every round wrote the same texts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """How a case compares with the baseline of a report on a set, pair by pair of the same round.

    Above 1, `speed` is faster and `cpu` cheaper than the baseline. `points` is the difference of the error
    rates; `same_texts` the share of clips with the same words.
    """

    case: str
    baseline: str
    data: str
    pairs: int
    speed: Interval
    cpu: Interval
    points: Interval | None
    same_texts: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """A system that was asked for and could not be measured."""

    system: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table of a report besides the summary; `rows` hold what is printed, `notes` stand under it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Everything about one bench: what was measured, where, and what came out."""

    command: str
    seed: int
    rounds: int
    machine: Machine
    versions: dict[str, str]
    models: tuple[ModelFacts, ...]
    cases: tuple[Case, ...]
    data: tuple[ClipSet, ...]
    samples: tuple[Sample, ...]
    summaries: tuple[Summary, ...]
    ratios: tuple[Ratio, ...]
    differences: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Key of a case -> settings of its system that could not be made equal."""
    missing: tuple[Missing, ...] = ()
    notes: tuple[str, ...] = ()
    """Rules of measurement that this run broke."""
    tables: tuple[Table, ...] = ()
    schema: int = SCHEMA

    @property
    def baseline(self) -> Case:
        """The case that the others are compared with: the first."""
        return self.cases[0]

    def case(self, key: str) -> Case:
        """The case of this key."""
        return next(one for one in self.cases if one.key == key)

    def clip_set(self, key: str) -> ClipSet:
        """The set of this key."""
        return next(one for one in self.data if one.key == key)

    def summary(self, case: Case, data: ClipSet) -> Summary | None:
        """What a case came to on a set; None where it failed."""
        return next((s for s in self.summaries if (s.case, s.data) == (case.key, data.key)), None)

    def samples_of(self, case: Case, data: ClipSet) -> tuple[Sample, ...]:
        """The samples of a case on a set that did not fail, in the order of the rounds."""
        return tuple(
            sorted(
                (s for s in self.samples if (s.case, s.data) == (case.key, data.key) and s.error is None),
                key=lambda sample: sample.round,
            )
        )


def write_report(path: Path, report: Report) -> None:
    """Write a report as JSON, whole or not at all. Raises `OutputError`."""
    text = json.dumps(dataclasses.asdict(report), ensure_ascii=False, indent=1)
    write_atomically(path, text + "\n")


def read_report(path: Path) -> Report:
    """What `write_report` wrote.

    Raises:
        InputError: the file is missing, damaged or of another version.
    """
    try:
        return from_json(Report, path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(
            f"{path}: expected a report of distilcli bench, found something else ({error})",
            hint="distilcli bench --json report.json",
        ) from error


def digest_of(value: object) -> str:
    """Hash of what JSON can hold, such as a list of token ids."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
