"""The spool: slices, what it leaves behind, a full disk, and memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from distilcli.audio import open_audio
from distilcli.errors import EnvironmentProblem
from tests.support.media import KINDS, babble, write_kind, write_wav
from tests.support.recordings import decoded


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("DISTILCLI_CACHE", str(folder))
    return folder


def test_slices_are_those_of_an_array(tmp_path: Path) -> None:
    expected = babble(3.0)[:, 0].astype(np.float32) / 32768
    with open_audio(write_wav(tmp_path / "a.wav", babble(3.0))) as audio:
        for start, stop in [
            (0, 1),
            (5, 5),
            (7, 3),
            (1_023, 2_049),
            (4_096, 40_000),
            (47_999, 99_999),
            (50_000, 60_000),
        ]:
            np.testing.assert_array_equal(audio.samples[start:stop], expected[start:stop])
        np.testing.assert_array_equal(audio.samples[-100:], expected[-100:])
        assert audio.samples[:10].dtype == np.float32


def _open_files_under(folder: Path) -> list[str]:
    links = Path("/proc/self/fd").iterdir() if Path("/proc/self/fd").is_dir() else []
    return [target for link in links if link.is_symlink() and str(folder) in (target := os.readlink(link))]


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_nothing_stays_in_the_cache(tmp_path: Path, cache: Path, error: type[BaseException] | None) -> None:
    path = write_wav(tmp_path / "a.wav", babble(1.0))

    with pytest.raises(error) if error else nullcontext(), open_audio(path) as audio:
        assert len(audio.samples) == 16_000
        if error:
            raise error
    assert list(cache.iterdir()) == []
    assert _open_files_under(cache) == []


def test_an_interrupted_decoding_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    def interrupt(done: float, total: float | None) -> None:
        raise KeyboardInterrupt

    path = write_kind(tmp_path / "a.mp3", KINDS["mp3"], 2.0)
    with pytest.raises(KeyboardInterrupt), open_audio(path, progress=interrupt):
        pass
    assert list(cache.iterdir()) == []
    assert _open_files_under(cache) == []


_KILLED = """
import os, signal, sys
from distilcli.audio import open_audio
with open_audio(sys.argv[1]) as audio:
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_process_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    path = write_wav(tmp_path / "a.wav", babble(1.0))
    done = subprocess.run([sys.executable, "-c", _KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(cache.iterdir()) == []


def test_a_cache_folder_that_cannot_be_made(tmp_path: Path, cache: Path) -> None:
    cache.write_text("a file stands in the way")
    with pytest.raises(EnvironmentProblem, match="cache folder") as caught:
        decoded(write_wav(tmp_path / "a.wav", babble(1.0)))
    assert str(cache) in caught.value.message
    assert "DISTILCLI_CACHE" in (caught.value.hint or "")


_DISK_FULL = """
import resource, sys
from distilcli.audio import open_audio
from distilcli.errors import EnvironmentProblem
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with open_audio(sys.argv[1]):
        pass
except EnvironmentProblem as error:
    sys.exit(error.message)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_full_disk(tmp_path: Path, cache: Path) -> None:
    """A limit on the size of files stands for the full disk: both make a write fail halfway."""
    path = write_wav(tmp_path / "a.wav", babble(10.0))
    done = subprocess.run(
        [sys.executable, "-c", _DISK_FULL, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f"cannot keep the decoded audio in the cache folder {cache}: File too large\n"
    assert list(cache.iterdir()) == []


_PEAK_MEMORY = """
import re, sys
from pathlib import Path
from distilcli.audio import open_audio
from distilcli.config import VadOptions
from distilcli.features import log_mel
from distilcli.types import Span, Window
with open_audio(sys.argv[1], vad=VadOptions()) as audio:
    for start in range(0, int(audio.duration), 30):
        log_mel(Window(audio, Span(start, start + 30)), 80)
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text()).group(1))
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="needs /proc to read the peak memory of a process"
)
def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    minute = babble(60.0).tobytes()
    peaks = []
    for minutes in (2, 20):
        path = write_wav(tmp_path / f"{minutes}.wav", np.frombuffer(minute * minutes, np.int16))
        done = subprocess.run(
            [sys.executable, "-c", _PEAK_MEMORY, str(path)], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout) / 1024)  # MB
    assert peaks[1] - peaks[0] < 8  # 18 more minutes are 35 MB of int16 samples alone


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to reach a file without a name")
def test_a_spool_that_is_cut_short_is_a_clear_error(tmp_path: Path, cache: Path) -> None:
    with open_audio(write_wav(tmp_path / "a.wav", babble(3.0))) as audio:
        for link in Path("/proc/self/fd").iterdir():
            if link.is_symlink() and str(cache) in os.readlink(link):
                os.truncate(link, 50_000)
        assert len(audio.samples[:25_000]) == 25_000
        with pytest.raises(EnvironmentProblem) as caught:
            audio.samples[20_000:40_000]
    assert caught.value.message == (
        f"the decoded audio in the cache folder {cache} was damaged while it was in use: "
        "expected 80000 bytes, found 50000"
    )
