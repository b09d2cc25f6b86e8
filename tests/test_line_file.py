"""Files of lines: what a kill, a power cut and a full disk leave of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from distilcli.errors import InputError
from distilcli.line_file import LineFile, read_lines

RECORDS = [
    {"text": "naïve\nline"},
    {"numbers": [0.1, -1 / 3, 5e-324, 1.7976931348623157e308, -0.0, float("inf"), 2**60]},
    {"nothing": None},
]


def written(path: Path) -> bytes:
    """The bytes of a file that holds `RECORDS`."""
    file = LineFile(path)
    for record in RECORDS:
        file.append(record)
    file.close()
    return path.read_bytes()


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    size = len(written(tmp_path / "a.jsonl"))
    records, whole = read_lines(tmp_path / "a.jsonl")
    assert (repr(records), whole) == (repr(RECORDS), size)  # repr tells -0.0 from 0.0
    assert read_lines(tmp_path / "nothing.jsonl") == ([], 0)


def test_wherever_a_file_is_cut_the_whole_lines_before_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    content = written(path)
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        records, size = read_lines(path)
        assert len(records) == content[:cut].count(b"\n")
        assert size == content[:cut].rfind(b"\n") + 1
        file = LineFile(path, size)
        file.append({"more": cut})
        file.close()
        assert read_lines(path)[0] == [*RECORDS[: len(records)], {"more": cut}]


@pytest.mark.parametrize("damage", [b"\0\0\0\0\n", b"\xff\xfe\n", b"[1, 2]\n", b'{"half": \n'])
def test_a_damaged_line_is_dropped_at_the_end_and_named_elsewhere(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "a.jsonl"
    content = written(path)
    path.write_bytes(content + damage)
    assert read_lines(path) == (RECORDS, len(content))

    first = content.index(b"\n") + 1
    path.write_bytes(content[:first] + damage + content[first:])
    with pytest.raises(InputError, match=rf"line 2 of {path} is damaged: ") as caught:
        read_lines(path)
    assert "\n" not in caught.value.message


def test_a_line_is_in_the_file_when_append_returns(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from distilcli.line_file import LineFile\n"
        "LineFile(Path(sys.argv[1])).append({'last': 'words'}); os._exit(9)"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "a.jsonl")]
    assert subprocess.run(words, check=False).returncode == 9
    assert read_lines(tmp_path / "a.jsonl")[0] == [{"last": "words"}]


def test_a_file_that_was_removed_takes_no_more_lines(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "deep.jsonl")
    file.append({"one": 1})
    shutil.rmtree(tmp_path)
    with pytest.raises(OSError, match="removed"):
        file.append({"two": 2})
    file.close()


def test_a_full_disk_keeps_the_lines_before(small_disk: Path) -> None:
    path = small_disk / "a.jsonl"
    file = LineFile(path)
    with pytest.raises(OSError, match="No space left"):  # noqa: PT012  # which of them fails depends on the disk
        for number in range(1000):
            file.append({"number": number, "text": "x" * 500})
    file.close()
    records, size = read_lines(path)
    assert [record["number"] for record in records] == list(range(len(records)))
    assert 0 < len(records) < 1000
    assert size == path.stat().st_size
