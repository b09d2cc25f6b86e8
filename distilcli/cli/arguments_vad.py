"""Flags of ``distilcli transcribe`` about silence: which stretches of a recording are decoded. A table."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from distilcli.cli.flags import Flag, Reader, from_field, number
from distilcli.config import TranscribeOptions, VadOptions
from distilcli.errors import UsageError

_PANEL = "Silence and speech"


def _clips(value: Any) -> tuple[float, ...]:  # a word, or the default as it is
    if not isinstance(value, str):
        return tuple(value)
    try:
        return tuple(float(word) for word in value.split(",") if word.strip())
    except ValueError:
        raise UsageError(f"--clip-timestamps must be seconds with commas, not '{value}'") from None


def _flag(name: str) -> Flag:
    """The flag of a field of `VadOptions`, with ``vad_`` before its name."""
    flag = from_field(VadOptions, name, _PANEL)
    if not flag.is_switch:
        kind = int if name.endswith("_ms") else float
        none = flag.default  # as faster-whisper's users write None for what is not set
        flag = replace(flag, reader=number(f"vad_{name}", kind, none=none))
    return replace(flag, name=f"vad_{name}")


VAD = [
    replace(_flag("filter"), aliases=("--vad",)),
    replace(_flag("detect"), default=True),
    *(_flag(one.name) for one in fields(VadOptions) if one.name not in ("filter", "detect")),
    from_field(
        TranscribeOptions, "clip_timestamps", _PANEL, Reader(parse=_clips, metavar="START,END[,START,...]")
    ),
]


def vad_options(values: dict[str, Any]) -> VadOptions:
    """The options that the values of these flags make. Raises `UsageError`."""
    return VadOptions(**{one.name: values[f"vad_{one.name}"] for one in fields(VadOptions)})
