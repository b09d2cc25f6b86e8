"""Text while people speak: utterances are decoded as they end, and the unfinished one now and then before.

Knows a function that transcribes a short recording; no backend, no microphone and no terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from distilcli.audio import from_array
from distilcli.config import QualityOptions, TranscribeOptions, VadOptions, WordOptions
from distilcli.listener import Listener
from distilcli.longform.segments import later
from distilcli.types import SAMPLE_RATE, Audio, Segment, Span, Transcript
from distilcli.utterances import Utterance, Utterances
from distilcli.vad import Detector

Transcribe = Callable[[Audio, TranscribeOptions], Transcript]

_SHORTEST = 0.2
"""Seconds under which unfinished speech is not worth a look."""

_SURE = 4.0
"""Seconds of an utterance that settle the language of those after it."""

_REMEMBERED = 200
"""Characters of the text so far that the next utterance is prompted with."""


class Live:
    """One live stream, named `source`."""

    def __init__(
        self, source: str, transcribe: Transcribe, options: TranscribeOptions, listener: Listener
    ) -> None:
        self._source, self._transcribe, self._listener = source, transcribe, listener
        self._options = replace(options, long_form="auto")
        self._detector = Detector(options.vad)
        self._utterances = Utterances(options.live)
        self._segments: list[Segment] = []
        self._dropped: list[Segment] = []
        self._offset = 0.0  # seconds that came before this stream
        self._looked = 0.0  # second of the stream up to which unfinished text was decoded
        self._last: Transcript | None = None

    def remember(self, segments: Sequence[Segment]) -> None:
        """Go on where these segments of an earlier run end."""
        self._segments = list(segments)
        self._offset = max((segment.span.end for segment in segments), default=0.0)

    def run(self, blocks: Iterable[NDArray[np.float32]], keep: Callable[[Segment], None]) -> Transcript:
        """Transcribe a stream of samples at 16 kHz, float32, in blocks of any length; returns at its end.

        A block should hold all that has come since the one before: then a model that is slower than speech
        drops looks at unfinished text before it falls behind. `keep` is handed each segment before anybody
        hears of it.
        """
        self._listener.file_started(self._source, 0.0)
        for segment in self._segments:
            self._listener.segment(self._source, segment)
        for samples in blocks:
            for utterance in self._utterances.feed(samples, self._detector.listen(samples)):
                self._final(utterance, keep)
            self._listener.progress(self._source, self._seconds)
            self._look()
        last = self._utterances.finish()
        if last is not None:
            self._final(last, keep)
        transcript = self._transcript()
        self._listener.file_done(self._source, transcript)
        return transcript

    def _look(self) -> None:
        """Show what the unfinished utterance sounds like, if enough has come since the last look."""
        live = self._options.live
        current = self._utterances.current()
        if current is None or not live.refresh or self._utterances.seconds - self._looked < live.refresh:
            return
        self._looked = self._utterances.seconds
        heard = self._hear(current, _quick(self._options))
        if heard is not None:
            self._listener.partial(self._source, self._offset + current.start, heard.text)

    @property
    def _seconds(self) -> float:
        """Length of what was heard, with what came before this stream."""
        return self._offset + self._utterances.seconds

    def _final(self, utterance: Utterance, keep: Callable[[Segment], None]) -> None:
        heard = self._hear(utterance, self._options)
        if heard is None:
            return
        self._last = heard
        self._options = replace(self._options, prefix=None)  # the stream begins with it, not every utterance
        start = self._offset + utterance.start
        for segment in heard.dropped:
            self._dropped.append(_later(segment, start))
            self._listener.dropped(self._source, self._dropped[-1])
        for segment in heard.segments:
            moved = _later(segment, start)
            keep(moved)
            self._segments.append(moved)
            self._listener.segment(self._source, moved)
        if len(utterance.samples) >= _SURE * SAMPLE_RATE and self._options.language is None:
            self._options = replace(self._options, language=heard.language)

    def _hear(self, utterance: Utterance, options: TranscribeOptions) -> Transcript | None:
        if len(utterance.samples) < _SHORTEST * SAMPLE_RATE:
            return None
        audio = from_array(utterance.samples, f"{self._source} at {utterance.start:.2f} s")
        return self._transcribe(audio, self._prompted(options))

    def _prompted(self, options: TranscribeOptions) -> TranscribeOptions:
        """With the text so far as the prompt, where the options want that."""
        past = "".join(segment.text for segment in self._segments[-4:])[-_REMEMBERED:]
        if not past or not options.sequential.condition_on_previous_text:
            return options
        return replace(options, sequential=replace(options.sequential, initial_prompt=past))

    def _transcript(self) -> Transcript:
        blank = self._last or Transcript((), self._options.language, 0.0)
        return replace(
            blank,
            segments=tuple(self._segments),
            dropped=tuple(self._dropped),
            duration=self._seconds,
            speech=None,
            uncovered=(),
            skipped=(),
        )


def _quick(options: TranscribeOptions) -> TranscribeOptions:
    """The same options with one greedy pass and nothing else."""
    return replace(
        options,
        decode=replace(options.decode, beam_size=1, temperature=0.0),
        fallback=replace(options.fallback, temperatures=(0.0,)),
        quality=QualityOptions(),
        words=WordOptions(),
        vad=VadOptions(),
    )


def _later(segment: Segment, seconds: float) -> Segment:
    """The segment `seconds` later in the stream."""
    span = Span(segment.span.start + seconds, segment.span.end + seconds)
    return replace(segment, span=span, seek=segment.seek + seconds, words=later(segment.words, seconds))
