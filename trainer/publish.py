"""Uploads a student with its card and report to the model hub. Knows files and one repository."""

from __future__ import annotations

from pathlib import Path

from distilcli.errors import EnvironmentProblem, UsageError
from distilcli.hub import endpoint


def push(folder: Path, report: Path, repo: str) -> str:
    """Uploads the files of `folder`, and `report` beside them, in one commit; returns the commit's address.

    The repository is made, private, where there is none: what becomes public is the owner's decision.

    Raises:
        UsageError: the name is not of the form owner/name.
        EnvironmentProblem: the hub cannot be reached, or refuses; the files stay where they are.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, errors

    api = HfApi()
    files = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()} | {report.name: report}
    try:
        api.create_repo(repo, private=True, exist_ok=True)
        operations = [CommitOperationAdd(name, path) for name, path in files.items()]
        done = api.create_commit(
            repo, operations, commit_message="Upload the student, its card and its report"
        )
    except errors.HFValidationError as error:
        raise UsageError(f"report.push_to_hub: expected owner/name, found {repo!r}: {error}") from error
    except (
        errors.HTTPError,  # type: ignore[attr-defined]  # the base class of the HTTP library that the hub uses
        OSError,
        RuntimeError,  # what the client makes of a file that did not arrive
        ValueError,  # and of an answer that it does not understand
    ) as error:
        raise EnvironmentProblem(
            f"the student cannot be uploaded to {repo} on {endpoint()}: {_reason(error)}",
            hint="hf auth login, then the same command again: only the upload is repeated",
        ) from error
    return str(done.commit_url)


def _reason(error: BaseException) -> str:
    """The first line of an error and of what caused it."""
    lines = [str(one).strip().splitlines() for one in (error, error.__cause__) if one is not None]
    return ": ".join(found[0].rstrip(".:") for found in lines if found) or type(error).__name__
