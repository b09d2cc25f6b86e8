"""Digests of files that are remembered, and when they are not believed any more."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from distilcli.file_digests import digest_of, file_digest

LARGE = 17 * 2**20


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DISTILCLI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "weights.bin"
    path.write_bytes(bytes(LARGE))
    return path


def test_it_is_sha256(tmp_path: Path, large: Path) -> None:
    small = tmp_path / "config.json"
    small.write_bytes(b"{}")
    assert file_digest(small) == hashlib.sha256(b"{}").hexdigest()
    for _ in range(2):
        assert file_digest(large) == hashlib.sha256(bytes(LARGE)).hexdigest()


def test_a_change_is_seen_though_size_and_time_are_the_same(large: Path) -> None:
    before, stat = file_digest(large), large.stat()
    with large.open("r+b") as file:
        file.write(b"x")
    os.utime(large, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert large.stat().st_mtime_ns == stat.st_mtime_ns
    assert file_digest(large) != before


def test_a_file_that_stays_is_read_once(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file_digest(large)
    monkeypatch.setattr(hashlib, "file_digest", pytest.fail)
    assert file_digest(large) == before


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"state": 1}', b"\xff"])
def test_a_damaged_note_is_no_note(large: Path, cache: Path, damage: bytes) -> None:
    before = file_digest(large)
    (note,) = (cache / "digests").iterdir()
    note.write_bytes(damage)
    assert file_digest(large) == before


def test_a_cache_that_cannot_be_written_costs_time_only(large: Path, cache: Path) -> None:
    cache.write_text("a file stands in the way")
    assert file_digest(large) == hashlib.sha256(bytes(LARGE)).hexdigest()


def test_names_belong_to_a_digest_and_order_does_not(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        path.write_text(path.name)
    both = digest_of(paths)
    assert both == digest_of(reversed(paths))
    paths[0].rename(tmp_path / "c")
    assert both != digest_of([tmp_path / "c", paths[1]])
