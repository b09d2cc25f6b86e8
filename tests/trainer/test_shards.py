"""Shards: whole or absent, in order, refused when another teacher made them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from distilcli.errors import InputError, OutputError, UsageError
from distilcli.trainer.shards import Header, commit_shard, read_shards, refuse_another

HEADER = Header(
    teacher="large-v3", teacher_hash="abc", options={"beam_size": 1, "task": "transcribe"}, engine="cpu"
)


def test_rows_come_back_in_the_order_of_the_shards(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    assert list(read_shards(folder)) == []
    commit_shard(folder, 1, 0, HEADER, [{"key": "c", "text": "naïve \u2028 “text”"}])
    commit_shard(folder, 0, 1, HEADER, [{"key": "b"}])
    commit_shard(folder, 0, 0, HEADER, [{"key": "a", "number": 0.1}])
    (folder / ".distilcli-1234.tmp").write_text("what a killed process leaves")
    shards = list(read_shards(folder))
    assert [row["key"] for shard in shards for row in shard.rows] == ["a", "b", "c"]
    assert [shard.sequence for shard in shards] == [0, 0, 1]
    assert shards[0].rows[0]["number"] == 0.1
    assert shards[2].rows[0]["text"] == "naïve \u2028 “text”"
    assert all(shard.header == HEADER for shard in shards)


def test_another_teacher_or_option_is_refused_with_a_way_out(tmp_path: Path) -> None:
    commit_shard(tmp_path, 0, 0, HEADER, [])
    (shard,) = read_shards(tmp_path)
    refuse_another(shard, dataclasses.replace(HEADER, engine="cuda:0", teacher="same/model"))
    with pytest.raises(UsageError, match=r"large-v3 \(abc\).*asks for the teacher tiny \(def\)") as caught:
        refuse_another(shard, dataclasses.replace(HEADER, teacher="tiny", teacher_hash="def"))
    assert str(tmp_path) in caught.value.message
    assert str(tmp_path) in str(caught.value.hint)
    changed = dataclasses.replace(HEADER, options={"beam_size": 5, "task": "transcribe"})
    with pytest.raises(UsageError, match=r"with beam_size=1, and the recipe asks for beam_size=5"):
        refuse_another(shard, changed)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-12], lambda data: data.splitlines(True)[0], lambda data: b""]
)
def test_a_damaged_shard_is_named_with_the_command_that_mends_it(tmp_path: Path, damage: object) -> None:
    path = commit_shard(tmp_path, 0, 0, HEADER, [{"key": "a"}, {"key": "b"}])
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]  # a function of bytes
    with pytest.raises(InputError, match=path.name) as caught:
        list(read_shards(tmp_path))
    assert f"rm '{path}'" in str(caught.value.hint)


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write") as caught:
        commit_shard(tmp_path / "file", 0, 0, HEADER, [])
    assert "--set run=" in str(caught.value.hint)
