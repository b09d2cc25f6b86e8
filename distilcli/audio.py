"""Recordings from a path, standard input or a URL, as `Audio` of bounded memory. Knows no model, no text."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distilcli import __version__, features, media
from distilcli.config import VadOptions
from distilcli.errors import InputError
from distilcli.media import Probe, Track
from distilcli.prefetch import Behind
from distilcli.spool import Spool, as_float, copy, temporary_file
from distilcli.stages import stage
from distilcli.types import SAMPLE_RATE, Audio
from distilcli.vad import Detector

__all__ = ["STDIN", "Probe", "Track", "from_array", "may_wait", "open_audio", "open_channels", "probe"]

STDIN = "-"
"""The source that stands for standard input."""

_TIMEOUT = 30.0  # seconds that a server may stay silent


@contextmanager
def open_audio(
    source: str | Path,
    *,
    n_mels: int = 80,
    track: int | None = None,
    vad: VadOptions | None = None,
    progress: Callable[[float, float | None], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Iterator[Audio]:
    """A recording, decoded into a nameless file of the cache folder that lives as long as the context.

    `source` is a path, ``-`` for standard input, or an http(s) URL; `track` chooses an audio track, counted
    from 1. The samples are those of faster-whisper's `decode_audio`; `Audio.log_mel_peak` is known for
    `n_mels`, and `Audio.speech` where `vad` says how to look for it. `progress` hears the seconds decoded so
    far (0 while a URL is being fetched) and the recording's length (None where unknown), and may raise to
    give up; `warn` hears of damage that cost a part of the recording.

    Raises:
        InputError: there is no usable audio.
        EnvironmentProblem: the cache folder cannot be written.
    """
    name, tell = _name(source), progress or _ignore_progress
    with ExitStack() as resources:
        ear = _Ear(resources, vad)
        with stage("decode"), _opened(source, lambda: tell(0.0, None)) as file:
            for block in media.decode(file, name, track, warn or _ignore):
                ear.hear(block.samples)
                tell(len(ear.spool) / SAMPLE_RATE, block.total)
        yield ear.audio(name, n_mels)


@contextmanager
def open_channels(
    source: str | Path,
    *,
    channel: int | None = None,
    n_mels: int = 80,
    track: int | None = None,
    vad: VadOptions | None = None,
    progress: Callable[[float, float | None], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Iterator[tuple[Audio, ...]]:
    """As `open_audio`, with the channels of a recording apart: all of them, or one, counted from 1.

    Raises `InputError` as well where there is no such channel, and where their number changes on the way.
    """
    name, tell = _name(source), progress or _ignore_progress
    with ExitStack() as resources:
        ears: list[_Ear] = []
        with stage("decode"), _opened(source, lambda: tell(0.0, None)) as file:
            for block in media.decode(file, name, track, warn or _ignore, split=True):
                samples = _chosen(block.samples, channel, name)
                ears = ears or [_Ear(resources, vad) for _ in samples]
                if len(samples) != len(ears):
                    raise InputError(f"{name}: the number of channels changes on the way")
                for ear, one in zip(ears, samples, strict=True):
                    ear.hear(one)
                tell(len(ears[0].spool) / SAMPLE_RATE, block.total)
        yield tuple(ear.audio(name, n_mels) for ear in ears)


def _chosen(block: NDArray[np.int16], channel: int | None, name: str) -> NDArray[np.int16]:
    """The channels of a block that are wanted, shape (channels, n)."""
    channels = block.T
    if channel is None:
        return channels
    if channel > len(channels):
        count = f"{len(channels)} channel{'' if len(channels) == 1 else 's'}"
        raise InputError(f"{name}: has {count}, and --channels asks for number {channel}")
    return channels[channel - 1 : channel]


class _Ear:
    """What comes of the samples of one channel: a spool, and where somebody speaks.

    Speech is looked for in a thread, one block behind the decoder: neither takes longer than the other.
    """

    def __init__(self, resources: ExitStack, vad: VadOptions | None) -> None:
        self.spool = resources.enter_context(Spool())
        self._vad = vad
        self._behind = resources.enter_context(Behind()) if vad else None
        self._detector: Detector | None = None

    def hear(self, samples: NDArray[np.int16]) -> None:
        self.spool.append(samples)
        if self._behind:
            self._behind.do(partial(self._listen, samples))

    def audio(self, name: str, n_mels: int) -> Audio:
        """The recording, once all of it was heard."""
        audio = Audio(name, self.spool, digest=self.spool.digest)
        with stage("features"):
            features.peak(audio, n_mels)
        if self._behind:
            self._behind.done()
        return replace(audio, speech=self._detector.finish()) if self._detector else audio

    def _listen(self, samples: NDArray[np.int16]) -> None:
        with stage("vad"):
            if self._detector is None:
                assert self._vad is not None
                self._detector = Detector(self._vad)
            self._detector.feed(as_float(samples))


def may_wait(source: str | Path) -> bool:
    """Whether reading a recording may wait for another program: standard input, and named pipes."""
    return source == STDIN or Path(source).is_fifo()


def probe(source: str | Path) -> Probe:
    """Tracks and duration of a recording, from its headers; a URL is fetched whole. Raises `InputError`."""
    with _opened(source) as file:
        return media.probe_file(file, _name(source))


def from_array(samples: ArrayLike, name: str) -> Audio:
    """A recording from 16 kHz mono samples in memory, shape (n,): floats in [-1, 1], or int16."""
    array = np.asarray(samples)
    if array.ndim != 1 or not len(array):
        raise InputError(f"{name}: expected mono samples of shape (n,), found shape {array.shape}")
    if array.dtype == np.int16:
        return Audio(name, as_float(array))
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{name}: expected float or int16 samples, found {array.dtype}")
    if not np.isfinite(array).all():
        raise InputError(f"{name}: some samples are not finite numbers")
    return Audio(name, array.astype(np.float32, copy=False))


def _ignore(message: str) -> None:
    """The listener of a caller who did not ask."""


def _ignore_progress(seconds: float, duration: float | None) -> None:
    """As `_ignore`."""


def _name(source: str | Path) -> str:
    return "standard input" if source == STDIN else str(source)


def _opened(
    source: str | Path, check: Callable[[], None] = lambda: None
) -> AbstractContextManager[IO[bytes]]:
    if isinstance(source, str):
        if source == STDIN:
            return _standard_input()
        if source.lower().startswith(("http://", "https://")):
            return _fetched(source, check)
    return _file(Path(source))


@contextmanager
def _file(path: Path) -> Iterator[IO[bytes]]:
    try:
        if path.is_dir():
            raise InputError(
                f"{path}: expected a recording, found a folder", hint=f"name its files: {path}/*"
            )
        file = path.open("rb")
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except PermissionError as error:
        raise InputError(f"{path}: may not be read by this user", hint=f"chmod u+r '{path}'") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(f"{str(path)!r}: cannot be opened: {error}") from error
    with file:
        if file.seekable():
            yield file
        else:  # a named pipe, as of a shell's <(command)
            with temporary_file() as spooled:
                copy(file, spooled)
                yield spooled


@contextmanager
def _standard_input() -> Iterator[IO[bytes]]:
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError(
            "standard input: expected a recording, found a terminal", hint="distilcli transcribe - < FILE"
        )
    with temporary_file() as spooled:  # most containers need to seek
        with stage("idle"):
            copy(sys.stdin.buffer, spooled)
        yield spooled


@contextmanager
def _fetched(url: str, check: Callable[[], None]) -> Iterator[IO[bytes]]:
    with temporary_file() as spooled:
        with stage("idle"):
            _fetch(url, spooled, check)
        yield spooled


def _fetch(url: str, file: IO[bytes], check: Callable[[], None]) -> None:
    import http.client  # here: most runs fetch nothing, and these three cost 4 % of a cold start
    import urllib.error
    import urllib.request

    try:
        request = urllib.request.Request(url, headers={"User-Agent": f"distilcli/{__version__}"})
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
            expected = response.headers.get("Content-Length")
            size = copy(response, file, check)
    except urllib.error.HTTPError as error:
        raise InputError(f"{url}: the server answers {error.code} {error.reason}") from error
    except (http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(f"{url}: cannot be fetched: {reason}") from error
    if expected is not None and size < int(expected):
        raise InputError(f"{url}: the connection ended after {size} of {expected} bytes")
