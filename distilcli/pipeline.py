"""The composition root: recordings + backend + strategy + wrappers -> transcripts.

Used by the command line, the trainer and the bench. Prints nothing; a `Listener` hears what happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from distilcli.backends.base import Aligner, Backend, check_options, kept_as, load_backend
from distilcli.batch import Batch
from distilcli.config import ChunkedOptions, EngineOptions, SequentialOptions, TranscribeOptions
from distilcli.errors import DistilError, UsageError
from distilcli.journal import Journal
from distilcli.languages import LANGUAGES
from distilcli.listener import Listener
from distilcli.opening import Opening
from distilcli.types import Audio, Transcript

__all__ = [
    "Listener",
    "Opening",
    "check",
    "default_options",
    "load_model",
    "transcribe",
    "transcribe_many",
    "transcribe_opened",
]


def load_model(name: str, engine: EngineOptions | None = None, *, offline: bool | None = None) -> Backend:
    """Find, download or convert a model on first use, and load it.

    Raises:
        UsageError: unknown model or backend, or an engine option that the backend cannot honour.
        EnvironmentProblem: the hub cannot be reached, or a library or device is missing.
        ModelError: the model folder is incomplete or damaged.
    """
    from distilcli import models

    engine = engine or EngineOptions()
    kept = kept_as(engine)
    folder, *draft = (
        models.resolve(one, engine.backend, kept_as=kept, offline=offline).folder
        for one in (name, engine.assistant_model)
        if one
    )
    return load_backend(folder, engine, draft[0] if draft else None)


def default_options(
    name: str, engine: EngineOptions | None = None, *, offline: bool | None = None
) -> TranscribeOptions:
    """The options that suit a model: its chunk length, and whether it is prompted with the text so far.

    Raises:
        DistilError: as `load_model`; the model is downloaded or converted on first use.
    """
    from distilcli import models

    engine = engine or EngineOptions()
    info = models.resolve(name, engine.backend, kept_as=kept_as(engine), offline=offline)
    return TranscribeOptions(
        sequential=SequentialOptions(condition_on_previous_text=info.condition_on_previous_text),
        chunked=ChunkedOptions(chunk_length=info.chunk_length),
    )


def transcribe(
    source: str | Path | Audio,
    model: str | Backend = "distil-large-v3",
    options: TranscribeOptions | None = None,
    *,
    engine: EngineOptions | None = None,
    listener: Listener | None = None,
) -> Transcript:
    """Transcribe one recording; `model` is a name, a folder or a loaded backend.

    The recording is a path, a URL, ``-``, or samples in memory (`distilcli.audio.from_array`).

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
    sources: Sequence[str | Path | Audio],
    backend: Backend,
    options: TranscribeOptions,
    listener: Listener | None = None,
    *,
    track: int | None = None,
    journal: Journal | None = None,
    jobs: int = 1,
) -> list[Transcript | DistilError]:
    """Transcribe recordings with windows of several of them in one batch; results in the order of `sources`.

    A recording that fails gives its error in place of a transcript and never stops the others. Segments reach
    the listener as soon as they are final, so an interrupt loses none of them. What the `journal` holds of an
    earlier run is not decoded again. `jobs` recordings are read at a time, ahead of their turn.

    Raises:
        UsageError: the model or the backend cannot honour an option, and nothing has been read then; or a
            recording is not the one that the journal is about.
    """
    given = [source if isinstance(source, Audio) else str(source) for source in sources]
    hears = listener or Listener()
    n_mels = backend.capabilities.n_mels
    opening = Opening(given, options, hears, n_mels=n_mels, track=track, jobs=jobs)
    return transcribe_opened(opening, backend, options, hears, journal)


def transcribe_opened(
    opening: Opening,
    backend: Backend,
    options: TranscribeOptions,
    listener: Listener,
    journal: Journal | None = None,
) -> list[Transcript | DistilError]:
    """As `transcribe_many`, of recordings whose reading may have begun while the model was being loaded."""
    check(backend, options)
    return Batch(opening, backend, options, listener, journal).run()


def check(backend: Backend, options: TranscribeOptions) -> None:
    """Raise `UsageError` for an option that this backend or model cannot honour."""
    check_options(backend.capabilities, options.decode)
    if options.words.word_timestamps and not isinstance(backend, Aligner):
        raise UsageError(
            f"--word-timestamps cannot be used with the {backend.capabilities.backend} backend: "
            "it cannot say when a word was spoken",
            hint="leave the option out, or choose another --backend",
        )
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
