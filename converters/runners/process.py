"""Asks a runtime in a child process, for a limited time. Knows no runtime."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from distilcli.converters.runners import UNFIT, ProbeAnswer, ProbeRequest
from distilcli.errors import DistilError

_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "CUDA_VISIBLE_DEVICES": "",  # answers are compared with each other: all of them from the CPU
}


class ProbeFailed(DistilError):
    """A runtime gave no answer: it refused the export, crashed, or took too long."""


class RuntimeUnfit(DistilError):
    """A runtime cannot judge an export for a reason of its own, such as its version."""


def ask(name: str, target: Path, request: ProbeRequest, seconds: float) -> ProbeAnswer:
    """What the runtime `name` of `RUNNERS` says.

    Args:
        name: of the runtime.
        target: the export, or the checkpoint's folder.
        request: what it is asked.
        seconds: after this time the process is killed.

    Raises:
        ProbeFailed: no answer; the message ends with what the process said last.
        RuntimeUnfit: the runtime cannot judge this export; the message says why.
    """
    content = {**asdict(request), "audio": str(request.audio), "target": str(target)}
    # -P: the folder that distilcli is started in must not shadow the installed package.
    command = [sys.executable, "-P", "-m", __package__, name]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(content),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, **_ENVIRONMENT},
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProbeFailed(f"{name} gave no answer within {seconds:g} s") from error
    if done.returncode == UNFIT:
        raise RuntimeUnfit(_last_line(done.stderr))
    if done.returncode != 0:
        raise ProbeFailed(f"{name} {_how_it_ended(done.returncode)}: {_last_line(done.stderr)}")
    try:
        return ProbeAnswer(**json.loads(done.stdout))
    except (ValueError, TypeError) as error:
        raise ProbeFailed(f"{name} gave an answer that is none: {done.stdout[:80]!r}") from error


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return "failed"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
