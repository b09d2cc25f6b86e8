"""The language of a recording, by a backend whose ears are typed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from distilcli.audio import from_array
from distilcli.backends.scripted import Scripted
from distilcli.config import LanguageOptions
from distilcli.spoken import Languages
from distilcli.types import Audio, Span, Window
from tests.support.tokenizer import tokenizer_of


def recording(seconds: float, speech: tuple[Span, ...] | None = None) -> Audio:
    audio = from_array(np.zeros(round(seconds * 16_000), np.float32), "talk.wav")
    return Audio(audio.name, audio.samples, speech=speech)


class Ears(Scripted):
    """Hears the language of the last of `heard` (second -> probabilities) before a window's start."""

    def __init__(self, heard: Mapping[float, Mapping[str, float]], size: int = 51865) -> None:
        super().__init__([], tokenizer_of(size))
        self.heard = heard
        self.asked: list[float] = []

    def detect_language(self, windows: Sequence[Window]) -> list[dict[str, float]]:
        self.asked += [window.span.start for window in windows]
        return [
            dict(self.heard[max(start for start in self.heard if start <= window.span.start)])
            for window in windows
        ]


def languages(ears: Ears, options: LanguageOptions) -> tuple[Languages, list[tuple[str, float]]]:
    told: list[tuple[str, float]] = []
    return Languages(
        ears, options, lambda audio, code, share: told.append((code, pytest.approx(share)))
    ), told


def window(audio: Audio, start: float = 0.0, language: str | None = None) -> Window:
    return Window(audio, Span(start, start + 30.0), language=language)


def test_a_jingle_does_not_decide_a_long_recording() -> None:
    ears = Ears({0.0: {"de": 0.95, "en": 0.05}, 30.0: {"en": 0.9, "de": 0.1}})
    found, told = languages(ears, LanguageOptions(regions=3, region_every=100.0))
    (first,) = found.assign([window(recording(600.0))])
    assert (first.language, ears.asked) == ("en", [0.0, 200.0, 400.0])
    assert told == [("en", (0.05 + 0.9 + 0.9) / 3)]
    assert ears.asked == [0.0, 200.0, 400.0]


def test_a_short_recording_is_listened_to_once_and_only_once() -> None:
    ears = Ears({0.0: {"de": 0.8, "en": 0.2}})
    found, _ = languages(ears, LanguageOptions())
    audio = recording(60.0)
    assert [one.language for one in found.assign([window(audio), window(audio, 30.0)])] == ["de", "de"]
    assert [one.language for one in found.assign([window(audio, 30.0)])] == ["de"]
    assert ears.asked == [0.0]


def test_places_lie_in_speech() -> None:
    ears = Ears({0.0: {"en": 1.0}})
    found, _ = languages(ears, LanguageOptions(regions=4, region_every=10.0))
    found.assign([window(recording(1000.0, (Span(0.0, 20.0), Span(500.0, 560.0))))])
    assert ears.asked == [0.0, 500.0, 520.0, 540.0]


def test_nobody_listens_outside_of_the_clips() -> None:
    ears = Ears({0.0: {"en": 1.0}})
    clips = (Span(300.0, 400.0), Span(700.0, 800.0))
    options = LanguageOptions(regions=4, region_every=50.0)
    found = Languages(ears, options, lambda audio, code, share: None, lambda audio: clips)
    found.assign([window(recording(1000.0, (Span(0.0, 1000.0),)), 300.0)])
    assert ears.asked == [300.0, 350.0, 700.0, 750.0]


def test_candidates_are_certain_to_be_among_them() -> None:
    ears = Ears({0.0: {"de": 0.7, "nl": 0.06, "en": 0.02, "fr": 0.22}})
    found, told = languages(ears, LanguageOptions(candidates=("en", "nl")))
    (one,) = found.assign([window(recording(10.0))])
    assert (one.language, told) == ("nl", [("nl", 0.75)])


def test_a_window_switches_only_when_it_is_sure() -> None:
    ears = Ears({0.0: {"en": 0.9, "fr": 0.1}, 30.0: {"fr": 0.7, "en": 0.3}, 60.0: {"fr": 0.95, "en": 0.05}})
    found, _ = languages(ears, LanguageOptions(regions=1, switch=0.9))
    audio = recording(120.0)
    windows = [window(audio), window(audio, 30.0), window(audio, 60.0), window(audio, 90.0, language="en")]
    assert [one.language for one in found.assign(windows)] == ["en", "en", "fr", "en"]
    assert found.of(audio) == "en"


def test_what_is_asked_for_is_left_alone() -> None:
    ears = Ears({0.0: {"en": 1.0}})
    found, told = languages(ears, LanguageOptions())
    assert found.assign([window(recording(10.0), language="ja")])[0].language == "ja"
    assert (ears.asked, told) == ([], [])


def test_an_english_model_is_never_asked() -> None:
    ears = Ears({0.0: {"en": 1.0}}, size=51864)
    found, told = languages(ears, LanguageOptions(switch=0.9))
    assert found.assign([window(recording(10.0))])[0].language == "en"
    assert (ears.asked, told) == ([], [])
