"""The cache of encoder outputs, with an encoder that only counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from distilcli.backends.encoder_cache import EncoderCache
from distilcli.types import Audio, Span, Window


def _window(start: float) -> Window:
    return Window(AUDIO, Span(start, start + 1))


AUDIO = Audio("a", np.zeros(16_000, np.float32))


def _starts(windows: Sequence[Window]) -> list[float]:
    return [window.span.start for window in windows]


def test_known_windows_are_not_encoded_again() -> None:
    cache: EncoderCache[float] = EncoderCache()
    assert cache.get([_window(1), _window(2)], _starts) == [1, 2]
    assert cache.get([_window(3), _window(2)], _starts) == [3, 2]
    assert cache.encoded_windows == 3


def test_only_the_latest_windows_are_kept() -> None:
    cache: EncoderCache[float] = EncoderCache()
    for start in (1, 2, 1):
        cache.get([_window(start)], _starts)
    assert cache.encoded_windows == 3


def test_a_part_of_the_latest_windows_leaves_the_others_known() -> None:
    cache: EncoderCache[float] = EncoderCache()
    for starts in ((1, 2, 3), (2,), (1, 2, 3)):
        cache.get([_window(start) for start in starts], _starts)
    assert cache.encoded_windows == 3


def test_one_sound_is_encoded_once_whatever_its_prompt_and_language() -> None:
    cache: EncoderCache[float] = EncoderCache()
    window = _window(1)
    assert cache.get([window, replace(window, prompt=(5,), language="de")], _starts) == [1, 1]
    assert cache.encoded_windows == 1


def test_another_recording_with_the_same_name_is_another_sound() -> None:
    cache: EncoderCache[float] = EncoderCache()
    twin = replace(_window(1), audio=Audio("a", np.zeros(16_000, np.float32)))
    cache.get([_window(1), twin], _starts)
    assert cache.encoded_windows == 2
