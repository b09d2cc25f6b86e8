"""One run over several recordings: opens them, drives their flows in shared batches, tells a listener.

Knows strategies and one loaded backend; what is wrapped around its `decode` is `decoding`'s business, names,
folders and loading are `pipeline`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import reduce

from distilcli.backends.base import Backend
from distilcli.config import TranscribeOptions
from distilcli.decoding import wrapped
from distilcli.errors import DistilError
from distilcli.gaps import filled
from distilcli.hints import Hints
from distilcli.journal import Journal
from distilcli.listener import Listener
from distilcli.longform.base import Flow, Step, drive_many
from distilcli.longform.chunked import chunked
from distilcli.longform.clips import asked, clips, silences
from distilcli.longform.sequential import sequential, short_form
from distilcli.opening import Opening
from distilcli.parts import Part, Recording, labels
from distilcli.quality import Known, acts, flags, uncovered
from distilcli.spans import intersection, outside
from distilcli.spoken import Languages
from distilcli.tokens import Tokenizer
from distilcli.types import WINDOW_SECONDS, Audio, Span, Transcript, Window
from distilcli.words import with_words

Strategy = Callable[[Audio, Tokenizer, TranscribeOptions, Sequence[Span] | None], Flow]

STRATEGIES: dict[str, Strategy] = {"short-form": short_form, "sequential": sequential, "chunked": chunked}


class Batch:
    """One run over the recordings that are being opened."""

    def __init__(
        self,
        opening: Opening,
        backend: Backend,
        options: TranscribeOptions,
        listener: Listener,
        journal: Journal | None = None,
    ) -> None:
        self.opening, self.backend, self.options = opening, backend, options
        self.listener, self.journal = listener, journal
        self._recordings = opening.recordings()
        self.results: dict[int, Transcript | DistilError] = {}
        self.running: dict[Audio, Part] = {}
        self.languages = Languages(
            backend, options.detection, self._detected, lambda audio: self.running[audio].clips
        )
        self.hints = Hints(backend.tokenizer, options)

    def run(self) -> list[Transcript | DistilError]:
        size = max(self.backend.capabilities.batch_size, self.options.chunked.batch_size)
        decode = wrapped(self.backend, self.options, self._prepared, self.listener.warning)
        if self.journal:
            decode = self.journal.recorded(decode, self._learned)
        try:
            for part, step in drive_many(self._flows(), decode, size):
                if step is None:
                    self._finish(part)
                else:
                    self._hear(part, step)
        finally:
            self._recordings.close()
            for part in self.running.values():
                part.recording.resources.close()
        return [self.results[index] for index in range(len(self.opening.sources))]

    def _flows(self) -> Iterator[tuple[Part, Flow]]:
        """Open the recordings one after the other, as the driver asks for them."""
        for opened in self._recordings:
            for warning in opened.warnings:
                self.listener.warning(warning)
            if opened.error is not None:
                self.results[opened.index] = opened.error
                self.listener.file_failed(opened.source, opened.error)
                continue
            recording = Recording(opened.index, opened.source, opened.resources, 0.0, [])
            parts = self._parts(recording, opened.audios)
            self.running |= {part.audio: part for part in parts}
            if self.journal:
                for part in parts:
                    self.journal.opened(_title(part), part.audio)
            self._announce(parts)
            for part in parts:
                yield part, self._flow(part)

    def _parts(self, recording: Recording, audios: Sequence[Audio]) -> list[Part]:
        channels = self.options.channels
        recording.duration = max(audio.duration for audio in audios)
        recording.positions = [0.0] * len(audios)
        names: Sequence[str | None] = [None]
        if channels != "mix":
            only = int(channels) if channels.isdecimal() else None
            names = labels(len(audios), self.options.channel_names, only)
        return [
            Part(recording, number, audio, name, clips(audio, self.options))
            for number, (audio, name) in enumerate(zip(audios, names, strict=True))
        ]

    def _announce(self, parts: Sequence[Part]) -> None:
        """A recording is open: say what will be decoded of it."""
        recording = parts[0].recording
        self.listener.file_started(recording.source, recording.duration)
        if all(asked(part.audio, self.options) == () for part in parts):
            self.listener.warning(f"{recording.source}: ends before the first of --clip-timestamps")
        if self.options.vad.filter:
            quiet = [silences(part.audio, self.options) for part in parts]
            self.listener.silence(recording.source, reduce(intersection, quiet))

    def _flow(self, part: Part) -> Flow:
        """The strategy for a recording, and around it what fills its gaps and times its words."""
        audio, tokenizer, options = part.audio, self.backend.tokenizer, self.options
        flow = self._strategy(audio)(audio, tokenizer, options, part.clips)
        if options.quality.fill_gaps:
            flow = self._filled(part, flow)
        if not options.words.word_timestamps:
            return flow
        return with_words(flow, tokenizer, options, audio.duration)

    def _filled(self, part: Part, flow: Flow) -> Flow:
        """A flow that decodes what it has left out once more, alone."""
        audio, tokenizer, options = part.audio, self.backend.tokenizer, self.options
        alone = replace(options.sequential, condition_on_previous_text=False, initial_prompt=None)
        anew = replace(options, sequential=alone)
        return filled(
            flow,
            lambda gaps: sequential(audio, tokenizer, anew, gaps),
            self._known(audio),
            options.quality,
            part.clips,
        )

    def _strategy(self, audio: Audio) -> Strategy:
        name = self.options.long_form
        if name == "auto":
            name = "short-form" if audio.duration <= WINDOW_SECONDS else "sequential"
        return STRATEGIES[name]

    def _prepared(self, windows: Sequence[Window]) -> list[Window]:
        """The windows with their languages and hints."""
        return self.hints.add(self.languages.assign(windows), self._start)

    def _start(self, audio: Audio) -> float:
        """The second at which the decoding of a recording begins."""
        chosen = self.running[audio].clips
        return chosen[0].start if chosen else 0.0

    def _detected(self, audio: Audio, code: str, probability: float) -> None:
        """The language of a recording has been detected."""
        if self.journal:
            self.journal.detected(audio, code, probability)
        self.listener.language(self.running[audio].source, code, probability)

    def _learned(self, audio: Audio, code: str, probability: float) -> None:
        """The language of a recording was detected by the run that this one goes on from."""
        self.languages.learn(audio, code)
        self.listener.language(self.running[audio].source, code, probability)

    def _hear(self, part: Part, step: Step) -> None:
        quality, known, recording = self.options.quality, self._known(part.audio), part.recording
        for final in step.ready:
            doubts = flags(final, part.segments, known, quality)
            segment = replace(final, flags=doubts, speaker=part.speaker)
            if quality.on_flag == "drop" and acts(segment, quality):
                part.dropped.append(segment)
                self.listener.dropped(part.source, segment)
            else:
                part.segments.append(segment)
                self.listener.segment(part.source, segment)
        recording.positions[part.number] = step.position
        self.listener.progress(part.source, recording.position)

    def _known(self, audio: Audio) -> Known:
        """What the segments of a recording are judged by."""
        return Known(
            speech=audio.speech,
            padding=self.options.vad.speech_pad_ms / 1000,
            language=self._language(audio),
            temperature=self.options.fallback.temperatures[0],
        )

    def _language(self, audio: Audio) -> str | None:
        """The language of a recording, as far as it is known by now."""
        if not self.backend.tokenizer.vocab.multilingual:
            return "en"
        return self.languages.of(audio) or self.options.language

    def _finish(self, part: Part) -> None:
        recording = part.recording
        recording.transcripts[part.number] = self._transcript(part)
        recording.positions[part.number] = recording.duration
        self.languages.forget(part.audio)
        del self.running[part.audio]
        if not recording.complete:
            return
        recording.resources.close()
        transcript = recording.transcript()
        self.results[recording.index] = transcript
        self.listener.file_done(recording.source, transcript)

    def _transcript(self, part: Part) -> Transcript:
        capabilities, known = self.backend.capabilities, self._known(part.audio)
        return Transcript(
            segments=tuple(part.segments),
            language=known.language,
            duration=part.audio.duration,
            backend=f"{capabilities.backend} {capabilities.compute_type} on {capabilities.device}",
            task=self.options.decode.task,
            speech=part.audio.speech,
            uncovered=uncovered(part.segments, known, self.options.quality, part.clips),
            dropped=tuple(part.dropped),
            skipped=() if part.clips is None else outside(part.clips, part.audio.duration),
            vad=self.options.vad.settings if self.options.vad.filter else (),
        )


def _title(part: Part) -> str:
    """What a journal calls a recording, or a channel of it."""
    return part.source if part.speaker is None else f"{part.source}, {part.speaker}"
