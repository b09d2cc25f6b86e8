"""A run's folder: which stages are finished, from which inputs, and what the run was made with.

It knows names of stages and hashes; it does not know what a stage does.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from importlib import metadata
from pathlib import Path

from distilcli import __version__
from distilcli.errors import InputError
from distilcli.trainer.durable import writing
from distilcli.writers.atomic import write_atomically

STATE = "stages.json"
RECIPE = "recipe.json"
PACKAGES = ("torch", "transformers", "tokenizers", "ctranslate2", "accelerate", "datasets", "numpy", "av")


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """A stage that is done."""

    inputs: str
    """Hash of everything that it was made from."""
    seconds: float
    """Wall time of the last attempt."""


class RunFolder:
    """The folder of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def finished(self) -> dict[str, Finished]:
        """Stages that are done, by name.

        Raises:
            InputError: the file is damaged.
        """
        path = self.path / STATE
        if not path.is_file():
            return {}
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
            return {name: Finished(**row) for name, row in table.items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path} cannot be read as the list of finished stages: {error}",
                hint=f"rm {path} (every stage then checks its own files and goes on)",
            ) from error

    def finish(self, name: str, inputs: str, seconds: float) -> None:
        """Notes that a stage is done."""
        table = self.finished() | {name: Finished(inputs=inputs, seconds=round(seconds, 3))}
        self._write(STATE, {name: asdict(one) for name, one in table.items()})

    def forget(self, name: str) -> None:
        """Notes that a stage is not done any more: it is about to be made again."""
        table = self.finished()
        if table.pop(name, None):
            self._write(STATE, {name: asdict(one) for name, one in table.items()})

    def describe(self, options: Mapping[str, object], hashes: Mapping[str, str]) -> None:
        """Writes what the run is made with: options, versions, hashes of data and models."""
        self._write(RECIPE, {"options": options, "hashes": hashes, "versions": versions()})

    def _write(self, name: str, content: Mapping[str, object]) -> None:
        path = self.path / name
        with writing(path):
            self.path.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def versions() -> dict[str, str]:
    """Versions of distilcli, Python and the libraries that decide results; those that are installed."""
    found = {"distilcli": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def fingerprint(*values: object) -> str:
    """Hash of values: dataclasses, numbers, texts, lists and tables of them."""
    content = json.dumps(values, sort_keys=True, default=_plain)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _plain(value: object) -> dict[str, object]:
    """A dataclass as a table."""
    assert is_dataclass(value), f"cannot hash {value!r}"
    assert not isinstance(value, type)
    return asdict(value)
