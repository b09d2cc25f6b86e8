"""What model files this machine holds, and how to be rid of them. Deletes in caches only."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from distilcli import hub
from distilcli.folders import size_of
from distilcli.model_folder import format_of
from distilcli.model_names import NANO, PUBLISHED, is_published_name, published, refuse_what_is_no_model
from distilcli.models import FORMATS, PATTERNS, conversions, slug_of
from distilcli.paths import cache_dir

_MADE = re.compile(r"(?P<slug>.+)-[0-9a-f]{12,16}(-int8)?")
"""Name of a folder that was unpacked or converted: what from, its fingerprint, its number format."""


@dataclass(frozen=True, slots=True)
class Local:
    """A model on this machine: bytes per format, and of ``converted`` checkpoints."""

    name: str
    sizes: dict[str, int]


def local_models() -> Iterator[Local]:
    """Every published name, then what else is in the caches; a name that is not here has no sizes."""
    converted = [
        (made["slug"], path) for path in conversions().glob("*") if (made := _MADE.fullmatch(path.name))
    ]

    def sizes(slugs: set[str], repos: dict[str, str]) -> dict[str, int]:
        found = {fmt: hub.size_of(repo) for fmt, repo in repos.items() if _is_here(repo, fmt)}
        made = sum(size_of(path) for slug, path in converted if slug in slugs)
        return {**found, **({"converted": made} if made else {})}

    for name, one in PUBLISHED.items():
        repos = {fmt: one.repo(fmt) for fmt in FORMATS}
        yield Local(name, sizes({slug_of(repo) for repo in repos.values()}, repos))
    known = {repo for one in PUBLISHED.values() for repo in (one.transformers, one.ctranslate2)}
    for repo in hub.cached_repos():
        if repo not in known and (found := sizes({slug_of(repo)}, dict.fromkeys(FORMATS, repo))):
            yield Local(repo, found)


def _is_here(repo: str, fmt: str) -> bool:
    folder = hub.find(repo, PATTERNS[fmt])
    return folder is not None and format_of(folder, fmt) == fmt


def remove(name: str) -> int:
    """Delete what the caches hold of a model: downloads, unpacked editions, conversions.

    Returns:
        Bytes freed, 0 when nothing was there.

    Raises:
        UsageError: no such model.
    """
    known = published(name) if is_published_name(name) else None
    path = Path(name).expanduser()
    own: list[Path] = []
    repos: tuple[str, ...] = ()
    if name == NANO:
        own = [*_named(cache_dir() / "bundled", name), *_named(conversions(), name)]
    elif known:
        repos = (known.transformers, known.ctranslate2)
    elif path.is_dir():
        own = [
            made for made in _named(conversions(), path.resolve().name) if _made_from(made) == path.resolve()
        ]
    else:
        refuse_what_is_no_model(name, path)
        repos = (name,)
    own += [made for repo in repos for made in _named(conversions(), slug_of(repo))]
    freed = sum(hub.remove(repo) for repo in repos)
    for folder in own:
        freed += size_of(folder)
        shutil.rmtree(folder)
    return freed


def _named(parent: Path, slug: str) -> list[Path]:
    return [
        path for path in parent.glob("*") if (made := _MADE.fullmatch(path.name)) and made["slug"] == slug
    ]


def _made_from(conversion: Path) -> Path | None:
    note = conversion / "distilcli-export.json"
    return Path(json.loads(note.read_text(encoding="utf-8"))["source"]) if note.is_file() else None
