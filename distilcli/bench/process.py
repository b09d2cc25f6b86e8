"""The parent's side of a worker process: start it with fixed threads, ask it, and know when it has died."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from distilcli.bench.json_values import from_json, to_json
from distilcli.bench.values import Case, ClipSet, Sample
from distilcli.bench.worker import Job, Ready, Request

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""What every library of numbers reads its number of threads from; each worker gets that of its case."""

_PATIENCE = 10.0  # seconds for a worker to end by itself


class Worker:
    """A process that has loaded one case. What it cannot do comes back as the error of a sample."""

    def __init__(self, case: Case, weights: Path) -> None:
        self.peak_rss = 0
        self._case = case
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  # closed below
        self._process = subprocess.Popen(
            [sys.executable, "-m", "distilcli.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
            env=environment(case),
        )
        answer = self._ask(Job(case=case, weights=str(weights)))
        self._error = from_json(Ready, answer).error if answer else self._last_words()

    @property
    def broken(self) -> bool:
        """Whether the case could not be loaded: another process would not do better."""
        return self._error is not None

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def run(self, data: ClipSet, round_number: int) -> Sample:
        """One measured run."""
        answer = None if self._error else self._ask(Request(data=data, round=round_number))
        if answer:
            sample = from_json(Sample, answer)
            self.peak_rss = max(self.peak_rss, sample.peak_rss)
            return sample
        return Sample(
            case=self._case.key,
            data=data.key,
            round=round_number,
            wall=0.0,
            cpu=0.0,
            load=0.0,
            error=self._error or self._last_words(),
        )

    def close(self) -> None:
        """End the process and forget its log; calling it twice is harmless."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # of a process that died with a question before it
            self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _ask(self, question: Job | Request) -> str:
        """The answer as JSON; empty when the process has died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(to_json(question) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return ""
        return self._process.stdout.readline()

    def _last_words(self) -> str:
        """Why the process has died, as far as it could say."""
        code = self._process.wait()
        self._log.seek(0)
        lines = [line.strip() for line in self._log if line.strip()]
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return f"its process {how}" + (f": {lines[-1]}" if lines else "")


def environment(case: Case) -> dict[str, str]:
    """Variables of a worker: threads as in the case, and no network, for all that it needs is there."""
    threads = dict.fromkeys(THREAD_VARIABLES, str(case.threads))
    return {**os.environ, **threads, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
