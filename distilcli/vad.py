"""Where somebody speaks: Silero's network over samples that come in blocks, and the spans that follow.

Spans equal those of faster-whisper's `get_speech_timestamps` over the whole recording, with memory for one
block and one number per 32 ms. Knows no file and no Whisper model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count, pairwise

import numpy as np
from numpy.typing import NDArray

from distilcli.config import VadOptions
from distilcli.types import SAMPLE_RATE, Audio, Span

Floats = NDArray[np.float32]

STEP = 512
"""Samples per probability (32 ms)."""

_CONTEXT = 64  # samples before each step that the network hears again
_BATCH = 256  # steps per call: more are no faster, and need more memory
_UNITS = 128  # of the network's recurrent layer
_BREATH = 0.098 * SAMPLE_RATE  # a silence longer than this is where speech that lasts too long is cut


class Detector:
    """Listens to one recording, block by block, and says at its end where there was speech."""

    def __init__(self, options: VadOptions) -> None:
        from faster_whisper.vad import get_vad_model

        self._options = options
        self._network = get_vad_model().session
        self._h = np.zeros((1, 1, _UNITS), np.float32)
        self._c = np.zeros((1, 1, _UNITS), np.float32)
        self._context = np.zeros((1, _CONTEXT), np.float32)
        self._rest = np.zeros(0, np.float32)
        self._length = 0
        self._found: list[Floats] = []

    def feed(self, samples: Floats) -> None:
        """Listen to the next samples, shape (n,), float32 in [-1, 1]."""
        self._length += len(samples)
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) // STEP * STEP
        self._rest = samples[whole:].copy()
        steps = samples[:whole].reshape(-1, STEP)
        for first in range(0, len(steps), _BATCH):
            self._listen(steps[first : first + _BATCH])

    def listen(self, samples: Floats) -> Floats:
        """As `feed`, for a stream without end; gives the probabilities of its complete steps, shape (n,)."""
        self.feed(samples)
        found = np.concatenate([np.zeros(0, np.float32), *self._found])
        self._found.clear()
        return found

    def finish(self) -> tuple[Span, ...]:
        """Where there was speech, in seconds of the recording; nothing can be fed after that."""
        last = np.zeros((1, STEP), np.float32)
        last[0, : len(self._rest)] = self._rest
        last[0, -_CONTEXT:] = 0  # faster-whisper clears them while it shifts the contexts
        self._listen(last)
        # Not one list: as Python's numbers, those of ten hours would be 36 MB.
        probabilities = (one for found in self._found for one in found.tolist())
        return spans(probabilities, self._length, self._options)

    def _listen(self, steps: Floats) -> None:
        """Append the probabilities of steps, shape (n, 512)."""
        tails = np.concatenate([self._context, steps[:, -_CONTEXT:]])
        inputs = {"input": np.concatenate([tails[:-1], steps], axis=1), "h": self._h, "c": self._c}
        found, self._h, self._c = self._network.run(None, inputs)
        self._context = tails[-1:].copy()
        self._found.append(found)


def with_speech(audio: Audio, options: VadOptions) -> Audio:
    """The recording with its speech; where it is known already, as it is."""
    if audio.speech is not None:
        return audio
    detector, block = Detector(options), STEP * _BATCH
    for start in range(0, len(audio.samples), block):
        detector.feed(audio.samples[start : start + block])
    return replace(audio, speech=detector.finish())


def spans(probabilities: Iterable[float], n_samples: int, options: VadOptions) -> tuple[Span, ...]:
    """The stretches of speech in `n_samples`, given one probability of speech per `STEP`, padded.

    Source: faster-whisper `get_speech_timestamps`, after snakers4/silero-vad.
    """
    pad = _samples(options.speech_pad_ms)
    found = list(_stretches(probabilities, n_samples, options))
    starts = [start for start, _ in found]
    ends = [end for _, end in found]
    for index, ((_, end), (start, _)) in enumerate(pairwise(found)):
        silence = start - end
        share = silence // 2 if silence < 2 * pad else pad
        ends[index], starts[index + 1] = int(end + share), int(start - share)
    if found:
        starts[0], ends[-1] = int(max(0, starts[0] - pad)), int(min(n_samples, ends[-1] + pad))
    return tuple(
        Span(start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in zip(starts, ends, strict=True)
    )


def _stretches(
    probabilities: Iterable[float], n_samples: int, options: VadOptions
) -> Iterator[tuple[int, int]]:
    """First sample of each stretch of speech and the one behind its last, not padded."""
    threshold, low = (float(np.float32(one)) for one in options.thresholds)  # as the network's numbers are
    longest = options.max_speech_duration_s * SAMPLE_RATE - STEP - 2 * _samples(options.speech_pad_ms)
    start: int | None = None  # of the speech that goes on
    quiet = 0  # where its last silence begins, 0 while there is none
    breath = 0  # where its last silence that is a place to cut begins
    again = 0  # where speech goes on after that
    for at, probability in zip(count(0, STEP), probabilities, strict=False):
        if probability >= threshold:
            if quiet and again < breath:
                again = at
            quiet = 0
            if start is None:
                start = at
                continue
        if start is not None and at - start > longest:
            yield start, breath or at
            start = again if breath and again >= breath else None
            quiet = breath = again = 0
        if start is not None and probability < low:
            quiet = quiet or at
            if at - quiet > _BREATH:
                breath = quiet
            if at - quiet >= _samples(options.min_silence_duration_ms):
                if quiet - start > _samples(options.min_speech_duration_ms):
                    yield start, quiet
                start = None
                quiet = breath = again = 0
    if start is not None and n_samples - start > _samples(options.min_speech_duration_ms):
        yield start, n_samples


def _samples(milliseconds: float) -> float:
    return milliseconds * SAMPLE_RATE / 1000
