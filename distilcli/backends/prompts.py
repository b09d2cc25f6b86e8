"""What the decoder starts from and how far it may go, the same for every backend. Knows no model."""

from __future__ import annotations

from distilcli.config import DecodeOptions
from distilcli.tokens import SECONDS_PER_TIMESTAMP, Vocab
from distilcli.types import Window

MAX_TARGET = 448
"""Positions of Whisper's decoder."""

LONGEST = MAX_TARGET // 2
"""New tokens at most, unless `DecodeOptions.max_new_tokens` says otherwise (openai/whisper `sample_len`)."""


def prompt_of(window: Window, vocab: Vocab, options: DecodeOptions) -> list[int]:
    """Ids that the decoder is given for a window.

    Hotwords and the newest of the previous text, then start, language, task and timestamps, then the prefix
    (faster-whisper `get_prompt`, where hotwords and text do not share the room that either may take).

    Raises:
        UsageError: the model has no such language.
    """
    start = vocab.prefix(window.language, options.task, timestamps=options.timestamps)
    if window.prefix:
        start += [*([vocab.timestamp_begin] if options.timestamps else []), *window.prefix]
    room = MAX_TARGET // 2 - 1 - len(window.hotwords)
    previous = window.prompt[-room:] if room else ()
    return vocab.prompt((*window.hotwords, *previous), start, MAX_TARGET)


def new_tokens(prompt: list[int], options: DecodeOptions) -> int:
    """How many tokens may follow `prompt`: what was asked for, as far as the model's positions go.

    The last token is never fed back, so it needs no position.
    """
    return min(options.max_new_tokens or LONGEST, MAX_TARGET - len(prompt) + 1)


def last_initial_timestamp(options: DecodeOptions) -> int:
    """Index of the latest timestamp that may come first."""
    return round(options.max_initial_timestamp / SECONDS_PER_TIMESTAMP)
