"""One fresh process for one case: load, warm up, then answer each request with a sample.

Run as ``python -m distilcli.bench.worker``. The first line of standard input is a `Job`, every other line a
`Request`; each gets one line of JSON. Whatever libraries print goes to standard error. Knows no other case.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO, TypeVar

from distilcli import stages
from distilcli.bench import systems
from distilcli.bench.json_values import from_json, to_json
from distilcli.bench.memory import cpu_seconds, gpu_bytes, peak_rss
from distilcli.bench.peers.base import Heard, LoadedPeer
from distilcli.bench.values import Case, Clip, ClipSet, Sample
from distilcli.errors import DistilError
from distilcli.writers.atomic import write_atomically

WARM_UP_SECONDS = 65.0
"""Longest warm-up: two windows and the begin of a third, so that everything has run that will run."""

MODEL_STAGES = ("encoder", "decoder")
Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What the process is for; `weights` is what the system's `prepare` returned."""

    case: Case
    weights: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """The answer to a job: seconds of loading, or why the system cannot be loaded."""

    load: float
    error: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One run to be measured."""

    data: ClipSet
    round: int


def main() -> None:
    """Serve one job."""
    answers = _claim_stdout()
    job = from_json(Job, sys.stdin.readline())
    began = time.perf_counter()
    try:
        loaded = systems.drive(job.case.system).load(job.case, Path(job.weights))
    except Exception as error:  # the process ends with it, and the one that asked must know why
        traceback.print_exc()
        _say(answers, Ready(load=0.0, error=_reason(error)))
        return
    load = time.perf_counter() - began
    _say(answers, Ready(load=load))
    with tempfile.TemporaryDirectory() as scratch:
        warm: set[str] = set()
        for line in sys.stdin:
            request = from_json(Request, line)
            blank = Sample(
                case=job.case.key, data=request.data.key, round=request.round, wall=0.0, cpu=0.0, load=load
            )
            try:
                if request.data.key not in warm:
                    warm_up(loaded, request.data, Path(scratch))
                    warm.add(request.data.key)
                sample = measure(loaded, request.data.clips, Path(scratch), blank)
            except Exception as error:  # one run has failed, as the sample says; the next one may not
                traceback.print_exc()
                sample = replace(blank, error=_reason(error))
            _say(answers, sample)
    loaded.close()


def measure(loaded: LoadedPeer, clips: Sequence[Clip], scratch: Path, blank: Sample) -> Sample:
    """One run from recordings on disk to texts on disk, written to `scratch`."""
    before = loaded.counts if isinstance(loaded, systems.Counting) else None
    load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    cpu = cpu_seconds()
    with stages.measured() as clock:
        heard, latencies = _transcribe(loaded, clips, scratch)
    cpu = cpu_seconds() - cpu
    done = loaded.counts.since(before) if isinstance(loaded, systems.Counting) and before else None
    model = sum(clock.seconds.get(name, 0.0) for name in MODEL_STAGES)
    tokens = _known([one.tokens for one in heard])
    together = getattr(loaded, "together", False) and len(clips) > 1
    return replace(
        blank,
        wall=clock.wall,
        cpu=cpu,
        model=model or None,
        latencies=() if together else latencies,
        first_segments=_known([one.first_segment for one in heard]),
        tokens=sum(tokens) if tokens else None,
        token_digests=_known([one.digest for one in heard]),
        texts=tuple(one.text for one in heard),
        stages=clock.seconds,
        background=clock.background,
        windows=done.windows if done else None,
        encoder_calls=done.encoder_calls if done else None,
        fallbacks=done.fallbacks if done else None,
        retries=done.retries if done else None,
        flags=dict(done.flags) if done else {},
        peak_rss=peak_rss(),
        peak_vram=gpu_bytes(),
        compute_type=getattr(loaded, "compute_type", ""),
        machine_load=load_average,
    )


def warm_up(loaded: LoadedPeer, data: ClipSet, scratch: Path) -> None:
    """Transcribe the shortest clip of a set or its beginning; for a system with batches, twice at once."""
    clip = min(data.clips, key=lambda one: one.duration)
    if clip.duration > WARM_UP_SECONDS:
        clip = _beginning(clip, scratch / "warm-up.wav")
    clips = [clip, clip] if getattr(loaded, "together", False) else [clip]
    for _ in loaded.transcribe(clips):
        pass


def _transcribe(
    loaded: LoadedPeer, clips: Sequence[Clip], scratch: Path
) -> tuple[list[Heard], tuple[float, ...]]:
    """The results, each written as soon as it is there, and the seconds that each took."""
    heard: list[Heard] = []
    latencies: list[float] = []
    results: Iterator[Heard] = loaded.transcribe(clips)
    began = time.perf_counter()
    for one in results:
        took = time.perf_counter() - began
        latencies.append(took if one.latency is None else one.latency)
        write_atomically(scratch / f"{len(heard)}.txt", one.text + "\n")
        heard.append(one)
        began = time.perf_counter()
    assert len(heard) == len(clips), f"expected {len(clips)} texts, found {len(heard)}"
    return heard, tuple(latencies)


def _beginning(clip: Clip, path: Path) -> Clip:
    import numpy as np

    from distilcli.audio import open_audio
    from distilcli.sound_files import write_wave
    from distilcli.types import SAMPLE_RATE

    with open_audio(clip.path) as audio:
        samples = audio.samples[0 : round(WARM_UP_SECONDS * SAMPLE_RATE)]
    write_wave(path, (samples * 32768).astype(np.int16))
    return replace(clip, path=str(path), duration=WARM_UP_SECONDS)


def _known(values: Sequence[Value | None]) -> tuple[Value, ...]:
    """The values, if all of them are known; else none."""
    return tuple(value for value in values if value is not None) if None not in values else ()


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, DistilError) else f"{type(error).__name__}: {error}"


def _claim_stdout() -> TextIO:
    """Standard output for answers alone: what libraries print, in C as well, goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _say(answers: TextIO, value: object) -> None:
    answers.write(to_json(value) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
