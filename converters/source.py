"""What is converted: a model's name, repository, folder, or a file of whisper.cpp or openai/whisper.

Files become a Hugging Face folder first, so that the converters know one kind of source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from distilcli.errors import ModelError, UsageError
from distilcli.model_folder import CTRANSLATE2, TRANSFORMERS, format_of
from distilcli.models import OnEvent, resolve

_GGML = b"lmgg"  # the magic number 0x67676d6c, little endian
_ZIP = b"PK\x03\x04"


@contextmanager
def hugging_face_folder(model: str, scratch: Path, on_event: OnEvent | None = None) -> Iterator[Path]:
    """A Hugging Face folder of the model, for as long as the block lasts.

    Args:
        model: name, ``owner/name``, folder, or a file of whisper.cpp (GGML) or openai/whisper (``.pt``).
        scratch: existing folder for what is unpacked from a file.
        on_event: told of downloads.

    Raises:
        UsageError: there is no such model, or it is of a format that cannot be converted from.
        EnvironmentProblem: it cannot be downloaded.
        ModelError: it is damaged.
    """
    path = Path(model).expanduser()
    if path.is_file():
        with TemporaryDirectory(dir=scratch, prefix=".distilcli-") as unpacked:
            folder = Path(unpacked) / path.stem
            _reader_of(path)(path, folder)
            yield folder
        return
    if path.is_dir() and format_of(path, TRANSFORMERS) == CTRANSLATE2:
        raise UsageError(
            f"{model} is a CTranslate2 model, from which nothing can be converted",
            hint="give the Hugging Face checkpoint that it was made from",
        )
    yield resolve(model, TRANSFORMERS, on_event=on_event).folder


def _reader_of(path: Path) -> Callable[[Path, Path], None]:
    with path.open("rb") as file:
        magic = file.read(4)
    for known, read in _READERS.items():
        if magic == known:
            return read
    raise ModelError(
        f"{path} is neither a GGML file of whisper.cpp nor a .pt file of openai/whisper",
        hint="for a Hugging Face checkpoint, give its folder",
    )


def _from_ggml(path: Path, folder: Path) -> None:
    from distilcli.converters import ggml_reader, hf_layout

    hf_layout.write_imported(ggml_reader.read(path), folder, str(path))


def _from_openai(path: Path, folder: Path) -> None:
    from distilcli.converters import hf_layout, openai_pt

    hf_layout.write_imported(openai_pt.read(path), folder, str(path))


_READERS = {_GGML: _from_ggml, _ZIP: _from_openai}
