"""Words that the user expects, in front of what the decoder writes. Knows windows and a tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from distilcli.config import TranscribeOptions
from distilcli.errors import UsageError
from distilcli.tokens import Tokenizer
from distilcli.types import Audio, Window

LONGEST = 223
"""Tokens of either hint: half of the decoder's positions, less one (faster-whisper `get_prompt`)."""


class Hints:
    """Adds --hotwords to every window of a recording, and --prefix to its first.

    With a prefix a window has no hotwords, as in faster-whisper.

    Raises:
        UsageError: a hint is too long for the decoder.
    """

    def __init__(self, tokenizer: Tokenizer, options: TranscribeOptions) -> None:
        self._hotwords = _ids(tokenizer, "--hotwords", options.hotwords)
        self._prefix = _ids(tokenizer, "--prefix", options.prefix)

    def add(self, windows: Sequence[Window], starts: Callable[[Audio], float]) -> list[Window]:
        """The windows with their hints; `starts` says at which second the decoding of a recording begins."""
        return [self._with(window, window.span.start == starts(window.audio)) for window in windows]

    def _with(self, window: Window, first: bool) -> Window:
        if first and self._prefix:
            return replace(window, prefix=self._prefix)
        return replace(window, hotwords=self._hotwords) if self._hotwords else window


def _ids(tokenizer: Tokenizer, flag: str, text: str | None) -> tuple[int, ...]:
    ids = tuple(tokenizer.encode(" " + text.strip())) if text and text.strip() else ()
    if len(ids) > LONGEST:
        raise UsageError(f"{flag} has {len(ids)} tokens, and the decoder takes at most {LONGEST}")
    return ids
