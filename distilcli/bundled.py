"""The model that comes with distilcli: unpacks `nano` into the cache on first use. Knows no runtime."""

from __future__ import annotations

import hashlib
import stat
import zipfile
from importlib.resources import as_file, files
from pathlib import Path, PurePosixPath

from distilcli.errors import ModelError
from distilcli.folders import new_folder
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

    Raises:
        ModelError: the archive is damaged or wants to write outside its folder.
        EnvironmentProblem: `parent` cannot be written.
    """
    with archive.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    target = parent / f"{archive.stem}-{digest[:16]}"
    if target.is_dir():
        return target
    with new_folder(target) as scratch:
        try:
            with zipfile.ZipFile(archive) as opened:
                for member in opened.infolist():
                    _check_member(archive, member)
                opened.extractall(scratch)
        except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
            raise ModelError(f"{archive} is damaged: {error}", hint=_REINSTALL) from error
    return target


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
