"""Media files of many kinds, encoded with PyAV from seeded signals."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Kind:
    """How a test file is encoded: suffix, codec, Hz, channel layout, bits per second."""

    suffix: str
    codec: str
    rate: int = 44_100
    layout: str = "stereo"
    bit_rate: int = 128_000


KINDS = {
    "wav-16k-mono": Kind(".wav", "pcm_s16le", 16_000, "mono"),
    "wav-44k": Kind(".wav", "pcm_s16le"),
    "wav-8k-mulaw": Kind(".wav", "pcm_mulaw", 8_000, "mono"),
    "wav-24-bit": Kind(".wav", "pcm_s24le", 48_000),
    "wav-float": Kind(".wav", "pcm_f32le"),
    "wav-8-channels-192k": Kind(".wav", "pcm_s16le", 192_000, "7.1"),
    "aiff": Kind(".aiff", "pcm_s16be"),
    "mp3": Kind(".mp3", "libmp3lame"),
    "mp3-22k-mono": Kind(".mp3", "libmp3lame", 22_050, "mono"),
    "m4a-aac": Kind(".m4a", "aac"),
    "m4a-alac": Kind(".m4a", "alac"),
    "mp4": Kind(".mp4", "aac", 48_000),
    "mov": Kind(".mov", "aac", 48_000),
    "mkv": Kind(".mkv", "ac3", 48_000, "5.1"),
    "webm": Kind(".webm", "libopus", 48_000),
    "ogg-opus": Kind(".ogg", "libopus", 48_000, "mono"),
    "flac": Kind(".flac", "flac"),
    "flac-16k-mono": Kind(".flac", "flac", 16_000, "mono"),
    "wma": Kind(".wma", "wmav2"),
    "amr": Kind(".amr", "libopencore_amrnb", 8_000, "mono", 12_200),
    "mpeg-ts": Kind(".ts", "mp2", 48_000),
}


def babble(seconds: float, rate: int = 16_000, channels: int = 1, seed: int = 0) -> NDArray[np.int16]:
    """Noise whose loudness moves like that of speech, shape (n, channels), int16."""
    source = np.random.default_rng(seed)
    n = round(seconds * rate)
    loudness = np.repeat(source.uniform(0, 1, n // (rate // 8) + 1) ** 3, rate // 8)[:n, None]
    return (source.normal(0, 5000, (n, channels)) * loudness).clip(-32768, 32767).astype(np.int16)


def write(
    path: Path,
    samples: NDArray[np.int16] | NDArray[np.float32],
    kind: Kind,
    *,
    tracks: Sequence[dict[str, str]] = ({},),
    video: bool = False,
    options: dict[str, str] | None = None,
) -> Path:
    """Encode samples, shape (n, channels), int16 or float32, once per track (given by its metadata)."""
    with av.open(str(path), "w", options=options or {}) as container:
        if video:
            pictures = container.add_stream("mpeg4", rate=25)
            pictures.width = pictures.height = 64
        streams = []
        for metadata in tracks:
            stream = container.add_stream(kind.codec, rate=kind.rate, layout=kind.layout)
            stream.metadata.update(metadata)
            stream.bit_rate = kind.bit_rate
            streams.append(stream)
        for number, stream in enumerate(streams):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(np.roll(samples, number * kind.rate // 10, axis=0)).reshape(1, -1),
                format="s16" if samples.dtype == np.int16 else "flt",
                layout=kind.layout,
            )
            frame.sample_rate, frame.pts = kind.rate, 0
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
        if video:
            for _ in range(25):
                picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
                container.mux(pictures.encode(picture))
            container.mux(pictures.encode(None))
    return path


def write_kind(path: Path, kind: Kind, seconds: float, *, video: bool = False, seed: int = 0) -> Path:
    """A file of this kind with babble of the given length."""
    channels = av.AudioLayout(kind.layout).nb_channels
    return write(path, babble(seconds, kind.rate, channels, seed), kind, video=video)


def write_video(path: Path) -> Path:
    """One second of moving pictures without sound."""
    return write(path, np.zeros((0, 1), np.int16), KINDS["mp4"], tracks=(), video=True)


def write_wav(path: Path, samples: NDArray[np.int16], rate: int = 16_000) -> Path:
    """A plain PCM file, without PyAV; samples of shape (n,) or (n, channels)."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


def truncate(source: Path, target: Path, share: float) -> Path:
    """The first part of a file."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target
