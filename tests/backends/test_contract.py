"""The contract, run against every backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from distilcli.backends.base import Backend, load_backend
from distilcli.backends.ct2_hybrid import HYBRID
from distilcli.config import EngineOptions
from tests.backends.conftest import FOLDERS, scripted_toy
from tests.backends.contract import BackendContract, ModelContract


class TestScripted(BackendContract):
    """The backend without a model."""

    @pytest.fixture
    def backend(self) -> Backend:
        return scripted_toy()


@pytest.mark.parametrize(
    ("name", "compute_type"),
    [*((name, "float32") for name in FOLDERS), ("ctranslate2", HYBRID)],
    scope="class",
)
class TestModels(ModelContract):
    """The backends with one."""

    @pytest.fixture
    def backend(self, name: str, compute_type: str, loaded: Callable[..., Backend]) -> Backend:
        return loaded(name, "multi", compute_type)

    @pytest.fixture
    def fresh(self, name: str, compute_type: str) -> Iterator[Backend]:
        yield from _open(name, compute_type)

    @pytest.fixture
    def second(self, name: str, compute_type: str) -> Iterator[Backend]:
        yield from _open(name, compute_type)


def _open(name: str, compute_type: str) -> Iterator[Backend]:
    engine = EngineOptions(backend=name, device="cpu", compute_type=compute_type, threads=1)
    backend = load_backend(FOLDERS[name]("multi"), engine)
    yield backend
    backend.close()
