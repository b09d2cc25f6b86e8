"""distilcli as one of the systems: the pipeline with the options of a case. Knows no process and no clock.

Its functions are those of `peers.base.PeerModule`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from distilcli.backends.base import Backend, Capabilities, load_backend
from distilcli.bench.peers.base import Heard
from distilcli.bench.systems import Counts
from distilcli.bench.values import Case, Clip, digest_of
from distilcli.bench.weights import for_engine
from distilcli.config import (
    ChunkedOptions,
    DecodeOptions,
    EngineOptions,
    FallbackOptions,
    SequentialOptions,
    TranscribeOptions,
    VadOptions,
)
from distilcli.errors import DistilError
from distilcli.pipeline import Listener, default_options, transcribe_many
from distilcli.quality import TESTS
from distilcli.tokens import Tokenizer
from distilcli.types import Hypothesis, Segment, Transcript, Window


def differences(case: Case) -> tuple[str, ...]:
    """None: every field of a case is an option here."""
    return ()


def prepare(case: Case) -> Path:
    """The model's folder, downloaded and converted on first use; the draft model's as well."""
    if case.assistant:
        for_engine(case.assistant, _engine(case))
    return for_engine(case.model, _engine(case))


def load(case: Case, weights: Path) -> Ours:
    """Load the model with the backend of the case."""
    engine = _engine(case)
    draft = for_engine(case.assistant, engine) if case.assistant else None
    return Ours(case, load_backend(weights, engine, draft), options_of(case))


def _engine(case: Case) -> EngineOptions:
    return EngineOptions(
        backend=case.backend,
        device=case.device,
        compute_type=case.compute_type,
        threads=case.threads,
        assistant_model=case.assistant,
    )


def options_of(case: Case) -> TranscribeOptions:
    """The options of the pipeline; the language follows with each clip."""
    usual = default_options(case.model, _engine(case), offline=True)
    if case.defaults:
        return usual
    long_form, _, vad = case.strategy.partition("-")
    return TranscribeOptions(
        long_form=long_form,
        vad=VadOptions(filter=bool(vad)),
        decode=DecodeOptions(beam_size=case.beam_size, timestamps=case.timestamps),
        fallback=FallbackOptions(temperatures=case.temperatures),
        sequential=SequentialOptions(condition_on_previous_text=case.condition_on_previous_text),
        chunked=ChunkedOptions(
            chunk_length=case.chunk_length or usual.chunked.chunk_length, batch_size=case.batch_size
        ),
    )


class Ours:
    """A loaded model with the options of a case. It is `together` where it takes several clips at once."""

    def __init__(self, case: Case, backend: Backend, options: TranscribeOptions) -> None:
        self.compute_type = backend.capabilities.compute_type
        self.together = case.defaults or case.batch_size > 1
        self._case, self._options = case, options
        self._backend = Counted(backend, options.fallback, None if case.defaults else case.batch_size)
        self._flags = dict.fromkeys(TESTS, 0)

    @property
    def counts(self) -> Counts:
        """Windows, encoder calls, retries and flags so far."""
        return replace(self._backend.counts, flags=dict(self._flags))

    def transcribe(self, clips: Sequence[Clip]) -> Iterator[Heard]:
        """Yield one result per clip; those of one language share batches where the case has them."""
        if not self.together:
            for clip in clips:
                (heard,) = self._transcribed([clip])
                yield heard
            return
        groups: dict[str | None, list[int]] = {}
        for position, clip in enumerate(clips):
            groups.setdefault(self._case.language_of(clip), []).append(position)
        found: dict[int, Heard] = {}
        for positions in groups.values():
            found.update(zip(positions, self._transcribed([clips[n] for n in positions]), strict=True))
        yield from (found[position] for position in range(len(clips)))

    def close(self) -> None:
        """Release the model."""
        self._backend.close()

    def _transcribed(self, clips: Sequence[Clip]) -> list[Heard]:
        """Clips of one language. Raises what stopped one of them."""
        listener = _First()
        options = replace(self._options, language=self._case.language_of(clips[0]))
        results = transcribe_many([clip.path for clip in clips], self._backend, options, listener)
        return [self._heard(result, listener.first if len(clips) == 1 else None) for result in results]

    def _heard(self, result: Transcript | DistilError, first: float | None) -> Heard:
        if isinstance(result, DistilError):
            raise result
        tokens = [token for segment in result.segments for token in segment.tokens]
        for flag in (flag for segment in result.segments for flag in segment.flags):
            self._flags[flag] += 1
        return Heard(
            text=result.text,
            language=result.language,
            tokens=len(tokens),
            first_segment=first,
            digest=digest_of(tokens),
        )


class _First(Listener):
    """Notes when the first segment was final, in seconds since it was made."""

    def __init__(self) -> None:
        self.first: float | None = None
        self._began = time.perf_counter()

    def segment(self, source: str, segment: Segment) -> None:
        if self.first is None:
            self.first = time.perf_counter() - self._began


class Counted:
    """A backend that counts what it is asked for, and may be kept from larger batches than a case has."""

    def __init__(self, backend: Backend, fallback: FallbackOptions, batch_size: int | None) -> None:
        self.tokenizer: Tokenizer = backend.tokenizer
        self.capabilities: Capabilities = backend.capabilities
        if batch_size is not None:
            self.capabilities = replace(self.capabilities, batch_size=batch_size)
        self._backend, self._temperatures = backend, fallback.temperatures
        self._windows = self._fallbacks = self._retries = 0

    @property
    def counts(self) -> Counts:
        """Windows, those decoded again, and how often."""
        return Counts(
            windows=self._windows,
            encoder_calls=getattr(self._backend, "encoded_windows", None),
            fallbacks=self._fallbacks,
            retries=self._retries,
        )

    def decode(self, windows: Sequence[Window], options: DecodeOptions) -> list[Hypothesis]:
        """See `Backend.decode`; the temperature tells a retry from a first try."""
        if options.temperature == self._temperatures[0]:
            self._windows += len(windows)
        else:
            self._retries += len(windows)
            self._fallbacks += len(windows) * (options.temperature == self._temperatures[1])
        return self._backend.decode(windows, options)

    def detect_language(self, windows: Sequence[Window]) -> list[dict[str, float]]:
        """See `Backend.detect_language`."""
        return self._backend.detect_language(windows)

    def close(self) -> None:
        """See `Backend.close`."""
        self._backend.close()
