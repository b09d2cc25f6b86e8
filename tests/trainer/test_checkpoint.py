"""Checkpoints are whole or absent, and only the newest are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from distilcli.errors import ModelError
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
