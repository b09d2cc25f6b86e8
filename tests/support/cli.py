"""The command line as a person uses it: words in; exit code, stdout and stderr out."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from unittest import mock


@dataclass(frozen=True)
class Result:
    """How a command ended and what it printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The lines of ``--json``."""
        return [json.loads(line) for line in self.stdout.splitlines()]


class _Captured(io.TextIOWrapper):
    """A stream that is no terminal and remembers what was written."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        super().__init__(self._bytes, encoding="utf-8", newline="\n")

    @property
    def text(self) -> str:
        self.flush()
        return self._bytes.getvalue().decode("utf-8")


def run(*argv: object, env: Mapping[str, str] | None = None, stdin: bytes | None = None) -> Result:
    """Run ``distilcli argv`` in this process. `env` adds to the environment; `stdin` is what is piped in."""
    from distilcli.cli.app import main

    out, err, given = _Captured(), _Captured(), io.TextIOWrapper(io.BytesIO(stdin or b""))
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "stdin", given),
        mock.patch.dict(os.environ, {**_PLAIN, **(env or {})}),
    ):
        try:
            main([str(word) for word in argv])
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Result(code, out.text, err.text)


def command(*argv: object) -> list[str]:
    """The words that start ``distilcli argv`` as a process of its own."""
    return [sys.executable, "-m", "distilcli", *(str(word) for word in argv)]


@contextlib.contextmanager
def running(*argv: object) -> Iterator[subprocess.Popen[str]]:
    """``distilcli argv`` as a process of its own, streams as pipes; killed at the end at the latest."""
    process = subprocess.Popen(
        command(*argv),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **_PLAIN},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


# Pages of help have the same width everywhere.
_PLAIN = {"COLUMNS": "100", "PYTHONIOENCODING": "utf-8"}
