"""Transformers.js in Node, for scripts: installs it in a folder that git ignores, and runs jobs in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

VERSION = "4.3.1"
PACKAGE = "@huggingface/transformers"
HOME = Path(__file__).resolve().parents[1] / ".cache" / "transformersjs"
SCRIPT = "transformersjs.mjs"
TIME_LIMIT = 900  # seconds for one job

# onnxruntime-node fetches CUDA libraries after its installation; what processors need is in the package.
_NO_DOWNLOADS = {"ONNXRUNTIME_NODE_INSTALL": "skip", "ONNXRUNTIME_NODE_INSTALL_CUDA": "skip"}


def missing() -> str:
    """The programs that are needed and not installed, in words; empty: none."""
    return " and ".join(name for name in ("node", "npm") if shutil.which(name) is None)


def install() -> None:
    """Put Transformers.js where `run` finds it, once.

    Raises:
        subprocess.CalledProcessError: npm cannot fetch it.
    """
    HOME.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(__file__).with_name(SCRIPT), HOME / SCRIPT)  # imports resolve beside the script
    installed = HOME / "node_modules" / PACKAGE / "package.json"
    if installed.is_file() and json.loads(installed.read_text(encoding="utf-8"))["version"] == VERSION:
        return
    (HOME / "package.json").write_text('{"private": true}\n', encoding="utf-8")
    subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", f"{PACKAGE}@{VERSION}"],
        cwd=HOME,
        env={**os.environ, **_NO_DOWNLOADS},
        check=True,
    )


def run(job: dict[str, Any]) -> Any:
    """What the script in Node answers; see its functions for jobs and answers.

    Raises:
        subprocess.CalledProcessError, subprocess.TimeoutExpired: it failed, or took too long.
    """
    found = subprocess.run(
        ["node", HOME / SCRIPT],
        input=json.dumps(job),
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        timeout=TIME_LIMIT,
        check=True,
    )
    return json.loads(found.stdout)
