"""Fixtures that every test may use."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.small_disk import mounted

# The same examples every time, and no clock: machines that run tests are busy.
settings.register_profile("tests", derandomize=True, database=None, deadline=None)
settings.load_profile("tests")
# One thread per library: the suite shares small machines, and every result here is independent of threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# A shell's background jobs ignore Ctrl-C, and so would every child of this process.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Spools and the unpacked bundled model stay inside the checkout, in a folder that git ignores.
os.environ["DISTILCLI_CACHE"] = str(Path(__file__).parents[1] / ".cache" / "tests" / "distilcli")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reaches a real hub: those that need one start their own."""
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with a disk of a few kilobytes on it; the test is skipped where none can be mounted."""
    with mounted(tmp_path / "small disk") as folder:
        yield folder
