"""Readers of recordings: JSONL manifests, folders of audio and, in `datasets_source`, Hugging Face data sets.

They know files, columns and ids; they decode nothing. An item that cannot be used is listed, never fatal.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distilcli.errors import InputError, NoInputError, UsageError
from distilcli.languages import language_code
from distilcli.manifest import manifest_rows
from distilcli.trainer.recipe import SourceOptions
from distilcli.trainer.records import Rejected

AUDIO_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("aac", "ac3", "aif", "aiff", "amr", "au", "caf", "flac", "m4a", "m4b", "mka", "mkv", "mov", "mp2"),
        *("mp3", "mp4", "mpga", "oga", "ogg", "opus", "spx", "ts", "wav", "webm", "wma", "wv"),
    )
)
"""What counts as a recording in an audio folder."""

_TEXT_COLUMNS = ("transcription", "sentence")  # other names of the text in metadata.csv and data sets


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A recording that a source names; nothing of it has been decoded."""

    id: str
    audio: Path | bytes
    """A file, or the content of one."""
    text: str | None
    speaker: str | None
    language: str
    """Code; empty: to be detected."""


Items = Iterator[Item | Rejected]


@dataclass(frozen=True, slots=True)
class Source:
    """One source of the recipe, ready to be read."""

    name: str
    identity: str
    """Changes whenever the list of items may have."""
    items: Callable[[], Items]
    """Every call reads the source from its start, in the same order."""


def open_source(options: SourceOptions, language: str) -> Source:
    """Finds out what kind of source the options name; `language` is that of the recipe.

    Raises:
        NoInputError: there is no such file or folder.
        EnvironmentProblem: a data set needs a library that is missing, or the hub cannot be reached.
        UsageError: no such language, split or column.
    """
    language = code_of(options.language or language, f"the language of {options.path or options.dataset}")
    path = Path(options.path)
    if options.dataset or any((path / name).is_file() for name in ("dataset_info.json", "dataset_dict.json")):
        from distilcli.trainer.datasets_source import open_dataset

        source = open_dataset(options, language)
    elif path.is_dir():
        source = _folder(path, options, language)
    elif path.is_file():
        source = _manifest(path, options, language)
    else:
        raise NoInputError(f"{path}: expected a manifest, an audio folder or a data set; there is nothing")
    if not options.max_samples:
        return source
    return Source(
        source.name,
        digest(source.identity, options.max_samples),
        lambda: _first(source.items(), options.max_samples),
    )


def digest(*values: object) -> str:
    """Hash of values that print the same on every machine."""
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


def code_of(language: str, where: str) -> str:
    """Code of a language given as a code or an English name; empty stays empty.

    Raises:
        UsageError: no such language.
    """
    try:
        return language_code(language) if language else ""
    except UsageError as error:
        raise UsageError(
            f"{where}: expected a language's code or English name, found {language!r}",
            hint="use a code such as en, de, zh; leave it empty to have the language detected",
        ) from error


def text_of(row: Mapping[str, Any], options: SourceOptions) -> str | None:
    """What is said, stripped; None where the row does not say it. Raises InputError for what is no text."""
    name = next((one for one in (options.text_column, *_TEXT_COLUMNS) if one in row), options.text_column)
    text = row.get(name)
    if text is not None and not isinstance(text, str):
        raise InputError(f"{name}: expected text, found {type(text).__name__}")
    return text.strip() if text is not None else None


def id_of(row: Mapping[str, Any], options: SourceOptions) -> str:
    """The source's own id; empty where it has none and none is asked for. Raises InputError."""
    found = row.get(options.id_column or "id")
    if found in (None, ""):
        if options.id_column:
            raise InputError(f"has nothing under '{options.id_column}'")
        return ""
    return str(found)


def speaker_of(row: Mapping[str, Any], options: SourceOptions) -> str | None:
    """Who speaks, as the source writes it; None where it does not say."""
    speaker = row.get(options.speaker_column)
    return None if speaker in (None, "") else str(speaker)


def reading_options(options: SourceOptions, language: str) -> tuple[object, ...]:
    """What a list of items depends on besides the source's content."""
    return dataclasses.replace(options, weight=1.0, max_samples=0), language


def _first(items: Items, limit: int) -> Items:
    """The first recordings, and what is rejected before the last of them."""
    found = 0
    for item in items:
        yield item
        found += isinstance(item, Item)
        if found == limit:
            return


def _manifest(path: Path, options: SourceOptions, language: str) -> Source:
    with _reading(path):
        content = path.read_bytes()
    return Source(
        str(path),
        digest(str(path), hashlib.sha256(content).hexdigest(), *reading_options(options, language)),
        lambda: _manifest_items(path, options, language),
    )


def _manifest_items(path: Path, options: SourceOptions, language: str) -> Items:
    """Lines of another split are left out; lines without a split belong to every split."""
    others: set[str] = set()
    found = 0
    for number, row in manifest_rows(path):
        if isinstance(row, str):
            yield Rejected(where=f"{path}:{number}", reason=row)
        elif (split := row.get("split", options.split)) != options.split:
            others.add(str(split))
        else:
            found += 1
            yield _item(row, path.parent, options, language, f"{path}:{number}")
    if others and not found:
        raise NoInputError(
            f"{path}: no line has the split '{options.split}', only {', '.join(sorted(others))}"
        )


def _item(
    row: Mapping[str, Any], folder: Path, options: SourceOptions, language: str, where: str
) -> Item | Rejected:
    """One line of a manifest or of metadata.csv; audio is relative to its folder."""
    name = row.get(options.audio_column) or row.get("file_name")
    if not isinstance(name, str):
        return Rejected(where=where, reason=f"expected a file name under '{options.audio_column}'")
    try:
        return Item(
            id=id_of(row, options) or name,
            audio=folder / name,
            text=text_of(row, options),
            speaker=speaker_of(row, options),
            language=code_of(str(row.get("language") or language), "language"),
        )
    except (InputError, UsageError) as error:
        return Rejected(where=where, reason=error.message)


def _folder(path: Path, options: SourceOptions, language: str) -> Source:
    metadata = path / "metadata.csv"
    if metadata.is_file():
        with _reading(metadata):
            content = metadata.read_bytes()
        return Source(
            str(path),
            digest(str(path), hashlib.sha256(content).hexdigest(), *reading_options(options, language)),
            lambda: _metadata_items(metadata, content, options, language),
        )
    with _reading(path):
        files = sorted(file for file in path.rglob("*") if _is_recording(file, path))
    texts = [_stat(file.with_suffix(".txt")) for file in files]
    return Source(
        str(path),
        digest(str(path), [str(file) for file in files], texts, *reading_options(options, language)),
        lambda: _folder_items(path, files, language),
    )


def _is_recording(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return file.suffix.lower() in AUDIO_SUFFIXES and not hidden and file.is_file()


def _stat(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns


def _folder_items(folder: Path, files: Iterable[Path], language: str) -> Items:
    """Each recording with the text in the .txt file beside it; the speaker is not known."""
    for file in files:
        transcript = file.with_suffix(".txt")
        try:
            text = transcript.read_text(encoding="utf-8-sig").strip() if transcript.is_file() else None
        except (OSError, UnicodeDecodeError) as error:
            yield Rejected(where=str(transcript), reason=f"cannot be read as text: {error}")
            continue
        yield Item(
            id=file.relative_to(folder).as_posix(), audio=file, text=text, speaker=None, language=language
        )


def _metadata_items(path: Path, content: bytes, options: SourceOptions, language: str) -> Items:
    """The rows of a metadata.csv: file_name, text or transcription, and perhaps speaker, language and id."""
    try:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        columns = rows.fieldnames or []
    except (UnicodeDecodeError, csv.Error) as error:
        raise NoInputError(f"{path}: cannot be read as CSV: {error}") from error
    if not {"file_name", options.audio_column} & set(columns):
        raise NoInputError(f"{path}: expected a column file_name, found {', '.join(columns) or 'nothing'}")
    try:
        for row in rows:
            yield _item(row, path.parent, options, language, f"{path}:{rows.line_num}")
    except csv.Error as error:  # a quotation that is not closed takes all that follows with it
        yield Rejected(where=f"{path}:{rows.line_num}", reason=f"cannot be read as CSV: {error}")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NoInputError(f"cannot read {path}: {error.strerror}") from error
