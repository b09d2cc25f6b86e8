"""Flags of ``distilcli transcribe`` about words: their times, and the lines of subtitles. A table."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from distilcli.cli.flags import MAYBE, Flag, from_field, spelled
from distilcli.config import LineOptions, WordOptions, changed
from distilcli.errors import UsageError

_PANEL = "Words and lines"


def _marks(name: str) -> Flag:
    """Their default is no ASCII, which not every terminal can show: it is left to `WordOptions`."""
    flag = from_field(WordOptions, name, _PANEL)
    return replace(flag, default=None, help=f"{flag.help} [default: those of openai/whisper]")


WORDS = [
    replace(from_field(WordOptions, "word_timestamps", _PANEL, MAYBE), default=None),
    *(from_field(LineOptions, one.name, _PANEL) for one in fields(LineOptions)),
    _marks("prepend_punctuations"),
    _marks("append_punctuations"),
]


def line_options(values: dict[str, Any]) -> LineOptions:
    """The options of lines that the values of these flags make. Raises `UsageError`."""
    return LineOptions(**{one.name: values[one.name] for one in fields(LineOptions)})


def word_options(values: dict[str, Any]) -> WordOptions:
    """The options of words that the values of these flags make: options of lines need times of words.

    Raises:
        UsageError: words are needed and refused at once.
    """
    needed = next(iter(changed(line_options(values))), None)
    if needed and values["word_timestamps"] is False:
        raise UsageError(
            f"{spelled(needed)} needs the times of words, and --no-word-timestamps leaves them out",
            hint="leave --no-word-timestamps out",
        )
    given = {one.name: values[one.name] for one in fields(WordOptions) if values[one.name] is not None}
    return WordOptions(**{**given, "word_timestamps": bool(needed or values["word_timestamps"])})
