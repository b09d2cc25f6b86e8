"""``distilcli bench``: how fast and how right models, backends and other tools are on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from distilcli.cli.flags import SWITCH, Flag, Reader, number, spelled, with_flags
from distilcli.errors import UsageError

EPILOG = """
\b
Examples:
  distilcli bench                                    the bundled model and recording, about two minutes
  distilcli bench --models distil-large-v3,large-v3 --compute-type int8,float32 --data corpus.jsonl
  distilcli bench talk.mp3 --against faster-whisper,whisper.cpp --rounds 10
  distilcli bench --speculative large-v3+distil-large-v3
  distilcli bench --noise 40,20,10,5,0,-5 --data corpus.jsonl --report noise.html
  distilcli bench --json new.json --baseline old.json --fail-if 'speed<0.95'

\b
Every case runs in a process of its own, in turn with the others, in a new order every round. docs/bench.md
explains the figures and the rules of measurement.
"""

MEASURED, DATA, RUN, RESULT = "What is measured", "Recordings", "How", "Results"

Files = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="FILES",
        help="Recordings, or manifests (.jsonl) with their texts; the bundled recording without any.",
        show_default=False,
    ),
]


def _words(text: Any) -> tuple[str, ...]:  # a word, or the default as it is
    return tuple(dict.fromkeys(word.strip() for word in str(text or "").split(",") if word.strip()))


def _numbers(name: str, kind: type[int] | type[float]) -> Reader:
    def parse(text: Any) -> tuple[float, ...]:  # as above
        try:
            return tuple(dict.fromkeys(kind(word) for word in _words(text)))
        except ValueError:
            raise UsageError(f"{spelled(name)} must be numbers with commas, not '{text}'") from None

    return Reader(parse=parse, metavar="N,..." if kind is int else "X,...")


def _at_least(name: str, smallest: int) -> Reader:
    reader = number(name, int)
    read: Callable[[Any], Any] = reader.parse or int

    def parse(text: Any) -> int | None:  # as above
        if text is None:
            return None
        value = int(read(text))
        if value < smallest:
            raise UsageError(f"{spelled(name)} must be at least {smallest}, not {value}")
        return value

    return Reader(parse=parse, metavar=reader.metavar)


def _minutes(text: Any) -> float | None:  # as above
    value: float | None = (number("minutes", float).parse or float)(text)
    if value is not None and value <= 0:
        raise UsageError(f"--minutes must be above 0, not {value:g}")
    return value


NAMES = Reader(parse=_words, metavar="NAME,...")
FILE = Reader(metavar="FILE")


def _flag(panel: str, name: str, text: str, default: Any, reader: Reader, *aliases: str) -> Flag:
    return Flag(name=name, help=text, panel=panel, reader=reader, default=default, aliases=aliases)


def _on(panel: str, name: str, text: str, *aliases: str) -> Flag:
    """A switch that is off until it is given."""
    return Flag(
        name=name, help=text, panel=panel, reader=SWITCH, default=False, aliases=aliases, negative=False
    )


TOOLS = "faster-whisper, whisper-ctranslate2, openai-whisper, whisper.cpp, transformers-pipeline"
FLAGS = [
    _flag(MEASURED, "models", "Models; the first one is the baseline.", "nano", NAMES, "-m", "--model"),
    _flag(MEASURED, "backends", "ctranslate2, transformers.", "ctranslate2,transformers", NAMES, "--backend"),
    _flag(MEASURED, "compute_type", "Number formats of the weights.", "auto", NAMES),
    _flag(MEASURED, "strategies", "sequential, chunked, chunked-vad.", "sequential", NAMES),
    _flag(
        MEASURED,
        "batch_sizes",
        "Windows decoded together. 1 takes one recording after the other, more takes all at once.",
        "1",
        _numbers("batch_sizes", int),
    ),
    _flag(MEASURED, "threads", "CPU threads; 0 is one for each core.", "0", _numbers("threads", int)),
    _flag(
        MEASURED,
        "against",
        f"Other tools on the same weights: {TOOLS}, or a module of your own.",
        "",
        Reader(parse=_words, metavar="TOOL,..."),
    ),
    _on(MEASURED, "defaults", "Measure each tool once more as it is without options."),
    _flag(
        MEASURED,
        "speculative",
        "A model alone and with a draft model; the transcripts must be the same.",
        "",
        Reader(parse=_words, metavar="MODEL+DRAFT,..."),
    ),
    _flag(
        MEASURED,
        "chunk_length",
        "Window lengths of the chunked strategy, in seconds.",
        "",
        _numbers("chunk_length", float),
    ),
    _flag(MEASURED, "beam_size", "Beams; 1 is greedy.", 5, _at_least("beam_size", 1)),
    _flag(MEASURED, "fallback", "Decode doubtful windows again, with sampling.", True, SWITCH),
    _flag(MEASURED, "device", "auto, cpu, cuda, cuda:N or mps.", "auto", Reader(metavar="DEVICE")),
    _flag(DATA, "data", "Same as FILES; repeat it for several.", [], Reader(kind=list[str], metavar="FILE")),
    _flag(
        DATA, "language", "Of recordings whose manifest does not say it.", None, Reader(metavar="NAME"), "-l"
    ),
    _on(DATA, "detect_language", "Let every tool find out the language by itself."),
    _flag(DATA, "clips", "Recordings of each length at most; 0 takes all.", 0, _at_least("clips", 0)),
    _flag(DATA, "noise", "Add noise at these signal-to-noise ratios in dB.", "", _numbers("noise", float)),
    _flag(DATA, "noise_kind", "white, pink, recorded.", "white,pink", NAMES),
    _flag(DATA, "noise_folder", "Recordings of noise, for the kind recorded.", None, Reader(metavar="DIR")),
    _flag(
        RUN,
        "rounds",
        "Runs of each case, 5 if it is not given; 10 for a claim.",
        None,
        _at_least("rounds", 1),
    ),
    _flag(
        RUN,
        "minutes",
        "Begin no round that would end later; without FILES and --rounds, 2.",
        None,
        Reader(parse=_minutes, metavar="X"),
    ),
    _flag(RUN, "seed", "Of everything that is drawn.", 0, number("seed", int)),
    _flag(
        RUN, "resume", "Keep every run in this file as it is done, and go on from what it holds.", None, FILE
    ),
    _on(RUN, "force", "Measure although others keep the machine busy."),
    _flag(RESULT, "json", "Write everything, every single run included.", None, FILE),
    _flag(RESULT, "csv", "Write the table for a spreadsheet.", None, FILE),
    _flag(RESULT, "report", "Write one HTML page with plots.", None, FILE),
    _flag(RESULT, "baseline", "The --json of an earlier run, for --fail-if.", None, FILE),
    _flag(
        RESULT,
        "fail_if",
        "Exit with 8 when this holds for a case, such as 'rtfx<0.95' (times that of --baseline, if there is "
        "one) or 'wer>20'; repeat it for more.",
        [],
        Reader(kind=list[str], metavar="CONDITION"),
    ),
    _on(RESULT, "quiet", "Results and errors only.", "-q"),
]


@with_flags(Files, FLAGS, default=None)
def bench(inputs: list[Path] | None, **values: Any) -> None:
    """Measure speed, error rates, latency and memory of models and tools, beside each other.

    Without options: the bundled model on the bundled recording. Rates are medians over rounds; a ratio is
    taken pair by pair, with its interval, beside that of a case with itself (A/A).
    """
    from distilcli.cli import bench_run

    bench_run.bench(bench_run.asked([*(inputs or ()), *map(Path, values.pop("data"))], values))
