"""Six runs that are killed with SIGKILL at random moments, and what comes out when they go on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.toy import toy_folder

HARNESS = Path(__file__).parents[1] / "scripts" / "kill_harness"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the harness forks its runs")
def test_killed_runs_go_on_to_the_same_bytes() -> None:
    # The moments of this seed are of every kind.
    size = ("--runs", "6", "--cases", "4", "--seed", "15", "--seconds", "8")
    size += ("--preload", "--model", str(toy_folder("multi")), "--", "--max-new-tokens", "30")
    done = subprocess.run(
        [sys.executable, str(HARNESS), *size],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("6 runs, ")
    assert done.stdout.splitlines()[-1].endswith("6 identical, 0 not")
