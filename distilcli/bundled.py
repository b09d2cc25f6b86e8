"""The model that comes with distilcli: unpacks `nano` into the cache on first use. Knows no runtime."""

from __future__ import annotations

import hashlib
import stat
import zipfile
from collections.abc import Iterable
from importlib.resources import as_file, files
from pathlib import Path, PurePosixPath

from distilcli.errors import ModelError
from distilcli.folders import new_folder
from distilcli.model_folder import TOKEN_NAMES, read_json, write_json
from distilcli.model_names import NANO
from distilcli.paths import cache_dir

_REINSTALL = "pip install --force-reinstall --no-deps distilcli"


def folder_of_nano() -> Path:
    """The Hugging Face folder of the bundled model, unpacked once per edition.

    Raises:
        ModelError: the archive is missing or damaged.
        EnvironmentProblem: the cache cannot be written.
    """
    archive = files("distilcli.assets").joinpath(f"{NANO}.zip")
    if not archive.is_file():
        raise ModelError(
            "this installation has no bundled model: distilcli/assets/nano.zip is missing",
            hint=_REINSTALL,
        )
    with as_file(archive) as path:
        return unpack(path, cache_dir() / "bundled")


def unpack(archive: Path, parent: Path) -> Path:
    """Unpack a zip archive into a folder of `parent` that is named after its content.

    A tokenizer that leaves special tokens unnamed gets their names, so that the folder batches elsewhere too.

    Raises:
        ModelError: the archive is damaged or wants to write outside its folder.
        EnvironmentProblem: `parent` cannot be written.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            target = parent / f"{archive.stem}-{_digest(opened.infolist())}"
            if target.is_dir():
                return target
            _extract(archive, opened, target)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise ModelError(f"{archive} is damaged: {error}", hint=_REINSTALL) from error
    return target


def _digest(members: Iterable[zipfile.ZipInfo]) -> str:
    """16 hexadecimal digits of what an unpacked folder will hold, by the checksums that the archive lists."""
    listed = [(one.filename, one.file_size, one.CRC) for one in members]
    return hashlib.sha256(repr((listed, TOKEN_NAMES)).encode()).hexdigest()[:16]


def _extract(archive: Path, opened: zipfile.ZipFile, target: Path) -> None:
    with new_folder(target) as scratch:
        for member in opened.infolist():
            _check_member(archive, member)
        opened.extractall(scratch)
        tokenizer = scratch / "tokenizer_config.json"
        if tokenizer.is_file():
            write_json(tokenizer, {**TOKEN_NAMES, **read_json(tokenizer)})


def _check_member(archive: Path, member: zipfile.ZipInfo) -> None:
    path = PurePosixPath(member.filename)
    linked = stat.S_ISLNK(member.external_attr >> 16)
    if (
        path.is_absolute()
        or ".." in path.parts
        or "\\" in member.filename
        or ":" in member.filename
        or linked
    ):
        raise ModelError(f"{archive} is not a model archive: it holds '{member.filename}'")
