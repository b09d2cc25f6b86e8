"""Uploads a student with its card and report to the model hub. Knows files and one repository."""

from __future__ import annotations

from pathlib import Path

from distilcli.converters.upload import upload


def push(folder: Path, report: Path, repo: str) -> str:
    """Uploads the files of `folder`, and `report` beside them, in one commit; returns the commit's address.

    Raises:
        UsageError: the name is not of the form owner/name.
        EnvironmentProblem: the hub cannot be reached, or refuses; the files stay where they are.
    """
    files = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()} | {report.name: report}
    return upload(files, repo, "the student", "report.push_to_hub")
