"""The flags of ``distilcli transcribe``: a table. What they ask for together is `cli.request`'s business."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from distilcli.backends.base import BACKENDS, COMPUTE_TYPES
from distilcli.cli.arguments_journal import JOURNAL
from distilcli.cli.arguments_live import LIVE
from distilcli.cli.arguments_many import MANY
from distilcli.cli.arguments_quality import QUALITY
from distilcli.cli.arguments_spoken import SPOKEN
from distilcli.cli.arguments_vad import VAD
from distilcli.cli.arguments_words import WORDS
from distilcli.cli.flags import MAYBE, SWITCH, Flag, Reader, from_field, number, one_of
from distilcli.config import (
    LONG_FORM,
    TASKS,
    ChunkedOptions,
    DecodeOptions,
    EngineOptions,
    FallbackOptions,
    SequentialOptions,
    TranscribeOptions,
)
from distilcli.errors import UsageError, closest
from distilcli.languages import LANGUAGES, language_code

DEFAULT_MODEL = "distil-large-v3"
FORMATS = ("txt", "vtt", "srt", "tsv", "json")
SHORTHANDS = ("txt", "vtt", "srt", "tsv")  # --json is the event stream
PROGRESS = ("auto", "always", "never")
DEVICES = ("auto", "cpu", "cuda", "mps")
ATTENTION = ("eager", "sdpa", "flash_attention_2")


def model_names() -> list[str]:
    """Names of the known models, for shell completion."""
    from distilcli.model_names import ALIASES, NANO, PUBLISHED

    return [NANO, *PUBLISHED, *ALIASES]


def _temperatures(value: Any) -> tuple[float, ...]:  # a word, or the default as it is
    try:
        return tuple(float(word) for word in str(value).split(","))
    except ValueError:
        raise UsageError(f"--temperature must be a number or numbers with commas, not '{value}'") from None


def _tokens(value: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in value.split(",") if word.strip())
    except ValueError:
        raise UsageError(f"--suppress-tokens must be token ids with commas, not '{value}'") from None


def _language(value: str | None) -> str | None:
    return None if value is None or value.lower() in ("none", "auto") else language_code(value)


def _device(value: str) -> str:
    if value in DEVICES or re.fullmatch(r"cuda:\d+", value):
        return value
    raise UsageError(
        f"--device must be auto, cpu, cuda, cuda:N or mps, not '{value}'{closest(value, DEVICES)}"
    )


def _on(name: str, panel: str, help_text: str, *aliases: str) -> Flag:
    """A switch that is off until it is given."""
    return Flag(
        name=name,
        help=help_text,
        panel=panel,
        reader=SWITCH,
        default=False,
        aliases=aliases,
        negative=False,
    )


_ALL_TYPES = dict.fromkeys(name for names in COMPUTE_TYPES.values() for name in names)
_FORMAT_WORDS = (*FORMATS, "all")

OUTPUT = [
    Flag(
        name="output_format",
        help="Write a file in this format; repeat it for several. Without any, the text is printed.",
        panel="Output",
        reader=Reader(kind=list[str], metavar="|".join(_FORMAT_WORDS), complete=lambda: _FORMAT_WORDS),
        default=[],
        aliases=("-f", "--format"),
    ),
    *(_on(name, "Output", f"Same as -f {name}.") for name in SHORTHANDS),
    Flag(
        name="output_dir",
        help="Folder of the files, made when missing; - prints the one format to stdout. [default: .]",
        panel="Output",
        reader=Reader(metavar="DIR"),
        aliases=("-o",),
    ),
    _on("json", "Output", "Print what happens as JSON lines while it happens (the JSON file is -f json)."),
]
MODEL = [
    Flag(
        name="model",
        help="A name of `distilcli models list`, an owner/name of the hub, or a folder.",
        panel="Model",
        reader=Reader(metavar="NAME", complete=model_names),
        default=DEFAULT_MODEL,
        aliases=("-m",),
    ),
    from_field(EngineOptions, "backend", "Model", one_of("backend", BACKENDS)),
    from_field(
        EngineOptions,
        "device",
        "Model",
        Reader(parse=_device, metavar="DEVICE", complete=lambda: DEVICES),
    ),
    from_field(EngineOptions, "compute_type", "Model", one_of("compute_type", _ALL_TYPES, metavar="TYPE")),
    from_field(EngineOptions, "threads", "Model"),
    from_field(EngineOptions, "attention", "Model", one_of("attention", ATTENTION)),
    from_field(EngineOptions, "compile", "Model"),
    from_field(EngineOptions, "assistant_model", "Model", Reader(metavar="NAME", complete=model_names)),
    _on("offline", "Model", "Never ask the hub; use what is on disk."),
    Flag(
        name="fp16",
        help="openai/whisper's spelling: False is --compute-type float32.",
        panel="Model",
        reader=MAYBE,
        hidden=True,
    ),
]
RECORDING = [
    replace(
        from_field(
            TranscribeOptions,
            "language",
            "Recording",
            Reader(parse=_language, metavar="NAME", complete=lambda: LANGUAGES),
        ),
        help="Language spoken, as code or English name; detected when not given.",
    ),
    from_field(DecodeOptions, "task", "Recording", one_of("task", TASKS)),
    Flag(
        name="audio_track",
        help="Audio track of a video, counted from 1; the default track when not given.",
        panel="Recording",
        reader=number("audio_track", int),
    ),
]
LONG = [
    from_field(TranscribeOptions, "long_form", "Long recordings", one_of("long_form", LONG_FORM)),
    replace(
        from_field(ChunkedOptions, "chunk_length", "Long recordings"),
        default=None,
        help="Window length in seconds, at most 30; what the model was trained for when not given.",
    ),
    from_field(ChunkedOptions, "stride", "Long recordings"),
    from_field(ChunkedOptions, "batch_size", "Long recordings"),
    replace(
        from_field(SequentialOptions, "condition_on_previous_text", "Long recordings", MAYBE), default=None
    ),
    from_field(SequentialOptions, "prompt_reset_on_temperature", "Long recordings"),
    from_field(SequentialOptions, "initial_prompt", "Long recordings"),
]
DECODING = [
    from_field(DecodeOptions, "beam_size", "Decoding", number("beam_size", int, none=1)),
    from_field(DecodeOptions, "best_of", "Decoding", number("best_of", int, none=1)),
    from_field(DecodeOptions, "patience", "Decoding", number("patience", float, none=1.0)),
    from_field(DecodeOptions, "length_penalty", "Decoding", number("length_penalty", float, none=1.0)),
    from_field(DecodeOptions, "repetition_penalty", "Decoding"),
    from_field(DecodeOptions, "no_repeat_ngram_size", "Decoding"),
    replace(
        from_field(DecodeOptions, "suppress_tokens", "Decoding", Reader(parse=_tokens, metavar="IDS")),
        default="-1",
    ),
    from_field(DecodeOptions, "suppress_blank", "Decoding"),
    from_field(DecodeOptions, "max_new_tokens", "Decoding"),
]
FALLBACK = [
    Flag(
        name="temperature",
        help="First temperature, or all of them with commas.",
        panel="Fallback",
        reader=Reader(parse=_temperatures, metavar="X[,X...]"),
        default=0.0,
    ),
    Flag(
        name="temperature_increment_on_fallback",
        help="Added after each failed try, up to 1; None tries once.",
        panel="Fallback",
        reader=number("temperature_increment_on_fallback", float),
        default=0.2,
    ),
    from_field(FallbackOptions, "compression_ratio_threshold", "Fallback"),
    from_field(FallbackOptions, "logprob_threshold", "Fallback"),
    from_field(FallbackOptions, "no_speech_threshold", "Fallback"),
]
REPORT = [
    Flag(
        name="progress",
        help="A bar on a terminal and lines elsewhere; always forces the bar.",
        panel="Report",
        reader=one_of("progress", PROGRESS),
        default="auto",
    ),
    _on("quiet", "Report", "Errors only.", "-q"),
    _on("verbose", "Report", "Show each segment with its times.", "-v"),
]
FLAGS = [
    *(*OUTPUT, *MODEL, *RECORDING, *SPOKEN, *LONG, *VAD, *WORDS),
    *(*DECODING, *FALLBACK, *QUALITY, *MANY, *LIVE, *JOURNAL, *REPORT),
]
