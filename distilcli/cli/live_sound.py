"""Sound as it comes, for ``--live``: raw samples on standard input, or a microphone. Knows no model.

Imported inside command bodies only: it brings numpy.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from distilcli.errors import EnvironmentProblem
from distilcli.spool import as_float
from distilcli.types import SAMPLE_RATE

_READ = 1 << 16  # bytes
_BLOCK = SAMPLE_RATE // 10  # samples of a microphone's block


class Arrived:
    """Samples that one thread brings and another takes; None ends them."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[NDArray[np.int16] | None] = SimpleQueue()

    def put(self, samples: NDArray[np.int16]) -> None:
        """Bring samples, shape (n,)."""
        self._queue.put(samples)

    def end(self) -> None:
        """No more samples come; may be called from a signal handler, and twice."""
        self._queue.put(None)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Everything that has come since the last block, as soon as there is something, until the end."""
        while True:
            waiting = [self._queue.get()]
            while True:
                try:
                    waiting.append(self._queue.get_nowait())
                except Empty:
                    break
            ended = next((place for place, one in enumerate(waiting) if one is None), None)
            samples = [one for one in waiting[:ended] if one is not None]
            if samples:
                yield as_float(np.concatenate(samples))
            if ended is not None:
                return


@contextmanager
def standard_input(stream: BinaryIO | None = None) -> Iterator[Arrived]:
    """Raw samples: 16 kHz, mono, signed 16 bit, little endian; `stream` stands in for standard input."""
    buffered = stream or sys.stdin.buffer
    # A thread that waits inside the buffer would hold its lock when the program ends.
    source: Any = getattr(buffered, "raw", buffered)
    arrived = Arrived()

    def read() -> None:
        odd = b""
        while data := source.read(_READ):
            data = odd + data
            even = len(data) // 2 * 2
            odd = data[even:]
            arrived.put(np.frombuffer(data[:even], "<i2").astype(np.int16))
        arrived.end()

    threading.Thread(target=read, daemon=True).start()  # a read that waits for ever must not hold the end up
    yield arrived


@contextmanager
def microphone(device: str | None) -> Iterator[Arrived]:
    """The samples of a microphone: the default one, or the `device` of this number or name.

    Raises:
        EnvironmentProblem: the library sounddevice is missing, or no such microphone can be opened.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: the PortAudio library that it needs is missing
        raise EnvironmentProblem(
            f"--live listens to a microphone through sounddevice, which cannot be loaded: {error}",
            hint="pipx inject distilcli sounddevice, or pipe raw samples into distilcli transcribe --live -",
        ) from error
    arrived = Arrived()
    try:
        stream = sounddevice.InputStream(
            samplerate=SAMPLE_RATE,
            blocksize=_BLOCK,
            channels=1,
            dtype="int16",
            device=int(device) if device and device.isdecimal() else device,
            callback=lambda samples, *_: arrived.put(samples[:, 0].copy()),
        )
    except (sounddevice.PortAudioError, ValueError) as error:
        raise EnvironmentProblem(
            f"the microphone cannot be opened: {error}", hint="python -m sounddevice lists what there is"
        ) from error
    with stream:
        yield arrived


@contextmanager
def stopping(arrived: Arrived) -> Iterator[None]:
    """Inside, the first Ctrl-C or SIGTERM ends the sound, so that what was said is finished and written."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: FrameType | None) -> None:
        for known, handler in before.items():
            signal.signal(known, handler)
        arrived.end()

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
