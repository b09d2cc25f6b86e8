"""Hugging Face data sets as a source: saved to disk, from the hub, or streamed. Needs the `datasets` package.

It knows columns and splits; it decodes nothing: audio stays as the bytes or the file that the data set holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distilcli.errors import DistilError, EnvironmentProblem, InputError, NoInputError, UsageError, closest
from distilcli.trainer.recipe import SourceOptions
from distilcli.trainer.records import Rejected
from distilcli.trainer.sources import (
    Item,
    Items,
    Source,
    digest,
    id_of,
    reading_options,
    speaker_of,
    text_of,
)


def open_dataset(options: SourceOptions, language: str) -> Source:
    """Opens a data set without decoding any of its audio; only what streams is not downloaded first.

    Raises:
        EnvironmentProblem: `datasets` is not installed, or the hub cannot be reached.
        NoInputError: there is no such data set.
        UsageError: no such configuration, split or column.
    """
    name = _name(options)
    with _translated(name):
        rows = _load(options)
        columns = list(rows.column_names or next(iter(rows), {}))
    if options.audio_column not in columns:
        raise UsageError(
            f"{name}: audio_column: there is no column '{options.audio_column}'"
            f"{closest(options.audio_column, columns)}; it has {', '.join(columns)}"
        )
    with _translated(name):
        undecoded = _undecoded(rows, options.audio_column)
    return Source(
        name,
        digest(name, _fingerprint(rows, options), *reading_options(options, language)),
        lambda: _items(undecoded, options, language, name),
    )


def _name(options: SourceOptions) -> str:
    parts = (options.dataset or options.path, options.config, options.split)
    return ":".join(part for part in parts if part)


def _library() -> Any:  # Any: the package is optional and may be absent when types are checked
    try:
        import datasets
    except ImportError as error:
        raise EnvironmentProblem(
            "reading a Hugging Face data set needs the datasets package", hint="pip install datasets"
        ) from error
    return datasets


def _load(options: SourceOptions) -> Any:
    """The rows of one split."""
    datasets = _library()
    if options.dataset:
        return datasets.load_dataset(
            options.dataset, options.config or None, split=options.split, streaming=options.streaming
        )
    found = datasets.load_from_disk(options.path)
    if not isinstance(found, Mapping):
        return found  # one split was saved alone
    if options.split not in found:
        raise UsageError(
            f"{options.path}: there is no split '{options.split}'{closest(options.split, found)}; "
            f"it has {', '.join(found)}"
        )
    return found[options.split]


def _undecoded(rows: Any, column: str) -> Any:
    """The rows with audio as {bytes, path} instead of an array: our own decoder reads every container."""
    datasets = _library()
    feature = (rows.features or {}).get(column)
    if isinstance(feature, datasets.Audio):
        return rows.cast_column(column, datasets.Audio(decode=False))
    return rows


def _fingerprint(rows: Any, options: SourceOptions) -> str:
    """Hash of the content where `datasets` knows it; of what is streamed, the version of its files."""
    if not options.streaming:
        return str(rows._fingerprint)
    return repr(getattr(rows.info, "download_checksums", None))


def _items(rows: Any, options: SourceOptions, language: str, name: str) -> Items:
    iterator = iter(rows)
    number = -1
    while True:
        number += 1
        with _translated(name):  # a stream may break at any row
            row = next(iterator, None)
        if row is None:
            return
        where = f"{name}, row {number}"
        try:
            audio, label = _audio(row[options.audio_column], options.audio_column)
            yield Item(
                id=id_of(row, options) or label or f"row-{number:08d}",
                audio=audio,
                text=text_of(row, options),
                speaker=speaker_of(row, options),
                language=language,
            )
        except InputError as error:
            yield Rejected(where=where, reason=error.message)


def _audio(value: object, column: str) -> tuple[Path | bytes, str]:
    """Sound of a row, and the name that it has in the data set (empty: none)."""
    fields = value if isinstance(value, Mapping) else {"path": value}
    path, content = fields.get("path"), fields.get("bytes")
    label = path if isinstance(path, str) else ""
    if isinstance(content, bytes):
        return content, label
    if "://" in label:  # a stream names files of the hub, perhaps inside an archive
        return _fetched(label), label
    if label:
        return Path(label), label
    raise InputError(f"{column}: expected a file name or audio, found {type(value).__name__}")


def _fetched(url: str) -> bytes:
    from datasets.utils.file_utils import xopen

    try:
        with xopen(url, "rb") as file:
            return bytes(file.read())
    except (OSError, ValueError, KeyError) as error:  # KeyError: not in the archive
        raise InputError(f"{url}: cannot be fetched: {_first_line(error)}") from error


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Turns what `datasets` raises into our errors."""
    try:
        yield
    except DistilError:
        raise
    except FileNotFoundError as error:  # DatasetNotFoundError is one
        raise NoInputError(f"{name}: there is no such data set: {_first_line(error)}") from error
    except ConnectionError as error:
        raise EnvironmentProblem(
            f"{name}: the hub cannot be reached: {_first_line(error)}",
            hint="check the network, or HF_ENDPOINT",
        ) from error
    except OSError as error:
        raise EnvironmentProblem(f"{name}: cannot be read: {_first_line(error)}") from error
    except (ValueError, RuntimeError, KeyError) as error:  # unknown split or configuration, damaged files
        raise UsageError(f"{name}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
