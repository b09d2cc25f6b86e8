"""Uploads files to a repository of the model hub, in one commit. Knows no format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from distilcli.errors import EnvironmentProblem, UsageError
from distilcli.hub import endpoint


def upload(files: Mapping[str, Path | bytes], repo: str, what: str, option: str) -> str:
    """Upload `files`, path in the repository -> content, in one commit; returns the commit's address.

    The repository is made, private, where there is none: what becomes public is the owner's decision.

    Args:
        files: what to upload.
        repo: owner/name.
        what: names them in messages, such as ``the student``.
        option: what named the repository, for messages.

    Raises:
        UsageError: the name is not of the form owner/name.
        EnvironmentProblem: the hub cannot be reached, or refuses; the files stay where they are.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    with _speaking_to_the_hub(repo, what, option):
        api = HfApi()
        api.create_repo(repo, private=True, exist_ok=True)
        operations = [CommitOperationAdd(name, content) for name, content in files.items()]
        return str(api.create_commit(repo, operations, commit_message=f"Upload {what}").commit_url)


def card_of(repo: str, option: str) -> str:
    """The README.md that a repository has, or '' where it has none or does not exist yet.

    Raises:
        UsageError, EnvironmentProblem: see `upload`.
    """
    from huggingface_hub import HfApi, hf_hub_download

    with _speaking_to_the_hub(repo, "the model card", option):
        if not HfApi().repo_exists(repo) or not HfApi().file_exists(repo, "README.md"):
            return ""
        return Path(hf_hub_download(repo, "README.md")).read_text(encoding="utf-8")


@contextmanager
def _speaking_to_the_hub(repo: str, what: str, option: str) -> Iterator[None]:
    from huggingface_hub import errors

    try:
        yield
    except errors.HFValidationError as error:
        raise UsageError(f"{option}: expected owner/name, found {repo!r}: {error}") from error
    except (
        errors.HTTPError,  # type: ignore[attr-defined]  # the base class of the HTTP library that the hub uses
        OSError,
        RuntimeError,  # what the client makes of a file that did not arrive
        ValueError,  # and of an answer that it does not understand
    ) as error:
        raise EnvironmentProblem(
            f"{what} cannot be uploaded to {repo} on {endpoint()}: {_reason(error)}",
            hint="hf auth login, then the same command again: what is made already stays",
        ) from error


def _reason(error: BaseException) -> str:
    """The first line of an error and of what caused it."""
    lines = [str(one).strip().splitlines() for one in (error, error.__cause__) if one is not None]
    return ": ".join(found[0].rstrip(".:") for found in lines if found) or type(error).__name__
