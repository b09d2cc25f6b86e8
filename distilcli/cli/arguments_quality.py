"""Flags of ``distilcli transcribe`` for doubtful text and missing text: a table."""

from __future__ import annotations

from typing import Any

from distilcli.cli.flags import Flag, Reader, from_field, one_of
from distilcli.config import FLAGS, ON_FLAG, QualityOptions

_PANEL = "Doubtful text"


def _names(value: Any) -> tuple[str, ...]:  # words with commas, or the default as it is
    return tuple(word.strip() for word in value.split(",")) if isinstance(value, str) else value


def _flag(name: str, reader: Reader | None = None) -> Flag:
    return from_field(QualityOptions, name, _PANEL, reader)


QUALITY = [
    _flag("on_flag", one_of("on_flag", ON_FLAG)),
    _flag("act_on", Reader(parse=_names, metavar="FLAG[,FLAG...]", complete=lambda: FLAGS)),
    _flag("retry_shift"),
    _flag("fill_gaps"),
    _flag("flag_repeated_words"),
    _flag("flag_logprob"),
    _flag("flag_no_speech"),
    _flag("flag_max_rate"),
    _flag("flag_min_rate"),
    _flag("flag_uncovered"),
]
