"""Uploading a student to the hub: one commit with everything, a private repository, clear refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.hub_upload import UploadHub

PUSH = """
from pathlib import Path
from distilcli.errors import DistilError
from distilcli.trainer.publish import push
try:
    print(push(Path({folder!r}), Path({report!r}), {repo!r}))
except DistilError as error:
    print(type(error).__name__, error.message, error.hint, sep="|")
"""


@pytest.fixture
def student(tmp_path: Path) -> Path:
    """A folder with the kinds of files that a student has."""
    folder = tmp_path / "run" / "student"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "README.md").write_text('---\nlanguage: ["en"]\n---\n# student\n', encoding="utf-8")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    (folder.parent / "report.html").write_text("<!doctype html>", encoding="utf-8")
    return folder


def pushed(hub: UploadHub, student: Path, repo: str) -> str:
    code = PUSH.format(folder=str(student), report=str(student.parent / "report.html"), repo=repo)
    done = hub.python(code)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_everything_arrives_in_one_commit_of_a_private_repository(tmp_path: Path, student: Path) -> None:
    with UploadHub({}, tmp_path / "home") as hub:
        address = pushed(hub, student, "me/student")
        assert address.startswith(f"{hub.address}/me/student/commit/")
        expected = ("README.md", "config.json", "model.safetensors", "report.html")
        assert [(repo, files) for repo, _, files in hub.commits] == [("me/student", expected)]
        assert hub.private["me/student"]
        for path in [*student.iterdir(), student.parent / "report.html"]:
            assert (hub.repos["me/student"] / path.name).read_bytes() == path.read_bytes()


def test_a_second_upload_sends_the_weights_no_second_time(tmp_path: Path, student: Path) -> None:
    with UploadHub({}, tmp_path / "home") as hub:
        pushed(hub, student, "me/student")
        pushed(hub, student, "me/student")
        assert [method for method, _, _ in hub.requests].count("PUT") == 1
        assert len(hub.commits) == 2


def test_a_refusal_is_one_sentence_and_says_how_to_log_in(tmp_path: Path, student: Path) -> None:
    with UploadHub({}, tmp_path / "home", refuses=True) as hub:
        kind, message, hint = pushed(hub, student, "me/student").split("|")
    assert kind == "EnvironmentProblem"
    assert message.startswith(f"the student cannot be uploaded to me/student on {hub.address}: ")
    assert "hf auth login" in hint
    assert not hub.commits


def test_a_broken_upload_commits_nothing(tmp_path: Path, student: Path) -> None:
    with UploadHub({}, tmp_path / "home", fails_at_large=99) as hub:
        assert pushed(hub, student, "me/student").startswith("EnvironmentProblem|")
        assert not hub.commits


def test_a_name_that_is_none_is_refused(tmp_path: Path, student: Path) -> None:
    with UploadHub({}, tmp_path / "home") as hub:
        kind, message, _ = pushed(hub, student, "not a name").split("|")
    assert kind == "UsageError"
    assert message.startswith("report.push_to_hub: expected owner/name, found 'not a name'")
