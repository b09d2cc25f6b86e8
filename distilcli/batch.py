"""One run over several recordings: opens them, drives their flows in shared batches, tells a listener.

Knows strategies, wrappers and one loaded backend; names, folders and loading belong to `pipeline`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from distilcli.audio import open_audio
from distilcli.backends.base import Backend
from distilcli.config import TranscribeOptions
from distilcli.errors import DistilError
from distilcli.listener import Listener
from distilcli.longform.base import Decode, Flow, Step, drive_many
from distilcli.longform.chunked import chunked
from distilcli.longform.fallback import with_fallback
from distilcli.longform.sequential import sequential, short_form
from distilcli.tokens import Tokenizer
from distilcli.types import WINDOW_SECONDS, Audio, Hypothesis, Segment, Transcript, Window

Strategy = Callable[[Audio, Tokenizer, TranscribeOptions], Flow]

STRATEGIES: dict[str, Strategy] = {"short-form": short_form, "sequential": sequential, "chunked": chunked}


@dataclass(slots=True, eq=False)
class _Run:
    """One recording on its way: what keeps it open, and what is known so far."""

    index: int
    source: str
    audio: Audio
    resources: ExitStack
    segments: list[Segment] = field(default_factory=list)


class Batch:
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
