"""Flags of ``distilcli transcribe --live``: a table."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from distilcli.cli.flags import SWITCH, Flag, Reader, from_field
from distilcli.config import LiveOptions

_PANEL = "Live"

LIVE = [
    Flag(
        name="live",
        help="Transcribe while people speak: the microphone, or with - raw samples on standard input "
        "(16 kHz, mono, 16 bit). Ctrl-C ends it.",
        panel=_PANEL,
        reader=SWITCH,
        default=False,
        negative=False,
    ),
    Flag(
        name="live_device",
        help="Microphone by number or name, as `python -m sounddevice` lists them.",
        panel=_PANEL,
        reader=Reader(metavar="DEVICE"),
    ),
    *(
        replace(from_field(LiveOptions, field.name, _PANEL), name=f"live_{field.name}")
        for field in fields(LiveOptions)
    ),
]


def live_options(values: dict[str, Any]) -> LiveOptions:
    """The options that the values of these flags make. Raises `UsageError`."""
    return LiveOptions(**{one.name: values[f"live_{one.name}"] for one in fields(LiveOptions)})
