"""Remembers the encoder's output for the windows of the latest batch. Knows no model and no library.

Language detection, decoding, the temperature fallback and the alignment of words ask for the same windows, or
for some of them, one after the other; the encoder is most of the work, so it runs once for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from distilcli.types import Audio, Span, Window

Encoded = TypeVar("Encoded")

_Key = tuple[Audio, Span, bool]


class EncoderCache(Generic[Encoded]):
    """Encoder output by what it depends on: recording, span and isolation, but not prompt or options."""

    def __init__(self) -> None:
        self._known: dict[_Key, Encoded] = {}
        self.encoded_windows = 0

    def get(
        self, windows: Sequence[Window], encode: Callable[[Sequence[Window]], Sequence[Encoded]]
    ) -> list[Encoded]:
        """The output for each window, in order; `encode` is called once with those that are not known.

        A call that asks for something new makes the windows of that call the known ones, so that memory stays
        bounded by one batch.
        """
        wanted = {_key(window): window for window in windows}
        missing = {key: window for key, window in wanted.items() if key not in self._known}
        if missing:
            self._known = {key: self._known[key] for key in wanted if key in self._known}
            self._known.update(zip(missing, encode(list(missing.values())), strict=True))
            self.encoded_windows += len(missing)
        return [self._known[_key(window)] for window in windows]

    def clear(self) -> None:
        """Forget everything but the count."""
        self._known = {}


def _key(window: Window) -> _Key:
    return window.audio, window.span, window.isolated
