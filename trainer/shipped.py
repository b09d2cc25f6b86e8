"""Recipes by path, or by the name of one that comes along. Knows names and files, not what is in them."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path

from distilcli.errors import UsageError, closest


def shipped_recipes() -> dict[str, Path]:
    """Name -> file of every recipe that comes along."""
    folder = Path(str(resources.files("distilcli.trainer") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_recipe(name: str) -> Path:
    """The file of a recipe: a path, or the name of one that comes along, with or without its ending.

    Raises:
        UsageError: there is no such file.
    """
    path = Path(name)
    if path.is_file():
        return path
    known = shipped_recipes()
    if path.name == name and path.stem in known:
        return known[path.stem]
    raise UsageError(
        f"there is no recipe {name}{closest(path.stem, known)}",
        hint=f"give a TOML file, or one of {', '.join(known)}",
    )


def is_supervised(path: Path) -> bool:
    """Whether a recipe trains a network from scratch: such a recipe has phases.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        return "phases" in tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the recipe {path}: {error}") from error
