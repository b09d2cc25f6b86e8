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
    """Ids that the decoder is given for a window: previous text, then start, language, task and timestamps.

    Raises:
        UsageError: the model has no such language.
    """
    prefix = vocab.prefix(window.language, options.task, timestamps=options.timestamps)
    return vocab.prompt(window.prompt, prefix, MAX_TARGET)


def new_tokens(prompt: list[int], options: DecodeOptions) -> int:
    """How many tokens may follow `prompt`: what was asked for, as far as the model's positions go.

    The last token is never fed back, so it needs no position.
    """
    return min(options.max_new_tokens or LONGEST, MAX_TARGET - len(prompt) + 1)


def last_initial_timestamp(options: DecodeOptions) -> int:
    """Index of the latest timestamp that may come first."""
    return round(options.max_initial_timestamp / SECONDS_PER_TIMESTAMP)
