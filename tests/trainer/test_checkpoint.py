"""Checkpoints are whole or absent, and only the newest are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from distilcli.errors import ModelError, OutputError
from distilcli.trainer import checkpoint


def test_only_the_newest_are_kept_and_listed_in_order(tmp_path: Path) -> None:
    for step in (3, 20, 100):
        checkpoint.save(tmp_path, step, {"step": step, "weights": torch.ones(2)}, keep=2)
    (tmp_path / "step-0000200.partial").write_bytes(b"killed while writing")
    found = checkpoint.listed(tmp_path)
    assert [path.name for path in found] == ["step-0000020.pt", "step-0000100.pt"]
    assert checkpoint.load(found[-1])["step"] == 100


def test_a_damaged_file_is_a_clear_error(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, 1, {"weights": torch.ones(1000)}, keep=1)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ModelError, match="step-0000001"):
        checkpoint.load(path)


def test_a_run_that_has_not_begun_has_no_checkpoints(tmp_path: Path) -> None:
    assert checkpoint.listed(tmp_path / "nowhere") == []


def test_the_best_are_kept_under_a_second_name(tmp_path: Path) -> None:
    for step, best in ((1, {1}), (2, {1, 2}), (3, {2, 3}), (4, {2, 3})):
        path = checkpoint.save(tmp_path, step, {"step": step}, keep=1)
        checkpoint.keep_best(path, best)
    assert [checkpoint.step_of(path) for path in checkpoint.listed(tmp_path)] == [4]
    kept = checkpoint.listed(tmp_path, "best")
    assert [checkpoint.step_of(path) for path in kept] == [2, 3]
    assert [checkpoint.load(path)["step"] for path in kept] == [2, 3]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_a_clear_error_and_the_last_checkpoint_stays(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, {"weights": torch.ones(3)}, keep=1)
    (tmp_path / "step-0000002.partial").symlink_to("/dev/full")
    with pytest.raises(OutputError, match=r"step-0000002\.pt.*step-0000001\.pt is intact"):
        checkpoint.save(tmp_path, 2, {"weights": torch.ones(100_000)}, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000001.pt"]
    assert checkpoint.load(tmp_path / "step-0000001.pt")["weights"].tolist() == [1.0, 1.0, 1.0]  # type: ignore[attr-defined]
