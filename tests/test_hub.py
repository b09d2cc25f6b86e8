"""Downloads through the real hub client from a hub on this machine: resumed, checked, never repeated."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hub import Hub

DOWNLOAD = (
    "from distilcli import hub; files = hub.files_of('me/big', 'big');"
    "print(hub.download('me/big', 'big', files, ['*'], {}))"
)
STEP = 10 * 1024 * 1024
"""The client passes data on in blocks of 10 MiB: what a broken connection leaves is a multiple of that."""


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("big")
    (folder / "model.bin").write_bytes(random.Random(5).randbytes(24_000_000))
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def hub(big: Path, tmp_path: Path) -> Iterator[Hub]:
    with Hub({"me/big": big, "me/gated": big}, tmp_path) as running:
        yield running


def _content_requests(hub: Hub) -> list[tuple[str, str | None]]:
    return [
        (path.rsplit("/", 1)[1], asked)
        for method, path, asked in hub.requests
        if method == "GET" and "/resolve/" in path
    ]


def test_a_broken_connection_is_resumed(hub: Hub, big: Path) -> None:
    hub.cut_at = 15_000_000
    done = hub.python(DOWNLOAD.format("print"))
    assert done.returncode == 0, done.stderr
    assert ("model.bin", f"bytes={STEP}-") in _content_requests(hub)
    folder = Path(done.stdout.splitlines()[-1])
    assert (folder / "model.bin").read_bytes() == (big / "model.bin").read_bytes()
    told = [tuple(map(int, line.split())) for line in done.stdout.splitlines()[:-1]]
    assert told == sorted(told)
    assert told[-1] == (24_000_002, 24_000_002)


def test_the_next_process_goes_on_where_the_last_one_died(hub: Hub, big: Path) -> None:
    hub.cut_at, hub.stays_broken = 15_000_000, True
    failed = hub.python(DOWNLOAD.format("None"))
    assert "EnvironmentProblem: the model big (me/big) cannot be downloaded" in failed.stderr

    hub.broken = False
    hub.requests.clear()
    done = hub.python(DOWNLOAD.format("None"))
    assert done.returncode == 0, done.stderr
    assert _content_requests(hub)[0] == ("model.bin", f"bytes={STEP}-")
    assert (Path(done.stdout.strip()) / "model.bin").read_bytes() == (big / "model.bin").read_bytes()
    assert not list(hub.home.rglob("*.incomplete"))


def test_wrong_bytes_are_refused_and_deleted(hub: Hub) -> None:
    hub.corrupt.add("me/big")
    failed = hub.python(DOWNLOAD.format("None"))
    assert "EnvironmentProblem: model.bin arrived damaged" in failed.stderr
    assert not [path for path in hub.home.rglob("*") if path.is_file() and path.stat().st_size > 1_000_000]

    hub.corrupt.clear()
    assert hub.python(DOWNLOAD.format("None")).returncode == 0


def test_a_gated_repository_says_what_to_do(hub: Hub) -> None:
    hub.gated.add("me/gated")
    code = DOWNLOAD.format("None").replace("me/big", "me/gated")
    assert "EnvironmentProblem: the model big (me/gated) is gated" in hub.python(code).stderr
