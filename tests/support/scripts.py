"""What lies in ``scripts/``, which nobody installs, as modules."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def script(name: str) -> ModuleType:
    """A module of the folder, or one of its commands, whose file has no suffix."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        if (SCRIPTS / f"{name}.py").is_file():
            return importlib.import_module(name)
        spec = importlib.util.spec_from_loader(name, SourceFileLoader(name, str(SCRIPTS / name)))
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, name, module)
        assert spec.loader is not None
        spec.loader.exec_module(module)
        return module
