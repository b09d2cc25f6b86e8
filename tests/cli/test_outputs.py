"""Names of result files, and the files that are kept when a run is stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from distilcli.cli.inputs import stem
from distilcli.cli.outputs import FileWriter, plan
from distilcli.errors import OutputError, UsageError
from distilcli.types import Segment, Span, Transcript

BLANK = Transcript((), None, 0.0, model="nano", backend="ctranslate2 int8 on cpu")


def segment(start: float, end: float, text: str) -> Segment:
    return Segment(text, Span(start, end))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("talk.mp3", "talk"),
        ("in/lecture.01.mp3", "lecture.01"),
        ("noextension", "noextension"),
        (".hidden", ".hidden"),
        ("-", "stdin"),
        ("https://example.org/a/Talk%20one.mp3?token=1#t=3", "Talk one"),
        ("https://example.org/a/..%2F..%2Fpasswd.mp3", "passwd"),
        ("https://example.org/", "example.org"),
    ],
)
def test_the_name_of_a_result(source: str, name: str) -> None:
    assert stem(source) == name


def test_a_plan_names_every_file() -> None:
    targets = plan(["a.mp3", "-"], ["srt", "json"], Path("out"))
    assert targets == {
        "a.mp3": {"srt": Path("out/a.srt"), "json": Path("out/a.json")},
        "-": {"srt": Path("out/stdin.srt"), "json": Path("out/stdin.json")},
    }


def test_standard_input_and_a_file_of_that_name_collide() -> None:
    with pytest.raises(UsageError, match="- and stdin\\.wav would both write"):
        plan(["-", "stdin.wav"], ["srt"], Path())


def writer(sources: list[str]) -> tuple[FileWriter, list[str]]:
    notes: list[str] = []
    return FileWriter(plan(sources, ["txt"], Path()), BLANK, notes.append), notes


def test_what_is_finished_of_several_running_recordings_is_kept() -> None:
    files, _ = writer(["a.mp3", "b.mp3", "c.mp3"])
    for source in ("a.mp3", "b.mp3", "c.mp3"):
        files.file_started(source, 60.0)
    files.segment("a.mp3", segment(0, 4, " One."))
    files.segment("b.mp3", segment(0, 5, " Two."))
    files.segment("b.mp3", segment(5, 9, " Three."))
    assert files.save_partials() == [
        "4 s of 60 s of a.mp3 is in a.partial.txt",
        "9 s of 60 s of b.mp3 is in b.partial.txt",
    ]
    assert Path("b.partial.txt").read_text() == "Two.\nThree.\n"
    assert not Path("c.partial.txt").exists()
    assert files.save_partials() == []


def test_a_finished_recording_leaves_no_partial() -> None:
    files, notes = writer(["a.mp3"])
    files.file_started("a.mp3", 4.0)
    files.segment("a.mp3", segment(0, 4, " One."))
    files.file_done("a.mp3", Transcript((segment(0, 4, " One."),), "en", 4.0))
    assert (files.save_partials(), notes) == ([], ["wrote a.txt"])
    assert [path.name for path in Path().iterdir()] == ["a.txt"]


def test_an_interrupt_while_the_result_is_written_keeps_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    files, _ = writer(["a.mp3"])
    files.file_started("a.mp3", 4.0)
    files.segment("a.mp3", segment(0, 4, " One."))

    def interrupt(path: Path, text: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("distilcli.cli.outputs.write_atomically", interrupt)
        with pytest.raises(KeyboardInterrupt):
            files.file_done("a.mp3", Transcript((segment(0, 4, " One."),), "en", 4.0))
    assert files.save_partials() == ["4 s of 4 s of a.mp3 is in a.partial.txt"]


def test_a_part_that_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    files, _ = writer(["a.mp3"])
    files.file_started("a.mp3", 4.0)
    files.segment("a.mp3", segment(0, 4, " One."))

    def full(path: Path, text: str) -> None:
        raise OutputError("cannot write a.partial.txt: no space left on device")

    monkeypatch.setattr("distilcli.cli.outputs.write_atomically", full)
    (said,) = files.save_partials()
    assert said == "what was finished of a.mp3 is lost: cannot write a.partial.txt: no space left on device"
