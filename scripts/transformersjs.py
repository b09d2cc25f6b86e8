"""Transformers.js in Node, for scripts: installs it in a folder that git ignores, and runs jobs in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

VERSION = "4.3.1"
PACKAGE = "@huggingface/transformers"
HOME = Path(__file__).resolve().parents[1] / ".cache" / "transformersjs"
SCRIPT = "transformersjs.mjs"
TIME_LIMIT = 900  # seconds for the jobs of one call
INSTALL_TIME_LIMIT = 300

# onnxruntime-node fetches CUDA libraries after its installation; what processors need is in the package.
_NO_DOWNLOADS = {"ONNXRUNTIME_NODE_INSTALL": "skip", "ONNXRUNTIME_NODE_INSTALL_CUDA": "skip"}
_GIVE_UP_SOON = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=30000")

_CODES = ("code ", "syscall ", "errno ")  # lines of npm before the one that explains


def unavailable() -> str:
    """Install Transformers.js where `run` finds it, once; says in a clause why it cannot run, '': it can."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        return f"{' and '.join(missing)} not installed"
    HOME.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(__file__).with_name(SCRIPT), HOME / SCRIPT)  # imports resolve beside the script
    installed = HOME / "node_modules" / PACKAGE / "package.json"
    if installed.is_file() and json.loads(installed.read_text(encoding="utf-8"))["version"] == VERSION:
        return ""
    (HOME / "package.json").write_text('{"private": true}\n', encoding="utf-8")
    command = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *_GIVE_UP_SOON]
    try:
        subprocess.run(
            [*command, f"{PACKAGE}@{VERSION}"],
            cwd=HOME,
            env={**os.environ, **_NO_DOWNLOADS},
            check=True,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIME_LIMIT,
        )
    except subprocess.TimeoutExpired:
        return f"npm did not install {PACKAGE} {VERSION} within {INSTALL_TIME_LIMIT} s"
    except subprocess.CalledProcessError as error:
        told = [line.removeprefix("npm error ") for line in error.stderr.splitlines() if line.strip()]
        reason = next((line for line in told if not line.startswith(_CODES)), "it said nothing")
        return f"npm cannot install {PACKAGE} {VERSION}: {reason}"
    return ""


def run(jobs: Sequence[Mapping[str, Any]]) -> list[Any]:
    """What the script in Node answers to each job, all in one process; see its functions for both.

    Raises:
        subprocess.CalledProcessError, subprocess.TimeoutExpired: it failed, or took too long.
    """
    found = subprocess.run(
        ["node", HOME / SCRIPT],
        input=json.dumps(jobs),
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        timeout=TIME_LIMIT,
        check=True,
    )
    answers: list[Any] = json.loads(found.stdout)
    return answers
