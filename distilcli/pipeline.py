"""The composition root: recordings + backend + strategy + wrappers -> transcripts.

Used by the command line, the trainer and the bench. Prints nothing; a `Listener` hears what happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from distilcli.audio import open_audio
from distilcli.backends.base import Backend, check_name, check_options, load_backend
from distilcli.config import ChunkedOptions, EngineOptions, SequentialOptions, TranscribeOptions
from distilcli.errors import DistilError, UsageError
from distilcli.languages import LANGUAGES
from distilcli.longform.base import Decode, Flow, Step, drive_many
from distilcli.longform.chunked import chunked
from distilcli.longform.fallback import with_fallback
from distilcli.longform.sequential import sequential, short_form
from distilcli.tokens import Tokenizer
from distilcli.types import WINDOW_SECONDS, Audio, Hypothesis, Segment, Transcript, Window

Strategy = Callable[[Audio, Tokenizer, TranscribeOptions], Flow]

STRATEGIES: dict[str, Strategy] = {"short-form": short_form, "sequential": sequential, "chunked": chunked}


class Listener:
    """Hears what happens during a run; every method does nothing until it is overridden.

    `source` is the path, URL or ``-`` as it was given.
    """

    def file_started(self, source: str, duration: float) -> None:
        """A recording of `duration` seconds has been read and its transcription begins."""

    def language(self, source: str, code: str, probability: float) -> None:
        """The language of a recording has been detected."""

    def segment(self, source: str, segment: Segment) -> None:
        """A segment is final."""

    def progress(self, source: str, seconds: float) -> None:
        """The first `seconds` of a recording are done."""

    def file_done(self, source: str, transcript: Transcript) -> None:
        """A recording is transcribed."""

    def file_failed(self, source: str, error: DistilError) -> None:
        """A recording could not be transcribed; the run goes on."""

    def warning(self, message: str) -> None:
        """Something the user should know that stops nothing."""


@dataclass(slots=True, eq=False)
class _Run:
    """One recording on its way: what keeps it open, and what is known so far."""

    index: int
    source: str
    audio: Audio
    resources: ExitStack
    segments: list[Segment] = field(default_factory=list)


def load_model(name: str, engine: EngineOptions | None = None, *, offline: bool | None = None) -> Backend:
    """Find, download or convert a model on first use, and load it.

    Raises:
        UsageError: unknown model or backend, or an engine option that the backend cannot honour.
        EnvironmentProblem: the hub cannot be reached, or a library or device is missing.
        ModelError: the model folder is incomplete or damaged.
    """
    from distilcli import models

    engine = engine or EngineOptions()
    check_name(engine.backend)
    folder = models.resolve(name, engine.backend, offline=offline).folder
    assistant = (
        models.resolve(engine.assistant_model, engine.backend, offline=offline).folder
        if engine.assistant_model
        else None
    )
    return load_backend(folder, engine, assistant)


def default_options(
    name: str, engine: EngineOptions | None = None, *, offline: bool | None = None
) -> TranscribeOptions:
    """The options that suit a model: its chunk length, and whether it is prompted with the text so far.

    Raises:
        DistilError: as `load_model`; the model is downloaded or converted on first use.
    """
    from distilcli import models

    info = models.resolve(name, (engine or EngineOptions()).backend, offline=offline)
    return TranscribeOptions(
        sequential=SequentialOptions(condition_on_previous_text=info.condition_on_previous_text),
        chunked=ChunkedOptions(chunk_length=info.chunk_length),
    )


def transcribe(
    source: str | Path,
    model: str | Backend = "distil-large-v3",
    options: TranscribeOptions | None = None,
    *,
    engine: EngineOptions | None = None,
    listener: Listener | None = None,
) -> Transcript:
    """Transcribe one recording; `model` is a name, a folder or a loaded backend.

    Without `options`, a model that is given by name or folder is used as its authors recommend: see
    `default_options`.

    Raises:
        DistilError: the recording or the model cannot be used; see `distilcli.errors`.
    """
    if options is None and isinstance(model, str):
        options = default_options(model, engine)
    backend = load_model(model, engine) if isinstance(model, str) else model
    try:
        (result,) = transcribe_many([source], backend, options or TranscribeOptions(), listener)
    finally:
        if backend is not model:
            backend.close()
    if isinstance(result, DistilError):
        raise result
    return result


def transcribe_many(
    sources: Sequence[str | Path],
    backend: Backend,
    options: TranscribeOptions,
    listener: Listener | None = None,
    *,
    track: int | None = None,
) -> list[Transcript | DistilError]:
    """Transcribe recordings with windows of several of them in one batch; results in the order of `sources`.

    A recording that fails gives its error in place of a transcript and never stops the others. Segments reach
    the listener as soon as they are final, so an interrupt loses none of them.

    Raises:
        UsageError: the model or the backend cannot honour an option; nothing has been read then.
    """
    check(backend, options)
    return _Batch([str(source) for source in sources], backend, options, listener or Listener(), track).run()


def check(backend: Backend, options: TranscribeOptions) -> None:
    """Raise `UsageError` for an option that this backend or model cannot honour."""
    check_options(backend.capabilities, options.decode)
    vocab = backend.tokenizer.vocab
    if vocab.multilingual:
        if options.language is not None:
            vocab.language(options.language)
        return
    if options.language not in (None, "en"):
        name = LANGUAGES.get(options.language or "", options.language)
        raise UsageError(
            f"this model knows English only, and --language asks for {name}",
            hint="choose a multilingual model, such as --model large-v3",
        )
    if options.decode.task == "translate":
        raise UsageError(
            "--task translate needs a multilingual model, and this one knows English only",
            hint="choose a multilingual model, such as --model large-v3",
        )


class _Batch:
    """One run over several recordings."""

    def __init__(
        self,
        sources: list[str],
        backend: Backend,
        options: TranscribeOptions,
        listener: Listener,
        track: int | None,
    ) -> None:
        self.sources, self.backend, self.options = sources, backend, options
        self.listener, self.track = listener, track
        self.results: dict[int, Transcript | DistilError] = {}
        self.running: dict[Audio, _Run] = {}
        self.languages: dict[Audio, str | None] = {}

    def run(self) -> list[Transcript | DistilError]:
        size = max(self.backend.capabilities.batch_size, self.options.chunked.batch_size)
        try:
            for run, step in drive_many(self._flows(), self._decode(), size):
                if step is None:
                    self._finish(run)
                else:
                    self._hear(run, step)
        finally:
            for run in self.running.values():
                run.resources.close()
        return [self.results[index] for index in range(len(self.sources))]

    def _flows(self) -> Iterator[tuple[_Run, Flow]]:
        """Open the recordings one after the other, as the driver asks for them."""
        for index, source in enumerate(self.sources):
            resources = ExitStack()
            try:
                audio = resources.enter_context(
                    open_audio(
                        source,
                        n_mels=self.backend.capabilities.n_mels,
                        track=self.track,
                        warn=self.listener.warning,
                    )
                )
            except DistilError as error:
                resources.close()
                self.results[index] = error
                self.listener.file_failed(source, error)
                continue
            run = self.running[audio] = _Run(index, source, audio, resources)
            self.listener.file_started(source, audio.duration)
            yield run, self._strategy(audio)(audio, self.backend.tokenizer, self.options)

    def _strategy(self, audio: Audio) -> Strategy:
        name = self.options.long_form
        if name == "auto":
            name = "short-form" if audio.duration <= WINDOW_SECONDS else "sequential"
        return STRATEGIES[name]

    def _decode(self) -> Decode:
        """The backend, wrapped: language first, then decoding with fallback."""

        def decode_at(windows: Sequence[Window], temperature: float) -> list[Hypothesis]:
            return self.backend.decode(windows, replace(self.options.decode, temperature=temperature))

        decode = with_fallback(decode_at, self.backend.tokenizer, self.options.fallback)
        return lambda windows: decode(self._with_language(windows))

    def _with_language(self, windows: Sequence[Window]) -> list[Window]:
        """Give each window a language: the one asked for, or the one its recording's first window is in."""
        if not self.backend.tokenizer.vocab.multilingual:
            return [replace(window, language="en") for window in windows]
        unknown = {
            window.audio: window
            for window in reversed(windows)
            if window.language is None and window.audio not in self.languages
        }
        if unknown:
            found = self.backend.detect_language(list(unknown.values()))
            for audio, probabilities in zip(unknown, found, strict=True):
                code, probability = max(probabilities.items(), key=lambda item: item[1])
                self.languages[audio] = code
                self.listener.language(self.running[audio].source, code, probability)
        return [
            window if window.language else replace(window, language=self.languages[window.audio])
            for window in windows
        ]

    def _hear(self, run: _Run, step: Step) -> None:
        for segment in step.ready:
            run.segments.append(segment)
            self.listener.segment(run.source, segment)
        self.listener.progress(run.source, step.position)

    def _finish(self, run: _Run) -> None:
        capabilities = self.backend.capabilities
        language = self.languages.pop(run.audio, None) or self.options.language
        if not self.backend.tokenizer.vocab.multilingual:
            language = "en"
        transcript = Transcript(
            segments=tuple(run.segments),
            language=language,
            duration=run.audio.duration,
            backend=f"{capabilities.backend} {capabilities.compute_type} on {capabilities.device}",
            task=self.options.decode.task,
        )
        del self.running[run.audio]
        run.resources.close()
        self.results[run.index] = transcript
        self.listener.file_done(run.source, transcript)
