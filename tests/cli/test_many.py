"""Many recordings: folders, lists, what is there already, the table at the end, the report."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from distilcli.cli.inputs import expand
from distilcli.errors import NoInputError, UsageError
from distilcli.models import resolve
from tests.support.cli import run


@pytest.fixture
def calls() -> Path:
    """A folder with recordings in it and below it, among other files."""
    for name in ("calls/b.mp3", "calls/a.WAV", "calls/notes.txt", "calls/.hidden.wav", "calls/may/c.ogg"):
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return Path("calls")


@pytest.fixture
def spoken(rise: Path, fall: Path) -> Path:
    """A folder with one recording in it and one below it."""
    Path("talks/old").mkdir(parents=True)
    shutil.copy(rise, "talks/rise.wav")
    shutil.copy(fall, "talks/old/fall.wav")
    return Path("talks")


def test_a_folder_stands_for_the_recordings_in_it(calls: Path) -> None:
    assert expand([str(calls)]) == {"calls/a.WAV": Path(), "calls/b.mp3": Path()}


def test_recursive_takes_the_folders_below(calls: Path) -> None:
    assert expand(["calls"], recursive=True) == {
        "calls/a.WAV": Path(),
        "calls/b.mp3": Path(),
        "calls/may/c.ogg": Path("may"),
    }


def test_what_is_meant_twice_is_taken_once(calls: Path) -> None:
    assert list(expand(["calls/b.mp3", "calls", "calls/*.WAV"])) == ["calls/b.mp3", "calls/a.WAV"]


def test_a_pattern_may_stand_for_folders_of_any_depth(calls: Path) -> None:
    assert list(expand(["**/*.ogg"], recursive=True)) == ["calls/may/c.ogg"]


def test_a_list_names_inputs_line_by_line(calls: Path) -> None:
    Path("todo.txt").write_text("\ufeff# calls of May\ncalls/b.mp3\n\n  calls/may  \n", encoding="utf-8")
    assert list(expand(["@todo.txt", "x.wav"])) == ["calls/b.mp3", "calls/may/c.ogg", "x.wav"]


def test_a_file_may_begin_with_the_sign_of_a_list() -> None:
    Path("@me.wav").touch()
    assert list(expand(["@me.wav"])) == ["@me.wav"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "the list of inputs todo.txt cannot be read: No such file or directory"),
        (b"\xff\xfe\x00", "the list of inputs todo.txt cannot be read: it is not text in UTF-8"),
        (b"# none\n\n", "the list of inputs todo.txt is empty; expected one recording per line"),
    ],
)
def test_a_list_that_is_none(content: bytes | None, said: str) -> None:
    if content is not None:
        Path("todo.txt").write_bytes(content)
    with pytest.raises(NoInputError) as caught:
        expand(["@todo.txt"])
    assert caught.value.message == said


def test_a_list_from_standard_input(toy: Path, spoken: Path) -> None:
    result = run("transcribe", "@-", "--model", toy, "--srt", stdin=b"talks/rise.wav\ntalks/old/fall.wav\n")
    assert result.code == 0
    assert sorted(path.name for path in Path().glob("*.srt")) == ["fall.srt", "rise.srt"]


def test_a_folder_without_recordings_says_where_to_look(calls: Path) -> None:
    (calls / "a.WAV").unlink()
    (calls / "b.mp3").unlink()
    result = run("transcribe", calls)
    assert (result.code, result.stderr) == (
        3,
        "error: calls holds no recording (a file such as talk.mp3 or talk.wav)\n"
        "hint: distilcli transcribe calls --recursive\n",
    )


def test_an_input_written_twice_is_a_mistake(calls: Path) -> None:
    with pytest.raises(UsageError, match="calls is given twice"):
        expand(["calls", "calls"])


def test_results_repeat_the_tree_of_folders(toy: Path, spoken: Path) -> None:
    result = run("transcribe", spoken, "-r", "--model", toy, "--srt", "-o", "out")
    assert result.code == 0
    assert sorted(map(str, Path("out").rglob("*.srt"))) == ["out/old/fall.srt", "out/rise.srt"]
    *_, rise, fall, total = result.stderr.splitlines()
    assert rise.split()[:2] == ["talks/rise.wav", "00:11"]
    assert fall.split()[:2] == ["talks/old/fall.wav", "00:07"]
    assert total.startswith("2 recordings: 2 done; 00:18 of audio in ")


def test_recordings_with_every_file_are_skipped(toy: Path, spoken: Path) -> None:
    words = ("transcribe", spoken, "-r", "--model", toy, "--skip-existing")
    assert run(*words, "--srt").code == 0
    Path("rise.vtt").write_text("kept", encoding="utf-8")
    before = Path("rise.srt").stat().st_mtime_ns
    result = run(*words, "--srt", "--vtt")
    assert result.code == 0
    assert "1 of 2 recordings are skipped: their files are there\n" in result.stderr
    assert Path("rise.vtt").read_text(encoding="utf-8") == "kept"
    assert Path("rise.srt").stat().st_mtime_ns == before
    assert Path("old/fall.vtt").is_file()
    again = run(*words, "--srt", "--vtt")
    assert again.code == 0
    assert "2 of 2 recordings are skipped" in again.stderr
    assert "model" not in again.stderr


def test_a_bad_recording_beside_skipped_ones_is_a_partial_failure(toy: Path, spoken: Path) -> None:
    words = ("transcribe", spoken, "--model", toy, "--skip-existing", "--srt")
    assert run(*words).code == 0
    (spoken / "bad.mp3").write_bytes(b"no sound")
    assert run(*words).code == 4


def test_skipping_needs_files_to_look_for(spoken: Path) -> None:
    result = run("transcribe", spoken, "--skip-existing")
    assert (result.code, result.stderr.splitlines()[0]) == (
        2,
        "error: --skip-existing looks for result files, and this command writes none",
    )


def test_the_report_says_what_the_run_was_made_of(toy: Path, spoken: Path) -> None:
    (spoken / "bad.mp3").write_bytes(b"no sound")
    words = ("transcribe", spoken, "-r", "--model", toy, "--srt", "--beam-size", 1, "--report", "run.json")
    assert run(*words).code == 4
    report = json.loads(Path("run.json").read_text(encoding="utf-8"))
    assert (report["exit_code"], report["totals"]["done"], report["totals"]["failed"]) == (4, 2, 1)
    assert report["options"]["beam_size"] == {"value": 1, "origin": "command line"}
    assert report["options"]["best_of"]["origin"] == "default"
    assert report["options"]["condition_on_previous_text"] == {"value": True, "origin": "model"}
    loaded = resolve(str(toy), "ctranslate2", kept_as="int8").folder / "model.bin"
    assert report["engine"]["weights"] == {"model.bin": hashlib.sha256(loaded.read_bytes()).hexdigest()}
    assert {"loading", "idle", "encoder", "decoder", "writing"} <= report["stages"].keys()
    assert {"decode", "features", "vad"} <= report["background"].keys()
    bad, rise, fall = sorted(
        report["recordings"], key=lambda one: (one["status"] == "done", -one["duration"])
    )
    assert (bad["status"], bad["error"]["exit_code"], bad["outputs"]) == ("failed", 5, {})
    assert (rise["duration"], fall["duration"]) == (11.0, 7.0)
    assert rise["sha256"] == hashlib.sha256((spoken / "rise.wav").read_bytes()).hexdigest()
    assert rise["outputs"] == {"rise.srt": hashlib.sha256(Path("rise.srt").read_bytes()).hexdigest()}


def test_a_report_that_cannot_be_written_is_refused_before_any_work(spoken: Path) -> None:
    result = run("transcribe", spoken, "--report", spoken)
    assert (result.code, result.stderr) == (
        7,
        "error: cannot write the report talks: there is a folder of this name\n",
    )


@pytest.mark.parametrize("jobs", [1, 3])
def test_reading_ahead_changes_nothing(toy: Path, spoken: Path, jobs: int) -> None:
    (spoken / "bad.mp3").write_bytes(b"no sound")
    result = run("transcribe", spoken, "-r", "--model", toy, "-q", "--jobs", jobs)
    assert result.code == 4
    assert result.stdout.splitlines() == [
        "The river runs down to the sea,",
        "and nobody can hurry it.",
        "",
        "Bring me two yellow lamps.",
        "The door is open.",
    ]
