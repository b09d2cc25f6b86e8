"""A command that was stopped and is given again: what it goes on with, and what it refuses."""

from __future__ import annotations

import dataclasses
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from distilcli.backends.base import Capabilities
from distilcli.cli.arguments import FLAGS
from distilcli.cli.request import request
from distilcli.cli.resume import key_of
from distilcli.config import TranscribeOptions
from distilcli.models import resolve
from tests.support.cli import run, running
from tests.support.small_disk import fill
from tests.support.speech import write_wav
from tests.support.toy import toy_clip

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")

FILES = ("-f", "json", "--srt", "--txt", "-o", "out")


@pytest.fixture
def minutes(tmp_path: Path) -> Path:
    """The sentences of the first clip at the beginning of each of six windows."""
    window = np.zeros(30 * 16_000, dtype=np.float32)
    window[: len(toy_clip("rise"))] = toy_clip("rise")
    return write_wav(tmp_path / "minutes.wav", np.tile(window, 6))


@pytest.fixture
def whole(minutes: Path, multi: Path) -> dict[str, bytes]:
    """The results of a run that nobody stopped."""
    assert run("transcribe", minutes.name, "--model", multi, *FILES).code == 0
    found = results()
    shutil.rmtree("out")
    return found


def results() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path("out").iterdir())}


def journals(cache: Path) -> list[Path]:
    return list((cache / "journals").glob("*"))


def stopped(*argv: object, by: signal.Signals = signal.SIGKILL) -> None:
    """A run that a signal ends after its second segment."""
    with running("transcribe", *argv, "--json") as process:
        assert process.stdout is not None
        events = (line for line in process.stdout if '"segment"' in line)
        next(events), next(events)
        process.send_signal(by)
        process.communicate()


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_the_same_command_goes_on_and_its_results_are_the_same(
    by: signal.Signals, minutes: Path, multi: Path, whole: dict[str, bytes], cache: Path
) -> None:
    stopped(minutes.name, "--model", multi, *FILES, by=by)
    assert (by == signal.SIGTERM) == Path("out/minutes.partial.srt").is_file()
    assert len(list((cache / "journals").glob("*.jsonl"))) == 1
    result = run("transcribe", minutes.name, "--model", multi, *FILES)
    assert result.code == 0
    assert "resuming: " in result.stderr
    assert "minutes.wav: English (en, " in result.stderr
    assert results() == whole
    assert journals(cache) == []


def test_another_option_is_refused_in_one_sentence(minutes: Path, multi: Path, cache: Path) -> None:
    stopped(minutes.name, "--model", multi, *FILES)
    result = run("transcribe", minutes.name, "--model", multi, *FILES, "--beam-size", "1", "-q")
    assert result.code == 2
    assert result.stderr.splitlines() == [
        "error: an unfinished run of this command was made with --beam-size 5, "
        "and this one has --beam-size 1",
        "hint: add --restart to begin anew, or give what the unfinished run was made with to go on",
    ]
    words = ("transcribe", minutes.name, "--model", multi, *FILES, "--beam-size", "1", "--restart")
    result = run(*words)
    assert result.code == 0
    assert "resuming" not in result.stderr
    assert journals(cache) == []


def test_without_a_journal_nothing_is_kept(minutes: Path, multi: Path, cache: Path) -> None:
    stopped(minutes.name, "--model", multi, *FILES, "--no-journal")
    assert journals(cache) == []
    result = run("transcribe", "-", "--model", multi, stdin=b"no audio")
    assert result.code == 5
    assert journals(cache) == []


def test_a_run_that_was_read_to_its_end_leaves_nothing(rise: Path, multi: Path, cache: Path) -> None:
    assert run("transcribe", rise, "--model", multi).code == 0
    assert run("transcribe", rise, "no.wav", "--model", multi).code == 4
    assert journals(cache) == []


def test_a_second_run_on_the_same_results_is_refused(minutes: Path, multi: Path) -> None:
    with running("transcribe", minutes.name, "--model", multi, *FILES, "--json") as first:
        assert first.stdout is not None
        next(line for line in first.stdout if "file_start" in line)
        first.send_signal(signal.SIGSTOP)  # it holds its journal until it is told to go on
        second = run("transcribe", minutes.name, "--model", multi, *FILES)
        printed = run("transcribe", minutes.name, "--model", multi, "-o", "elsewhere", "--txt")
        first.send_signal(signal.SIGCONT)
        first.communicate()
    assert (second.code, second.stdout) == (7, "")
    assert "error: another run of this command is at work on the same results" in second.stderr
    assert (printed.code, first.returncode) == (0, 0)


def test_results_that_find_no_room_wait_in_the_journal(
    minutes: Path, multi: Path, whole: dict[str, bytes], small_disk: Path, cache: Path
) -> None:
    filler = fill(small_disk)
    words = ("transcribe", minutes.name, "--model", multi, *FILES[:-1], small_disk)
    failed = run(*words)
    assert failed.code == 7
    assert "no space left on device" in failed.stderr
    filler.unlink()
    result = run(*words)
    assert result.code == 0
    assert "resuming: 6 windows answered before" in result.stderr
    assert {path.name: path.read_bytes() for path in sorted(small_disk.iterdir())} == whole
    assert journals(cache) == []


def test_every_option_that_decides_the_text_is_in_the_key(multi: Path) -> None:
    def values(options: object) -> Iterator[object]:
        for one in dataclasses.fields(options):  # type: ignore[arg-type]  # a dataclass
            value = getattr(options, one.name)
            yield from values(value) if dataclasses.is_dataclass(value) else [value]

    asked = request(["a.wav"], {flag.name: flag.default for flag in FLAGS} | {"temperature": (0.0,)})
    device = Capabilities(backend="ctranslate2", device="cuda:1", compute_type="int8", n_mels=80)
    key = key_of(asked, [resolve(str(multi), "ctranslate2")], device, TranscribeOptions())
    rest = ("distilcli", "--model", "model files", "--backend", "--compute-type", "--device")
    rest += ("--attention", "--compile", "--audio-track")
    assert len(key) == len(rest) + len(list(values(TranscribeOptions())))
    assert set(rest) < set(key)
    assert (key["--device"], key["--beam-size"]) == ("cuda", 5)
    assert key["--temperature"] == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
