"""The script that measures nano: which recordings it takes, and what it says of two models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.media import write_wav
from tests.support.toy import toy_clip, toy_folder, toy_text

SCRIPT = Path(__file__).parents[1] / "scripts" / "evaluate_nano"


def evaluated(*arguments: object) -> str:
    """Runs the script without synthetic voices; returns what it prints."""
    command = [sys.executable, str(SCRIPT), *map(str, arguments), "--voices"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Seven recordings of one melody; one of them has another text, and one is not for evaluation."""
    sound = (toy_clip() * 32767).astype(np.int16)
    rows = []
    for number, (folder, source, text) in enumerate(
        [
            *[("eval", "readers", toy_text())] * 5,
            ("eval", "others", "Nobody said this."),
            ("train", "readers", "Nobody said that."),
        ]
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        write_wav(tmp_path / folder / f"{number}.wav", sound)
        rows.append(json.dumps({"audio": f"{folder}/{number}.wav", "text": text, "source": source}))
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def test_two_models_are_compared_clip_by_clip_and_group_by_group(manifest: Path) -> None:
    pytest.importorskip("whisper")
    folder = toy_folder("multi")
    printed = evaluated(
        *("--models", folder, folder, "--compute-types", "float32", "--manifest", manifest, "--clips", 5)
    )
    *models, title, head, others, readers, both = printed.splitlines()
    assert models == [f"A is {folder}", f"B is {folder}"]
    assert title.startswith("float32, greedy")
    assert head.split() == ["clips", "words", "WER", "%", "A", "WER", "%", "B", "B", "-", "A", "group"]
    words = len(toy_text().split())
    assert others.split()[:2] == ["1", "3"]
    assert others.endswith("+0.00  real, others")  # no interval over one clip
    assert readers.split()[:6] == ["5", str(5 * words), "0.00", "(0.00", "to", "0.00)"]
    assert readers.endswith("+0.00 (+0.00 to +0.00)  real, readers")
    assert both.endswith("real, all")


def test_sources_and_clips_are_chosen(manifest: Path) -> None:
    pytest.importorskip("whisper")
    printed = evaluated(
        *("--models", toy_folder("multi"), "--manifest", manifest, "--sources", "read", "--clips", 1)
    )
    (row,) = printed.splitlines()[3:]
    assert row.split()[0] == "1"
    assert row.endswith("real, readers")
