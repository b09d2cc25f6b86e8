"""What is wrapped around a backend's `decode`, in its order. Knows no recording and no strategy.

From the inside: batches that do not fit are halved, windows are tried again at higher temperatures, each
window is given what its recording knows (language, hints), doubtful windows are tried in other ways, and
words are timed. A journal goes around all of it, so that whatever is inside happens once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from distilcli.backends.base import Aligner, Backend
from distilcli.config import TranscribeOptions
from distilcli.longform.base import Decode
from distilcli.longform.fallback import with_fallback
from distilcli.longform.halving import with_halving
from distilcli.retry import with_retry
from distilcli.types import Hypothesis, Window
from distilcli.words import with_token_times

Prepare = Callable[[Sequence[Window]], Sequence[Window]]
"""Gives windows their language and hints."""


def wrapped(
    backend: Backend, options: TranscribeOptions, prepare: Prepare, warn: Callable[[str], None]
) -> Decode:
    """The decode function of a run; `warn` hears when batches become smaller."""

    def decode_at(windows: Sequence[Window], temperature: float) -> list[Hypothesis]:
        return backend.decode(windows, replace(options.decode, temperature=temperature))

    attempt = with_fallback(with_halving(decode_at, warn), backend.tokenizer, options.fallback)

    def prepared(windows: Sequence[Window]) -> list[Hypothesis]:
        return attempt(prepare(windows))

    decode: Decode = prepared
    if options.quality.on_flag == "retry":
        decode = with_retry(decode, backend.tokenizer, options)
    if options.words.word_timestamps:
        assert isinstance(backend, Aligner), "pipeline.check refuses it"
        decode = with_token_times(decode, backend, options.decode.task)
    return decode
