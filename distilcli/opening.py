"""Opens the recordings of a run ahead of their turn: files, addresses, standard input; mixed or by channels.

Knows audio and the options that decide how it is read; no model and no strategy.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from types import TracebackType

from distilcli.audio import may_wait, open_audio, open_channels
from distilcli.config import TranscribeOptions
from distilcli.errors import DistilError
from distilcli.listener import Listener
from distilcli.prefetch import Ahead
from distilcli.types import Audio
from distilcli.vad import with_speech

Check = Callable[[], None]


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A recording by its place and name: its audio (several where channels are apart), or why there is none.

    `resources` keep the audio readable until they are closed. `warnings` tell of damage.
    """

    index: int
    source: str
    resources: ExitStack
    audios: tuple[Audio, ...] = ()
    error: DistilError | None = None
    warnings: tuple[str, ...] = ()


class Opening:
    """The recordings of a run, in order.

    A recording with an error is as good as any: it is for the run to say so. `jobs` recordings are read at a
    time, ahead of their turn; with one, each is read when it is asked for. As a context it begins to read at
    once, while a model is being loaded, say. The listener hears of nothing but `reading`, from any thread.

    Nothing is read ahead where there is standard input or a pipe: a thread that waits for them cannot be
    stopped.
    """

    def __init__(
        self,
        sources: Sequence[str | Audio],
        options: TranscribeOptions,
        listener: Listener,
        *,
        n_mels: int,
        track: int | None = None,
        jobs: int = 1,
    ) -> None:
        self.sources = sources
        self._options, self._listener = options, listener
        self._n_mels, self._track = n_mels, track
        self._waits = any(not isinstance(one, Audio) and may_wait(one) for one in sources)
        self._ahead = Ahead(
            list(enumerate(sources)),
            self._open,
            lambda opened: opened.resources.close(),
            1 if self._waits else max(1, min(jobs, len(sources))),
        )

    def __enter__(self) -> Opening:
        if not self._waits:
            self._ahead.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ahead.close()

    def recordings(self) -> Generator[Opened, None, None]:
        """Each recording, opened; whoever takes one closes its resources."""
        return self._ahead.results()

    def _open(self, place: tuple[int, str | Audio], check: Check) -> Opened:
        index, given = place
        source = given.name if isinstance(given, Audio) else given
        resources = ExitStack()
        warnings: list[str] = []
        try:
            audios = resources.enter_context(self._audios(given, check, warnings.append))
        except DistilError as error:
            return Opened(index, source, resources, error=error, warnings=tuple(warnings))
        return Opened(index, source, resources, audios, warnings=tuple(warnings))

    def _audios(
        self, source: str | Audio, check: Check, warn: Callable[[str], None]
    ) -> AbstractContextManager[tuple[Audio, ...]]:
        """The audio of a recording: mixed, or of its channels."""
        vad = self._options.vad if self._options.looks_for_speech else None
        if isinstance(source, Audio):
            return nullcontext((with_speech(source, vad) if vad else source,))
        channels, n_mels, track = self._options.channels, self._n_mels, self._track

        def progress(seconds: float, duration: float | None) -> None:
            check()
            self._listener.reading(source, seconds, duration)

        if channels == "mix":
            return _alone(
                open_audio(source, n_mels=n_mels, track=track, vad=vad, progress=progress, warn=warn)
            )
        only = None if channels == "split" else int(channels)
        return open_channels(
            source, channel=only, n_mels=n_mels, track=track, vad=vad, progress=progress, warn=warn
        )


@contextmanager
def _alone(opened: AbstractContextManager[Audio]) -> Iterator[tuple[Audio, ...]]:
    """One audio as a tuple of parts."""
    with opened as audio:
        yield (audio,)
