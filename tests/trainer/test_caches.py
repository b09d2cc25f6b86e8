"""States on disk: the same bits come back, after kills, damage and full disks too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from distilcli.errors import OutputError
from distilcli.trainer.caches import StateCache, open_cache
from tests.trainer.recordings import ROOT

FULL = Path("/dev/full")
ENDLESS = """
import sys, torch
from pathlib import Path
from distilcli.trainer.caches import StateCache
cache = StateCache(Path(sys.argv[1]), 64, torch.float32)
for number in range(10**9):
    cache.add({f"{number}-{part}": torch.full((40, 64), number + part / 4) for part in range(4)})
"""


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_same_bits_come_back_in_another_process_s_view(dtype: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(0)
    states = {"a": torch.randn(3, 8).to(dtype), "b": torch.randn(7, 8).to(dtype)}
    StateCache(tmp_path, 8, dtype).add(states)
    again = StateCache(tmp_path, 8, dtype)
    assert again.has(["a", "b"])
    assert not again.has(["a", "c"])
    for name, value in states.items():
        assert torch.equal(again.get(name), value)
        assert again.get(name).dtype == dtype


def test_what_is_there_never_changes(tmp_path: Path) -> None:
    cache = StateCache(tmp_path, 2, torch.float32)
    cache.add({"a": torch.zeros(1, 2)})
    cache.add({"a": torch.ones(1, 2), "b": torch.ones(1, 2)})
    assert cache.get("a").tolist() == [[0.0, 0.0]]
    assert cache.get("b").tolist() == [[1.0, 1.0]]


def test_processes_see_what_the_others_add(tmp_path: Path) -> None:
    first = StateCache(tmp_path, 2, torch.float32, rank=0)
    second = StateCache(tmp_path, 2, torch.float32, rank=1)
    second.add({"a": torch.ones(1, 2)})
    assert first.has(["a"])
    first.add({"b": torch.zeros(2, 2)})
    assert second.has(["a", "b"])
    assert first.get("a").tolist() == [[1.0, 1.0]]


def test_a_half_written_line_and_its_states_do_not_count(tmp_path: Path) -> None:
    StateCache(tmp_path, 2, torch.float32).add({"a": torch.ones(1, 2)})
    with (tmp_path / "states-000.bin").open("ab") as data:
        data.write(b"12345")
    with (tmp_path / "index-000.jsonl").open("ab") as index:
        index.write(b'[["b", 8, 1')
    cache = StateCache(tmp_path, 2, torch.float32)
    assert not cache.has(["b"])
    cache.add({"b": torch.full((1, 2), 2.0)})
    again = StateCache(tmp_path, 2, torch.float32)
    assert again.has(["a", "b"])
    assert again.get("b").tolist() == [[2.0, 2.0]]


def test_damaged_states_count_as_missing_and_can_be_made_again(tmp_path: Path) -> None:
    StateCache(tmp_path, 2, torch.float32).add({"a": torch.ones(1, 2), "b": torch.ones(1, 2)})
    data = tmp_path / "states-000.bin"
    content = bytearray(data.read_bytes())
    content[0] ^= 1
    data.write_bytes(content[:-1])
    cache = StateCache(tmp_path, 2, torch.float32)
    assert not cache.has(["a"])
    assert not cache.has(["b"])
    assert cache.damaged == 2
    cache.add({"a": torch.ones(1, 2)})
    assert StateCache(tmp_path, 2, torch.float32).has(["a"])


def test_a_process_killed_at_any_moment_leaves_whole_records_only(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ENDLESS, str(tmp_path)]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)})
    index = tmp_path / "index-000.jsonl"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if index.is_file() and index.stat().st_size > 3000:
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    cache = StateCache(tmp_path, 64, torch.float32)
    names = [row[0] for line in index.read_text().splitlines() for row in json.loads(line)]
    assert len(names) > 20
    assert len(names) % 4 == 0
    assert cache.has(names)
    for name in names:
        number, part = map(int, name.split("-"))
        assert torch.equal(cache.get(name), torch.full((40, 64), number + part / 4))


def test_another_network_or_number_format_has_another_folder(tmp_path: Path) -> None:
    one = open_cache(tmp_path / "encoder", "model 1", 4, torch.float32)
    one.add({"a": torch.ones(1, 4)})
    assert open_cache(tmp_path / "encoder", "model 1", 4, torch.float32).has(["a"])
    assert not open_cache(tmp_path / "encoder", "model 2", 4, torch.float32).has(["a"])
    assert not open_cache(tmp_path / "encoder", "model 1", 4, torch.bfloat16).has(["a"])


@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("name", ["states-000.bin", "index-000.jsonl"])
def test_a_full_disk_is_one_sentence_and_harms_nothing(name: str, tmp_path: Path) -> None:
    cache = StateCache(tmp_path, 2, torch.float32)
    (tmp_path / name).symlink_to(FULL)
    with pytest.raises(OutputError, match="no space left on device") as caught:
        cache.add({"b": torch.ones(1, 2)})
    assert "distil.cache_encoder=false" in str(caught.value.hint)
    (tmp_path / name).unlink()
    assert not StateCache(tmp_path, 2, torch.float32).has(["b"])
