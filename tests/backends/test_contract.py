"""The contract, run against every backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from distilcli.backends.base import Backend, load_backend
from distilcli.config import EngineOptions
from tests.backends.conftest import FOLDERS, scripted_toy
from tests.backends.contract import BackendContract, ModelContract


class TestScripted(BackendContract):
    """The backend without a model."""

    @pytest.fixture
    def backend(self) -> Backend:
        return scripted_toy()


@pytest.mark.parametrize("name", list(FOLDERS), scope="class")
class TestModels(ModelContract):
    """The backends with one."""

    @pytest.fixture
    def backend(self, name: str, loaded: Callable[[str, str], Backend]) -> Backend:
        return loaded(name, "multi")

    @pytest.fixture
    def fresh(self, name: str) -> Iterator[Backend]:
        yield from _open(name)

    @pytest.fixture
    def second(self, name: str) -> Iterator[Backend]:
        yield from _open(name)


def _open(name: str) -> Iterator[Backend]:
    engine = EngineOptions(backend=name, device="cpu", compute_type="float32", threads=1)
    backend = load_backend(FOLDERS[name]("multi"), engine)
    yield backend
    backend.close()
