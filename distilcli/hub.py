"""The model hub: find a repository in its local cache, download it, remove it.

Files lie in the standard Hugging Face cache, so other tools find them, and theirs are found here. Knows
repositories and files, not model names or formats.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distilcli.errors import EnvironmentProblem, UsageError

OnBytes = Callable[[int, int], None]
"""Called with (bytes done, bytes in all)."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository. Large files have a `sha256`, all have the `blob_id` of what git stores."""

    path: str
    size: int
    blob_id: str
    sha256: str | None


def is_offline() -> bool:
    """Whether the user's settings (``HF_HUB_OFFLINE``) forbid to contact the hub."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def endpoint() -> str:
    """Address of the hub (``HF_ENDPOINT``)."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def cache_folder() -> Path:
    """The Hugging Face cache (``HF_HUB_CACHE``, ``HF_HOME``)."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def unreachable(timeout: float = 5.0) -> str | None:
    """Why the hub does not answer within `timeout` seconds, or None when it does."""
    from huggingface_hub import errors, get_session

    try:
        get_session().head(endpoint(), timeout=timeout)
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]  # see `_speaking_to_the_hub`
        return str(error) or type(error).__name__
    return None


def find(repo: str, patterns: Sequence[str]) -> Path | None:
    """Local folder of a repository when every file of `patterns` that it has is there; no network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo, allow_patterns=list(patterns), local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def files_of(repo: str, name: str) -> tuple[RemoteFile, ...]:
    """Ask the hub for the files of a repository's main branch; `name` is what the user calls it.

    Raises:
        UsageError: there is no such repository.
        EnvironmentProblem: the hub cannot be reached or refuses access.
    """
    from huggingface_hub import HfApi

    with _speaking_to_the_hub(repo, name):
        siblings = HfApi().model_info(repo, files_metadata=True).siblings or []
    return tuple(
        RemoteFile(one.rfilename, one.size or 0, one.blob_id or "", one.lfs.sha256 if one.lfs else None)
        for one in siblings
    )


def download(
    repo: str, name: str, files: Sequence[RemoteFile], patterns: Sequence[str], on_bytes: OnBytes | None
) -> Path:
    """Download those of `files` that match `patterns` and are missing; check them; return their folder.

    Large files go on where an earlier attempt stopped, even one of an earlier process: the hub's own client
    begins them again (huggingface_hub 2.4, `_download_to_tmp_and_move`).

    Raises:
        EnvironmentProblem: the hub cannot be reached, refuses access, sends wrong bytes, or the disk is full.
    """
    from huggingface_hub import snapshot_download

    wanted = [one for one in files if any(fnmatch.fnmatch(one.path, pattern) for pattern in patterns)]
    progress = _Progress(sum(one.size for one in wanted), on_bytes)
    blobs = _storage(repo) / "blobs"
    _need_space(cache_folder(), sum(one.size for one in wanted if not _blob(blobs, one).is_file()))
    with _speaking_to_the_hub(repo, name):
        for one in wanted:
            if one.sha256:
                _fetch(repo, one, blobs, progress)
        folder = Path(snapshot_download(repo, allow_patterns=list(patterns), tqdm_class=progress.bar()))
    for one in wanted:
        _verify(one, folder / one.path)
    progress.finish()
    return folder


def remove(repo: str) -> int:
    """Delete a repository from the local cache; the bytes that this frees, 0 when it was not there."""
    freed = size_of(repo)
    storage = _storage(repo)
    if storage.is_dir():
        shutil.rmtree(storage)
    return freed


def size_of(repo: str) -> int:
    """Bytes that a repository takes in the local cache."""
    blobs = _storage(repo) / "blobs"
    return sum(one.stat().st_size for one in blobs.iterdir()) if blobs.is_dir() else 0


def cached_repos() -> list[str]:
    """Names of the model repositories in the local cache, sorted."""
    return sorted(
        path.name.removeprefix("models--").replace("--", "/", 1)
        for path in cache_folder().glob("models--*--*")
    )


def _storage(repo: str) -> Path:
    return cache_folder() / ("models--" + repo.replace("/", "--"))


def _blob(blobs: Path, file: RemoteFile) -> Path:
    """Where the cache keeps the content of a file (its name is the ETag)."""
    return blobs / (file.sha256 or file.blob_id)


def _fetch(repo: str, file: RemoteFile, blobs: Path, progress: _Progress) -> None:
    """Bring one large file into the cache's blob store, resuming ``<sha256>.incomplete``."""
    import filelock
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public by its manual

    blob = _blob(blobs, file)
    part = blob.with_name(blob.name + ".incomplete")
    lock = cache_folder() / ".locks" / blobs.parent.name / f"{blob.name}.lock"
    for folder in (blobs, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(lock):
        if blob.is_file():
            progress.add(file.size)
            return
        done = part.stat().st_size if part.is_file() else 0
        if done > file.size:
            part.unlink()
            done = 0
        progress.add(done)
        with part.open("ab") as target:
            http_get(
                hf_hub_url(repo, file.path),
                target,
                resume_size=done,
                expected_size=file.size,
                headers=build_hf_headers(),
                tqdm_class=progress.bar(),
            )
        _verify(file, part)
        os.replace(part, blob)


def _verify(file: RemoteFile, path: Path) -> None:
    """Compare a file with what the hub says of it; delete it when it is not the same."""
    expected = file.sha256 or file.blob_id
    if not expected:
        return
    if file.sha256:
        if path.is_symlink():  # `_fetch` has checked the blob behind it
            return
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode())  # git's name of the content
    with path.open("rb") as content:
        for block in iter(lambda: content.read(1 << 20), b""):
            digest.update(block)
    if digest.hexdigest() != expected:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise EnvironmentProblem(
            f"{file.path} arrived damaged: its checksum is not the one that {endpoint()} gives",
            hint="download it again; the damaged file is deleted",
        )


def _need_space(folder: Path, size: int) -> None:
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if size > free:
        raise EnvironmentProblem(
            f"the download needs {size / 1e9:.1f} GB, and {folder} has {free / 1e9:.1f} GB free",
            hint="free some space, or set HF_HOME to a folder on a larger disk",
        )


class _Progress:
    """Adds up the bytes of several files."""

    def __init__(self, total: int, tell: OnBytes | None) -> None:
        self.done, self.total, self.tell = 0, total, tell

    def add(self, size: int) -> None:
        self.done = max(0, self.done + size)
        if self.tell:
            self.tell(min(self.done, self.total), self.total)

    def finish(self) -> None:
        self.add(self.total - self.done)

    def bar(self) -> type[Any]:
        """A progress bar class that draws nothing and reports the bytes of single files here."""
        from tqdm.auto import tqdm

        progress = self

        class Bar(tqdm):  # type: ignore[misc]  # tqdm has no type information
            def __init__(self, *args: object, **options: Any) -> None:
                self.counts = options.get("unit") == "B"
                options.pop("name", None)
                super().__init__(*args, **{**options, "disable": True})

            def update(self, n: float | None = 1) -> None:
                if self.counts:
                    progress.add(int(n or 0))

        return Bar


@contextmanager
def _speaking_to_the_hub(repo: str, name: str) -> Iterator[None]:
    """Translate what the hub's client raises."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise EnvironmentProblem(
            f"the model {_label(repo, name)} is gated: its owner wants you to accept terms first",
            hint=f"accept them at {endpoint()}/{repo}, then run: hf auth login",
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UsageError(
            f"{endpoint()} has no model '{repo}', or it is private",
            hint="check the spelling (distilcli models list), or for a private model run: hf auth login",
        ) from error
    except errors.HFValidationError as error:
        raise UsageError(f"'{repo}' is not a name of the form owner/name: {error}") from error
    except (
        errors.HTTPError,  # type: ignore[attr-defined]  # the base class of the HTTP library that the hub uses
        OSError,
    ) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EnvironmentProblem(
            f"the model {_label(repo, name)} cannot be downloaded from {endpoint()}: {reason}",
            hint=unreachable_hint(name),
        ) from error


def unreachable_hint(name: str) -> str:
    """What to do when a model is not here and the hub cannot be asked."""
    return (
        f"run 'distilcli models download {name}' once with a network (it resumes), "
        "or use the bundled model: --model nano"
    )


def _label(repo: str, name: str) -> str:
    return name if name == repo else f"{name} ({repo})"
