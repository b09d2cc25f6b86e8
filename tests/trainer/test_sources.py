"""Readers of recordings: what they find in manifests and folders, and what they list as unusable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distilcli.errors import NoInputError, UsageError
from distilcli.trainer.recipe import SourceOptions
from distilcli.trainer.records import Rejected
from distilcli.trainer.sources import Item, open_source


def read(path: Path, language: str = "en", **options: object) -> tuple[list[Item], list[Rejected]]:
    """Everything that a source names: usable and not."""
    source = open_source(SourceOptions(path=str(path), **options), language)  # type: ignore[arg-type]
    found = list(source.items())
    return (
        [one for one in found if isinstance(one, Item)],
        [one for one in found if isinstance(one, Rejected)],
    )


def identity(path: Path, language: str = "en", **options: object) -> str:
    return open_source(SourceOptions(path=str(path), **options), language).identity  # type: ignore[arg-type]


def manifest(folder: Path, *lines: dict[str, object] | bytes) -> Path:
    path = folder / "manifest.jsonl"
    path.write_bytes(b"\n".join(x if isinstance(x, bytes) else json.dumps(x).encode() for x in lines))
    return path


def test_a_manifest_gives_ids_texts_speakers_and_languages(tmp_path: Path) -> None:
    path = manifest(
        tmp_path,
        {"audio": "a.wav", "text": " Hello. ", "speaker": "s1", "id": 7},
        {"audio": "sub/b.opus"},
        b"",
        {"audio": "c.mp3", "text": "", "language": "German"},
    )
    items, rejected = read(path)
    assert not rejected
    assert [one.id for one in items] == ["7", "sub/b.opus", "c.mp3"]
    assert [one.audio for one in items] == [tmp_path / "a.wav", tmp_path / "sub/b.opus", tmp_path / "c.mp3"]
    assert [one.text for one in items] == ["Hello.", None, ""]
    assert [one.speaker for one in items] == ["s1", None, None]
    assert [one.language for one in items] == ["en", "en", "de"]


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    path = manifest(tmp_path, {"sound": "a.wav", "words": "Hello.", "utt": "u1", "client": 3})
    options = {
        "audio_column": "sound",
        "text_column": "words",
        "id_column": "utt",
        "speaker_column": "client",
    }
    ((item,), _) = read(path, **options)
    assert (item.id, item.text, item.speaker) == ("u1", "Hello.", "3")


def test_bad_lines_are_listed_with_their_number(tmp_path: Path) -> None:
    path = manifest(
        tmp_path,
        b"{broken",
        b"\xff\xfe",
        b"[1, 2]",
        {"text": "no audio"},
        {"audio": "a.wav", "text": 5},
        {"audio": "a.wav", "language": "klingon"},
        {"audio": "good.wav", "text": "a line separator: \u2028 stays inside the text"},
    )
    items, rejected = read(path)
    assert [one.id for one in items] == ["good.wav"]
    assert "\u2028" in str(items[0].text)
    assert [one.where for one in rejected] == [f"{path}:{number}" for number in range(1, 7)]
    for one, reason in zip(
        rejected, ("JSON", "JSON", "JSON", "audio", "expected text", "klingon"), strict=True
    ):
        assert reason in one.reason


def test_only_lines_of_the_split_are_read(tmp_path: Path) -> None:
    path = manifest(
        tmp_path,
        {"audio": "a.wav", "split": "train"},
        {"audio": "b.wav", "split": "eval"},
        {"audio": "c.wav"},
    )
    assert [one.id for one in read(path)[0]] == ["a.wav", "c.wav"]
    assert [one.id for one in read(path, split="eval")[0]] == ["b.wav", "c.wav"]
    with pytest.raises(NoInputError, match=r"'test'.*eval, train"):
        read(
            manifest(tmp_path, {"audio": "a", "split": "train"}, {"audio": "b", "split": "eval"}),
            split="test",
        )


def test_an_id_column_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    items, rejected = read(manifest(tmp_path, {"audio": "a.wav"}), id_column="utt")
    assert not items
    assert "'utt'" in rejected[0].reason


def test_max_samples_takes_the_first_recordings(tmp_path: Path) -> None:
    path = manifest(tmp_path, b"{broken", *({"audio": f"{n}.wav"} for n in range(5)))
    items, rejected = read(path, max_samples=2)
    assert [one.id for one in items] == ["0.wav", "1.wav"]
    assert len(rejected) == 1


def test_a_folder_gives_recordings_with_the_text_beside_them(tmp_path: Path) -> None:
    for name in ("b.FLAC", "a.wav", "sub/c.mp3", ".hidden/d.wav", "notes.pdf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"sound")
    (tmp_path / "a.txt").write_text("\ufeffÄpfel und Öl\n", encoding="utf-8")
    (tmp_path / "sub" / "c.txt").write_bytes(b"\xff\xfe\x00")
    items, rejected = read(tmp_path, language="de")
    assert [(one.id, one.text, one.language) for one in items] == [
        ("a.wav", "Äpfel und Öl", "de"),
        ("b.FLAC", None, "de"),
    ]
    assert [one.where for one in rejected] == [str(tmp_path / "sub" / "c.txt")]


@pytest.mark.parametrize("column", ["text", "transcription"])
def test_metadata_csv_lists_the_recordings(tmp_path: Path, column: str) -> None:
    rows = f'file_name,{column},speaker\nwavs/a.wav,"Hello, you.",s1\nwavs/b.wav,"Two\nlines.",\n'
    (tmp_path / "metadata.csv").write_text(rows, encoding="utf-8")
    items, rejected = read(tmp_path)
    assert not rejected
    assert [(one.id, one.text, one.speaker) for one in items] == [
        ("wavs/a.wav", "Hello, you.", "s1"),
        ("wavs/b.wav", "Two\nlines.", None),
    ]
    assert items[0].audio == tmp_path / "wavs/a.wav"


def test_a_damaged_metadata_csv_keeps_what_came_before(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text('file_name,text\na.wav,Yes.\nb.wav,"never closed\n')
    items, rejected = read(tmp_path)
    assert [one.id for one in items] == ["a.wav"]
    assert len(rejected) == 1
    (tmp_path / "metadata.csv").write_text("name|text\na.wav|Yes.\n")
    with pytest.raises(NoInputError, match="column file_name"):
        read(tmp_path)


def test_the_identity_changes_with_content_and_reading_but_not_with_weight(tmp_path: Path) -> None:
    path = manifest(tmp_path, {"audio": "a.wav"}, {"audio": "b.wav"})
    before = identity(path)
    assert identity(path, weight=2.0) == before
    assert len({before, identity(path, "de"), identity(path, max_samples=1), identity(path, split="x")}) == 4
    manifest(tmp_path, {"audio": "a.wav"}, {"audio": "c.wav"})
    assert identity(path) != before


def test_the_identity_of_a_folder_changes_with_its_texts(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"sound")
    before = identity(tmp_path)
    assert identity(tmp_path) == before
    (tmp_path / "a.txt").write_text("Hello.")
    assert identity(tmp_path) != before


def test_mistakes_in_the_recipe_are_named(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="nowhere"):
        open_source(SourceOptions(path=str(tmp_path / "nowhere")), "en")
    with pytest.raises(UsageError, match="englisch"):
        open_source(SourceOptions(path=str(tmp_path)), "englisch")
