"""Damaged and invented media files: an answer or one clear error, never a traceback."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distilcli.audio import open_audio, probe
from distilcli.errors import InputError
from tests.support.media import KINDS, write_kind

NAMES = (
    "wav-16k-mono",
    "wav-float",
    "mp3",
    "m4a-aac",
    "mkv",
    "ogg-opus",
    "flac",
    "webm",
    "aiff",
    "mpeg-ts",
    "wma",
)
MUTATION = st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255))
FUZZ = settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@cache
def whole(name: str) -> bytes:
    """A second of sound in a container."""
    with tempfile.TemporaryDirectory() as folder:
        return write_kind(Path(folder) / f"whole{KINDS[name].suffix}", KINDS[name], 1.0).read_bytes()


def answers(path: Path) -> None:
    """Both ways in give a result or an `InputError` whose one sentence names the file."""
    for read in (probe, _decoded):
        try:
            read(path)
        except InputError as error:
            message = error.message
        else:
            continue
        assert path.name in message
        assert "\n" not in message


def _decoded(path: Path) -> None:
    with open_audio(path) as audio:
        assert audio.duration >= 0


@pytest.mark.parametrize("name", NAMES)
@FUZZ
@given(changes=st.lists(MUTATION, max_size=12), keep=st.floats(0, 1))
def test_damaged_files(name: str, tmp_path: Path, changes: list[tuple[float, int]], keep: float) -> None:
    data = bytearray(whole(name))
    for place, value in changes:
        data[int(place * len(data))] = value
    path = tmp_path / f"damaged{KINDS[name].suffix}"
    path.write_bytes(data[: round(keep * len(data))] if keep < 0.5 else data)
    answers(path)


@pytest.mark.parametrize(
    "head", [b"", b"RIFF\0\0\0\0WAVEfmt ", b"ID3\x04", b"OggS", b"fLaC", b"\x1aE\xdf\xa3"]
)
@FUZZ
@given(tail=st.binary(max_size=400))
def test_invented_files(head: bytes, tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "invented.bin"
    path.write_bytes(head + tail)
    answers(path)
