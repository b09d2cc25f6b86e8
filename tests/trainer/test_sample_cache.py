"""The sample cache: order, refusals, changes of files, and runs that were killed in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from distilcli.errors import InputError, OutputError
from distilcli.trainer.sample_cache import Pending, open_samples

ROOT = Path(__file__).parents[2]


class Decoder:
    """Recordings of length 1, 2, 3 …; counts what is decoded, and fails where it is told to."""

    def __init__(self, count: int = 5, refuse: int | None = None) -> None:
        self.count, self.refuse = count, refuse
        self.decoded: list[int] = []

    def read(self, number: int) -> NDArray[np.int16]:
        self.decoded.append(number)
        if number == self.refuse:
            raise InputError("damaged")
        return np.full(number + 1, number, dtype=np.int16)

    def pending(self, files: Callable[[int], Path | None] = lambda number: None) -> Iterator[Pending]:
        for number in range(self.count):
            yield Pending({"id": number}, lambda number=number: self.read(number), files(number))


def test_samples_lie_end_to_end_in_the_order_of_the_source(tmp_path: Path) -> None:
    decoder = Decoder(refuse=2)
    for _ in range(2):
        samples, stored = open_samples(tmp_path, "name", decoder.pending)
        assert samples.tolist() == [0, 1, 1, 3, 3, 3, 3, 4, 4, 4, 4, 4]
        assert [one.row["id"] for one in stored] == [0, 1, 2, 3, 4]
        assert [(one.offset, one.samples, one.refused) for one in stored] == [
            (0, 1, None),
            (1, 2, None),
            (3, 0, "damaged"),
            (3, 4, None),
            (7, 5, None),
        ]
    assert sorted(decoder.decoded) == [0, 1, 2, 3, 4]  # the second time from the cache


def test_nothing_readable_is_an_empty_array(tmp_path: Path) -> None:
    samples, stored = open_samples(tmp_path, "name", Decoder(count=1, refuse=0).pending)
    assert len(samples) == 0
    assert [one.refused for one in stored] == ["damaged"]


def test_progress_is_told(tmp_path: Path) -> None:
    heard: list[int] = []
    open_samples(tmp_path, "name", Decoder().pending, heard.append)
    assert heard == [1, 2, 3, 4, 5]


def stopped(folder: Path, after: int) -> None:
    """Leaves the files of a run that ended after some recordings."""

    def stop(done: int) -> None:
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_samples(folder, "name", Decoder().pending, stop)


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    stopped(tmp_path, after=3)
    decoder = Decoder()
    samples, stored = open_samples(tmp_path, "name", decoder.pending)
    assert sorted(decoder.decoded) == [3, 4]
    assert samples.tolist() == open_samples(tmp_path / "whole", "name", Decoder().pending)[0].tolist()
    assert [one.samples for one in stored] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("suffix", "cut", "again"),
    [
        ("jsonl.partial", 5, [2, 3, 4]),  # the last line is torn
        ("jsonl.partial", 1, [2, 3, 4]),  # only its line feed is missing
        ("pcm.partial", 3, [2, 3, 4]),  # samples that the index counts did not reach the disk
    ],
)
def test_a_torn_end_is_decoded_again(tmp_path: Path, suffix: str, cut: int, again: list[int]) -> None:
    stopped(tmp_path, after=3)
    path = tmp_path / f"name.{suffix}"
    path.write_bytes(path.read_bytes()[:-cut])
    decoder = Decoder()
    samples, _ = open_samples(tmp_path, "name", decoder.pending)
    assert sorted(decoder.decoded) == again
    assert samples.tolist() == [number for number in range(5) for _ in range(number + 1)]


def test_samples_that_changed_on_the_disk_are_decoded_again(tmp_path: Path) -> None:
    stopped(tmp_path, after=3)
    path = tmp_path / "name.pcm.partial"
    path.write_bytes(b"\xff" + path.read_bytes()[1:])
    decoder = Decoder()
    open_samples(tmp_path, "name", decoder.pending)
    assert sorted(decoder.decoded) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("suffix", ["jsonl", "pcm"])
def test_a_cache_that_is_cut_off_is_made_again(tmp_path: Path, suffix: str) -> None:
    whole = open_samples(tmp_path, "name", Decoder().pending)[0].tolist()
    path = tmp_path / f"name.{suffix}"
    path.write_bytes(path.read_bytes()[:-4])
    assert open_samples(tmp_path, "name", Decoder().pending)[0].tolist() == whole


def test_a_changed_file_makes_the_cache_stale_and_a_lost_one_does_not(tmp_path: Path) -> None:
    def file(number: int) -> Path:
        return tmp_path / f"{number}.wav"

    for number in range(5):
        file(number).write_bytes(b"sound")
    first, second, third = Decoder(), Decoder(), Decoder()
    open_samples(tmp_path, "name", lambda: first.pending(file))
    file(1).unlink()
    open_samples(tmp_path, "name", lambda: second.pending(file))
    assert second.decoded == []
    os.utime(file(3), ns=(0, 0))
    open_samples(tmp_path, "name", lambda: third.pending(file))
    assert sorted(third.decoded) == [0, 1, 2, 3, 4]


FULL = """
import resource, sys
from pathlib import Path
from distilcli.errors import OutputError
from distilcli.trainer.sample_cache import open_samples
from tests.trainer.test_sample_cache import Decoder

resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    open_samples(Path(sys.argv[1]), "name", Decoder(count=600).pending)
except OutputError as error:
    sys.exit(f"{error.message}; {error.hint}")
"""


def test_a_full_disk_is_an_output_error_and_loses_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk: writing fails in the same place."""
    full = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert full.stderr.startswith(f"cannot write {tmp_path / 'name.pcm'}: ")
    assert "free some space" in full.stderr
    decoder = Decoder(count=600)
    samples, _ = open_samples(tmp_path, "name", decoder.pending)
    assert len(decoder.decoded) < 200  # 600 recordings hold 180,300 samples of two bytes
    assert len(samples) == sum(range(601))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file") as caught:
        open_samples(tmp_path / "file" / "cache", "name", Decoder().pending)
    assert "--set run=" in str(caught.value.hint)
