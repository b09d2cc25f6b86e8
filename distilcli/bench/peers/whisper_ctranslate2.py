"""whisper-ctranslate2, a command: one process for the recordings of a run, from start-up to JSON files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from distilcli.bench.peers.base import Heard, temperature_step
from distilcli.bench.peers.faster_whisper import compute_type, prepare
from distilcli.bench.values import digest_of
from distilcli.errors import EnvironmentProblem, InputError

if TYPE_CHECKING:
    from distilcli.bench.values import Case, Clip

__all__ = ["differences", "load", "prepare"]

COMMAND = "whisper-ctranslate2"


def differences(case: Case) -> tuple[str, ...]:
    """A command begins anew in each run."""
    found = ["is a command: start-up and loading of the model are part of every run"]
    if case.defaults:
        return tuple(found)
    if case.timestamps == (case.strategy == "chunked"):
        found.append(f"has no option for timestamp tokens: it writes {'none' if case.timestamps else 'them'}")
    if case.strategy == "chunked":
        found.append(
            "cuts windows at the pauses that its voice activity detector finds, and decodes only speech"
        )
        if case.chunk_length is not None:
            found.append("has no option for the length of a chunk")
        if len(case.temperatures) > 1:
            found.append("tries the first temperature only: its batches have no fallback")
    return tuple(found)


def load(case: Case, weights: Path) -> Command:
    """Find the command; the weights are loaded in each run.

    Raises:
        EnvironmentProblem: the library is here, and its command is not.
    """
    beside = str(Path(sys.executable).parent)
    program = shutil.which(COMMAND, path=beside) or shutil.which(COMMAND)
    if program is None:
        raise EnvironmentProblem(f"the command {COMMAND} is not in {beside}, nor in PATH")
    return Command(case, [program, *_arguments(case, weights)])


def _arguments(case: Case, weights: Path) -> list[str]:
    """What does not change from run to run."""
    device, _, index = case.device.partition(":")
    given = {
        "model_directory": weights,
        "device": device,
        "device_index": index or 0,
        "compute_type": compute_type(case),
        "threads": case.threads,
        "verbose": False,
        "output_format": "json",
    }
    if not case.defaults:
        given |= {
            "beam_size": case.beam_size,
            "temperature": case.temperatures[0],
            "temperature_increment_on_fallback": temperature_step(case),
            "condition_on_previous_text": case.condition_on_previous_text,
        }
        if case.strategy == "chunked":
            given |= {"batched": True, "batch_size": case.batch_size}
    return [word for name, value in given.items() for word in (f"--{name}", str(value))]


class Command:
    """The command with the arguments of a case."""

    def __init__(self, case: Case, line: list[str]) -> None:
        self._case, self._line = case, line

    def transcribe(self, clips: Sequence[Clip]) -> Iterator[Heard]:
        """Run the command on neighbours of one language; a recording is done when its file is written.

        Raises:
            InputError: the command could not transcribe a recording.
        """
        first = 0
        while first < len(clips):
            language = self._case.language_of(clips[first])
            last = first
            while last < len(clips) and self._case.language_of(clips[last]) == language:
                last += 1
            yield from self._run(clips[first:last], language)
            first = last

    def close(self) -> None:
        """Nothing stays in memory."""

    def _run(self, clips: Sequence[Clip], language: str | None) -> Iterator[Heard]:
        with tempfile.TemporaryDirectory() as scratch:
            names = []
            for number, clip in enumerate(clips):  # names of their own: results are called after them
                names.append(f"{number}{Path(clip.path).suffix}")
                Path(scratch, names[-1]).symlink_to(Path(clip.path).resolve())
            spoken = ["--language", language] if language else []
            begun = time.time()
            done = subprocess.run(
                [*self._line, *spoken, "--output_dir", scratch, *names],
                cwd=scratch,
                capture_output=True,
                text=True,
            )
            for number, clip in enumerate(clips):
                result = Path(scratch, f"{number}.json")
                if not result.is_file():
                    reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
                    raise InputError(f"{COMMAND} has no result for {clip.path}: {reason[0]}")
                ended = result.stat().st_mtime
                yield _heard(result, max(0.0, ended - begun))
                begun = ended


def _heard(result: Path, seconds: float) -> Heard:
    found = json.loads(result.read_text(encoding="utf-8"))
    tokens = [token for segment in found["segments"] for token in segment["tokens"]]
    return Heard(
        text=found["text"].strip(),
        language=found["language"],
        tokens=len(tokens),
        latency=seconds,
        digest=digest_of(tokens),
    )
