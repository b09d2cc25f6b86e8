"""What a ``distilcli transcribe`` command line asks for, checked as far as it can be without a model.

Reads no file and loads nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import count, takewhile
from typing import TYPE_CHECKING, Any

from distilcli.backends.base import check_engine
from distilcli.cli.arguments import FORMATS, SHORTHANDS
from distilcli.cli.arguments_live import live_options
from distilcli.cli.arguments_spoken import detection_options
from distilcli.cli.arguments_vad import vad_options
from distilcli.cli.arguments_words import line_options, word_options
from distilcli.config import (
    ChunkedOptions,
    DecodeOptions,
    EngineOptions,
    FallbackOptions,
    LineOptions,
    QualityOptions,
    SequentialOptions,
    TranscribeOptions,
)
from distilcli.errors import UsageError, closest

if TYPE_CHECKING:
    from distilcli.models import ModelInfo


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputRequest:
    """Where results go. `folder` None is the default place, ``-`` is stdout."""

    formats: tuple[str, ...] = ()
    folder: str | None = None
    events: bool = False
    lines: LineOptions = field(default_factory=LineOptions)

    @property
    def to_stdout(self) -> bool:
        """True when one document goes to stdout."""
        return self.folder == "-"


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Everything that a command line asks for; `values` and `origins` are of the flags, for the report."""

    inputs: tuple[str, ...]
    model: str
    engine: EngineOptions
    options: TranscribeOptions
    output: OutputRequest
    unset: frozenset[str] = frozenset()
    audio_track: int | None = None
    live: bool = False
    live_device: str | None = None
    jobs: int = 1
    recursive: bool = False
    skip_existing: bool = False
    report: str | None = None
    journal: bool = True
    restart: bool = False
    values: Mapping[str, object] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    offline: bool | None = None
    progress: str = "auto"
    quiet: bool = False
    verbose: bool = False

    def options_for(self, info: ModelInfo) -> TranscribeOptions:
        """The options, with what the command line leaves open taken from the model."""
        own = {name: getattr(info, name) for name in self.unset}
        return replace(
            self.options,
            sequential=replace(self.options.sequential, **_pick(SequentialOptions, own)),
            chunked=replace(self.options.chunked, **_pick(ChunkedOptions, own)),
        )


def request(
    inputs: Iterable[str], values: dict[str, Any], origins: Mapping[str, str] | None = None
) -> Request:
    """The request that the values of `FLAGS` make; `origins` says of each where it comes from.

    Raises:
        UsageError: a value is out of range, or two flags contradict each other.
    """
    fallback = _pick(FallbackOptions, values)
    sequential, chunked = _pick(SequentialOptions, values), _pick(ChunkedOptions, values)
    given = tuple(inputs)
    _check_inputs(given, values["live"])
    if values["live"]:
        _check_live(values)
    unset = frozenset(name for name in ("condition_on_previous_text", "chunk_length") if values[name] is None)
    return Request(
        inputs=given,
        model=values["model"],
        engine=_engine(values),
        options=TranscribeOptions(
            language=values["language"],
            long_form=values["long_form"],
            hotwords=values["hotwords"],
            prefix=values["prefix"],
            channels=values["channels"],
            channel_names=values["channel_names"],
            clip_timestamps=values["clip_timestamps"],
            detection=detection_options(values),
            live=live_options(values),
            vad=vad_options(values),
            decode=DecodeOptions(**{**_pick(DecodeOptions, values), "temperature": 0.0}),
            fallback=FallbackOptions(**fallback, temperatures=ladder(values)),
            sequential=SequentialOptions(**_without(sequential, unset)),
            chunked=ChunkedOptions(**_without(chunked, unset)),
            words=word_options(values),
            quality=QualityOptions(**_pick(QualityOptions, values)),
        ),
        output=_checked_skip(_output(values), values["skip_existing"]),
        unset=unset,
        audio_track=values["audio_track"],
        live=values["live"],
        live_device=values["live_device"],
        jobs=_jobs(values["jobs"]),
        recursive=values["recursive"],
        skip_existing=values["skip_existing"],
        report=values["report"],
        journal=values["journal"],
        restart=values["restart"],
        values=values,
        origins=origins or {},
        offline=values["offline"] or None,
        progress=values["progress"],
        quiet=values["quiet"],
        verbose=values["verbose"],
    )


def _check_live(values: dict[str, Any]) -> None:
    """Refuse what a stream that is cut into utterances cannot honour."""
    foreign = {
        "--clip-timestamps": bool(values["clip_timestamps"]),
        "--channels": values["channels"] != "mix",
        "--audio-track": values["audio_track"] is not None,
        "--skip-existing": values["skip_existing"],
        "--recursive": values["recursive"],
    }
    flag = next((name for name, given in foreign.items() if given), None)
    if flag:
        raise UsageError(f"{flag} is for recordings and cannot be used with --live", hint=f"leave {flag} out")


def _jobs(jobs: int) -> int:
    if jobs < 1:
        raise UsageError(f"--jobs must be at least 1, not {jobs}")
    return jobs


def _check_inputs(inputs: tuple[str, ...], live: bool) -> None:
    if live and inputs not in ((), ("-",)):
        raise UsageError(
            f"--live listens to the microphone, or with - to standard input, and {inputs[0]} is given",
            hint="leave --live out to transcribe recordings",
        )
    if not live and not inputs:
        raise UsageError(
            "nothing to transcribe is given",
            hint="distilcli transcribe talk.mp3, or distilcli transcribe --live for the microphone",
        )


def ladder(values: dict[str, Any]) -> tuple[float, ...]:
    """The temperatures to try: the list as given, or one number raised step by step to 1."""
    first, step = values["temperature"], values["temperature_increment_on_fallback"]
    if len(first) > 1 or step is None:
        return tuple(first)
    if step <= 0:
        raise UsageError(f"--temperature-increment-on-fallback must be above 0 or None, not {step:g}")
    steps = (round(first[0] + number * step, 6) for number in count())
    return (first[0], *list(takewhile(lambda temperature: temperature <= 1.0, steps))[1:])


def _output(values: dict[str, Any]) -> OutputRequest:
    wanted = [word.strip().lower() for given in values["output_format"] for word in given.split(",")]
    wanted += [name for name in SHORTHANDS if values[name]]
    for name in wanted:
        if name not in (*FORMATS, "all"):
            known = (*FORMATS, "all")
            raise UsageError(
                f"--output-format must be one of {', '.join(known)}, not '{name}'{closest(name, known)}"
            )
    folder = values["output_dir"]
    if folder is not None and folder != "-" and not wanted:
        wanted = ["all"]
    chosen = FORMATS if "all" in wanted else tuple(dict.fromkeys(wanted))
    output = OutputRequest(formats=chosen, folder=folder, events=values["json"], lines=line_options(values))
    if output.to_stdout:
        return _checked_stdout(replace(output, formats=chosen or ("txt",)))
    return output


def _checked_skip(output: OutputRequest, skip: bool) -> OutputRequest:
    if skip and (output.to_stdout or not output.formats):
        raise UsageError(
            "--skip-existing looks for result files, and this command writes none",
            hint="add a format, such as --srt",
        )
    return output


def _checked_stdout(output: OutputRequest) -> OutputRequest:
    if output.events:
        raise UsageError("-o - and --json both write to stdout", hint="write files with -o DIR beside --json")
    if len(output.formats) > 1:
        raise UsageError(
            f"-o - prints one format, and {len(output.formats)} are asked for: {', '.join(output.formats)}",
            hint="choose one with -f, or write files with -o DIR",
        )
    return output


def _engine(values: dict[str, Any]) -> EngineOptions:
    """Backend options, refused here where a backend would refuse them only after the model is downloaded."""
    engine = replace(EngineOptions(**_pick(EngineOptions, values)), compute_type=_compute_type(values))
    check_engine(engine)
    if engine.assistant_model and values["beam_size"] > 1:
        raise UsageError(
            f"--assistant-model decodes greedily and cannot search with {values['beam_size']} beams",
            hint="add --beam-size 1",
        )
    return engine


def _compute_type(values: dict[str, Any]) -> str:
    fp16, given = values["fp16"], str(values["compute_type"])
    if fp16 is None:
        return given
    if given != "auto":
        raise UsageError("--fp16 and --compute-type say the same thing", hint="leave --fp16 out")
    return "auto" if fp16 else "float32"


def _pick(options: type, values: dict[str, Any]) -> dict[str, Any]:
    """The values that are fields of an option dataclass."""
    return {one.name: values[one.name] for one in fields(options) if one.name in values}


def _without(values: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}
