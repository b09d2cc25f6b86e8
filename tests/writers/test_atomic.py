"""Files appear whole or not at all, and a failure says which file and why."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from distilcli.errors import OutputError
from distilcli.writers import write_atomically
from distilcli.writers.atomic import remove_leftovers

unix_only = pytest.mark.skipif(os.name == "nt", reason="permissions and limits of Unix")


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_writes_utf8_without_byte_order_mark_and_leaves_no_litter(tmp_path: Path) -> None:
    write_atomically(tmp_path / "talk.srt", "Köln ♪\n")
    assert (tmp_path / "talk.srt").read_bytes() == "Köln ♪\n".encode()
    assert names(tmp_path) == ["talk.srt"]


def test_replaces_an_older_file(tmp_path: Path) -> None:
    path = tmp_path / "talk.txt"
    path.write_text("a much longer text than the new one")
    write_atomically(path, "new")
    assert path.read_text() == "new"


@unix_only
def test_a_new_file_gets_what_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "talk.txt", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "talk.txt").stat().st_mode) == 0o640


@unix_only
def test_an_existing_file_keeps_its_permissions_and_a_link_its_target(tmp_path: Path) -> None:
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    real.chmod(0o600)
    link.symlink_to(real)
    write_atomically(link, "new")
    assert link.is_symlink()
    assert (real.read_text(), stat.S_IMODE(real.stat().st_mode)) == ("new", 0o600)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "talk.srt"
    with pytest.raises(OutputError, match="no such file") as caught:
        write_atomically(path, "")
    assert str(path) in caught.value.message
    assert caught.value.exit_code == 7


def test_a_folder_in_the_way_is_refused_without_litter(tmp_path: Path) -> None:
    (tmp_path / "talk.srt").mkdir()
    with pytest.raises(OutputError):
        write_atomically(tmp_path / "talk.srt", "text")
    assert names(tmp_path) == ["talk.srt"]


@unix_only
def test_a_write_that_does_not_fit_keeps_the_old_file(tmp_path: Path) -> None:
    """A file size limit stands in for a full disk: both fail in the middle of a write, on every Unix."""
    path = tmp_path / "talk.txt"
    path.write_text("old")
    program = (
        "import sys; from pathlib import Path; from distilcli.errors import OutputError\n"
        "from distilcli.writers import write_atomically\n"
        "try: write_atomically(Path(sys.argv[1]), 'x' * 100_000)\n"
        "except OutputError as error: print(error.message); print(error.hint)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    message, hint = done.stdout.splitlines()
    assert message == f"cannot write {path}: file too large"
    assert "ulimit -f" in hint
    assert names(tmp_path) == ["talk.txt"]
    assert path.read_text() == "old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
def test_a_full_device_is_named_with_a_hint() -> None:
    from distilcli.writers.atomic import output_error

    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="space") as caught:
        os.write(full, b"x")
    os.close(full)
    error = output_error("out/talk.srt", caught.value)
    assert error.message == "cannot write out/talk.srt: no space left on device"
    assert error.hint == "free some space, or choose another folder with -o DIR"


@unix_only
def test_what_a_killed_process_leaves_can_be_removed(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from distilcli.writers import write_atomically\n"
        "os.replace = lambda *paths: os._exit(9)\n"
        "for name in sys.argv[1:]:\n"
        "    if os.fork() == 0: write_atomically(Path(name), 'text')\n"
        "    os.wait()"
    )
    first, second = tmp_path / "talk.srt", tmp_path / ("long" * 62 + ".srt")
    first.write_text("old")
    subprocess.run([sys.executable, "-c", program, str(first), str(second)], check=True)
    assert len(names(tmp_path)) == 3
    remove_leftovers(first)
    assert len(names(tmp_path)) == 2
    remove_leftovers(second)
    assert names(tmp_path) == ["talk.srt"]
    assert first.read_text() == "old"
