"""The names of published models as data: where each lies on the hub, per format. Contacts nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from distilcli.errors import UsageError, closest
from distilcli.model_folder import CTRANSLATE2

NANO = "nano"
"""The bundled model."""


@dataclass(frozen=True, slots=True)
class Published:
    """Where a named model is published, per format, and what is known of it.

    `chunk_length` is the window of chunked long-form in seconds (model cards of distil-whisper).
    """

    transformers: str
    ctranslate2: str
    chunk_length: float = 30.0
    distil: bool = False

    def repo(self, fmt: str) -> str:
        """The hub repository with the files of a format."""
        return self.ctranslate2 if fmt == CTRANSLATE2 else self.transformers


def _whisper(size: str, of: str | None = None) -> Published:
    return Published(f"openai/whisper-{of or size}", f"Systran/faster-whisper-{size}")


def _distil(size: str, chunk_length: float) -> Published:
    return Published(
        f"distil-whisper/distil-{size}", f"Systran/faster-distil-whisper-{size}", chunk_length, distil=True
    )


PUBLISHED = {
    **{
        f"{size}{end}": _whisper(f"{size}{end}")
        for size in ("tiny", "base", "small", "medium")
        for end in ("", ".en")
    },
    "large-v1": _whisper("large-v1", of="large"),
    "large-v2": _whisper("large-v2"),
    "large-v3": _whisper("large-v3"),
    "large-v3-turbo": Published(
        "openai/whisper-large-v3-turbo", "mobiuslabsgmbh/faster-whisper-large-v3-turbo"
    ),
    "distil-small.en": _distil("small.en", 15.0),
    "distil-medium.en": _distil("medium.en", 15.0),
    "distil-large-v2": _distil("large-v2", 15.0),
    "distil-large-v3": _distil("large-v3", 25.0),
    "distil-large-v3.5": Published(
        "distil-whisper/distil-large-v3.5", "distil-whisper/distil-large-v3.5-ct2", 25.0, distil=True
    ),
}
"""Name -> repositories; the CTranslate2 ones are those that faster-whisper uses."""

ALIASES = {"large": "large-v3", "turbo": "large-v3-turbo"}

_REPO = re.compile(r"[\w.-]+/[\w.-]+")


def published(name: str) -> Published | None:
    """The model of a published name or of one of its repositories."""
    if found := PUBLISHED.get(ALIASES.get(name, name)):
        return found
    return next((one for one in PUBLISHED.values() if name in (one.transformers, one.ctranslate2)), None)


def is_published_name(name: str) -> bool:
    """Whether the name is a bare word of the table."""
    return name in PUBLISHED or name in ALIASES


def refuse_what_is_no_model(name: str, path: Path) -> None:
    """Raise `UsageError` for what is neither a known name nor could be ``owner/name`` on the hub."""
    if path.is_file():
        raise UsageError(
            f"--model {name} is a file; expected a model's name, owner/name on the hub, or a folder"
        )
    if name.startswith((".", "~", "/")) or "\\" in name or name.count("/") > 1:
        raise UsageError(f"there is no model folder {name}", hint="distilcli models list")
    if not _REPO.fullmatch(name):
        names = [*PUBLISHED, *ALIASES, NANO]
        raise UsageError(f"there is no model '{name}'{closest(name, names)}", hint="distilcli models list")
