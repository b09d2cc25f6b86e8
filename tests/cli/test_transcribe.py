"""``distilcli transcribe`` from words to files, with a real backend and a toy model that knows its clips."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import command, run
from tests.support.subtitles import read_srt, read_vtt

RISE = ["The river runs down to the sea,", "and nobody can hurry it."]
FALL = ["Bring me two yellow lamps.", "The door is open."]


def lines(*texts: str) -> str:
    return "".join(f"{text}\n" for text in texts)


@pytest.fixture
def two(tmp_path: Path, rise: Path, fall: Path) -> tuple[str, str]:
    """Two recordings in the current folder."""
    shutil.copy(rise, "rise.wav")
    shutil.copy(fall, "fall.wav")
    return "rise.wav", "fall.wav"


def test_prints_the_text_and_writes_nothing(toy: Path, two: tuple[str, str], tmp_path: Path) -> None:
    result = run("transcribe", "rise.wav", "--model", toy)
    assert (result.code, result.stdout) == (0, lines(*RISE))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fall.wav", "rise.wav"]


def test_several_recordings_are_printed_in_their_order(toy: Path, two: tuple[str, str]) -> None:
    result = run("transcribe", *two, "--model", toy, "-q")
    assert (result.stdout, result.stderr) == (lines(*RISE) + "\n" + lines(*FALL), "")


def test_verbose_prints_times(toy: Path, two: tuple[str, str]) -> None:
    result = run("transcribe", "rise.wav", "--model", toy, "--verbose", "True")
    assert result.stdout.splitlines() == [
        f"[00:00.000 --> 00:04.400] {RISE[0]}",
        f"[00:04.400 --> 00:10.200] {RISE[1]}",
    ]


def test_verbose_leaves_a_document_on_standard_output_alone(toy: Path, two: tuple[str, str]) -> None:
    result = run("transcribe", "rise.wav", "--model", toy, "-v", "-o", "-")
    assert result.stdout == lines(*RISE)
    assert f"[00:04.400 --> 00:10.200] {RISE[1]}" in result.stderr


def test_writes_several_formats_into_a_folder_that_it_makes(toy: Path, two: tuple[str, str]) -> None:
    result = run("transcribe", *two, "--model", toy, "--srt", "-f", "vtt", "-f", "json", "-o", "out/deep")
    assert (result.code, result.stdout) == (0, "")
    out = Path("out/deep")
    assert sorted(path.name for path in out.iterdir()) == sorted(
        f"{stem}.{name}" for stem in ("rise", "fall") for name in ("srt", "vtt", "json")
    )
    cues = read_srt((out / "rise.srt").read_text())
    assert [(cue.start, cue.end, cue.text) for cue in cues] == [(0, 4400, RISE[0]), (4400, 10200, RISE[1])]
    assert [cue.text for cue in read_vtt((out / "fall.vtt").read_text())] == FALL
    document = json.loads((out / "rise.json").read_text())
    assert (document["schema"], document["language"], document["duration"]) == (1, "en", 11.0)
    assert document["text"] == " ".join(RISE)
    assert document["model"] == str(toy)
    assert document["backend"].startswith("ctranslate2 ")
    assert "wrote out/deep/rise.vtt" in result.stderr or "out/deep/rise.vtt" in result.stderr


def test_a_dot_in_the_name_is_kept(toy: Path, rise: Path) -> None:
    shutil.copy(rise, "lecture.01.wav")
    assert run("transcribe", "lecture.01.wav", "--model", toy, "--srt").code == 0
    assert Path("lecture.01.srt").exists()


def test_standard_input_to_standard_output(toy: Path, rise: Path) -> None:
    result = run("transcribe", "-", "--model", toy, "-f", "srt", "-o", "-", stdin=rise.read_bytes())
    assert (result.code, [cue.text for cue in read_srt(result.stdout)]) == (0, RISE)


def test_standard_input_to_a_file(toy: Path, rise: Path) -> None:
    assert run("transcribe", "-", "--model", toy, "--txt", stdin=rise.read_bytes()).code == 0
    assert Path("stdin.txt").read_text() == lines(*RISE)


def test_text_of_several_recordings_can_be_joined_and_subtitles_cannot(
    toy: Path, two: tuple[str, str]
) -> None:
    assert run("transcribe", *two, "--model", toy, "-o", "-").stdout == lines(*RISE, *FALL)
    refused = run("transcribe", *two, "--model", toy, "-o", "-", "-f", "srt")
    assert (refused.code, refused.stdout) == (2, "")
    assert "cannot join 2 recordings into one srt document" in refused.stderr


def test_patterns_are_expanded_for_shells_that_do_not(toy: Path, two: tuple[str, str]) -> None:
    assert run("transcribe", "*.wav", "--model", toy, "-o", "-").stdout == lines(*FALL, *RISE)


def test_language_and_task_reach_the_model(multi: Path, rise: Path) -> None:
    result = run("transcribe", rise, "--model", multi, "-f", "json", "-o", "out", "--language", "english")
    assert (result.code, "skips detection" in result.stderr) == (0, False)
    assert json.loads(Path("out/rise.json").read_text())["language"] == "en"


def test_a_detected_language_is_told_and_written(multi: Path, fall: Path) -> None:
    result = run("transcribe", fall, "--model", multi, "-f", "json", "-o", "out")
    code = json.loads(Path("out/fall.json").read_text())["language"]
    assert f"--language {code} skips detection" in result.stderr


# ---- inputs that cannot be used


def test_one_bad_recording_of_ten(toy: Path, fall: Path) -> None:
    names = [f"{number}.wav" for number in range(10)]
    for name in names:
        shutil.copy(fall, name)
    Path("4.wav").write_text("this is text\n")
    result = run("transcribe", *names, "--model", toy, "--txt")
    assert result.code == 4
    texts = {path.name: path.read_text() for path in Path().glob("*.txt")}
    assert texts == {f"{number}.txt": lines(*FALL) for number in range(10) if number != 4}
    assert result.stderr.count("error: 4.wav") == 1
    assert result.stderr.splitlines()[-1] == "error: 1 of 10 recordings failed: 4.wav"


def test_a_missing_and_a_good_recording(toy: Path, two: tuple[str, str]) -> None:
    result = run("transcribe", "ries.wav", "fall.wav", "--model", toy, "--txt")
    assert result.code == 4
    assert "error: there is no file ries.wav (did you mean 'rise.wav'?)" in result.stderr
    assert Path("fall.txt").exists()


def test_only_bad_recordings(toy: Path) -> None:
    for name in ("a.mp3", "b.mp3"):
        Path(name).write_text("this is text\n")
    result = run("transcribe", "a.mp3", "b.mp3", "--model", toy)
    assert (result.code, result.stdout) == (5, "")
    assert result.stderr.splitlines()[-1] == "error: 2 of 2 recordings failed: a.mp3, b.mp3"


def test_the_only_recording_is_bad(toy: Path) -> None:
    Path("empty.mp3").touch()
    result = run("transcribe", "empty.mp3", "--model", toy, "-q")
    assert result.code == 5
    assert result.stderr.splitlines()[0] == "error: empty.mp3: the file is empty (0 bytes)"
    assert result.stderr.count("error:") == 1


def test_an_audio_track_that_is_not_there(toy: Path, two: tuple[str, str]) -> None:
    result = run("transcribe", "rise.wav", "--model", toy, "--audio_track", "7")
    assert result.code == 5
    assert result.stderr.splitlines()[-1].startswith("error: rise.wav: has no audio track 7")


@pytest.mark.parametrize("names", [["no.wav"], ["no.wav", "nor.wav"]])
def test_no_input_at_all_is_told_before_a_model_is_looked_for(names: list[str]) -> None:
    result = run("transcribe", *names, "--model", "no/such-model")
    assert result.code == 3
    assert result.stderr.startswith("error: ")
    assert "there is no file no.wav" in result.stderr


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(rise: Path) -> None:
    shutil.copy(rise, "secret.wav")
    Path("secret.wav").chmod(0)
    result = run("transcribe", "secret.wav")
    assert (result.code, "permission denied" in result.stderr) == (3, True)


def test_an_input_given_twice() -> None:
    result = run("transcribe", "a.wav", "b.wav", "a.wav")
    assert (result.code, result.stderr) == (2, "error: a.wav is given twice\n")


# ---- outputs that cannot be written


def test_two_inputs_that_would_write_one_file(two: tuple[str, str]) -> None:
    Path("other").mkdir()
    shutil.copy("rise.wav", "other/rise.mp3")
    result = run("transcribe", "rise.wav", "other/rise.mp3", "--srt", "--model", "no/such-model")
    assert result.code == 2
    assert result.stderr.startswith("error: rise.wav and other/rise.mp3 would both write rise.srt\n")


def test_a_result_never_overwrites_an_input(rise: Path) -> None:
    shutil.copy(rise, "talk.txt")
    result = run("transcribe", "talk.txt", "--txt", "--model", "no/such-model")
    assert result.code == 2
    assert result.stderr.startswith("error: talk.txt would overwrite the input talk.txt\n")
    assert Path("talk.txt").read_bytes() == rise.read_bytes()


def test_an_output_folder_that_is_a_file(two: tuple[str, str]) -> None:
    result = run("transcribe", "rise.wav", "--srt", "-o", "fall.wav", "--model", "no/such-model")
    assert (result.code, result.stderr) == (7, "error: fall.wav is a file, and -o needs a folder\n")


def test_an_output_folder_that_cannot_be_made(two: tuple[str, str]) -> None:
    result = run("transcribe", "rise.wav", "--srt", "-o", "fall.wav/out", "--model", "no/such-model")
    assert result.code == 7
    assert result.stderr.startswith("error: cannot write fall.wav/out: not a directory\n")


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_output_folder(two: tuple[str, str]) -> None:
    Path("out").mkdir(mode=0o555)
    result = run("transcribe", "rise.wav", "--srt", "-o", "out", "--model", "no/such-model")
    assert (result.code, result.stderr.splitlines()[0]) == (7, "error: cannot write out: permission denied")


def test_a_disk_that_is_full_costs_only_the_recording_that_does_not_fit(
    toy: Path, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems notice a full disk only when the data must reach it: `fsync` fails once."""
    full = iter([OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))])

    def fsync(number: int) -> None:
        for error in full:
            raise error

    Path("rise.srt").write_text("old")
    monkeypatch.setattr("distilcli.writers.atomic.os.fsync", fsync)
    result = run("transcribe", *two, "--model", toy, "--srt", "--no-journal")
    assert result.code == 7
    assert "error: rise.wav: cannot write rise.srt: no space left on device\nhint: free" in result.stderr
    assert result.stderr.splitlines()[-1] == "error: 1 of 2 recordings failed: rise.wav"
    assert Path("rise.srt").read_text() == "old"
    assert [cue.text for cue in read_srt(Path("fall.srt").read_text())] == FALL
    assert sorted(path.name for path in Path().iterdir()) == ["fall.srt", "fall.wav", "rise.srt", "rise.wav"]


def test_a_full_standard_output(toy: Path, two: tuple[str, str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, a device that is always full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command("transcribe", "rise.wav", "--model", toy, "-q"),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 7
    assert done.stderr.splitlines()[0] == "error: cannot write standard output: no space left on device"


def test_a_reader_that_goes_away_ends_the_run_quietly(toy: Path, twenty_minutes: Path) -> None:
    words = " ".join(command("transcribe", twenty_minutes, "--model", toy, "-q"))
    done = subprocess.run(
        ["bash", "-c", f"{words} --condition_on_previous_text False | head -1; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [RISE[0], "141"]
    assert done.stderr == ""


# ---- models and options that cannot be used


def test_an_unknown_model_is_refused_with_the_closest(two: tuple[str, str]) -> None:
    result = run("transcribe", "rise.wav", "--model", "distil-large-v4")
    assert result.code == 2
    assert "did you mean 'distil-large-v3'" in result.stderr


def test_a_model_that_knows_no_german(toy: Path, two: tuple[str, str]) -> None:
    result = run("transcribe", "rise.wav", "--model", toy, "--language", "de", "--srt")
    assert (result.code, Path("rise.srt").exists()) == (2, False)
    assert "this model knows English only, and --language asks for german" in result.stderr


def test_an_unreachable_hub_is_named_with_what_helps(two: tuple[str, str], tmp_path: Path) -> None:
    env = {"HF_HOME": str(tmp_path / "hf"), "DISTILCLI_CACHE": str(tmp_path / "cache")}
    result = run("transcribe", "rise.wav", "--model", "tiny", "--offline", env=env)
    assert (result.code, result.stdout) == (6, "")
    assert "--model nano" in result.stderr
