"""One run of ``distilcli transcribe``: check, load, transcribe, write, and say how it ended.

Imported inside the command's body only: it brings the pipeline, and with it numpy and the decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from distilcli import models
from distilcli.audio import probe
from distilcli.backends.base import Backend, kept_as, load_backend
from distilcli.cli import live, outputs, stdout
from distilcli.cli.doubts import Doubts
from distilcli.cli.events import EventStream
from distilcli.cli.inputs import STDIN, expand, is_url, problems
from distilcli.cli.interrupt import Interrupted, stoppable
from distilcli.cli.progress import Reporter, TextPrinter, reporter
from distilcli.cli.report import Engine, Report
from distilcli.cli.request import Request
from distilcli.cli.results import SKIPPED, Results
from distilcli.cli.resume import journal_of, key_of
from distilcli.config import TranscribeOptions
from distilcli.errors import (
    AllInputsFailed,
    DistilError,
    InputError,
    NoInputError,
    OutputError,
    SomeInputsFailed,
    UsageError,
)
from distilcli.journal import Journal
from distilcli.pipeline import Listener, Opening, check, transcribe_opened
from distilcli.stages import measured, stage
from distilcli.types import Segment, Span, Transcript
from distilcli.writers import writers


@dataclass(slots=True, eq=False)
class _Run:
    """What is known of a run while it goes on. `failed` maps a source to its error."""

    request: Request
    sources: list[str]
    usable: list[str]
    targets: outputs.Targets
    failed: dict[str, DistilError]
    done: list[str] = field(default_factory=list)
    writer: outputs.FileWriter | None = None
    events: EventStream | None = None
    results: Results = field(default_factory=lambda: Results(()))
    report: Report | None = None
    doubts: Doubts = field(init=False)
    journal: Journal | None = None

    def __post_init__(self) -> None:
        self.doubts = Doubts(self.request.options.quality)


def transcribe(request: Request) -> None:
    """Carry out a request.

    Raises:
        DistilError: how the run ended, where it did not end well.
    """
    outcome: DistilError | None
    with measured() if request.report else nullcontext() as clock:
        run = _prepared(request)
        try:
            _guarded(run)
            outcome = _outcome(run)
        except DistilError as error:
            outcome = error
    if run.events:
        run.events.run_done(len(run.sources), list(run.failed), outcome.exit_code if outcome else 0)
    if run.report and clock:
        run.report.stages, run.report.background = clock.seconds, clock.background
        run.report.write(run.results, run.writer.written if run.writer else {}, outcome)
    if outcome:
        raise outcome


def _prepared(request: Request) -> _Run:
    """Everything that can be refused before a model is loaded."""
    output = request.output
    places = (
        {live.name_now(): Path()} if request.live else expand(request.inputs, recursive=request.recursive)
    )
    sources = list(places)
    failed = {} if request.live else problems(sources)
    usable = [source for source in sources if source not in failed]
    if not usable:
        raise _nothing_usable(failed)
    if output.to_stdout and len(usable) > 1 and output.formats[0] not in ("txt", "json"):
        raise UsageError(
            f"-o - cannot join {len(usable)} recordings into one {output.formats[0]} document",
            hint="write files with -o DIR, or join -f txt or -f json",
        )
    folder = Path(output.folder or ".")
    targets = outputs.plan(usable, () if output.to_stdout else output.formats, folder, places)
    if output.formats and not output.to_stdout:
        outputs.check_folder(folder, targets)
    skipped = outputs.written_before(targets) if request.skip_existing else []
    usable = [source for source in usable if source not in set(skipped)]
    events = EventStream() if output.events else None
    if events:
        events.plan(usable, targets, request.model)
    results = Results(sources)
    results.skipped(skipped)
    report = Report(request) if request.report else None
    return _Run(request, sources, usable, targets, failed, events=events, results=results, report=report)


def _guarded(run: _Run) -> None:
    """Transcribe; whatever stops the run, finished segments are kept."""
    request = run.request
    report = reporter(
        "never" if request.live else request.progress,
        quiet=request.quiet,
        alone=len(run.sources) == 1,
        durations=lambda: _durations(run.usable),
    )
    try:
        with report, stoppable(report.note, lambda: _kept(run)):
            for source, error in run.failed.items():
                report.error(source, error)
                run.results.file_failed(source, error)
                if run.events:
                    run.events.file_failed(source, error)
            if skipped := run.results.counts.get(SKIPPED):
                report.note(f"{skipped} of {len(run.sources)} recordings are skipped: their files are there")
            if run.usable:
                _journaled(run, report)
            if len(run.sources) > 1:
                for line in run.results.table():
                    report.note(line)
    except KeyboardInterrupt as stop:
        hint = "the same command goes on from here" if run.journal and run.journal.kept else None
        raise Interrupted(stop, _kept(run), hint=hint) from stop
    except BaseException:
        _kept(run)
        raise


def _journaled(run: _Run, report: Reporter) -> None:
    """Do the work beside a journal, which stays where something that was answered waits to be written."""

    def warn(message: str) -> None:
        listeners: list[Listener | None] = [run.results, run.events, report]
        for one in listeners:
            if one:
                one.warning(message)

    with journal_of(run.request, run.sources, warn) as journal:
        run.journal, waiting = journal, True
        try:
            _work(run, report)
            waiting = any(isinstance(error, OutputError) for error in run.failed.values())
        except stdout.ReaderGone:
            waiting = any(run.targets.values())
            raise
        finally:
            if journal and not waiting:
                journal.done()


def _work(run: _Run, report: Reporter) -> None:
    request = run.request
    with stage("loading"):
        found = _models(request, report)
    options = request.options_for(found[0])
    with ExitStack() as resources:
        # Before the model is loaded: the first recording is read meanwhile.
        opening = None if request.live else resources.enter_context(_opening(run, found[0], options, report))
        with stage("loading"):
            backend = load_backend(found[0].folder, request.engine, found[1].folder if found[1:] else None)
        resources.callback(backend.close)
        check(backend, options)
        _go_on(run, report, backend, key_of(request, found, backend.capabilities, options))
        listener = _listener(run, report, found[0], backend, options)
        if opening is None:
            live.transcribe(run.sources[0], request, backend, options, listener, run.journal)
        else:
            transcribe_opened(opening, backend, options, listener, run.journal)


def _models(request: Request, report: Reporter) -> list[models.ModelInfo]:
    """The models that the backend runs: the one asked for, and its assistant where there is one."""
    engine, kept = request.engine, kept_as(request.engine)
    return [
        models.resolve(name, engine.backend, kept_as=kept, offline=request.offline, on_event=report.fetched)
        for name in (request.model, engine.assistant_model)
        if name
    ]


def _opening(run: _Run, info: models.ModelInfo, options: TranscribeOptions, report: Reporter) -> Opening:
    request = run.request
    return Opening(
        run.usable, options, report, n_mels=info.n_mels, track=request.audio_track, jobs=request.jobs
    )


def _go_on(run: _Run, report: Reporter, backend: Backend, key: dict[str, object]) -> None:
    """Say what does the work, and take up the journal of an earlier run."""
    report.note(f"model {run.request.model}: {_label(backend)}")
    for note in backend.capabilities.notes:
        report.note(note)
    if run.journal:
        run.journal.begin(key, restart=run.request.restart)
        if run.journal.answered:
            report.note(f"resuming: {run.journal.answered} windows answered before")
        if run.journal.segments:
            report.note(f"going on after {len(run.journal.segments)} segments of the run before")


def _listener(
    run: _Run, report: Reporter, info: models.ModelInfo, backend: Backend, options: TranscribeOptions
) -> Listener:
    """Everybody who hears of the run: the writer of files first."""
    request = run.request
    blank = Transcript(
        segments=(),
        language=options.language if backend.tokenizer.vocab.multilingual else "en",
        duration=0.0,
        model=info.name,
        backend=_label(backend),
        task=options.decode.task,
    )
    kind = live.LiveWriter if request.live else outputs.FileWriter
    run.writer = kind(run.targets, blank, report.note, writers(request.output.lines))
    run.writer.resumed = run.journal is not None and run.journal.answered > 0
    if run.report:
        run.report.engine = Engine(info, backend.capabilities, _effective(options))
    return _Broadcast(run, run.writer, [run.results, run.doubts, *_printers(run, info.name, report), report])


def _label(backend: Backend) -> str:
    capabilities = backend.capabilities
    return f"{capabilities.backend} {capabilities.compute_type} on {capabilities.device}"


def _effective(options: TranscribeOptions) -> dict[str, object]:
    """What the model decided where the command line left it open."""
    return {
        "condition_on_previous_text": options.sequential.condition_on_previous_text,
        "chunk_length": options.chunked.chunk_length,
    }


def _printers(run: _Run, model: str, report: Reporter) -> list[Listener]:
    """Who writes to stdout, and who shows text as it comes."""
    output, verbose = run.request.output, run.request.verbose
    found: list[Listener] = []
    if run.events:
        assert run.writer is not None
        run.events.written = run.writer.written
        return [run.events]
    if run.request.live:
        found += live.unfinished_text(run.request.quiet)
    if not output.formats:
        return [*found, TextPrinter(run.usable, stdout.write, times=verbose)]
    if output.to_stdout:
        found.append(outputs.DocumentPrinter(run.usable, writers(output.lines)[output.formats[0]], model))
    if verbose:
        found.append(TextPrinter(run.usable, lambda line: report.note(line.rstrip()), times=True))
    return found


def _durations(sources: Sequence[str]) -> Mapping[str, float]:
    """Seconds of the recordings that can tell from their headers, for the time left of the whole run."""
    found: dict[str, float] = {}
    for source in sources:
        if source == STDIN or is_url(source):
            continue
        try:
            found[source] = probe(source).duration or 0.0
        except InputError:
            # The run itself reports it when this recording's turn comes.
            found[source] = 0.0
    return found


class _Broadcast(Listener):
    """Tells the file writer, then the others; a result that cannot be written makes a failed recording."""

    def __init__(self, run: _Run, writer: outputs.FileWriter, others: Sequence[Listener]) -> None:
        self._run, self._writer, self._others = run, writer, others
        self._all: list[Listener] = [writer, *others]

    def reading(self, source: str, seconds: float, duration: float | None) -> None:
        self._tell(lambda one: one.reading(source, seconds, duration))

    def file_started(self, source: str, duration: float) -> None:
        self._tell(lambda one: one.file_started(source, duration))

    def silence(self, source: str, spans: Sequence[Span]) -> None:
        self._tell(lambda one: one.silence(source, spans))

    def language(self, source: str, code: str, probability: float) -> None:
        self._tell(lambda one: one.language(source, code, probability))

    def segment(self, source: str, segment: Segment) -> None:
        self._tell(lambda one: one.segment(source, segment))

    def dropped(self, source: str, segment: Segment) -> None:
        self._tell(lambda one: one.dropped(source, segment))

    def partial(self, source: str, start: float, text: str) -> None:
        self._tell(lambda one: one.partial(source, start, text))

    def progress(self, source: str, seconds: float) -> None:
        self._tell(lambda one: one.progress(source, seconds))

    def warning(self, message: str) -> None:
        self._tell(lambda one: one.warning(message))

    def file_done(self, source: str, transcript: Transcript) -> None:
        try:
            self._writer.file_done(source, transcript)
        except OutputError as error:
            self._run.failed[source] = error
            for one in self._others:
                one.file_failed(source, error)
            return
        self._run.done.append(source)
        for one in self._others:
            one.file_done(source, transcript)

    def file_failed(self, source: str, error: DistilError) -> None:
        self._run.failed[source] = error
        self._tell(lambda one: one.file_failed(source, error))

    def _tell(self, news: Callable[[Listener], None]) -> None:
        for one in self._all:
            news(one)


def _kept(run: _Run) -> str:
    """Save what is finished of unfinished recordings; a clause for the message that says so."""
    done = [f"{len(run.done)} of {len(run.sources)} recordings are done"] if len(run.sources) > 1 else []
    saved = run.writer.save_partials() if run.writer else []
    return "".join(f"; {clause}" for clause in [*done, *saved])


def _nothing_usable(failed: Mapping[str, DistilError]) -> NoInputError:
    first = next(iter(failed.values()))
    if len(failed) == 1:
        return NoInputError(first.message, hint=first.hint)
    reasons = "; ".join(error.message for error in failed.values())
    return NoInputError(f"none of the {len(failed)} inputs can be used: {reasons}")


def _outcome(run: _Run) -> DistilError | None:
    """The error that a finished run ends with; None when every recording is done."""
    if not run.failed:
        return run.doubts.error()
    if len(run.sources) == 1:
        return next(iter(run.failed.values()))
    names = ", ".join(run.failed)
    message = f"{len(run.failed)} of {len(run.sources)} recordings failed: {names}"
    if all(isinstance(error, OutputError) for error in run.failed.values()):
        return OutputError(message)
    sound = run.done or run.results.counts.get(SKIPPED)
    return SomeInputsFailed(message) if sound else AllInputsFailed(message)
