"""Which language a recording is in, by evidence from several places of it, and which one a window is in.

Knows a backend that listens to windows; no strategy and no file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from distilcli.backends.base import Backend
from distilcli.config import LanguageOptions
from distilcli.spans import intersection, total
from distilcli.types import WINDOW_SECONDS, Audio, Span, Window

Told = Callable[[Audio, str, float], None]
"""Hears a language that was detected: the recording, the code and its probability."""


Clips = Callable[[Audio], Sequence[Span] | None]


class Languages:
    """The languages of the recordings of a run, each found when its first window comes.

    A language that was asked for is in the windows already and is left alone.
    """

    def __init__(
        self, backend: Backend, options: LanguageOptions, tell: Told, clips: Clips = lambda audio: None
    ) -> None:
        """`clips` says which stretches of a recording are decoded; None is all of it."""
        self._backend, self._options, self._tell, self._clips = backend, options, tell, clips
        self._found: dict[Audio, str] = {}

    def of(self, audio: Audio) -> str | None:
        """The language that was found for a recording; None before that."""
        return self._found.get(audio)

    def learn(self, audio: Audio, code: str) -> None:
        """The language of a recording is known from elsewhere; nobody is told."""
        self._found[audio] = code

    def forget(self, audio: Audio) -> None:
        """A recording is done."""
        self._found.pop(audio, None)

    def assign(self, windows: Sequence[Window]) -> list[Window]:
        """The windows, each with a language."""
        if not self._backend.tokenizer.vocab.multilingual:
            return [replace(window, language="en") for window in windows]
        open_ones = [window for window in windows if window.language is None]
        first: dict[Audio, Window] = {}
        for window in open_ones:
            if window.audio not in self._found:
                first.setdefault(window.audio, window)
        if first:
            self._find(first)
        switched = self._switched(open_ones)
        return [
            replace(window, language=window.language or switched.get(window) or self._found[window.audio])
            for window in windows
        ]

    def _find(self, first: Mapping[Audio, Window]) -> None:
        """Listen to several places of each recording, all in one call."""
        places = {audio: self._places(window) for audio, window in first.items()}
        answers = iter(
            self._backend.detect_language([window for found in places.values() for window in found])
        )
        for audio, found in places.items():
            probabilities = _mean([self._allowed(next(answers)) for _ in found])
            code, probability = max(probabilities.items(), key=lambda item: item[1])
            self._found[audio] = code
            self._tell(audio, code, probability)

    def _places(self, first: Window) -> list[Window]:
        """The first window, which is encoded anyway, and more spread over the speech of a long recording."""
        audio = first.audio
        whole = (Span(0.0, audio.duration),)
        decoded = self._clips(audio) or whole
        speech = intersection(audio.speech or whole, decoded) or decoded
        number = min(self._options.regions, 1 + int(total(speech) // self._options.region_every))
        starts = (_place(speech, step / number) for step in range(1, number))
        return [first, *(_window(first, start) for start in starts if start >= first.span.end)]

    def _switched(self, windows: Sequence[Window]) -> dict[Window, str]:
        """Windows that are surely in another language than their recording."""
        threshold = self._options.switch
        if threshold is None or not windows:
            return {}
        found = {}
        for window, answer in zip(windows, self._backend.detect_language(windows), strict=True):
            code, probability = max(self._allowed(answer).items(), key=lambda item: item[1])
            if probability >= threshold and code != self._found[window.audio]:
                found[window] = code
        return found

    def _allowed(self, probabilities: Mapping[str, float]) -> dict[str, float]:
        """The probabilities of the candidates, which are then certain to be among them."""
        if not self._options.candidates:
            return dict(probabilities)
        chosen = {code: probabilities.get(code, 0.0) for code in self._options.candidates}
        whole = sum(chosen.values())
        return {code: share / whole if whole else 1 / len(chosen) for code, share in chosen.items()}


def _mean(answers: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The mean probability of each language."""
    found = list(answers)
    return {code: sum(one.get(code, 0.0) for one in found) / len(found) for code in found[0]}


def _place(speech: Sequence[Span], share: float) -> float:
    """Where in the recording this share of its speech has passed."""
    left = share * total(speech)
    for span in speech:
        if left < span.duration:
            return span.start + left
        left -= span.duration
    return speech[-1].end


def _window(like: Window, start: float) -> Window:
    end = min(start + WINDOW_SECONDS, like.audio.duration)
    return replace(like, span=Span(round(start, 2), round(end, 2)), prompt=())
