"""Flags of ``distilcli transcribe`` for who speaks and in which language: a table."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from distilcli.cli.flags import Flag, Reader, from_field
from distilcli.config import CHANNELS, LanguageOptions, TranscribeOptions
from distilcli.languages import LANGUAGES, language_code

_PANEL = "Language and speakers"


def _codes(value: Any) -> tuple[str, ...]:  # a word, or the default as it is
    return tuple(language_code(word) for word in _words(value))


def _words(value: Any) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, tuple) else tuple(filter(None, map(str.strip, value.split(","))))


def _prefixed(name: str, reader: Reader | None = None) -> Flag:
    return replace(from_field(LanguageOptions, name, _PANEL, reader), name=f"language_{name}")


SPOKEN = [
    _prefixed("candidates", Reader(parse=_codes, metavar="NAME,...", complete=lambda: LANGUAGES)),
    _prefixed("regions"),
    _prefixed("region_every"),
    _prefixed("switch"),
    from_field(
        TranscribeOptions, "channels", _PANEL, Reader(metavar="mix|split|N", complete=lambda: CHANNELS)
    ),
    from_field(TranscribeOptions, "channel_names", _PANEL, Reader(parse=_words, metavar="NAME,...")),
    from_field(TranscribeOptions, "hotwords", _PANEL),
    from_field(TranscribeOptions, "prefix", _PANEL),
]


def detection_options(values: dict[str, Any]) -> LanguageOptions:
    """What the flags say about finding the language."""
    return LanguageOptions(
        **{field.name: values[f"language_{field.name}"] for field in fields(LanguageOptions)}
    )
