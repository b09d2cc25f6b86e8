"""Strict readers of SRT and WebVTT, written from the formats' descriptions and not from our writers.

They refuse what players disagree about: a wrong number, an empty cue, an end before its start, a stray line.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

_SRT_TIMES = re.compile(r"(\d\d+):([0-5]\d):([0-5]\d),(\d{3}) --> (\d\d+):([0-5]\d):([0-5]\d),(\d{3})")
_VTT_TIMES = re.compile(
    r"(?:(\d\d+):)?([0-5]\d):([0-5]\d)\.(\d{3}) --> (?:(\d\d+):)?([0-5]\d):([0-5]\d)\.(\d{3})"
)


@dataclass(frozen=True)
class Shown:
    """A cue as a player sees it; times in milliseconds."""

    start: int
    end: int
    text: str


def read_srt(file: str) -> list[Shown]:
    """Cues of a SubRip file; raises `ValueError` for anything that is not one."""
    cues = []
    for number, block in enumerate(_blocks(file), start=1):
        first, times, *lines = block
        if first != str(number):
            raise ValueError(f"expected cue {number}, found {first!r}")
        cues.append(_cue(_SRT_TIMES, times, lines))
    return _in_order(cues)


def read_vtt(file: str) -> list[Shown]:
    """Cues of a WebVTT file; raises `ValueError` for anything that is not one."""
    header, _, body = file.partition("\n\n")
    if header != "WEBVTT":
        raise ValueError(f"expected the header WEBVTT, found {header!r}")
    cues = []
    for times, *lines in _blocks(body):
        for line in lines:
            if "<" in line or re.search(r"&(?!(amp|lt|gt|nbsp|lrm|rlm);)", line):
                raise ValueError(f"a tag or a loose & in {line!r}")
        cues.append(_cue(_VTT_TIMES, times, [html.unescape(line) for line in lines]))
    return _in_order(cues)


def _blocks(file: str) -> list[list[str]]:
    if "\0" in file or "\r" in file or file.startswith("\ufeff"):
        raise ValueError("a NUL, a carriage return or a byte order mark")
    if not file:
        return []
    if not file.endswith("\n\n"):
        raise ValueError("the last cue does not end with an empty line")
    blocks = [block.split("\n") for block in file.removesuffix("\n\n").split("\n\n")]
    if any(len(block) < 2 or not all(line.strip() for line in block) for block in blocks):
        raise ValueError("a blank line inside of a cue, or a cue without text")
    return blocks


def _cue(pattern: re.Pattern[str], times: str, lines: list[str]) -> Shown:
    match = pattern.fullmatch(times)
    if match is None:
        raise ValueError(f"not a line of times: {times!r}")
    if not lines or any("-->" in line for line in lines):
        raise ValueError(f"no text, or an arrow in it: {lines!r}")
    parts = [int(part or 0) for part in match.groups()]
    start, end = (((h * 60 + m) * 60 + s) * 1000 + ms for h, m, s, ms in (parts[:4], parts[4:]))
    return Shown(start, end, "\n".join(lines))


def _in_order(cues: list[Shown]) -> list[Shown]:
    starts = [cue.start for cue in cues]
    if starts != sorted(starts) or any(cue.end <= cue.start for cue in cues):
        raise ValueError("starts go back, or a cue ends before it starts")
    return cues
