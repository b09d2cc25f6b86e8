"""The package is what pyproject.toml promises: one import root, one version, tested dependencies."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import distilcli

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WINGS = PROJECT["tool"]["setuptools"]["package-dir"]


def _packages() -> Iterator[str]:
    """Import names of the folders that hold an ``__init__.py``."""
    for name, folder in {"distilcli": "distilcli", **WINGS}.items():
        for path in (ROOT / folder).rglob("__init__.py"):
            yield ".".join([name, *path.parent.relative_to(ROOT / folder).parts])


def test_packages_are_the_folders_with_code() -> None:
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(_packages())


@pytest.mark.parametrize("wing", ["trainer", "converters"])
def test_the_wings_answer_to_their_full_name_only(wing: str) -> None:
    """Both bare names belong to other packages on the public index."""

    def imports(name: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", f"import {name}"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    refused = imports(wing).stderr.splitlines()[-1]
    assert refused.startswith("ImportError:")
    assert f"distilcli.{wing}" in refused
    assert imports(f"distilcli.{wing}").returncode == 0


def test_the_version_is_written_once() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert "version" not in PROJECT["project"]
    assert metadata.version("distilcli") == distilcli.__version__
    sources = [path for folder in ("distilcli", *WINGS.values()) for path in (ROOT / folder).rglob("*.py")]
    written = [
        path for path in sources if re.search(r"^__version__\s*=", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert written == [ROOT / "distilcli" / "__init__.py"]


def _pins() -> dict[str, Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(one.name): one for one in wanted}


def test_constraints_name_exact_versions_and_no_place() -> None:
    for one in _pins().values():
        assert [part.operator for part in one.specifier] == ["=="], one
        assert one.url is None
    assert str(_pins()["torch"].specifier) == "==2.13.0"


def _closure(names: list[Requirement]) -> set[str]:
    """Canonical names of everything that installing `names` brings on this machine."""
    found: set[tuple[str, frozenset[str]]] = set()
    waiting = [(one, frozenset({""})) for one in names]
    while waiting:
        one, extras = waiting.pop()
        if one.marker and not any(one.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        key = (canonicalize_name(one.name), frozenset(one.extras))
        if key in found:
            continue
        found.add(key)
        try:
            needed = metadata.requires(one.name) or []
        except metadata.PackageNotFoundError:
            continue  # not installed here: its own name must still be pinned
        waiting += [(Requirement(line), frozenset({"", *one.extras})) for line in needed]
    return {name for name, _ in found}


def test_every_dependency_has_a_tested_version() -> None:
    exempt = {"distilcli", "setuptools", "pip"}  # itself, and what installs it
    assert _closure([Requirement("distilcli[dev]")]) - exempt <= set(_pins())


def test_tested_versions_satisfy_what_the_project_asks_for() -> None:
    asked = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
    for extra in ("test", "dev"):
        asked += [Requirement(line) for line in PROJECT["project"]["optional-dependencies"][extra]]
    for one in asked:
        if one.name != "distilcli":
            (pin,) = _pins()[canonicalize_name(one.name)].specifier
            assert one.specifier.contains(pin.version), one
