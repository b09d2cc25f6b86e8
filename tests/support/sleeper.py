"""A system for benches of known latency: it sleeps as long as its model is called, for each clip.

A model ``0.05`` takes 0.05 seconds per clip, times what ``SLEEPER_SLOWDOWN`` says; other names fail.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from distilcli import stages
from distilcli.bench.peers.base import Heard
from distilcli.bench.systems import Counts
from distilcli.bench.values import Case, Clip, digest_of
from distilcli.errors import EnvironmentProblem

SYSTEM = "tests.support.sleeper"


def differences(case: Case) -> tuple[str, ...]:
    return ("hears nothing",)


def prepare(case: Case) -> Path:
    if case.model == "missing":
        raise EnvironmentProblem("it is not there", hint="make it")
    return Path(__file__)


def load(case: Case, weights: Path) -> Sleeper:
    print("libraries print what they like")
    os.write(1, b"in C as well\n")
    if case.model == "crash":
        os._exit(3)
    return Sleeper(float(case.model) * float(os.environ.get("SLEEPER_SLOWDOWN", "1")))


class Sleeper:
    """Says what the reference of a clip says, and is tired after every one."""

    compute_type = "sleep"

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._windows = 0

    @property
    def counts(self) -> Counts:
        return Counts(windows=self._windows, encoder_calls=self._windows, flags={"tired": self._windows})

    def transcribe(self, clips: Sequence[Clip]) -> Iterator[Heard]:
        for clip in clips:
            with stages.stage("encoder"):
                time.sleep(self._seconds * 0.75)
                with stages.stage("features"):
                    time.sleep(self._seconds * 0.25)
            self._windows += 1
            text = clip.text or ""
            yield Heard(text=text, tokens=len(text.split()), digest=digest_of(text), first_segment=0.5)

    def close(self) -> None:
        self._seconds = 0.0
