"""Exports appear whole, replace only exports, and leave nothing behind."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from distilcli.converters.export_note import EXPORT_NOTE, note_path
from distilcli.converters.swap import check_target, files_of, replacing
from distilcli.errors import EnvironmentProblem, OutputError
from distilcli.model_folder import write_json


def _export(target: Path, text: str, *, single_file: bool = False, overwrite: bool = False) -> None:
    with replacing(target, single_file=single_file, overwrite=overwrite) as made:
        if single_file:
            made.write_text(text)
        else:
            (made / "inner").mkdir(parents=True)
            (made / "inner" / "weights").write_text(text)
            (made / "weights").write_text(text)
            (made / "weights").chmod(0o600)
        listed = [made.name] if single_file else files_of(made)
        write_json(note_path(made, single_file=single_file), {"files": listed})


def test_a_folder_appears_whole_with_the_permissions_of_the_umask(tmp_path: Path) -> None:
    target = tmp_path / "new" / "x"
    _export(target, "one")
    assert files_of(target) == [EXPORT_NOTE, "inner/weights", "weights"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((target / "weights").stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((target / "inner").stat().st_mode) == 0o777 & ~mask
    assert [path.name for path in target.parent.iterdir()] == ["x"]


@pytest.mark.parametrize("single_file", [False, True])
def test_only_overwrite_replaces_an_export(tmp_path: Path, single_file: bool) -> None:
    target = tmp_path / "x"
    _export(target, "one", single_file=single_file)
    with pytest.raises(OutputError, match="exists already"):
        _export(target, "two", single_file=single_file)
    _export(target, "two", single_file=single_file, overwrite=True)
    assert (target if single_file else target / "weights").read_text() == "two"
    names = {"x", f"x.{EXPORT_NOTE}"} if single_file else {"x"}
    assert {path.name for path in tmp_path.iterdir()} == names


@pytest.mark.parametrize("single_file", [False, True])
def test_what_no_export_made_is_never_replaced(tmp_path: Path, single_file: bool) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("all of it")
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    for target in (mine, file):
        with pytest.raises(OutputError, match="not written by distilcli convert"):
            _export(target, "new", single_file=single_file, overwrite=True)
    assert (mine / "thesis.txt").read_text() == "all of it"
    assert file.read_text() == "mine"


def test_a_file_that_was_put_into_an_export_keeps_it(tmp_path: Path) -> None:
    _export(tmp_path / "x", "one")
    (tmp_path / "x" / "inner" / "thesis.txt").write_text("all of it")
    with pytest.raises(OutputError, match=r"thesis\.txt was not written by distilcli"):
        _export(tmp_path / "x", "two", overwrite=True)
    assert (tmp_path / "x" / "weights").read_text() == "one"


def test_an_empty_folder_is_a_place(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    _export(tmp_path / "x", "one")
    assert (tmp_path / "x" / "weights").read_text() == "one"


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    _export(tmp_path / "x", "one")

    def fail() -> None:
        with replacing(tmp_path / "x", single_file=False, overwrite=True) as made:
            made.mkdir()
            (made / "weights").write_text("half of")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (tmp_path / "x" / "weights").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [(errno.ENOSPC, EnvironmentProblem, "no space is left"), (errno.EROFS, OutputError, "cannot write")],
)
def test_what_the_disk_says_is_a_sentence(
    tmp_path: Path, number: int, kind: type[Exception], message: str
) -> None:
    def fail() -> None:
        with replacing(tmp_path / "x", single_file=False, overwrite=False):
            raise OSError(number, os.strerror(number))

    with pytest.raises(kind, match=message):
        fail()
    assert not list(tmp_path.iterdir())


def test_a_move_that_fails_brings_the_old_one_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "x"
    _export(target, "one", single_file=True)
    rename = os.rename

    def stumbling(old: Path, new: Path) -> None:
        if Path(new) == target and Path(old).parent.name != "replaced":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(old, new)

    monkeypatch.setattr(os, "rename", stumbling)
    with pytest.raises(OutputError):
        _export(target, "two", single_file=True, overwrite=True)
    assert target.read_text() == "one"


def test_places_are_checked_before_work(tmp_path: Path) -> None:
    check_target(tmp_path / "new", single_file=True, overwrite=False)
    (tmp_path / "x.bin").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        check_target(tmp_path / "x.bin", single_file=True, overwrite=False)
