"""What PyAV reads out of a media file: its audio tracks, and one of them as 16 kHz mono int16.

Knows no path, URL or spool: it is handed an open file and a name for messages. PyAV's exceptions end here.
"""

from __future__ import annotations

import itertools
import wave
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import av
import av.audio
import av.container
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from distilcli.errors import InputError
from distilcli.types import SAMPLE_RATE

Samples16 = NDArray[np.int16]
Warn = Callable[[str], None]

_GROUP = 500_000
"""Source samples that are resampled at once: frame by frame costs 1.3 times as much."""

_EXACT_LENGTH = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "flac", "aiff"})
"""Containers that always state the length of a track."""

_PLAIN_WAV = (1, 2, SAMPLE_RATE)
"""Channels, bytes per sample and Hz of a WAV file that needs no decoder."""

_UNKNOWN_LENGTH = 0x7FFF_0000 // 2
"""Samples from which on a WAV header is one that was written before the length was known."""


@dataclass(frozen=True, slots=True)
class Track:
    """One audio track. `index` counts from 1, `rate` is in Hz; `language` and `title` may be empty."""

    index: int
    codec: str
    channels: int
    rate: int
    language: str = ""
    title: str = ""

    def __str__(self) -> str:
        notes = [self.codec, f"{self.channels} ch", f"{self.rate} Hz", self.language, self.title]
        return f"{self.index} ({', '.join(note for note in notes if note)})"


@dataclass(frozen=True, slots=True)
class Probe:
    """What a file says about itself; `duration` in seconds, None where it does not say."""

    duration: float | None
    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Decoded samples, and the recording's stated length in seconds (None where unknown).

    Shape (n,), or (n, channels) where the channels were kept apart.
    """

    samples: Samples16
    total: float | None


def probe_file(file: IO[bytes], name: str) -> Probe:
    """Tracks and duration, from the headers alone. Raises `InputError`."""
    with _reading(name), _opened(file, name) as container:
        return Probe(_duration(container), _tracks(container))


def decode(
    file: IO[bytes], name: str, track: int | None, warn: Warn, *, split: bool = False
) -> Iterator[Block]:
    """One audio track (counted from 1; the first by default) as 16 kHz blocks of bounded size, mono.

    The samples are those of faster-whisper's `decode_audio`; `split` keeps the channels apart. Damage in the
    middle of a file is skipped, and a file that ends early yields what it has; `warn` hears of both. Raises
    `InputError` when nothing is there.
    """
    empty = True
    with _reading(name):
        blocks = _plain_wav(file, name, warn) if track in (None, 1) and not split else None
        for block in blocks or _decoded(file, name, track, warn, split):
            empty = empty and not len(block.samples)
            yield block
    if empty:
        raise InputError(f"{name}: the audio track is empty, it holds no samples")


def _plain_wav(file: IO[bytes], name: str, warn: Warn) -> Iterator[Block] | None:
    """The blocks of a 16 kHz mono 16-bit PCM file, which need no decoder, or None for any other file."""
    try:
        reader = wave.open(file, "rb")  # noqa: SIM115  # closing it would not close the file that it was given
    except (wave.Error, EOFError):
        file.seek(0)
        return None
    stated = reader.getnframes()
    if stated and (reader.getnchannels(), reader.getsampwidth(), reader.getframerate()) == _PLAIN_WAV:
        return _wav_blocks(reader, name, stated, warn)
    file.seek(0)
    return None


def _wav_blocks(reader: wave.Wave_read, name: str, stated: int, warn: Warn) -> Iterator[Block]:
    total = stated / SAMPLE_RATE if stated < _UNKNOWN_LENGTH else None
    done = 0
    while data := reader.readframes(_GROUP):
        samples = np.frombuffer(data[: len(data) // 2 * 2], np.int16)
        done += len(samples)
        yield Block(samples, total)
    _warn_if_short(name, done, total, warn)


def _decoded(file: IO[bytes], name: str, track: int | None, warn: Warn, split: bool) -> Iterator[Block]:
    with _opened(file, name) as container:
        stream = _choose(container, name, track)
        total = _duration(container)
        frames = _frames(container, stream, name, warn)
        if stream.codec.canonical_name.startswith("pcm_f"):  # no other codec can hold what is not a number
            frames = _finite(frames, name, warn)
        done = 0
        for samples in _resampled(frames, split):
            done += len(samples)
            yield Block(samples, total)
        if done:
            _warn_if_short(name, done, _exact_length(container, stream, file), warn)


def _frames(
    container: av.container.InputContainer, stream: av.audio.AudioStream, name: str, warn: Warn
) -> Iterator[av.AudioFrame]:
    """The frames of one track; packets that cannot be decoded are left out.

    (`container.decode` would end at the first of them, and everything after it would be lost.)
    """
    decoded, damaged, complaint = False, 0, None
    packets = container.demux(stream)
    try:
        for packet in packets:
            try:
                frames = packet.decode()
            except FFmpegError as error:
                damaged, complaint = damaged + 1, error
                continue
            for frame in frames:
                decoded = True
                yield frame
    except FFmpegError as error:
        complaint = error
        if decoded:
            warn(f"{name}: cannot be read to its end ({error.strerror}); what was read is used")
    if complaint and not decoded:
        raise InputError(f"{name}: the audio cannot be decoded ({complaint.strerror})") from complaint
    if damaged:
        warn(f"{name}: {damaged} damaged packet{'s' if damaged > 1 else ''} of audio left out")


def _finite(frames: Iterable[av.AudioFrame], name: str, warn: Warn) -> Iterator[av.AudioFrame]:
    """Frames of floats with silence for NaN and full scale for infinity, which would deafen the peak."""
    bad = 0
    for frame in frames:
        samples = frame.to_ndarray()
        finite = np.isfinite(samples)
        if finite.all():
            yield frame
            continue
        bad += int(samples.size - finite.sum())
        mended = samples.copy()
        np.nan_to_num(mended, copy=False, nan=0.0, posinf=1.0, neginf=-1.0)
        replacement = av.AudioFrame.from_ndarray(mended, frame.format.name, frame.layout.name)
        replacement.sample_rate = frame.sample_rate
        yield replacement
    if bad:
        warn(f"{name}: {bad} samples are not finite numbers; NaN is taken as silence")


def _resampled(frames: Iterable[av.AudioFrame], split: bool) -> Iterator[Samples16]:
    """16 kHz samples of frames, which may change their format on the way: (n,), or (n, channels)."""
    for _, run in itertools.groupby(frames, lambda f: (f.format.name, f.layout.name, f.sample_rate)):
        # Not float: swresample leaves the downmix of float samples unnormalised, 3 dB louder than s16.
        layout = None if split else "mono"
        resampler = av.AudioResampler(format="s16", layout=layout, rate=SAMPLE_RATE)
        for group in itertools.chain(_grouped(run), [None]):  # None flushes
            for frame in resampler.resample(group):
                samples = frame.to_ndarray()[0]
                yield samples.reshape(-1, frame.layout.nb_channels) if split else samples


def _grouped(frames: Iterable[av.AudioFrame]) -> Iterator[av.AudioFrame | None]:
    fifo = av.AudioFifo()
    for frame in frames:
        frame.pts = None  # the queue would refuse gaps
        fifo.write(frame)
        if fifo.samples >= _GROUP:
            yield fifo.read()
    if fifo.samples:
        yield fifo.read()


def _choose(container: av.container.InputContainer, name: str, track: int | None) -> av.audio.AudioStream:
    tracks = _tracks(container)
    if not tracks:
        raise InputError(f"{name}: expected an audio track, found {_other_streams(container)}")
    if track is not None and not 1 <= track <= len(tracks):
        raise InputError(f"{name}: has no audio track {track}; it has {'; '.join(map(str, tracks))}")
    stream = container.streams.audio[(track or 1) - 1]
    if stream.codec_context is None:
        raise InputError(f"{name}: audio track {track or 1} is coded in a way that libav does not know")
    return stream


def _other_streams(container: av.container.InputContainer) -> str:
    kinds = sorted({stream.type for stream in container.streams})
    return f"only {' and '.join(kinds)}" if kinds else "no track at all"


def _tracks(container: av.container.InputContainer) -> tuple[Track, ...]:
    return tuple(_track(index, stream) for index, stream in enumerate(container.streams.audio, 1))


def _track(index: int, stream: av.audio.AudioStream) -> Track:
    known = stream.codec_context is not None
    return Track(
        index=index,
        codec=stream.codec.canonical_name if known else "unknown",
        channels=stream.channels if known else 0,
        rate=stream.rate if known else 0,
        language=stream.metadata.get("language", ""),
        title=stream.metadata.get("title", ""),
    )


def _duration(container: av.container.InputContainer) -> float | None:
    return container.duration / av.time_base if container.duration else None


def _exact_length(
    container: av.container.InputContainer, stream: av.audio.AudioStream, file: IO[bytes]
) -> float | None:
    """The track's length in seconds where the file states it, None where libav can only estimate it."""
    if container.format.name == "matroska,webm":  # states the length of its longest track only
        return _duration(container) if len(container.streams) == 1 else None
    if container.format.name in _EXACT_LENGTH or (container.format.name == "mp3" and _counts_frames(file)):
        return float(stream.duration * stream.time_base) if stream.duration and stream.time_base else None
    return None


def _counts_frames(file: IO[bytes]) -> bool:
    """Whether an MP3 file begins with a Xing or Info frame, which states the number of frames."""
    file.seek(0)
    head = file.read(10)
    if head[:3] == b"ID3":  # its size is written in 7 bits per byte
        size = sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        file.seek(10 + size)
    first_frame = file.read(200)
    return b"Xing" in first_frame or b"Info" in first_frame


def _warn_if_short(name: str, done: int, total: float | None, warn: Warn) -> None:
    seconds = done / SAMPLE_RATE
    if total is not None and seconds < total - 1:
        warn(f"{name}: ends after {seconds:.1f} of {total:.1f} seconds: the file is cut short")


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Translate what the operating system or libav says when reading fails: a disk error, a lost share."""
    try:
        yield
    except (OSError, FFmpegError) as error:
        raise InputError(f"{name}: cannot be read: {error.strerror or error}") from error


@contextmanager
def _opened(file: IO[bytes], name: str) -> Iterator[av.container.InputContainer]:
    head = file.read(4096)
    if not head:
        raise InputError(f"{name}: the file is empty (0 bytes)")
    file.seek(0)
    try:
        container = av.open(file, mode="r", metadata_errors="ignore")
    except FFmpegError as error:
        raise InputError(
            f"{name}: expected audio or video, found {_kind(head)} ({error.strerror})"
        ) from error
    with container:
        yield container


def _kind(head: bytes) -> str:
    if head[4:8] == b"ftyp":
        return "an MP4 file whose index is missing, as if it had been cut short"
    try:
        head.decode("utf-8")
    except UnicodeDecodeError:
        return "data of an unknown kind"
    return "only zeros" if not head.strip(b"\0") else "text"
