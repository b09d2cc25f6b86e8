"""What ``distilcli transcribe`` says and does about doubtful text. One letter per second flags all of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distilcli.cli.doubts import doubts, sentence
from distilcli.types import Segment, Span, Transcript
from tests.support.cli import Result, run

FAST = ("--flag-max-rate", 1)


def transcribe(model: Path, *words: object) -> Result:
    return run("transcribe", *words, "--model", model, "--no-vad-detect", "-f", "json")


def document(name: str = "rise.json") -> dict[str, object]:
    return json.loads(Path(name).read_text(encoding="utf-8"))


def test_where_nothing_is_doubtful_nothing_is_said(toy: Path, rise: Path) -> None:
    result = transcribe(toy, rise)
    assert result.code == 0
    assert "flag" not in result.stderr
    found = document()
    assert not {"uncovered", "dropped"} & set(found)
    assert not {"flags", "tried"} & set(found["segments"][0])


def test_flags_are_in_the_json_and_in_one_line_on_stderr(toy: Path, rise: Path) -> None:
    result = transcribe(toy, rise, *FAST)
    assert result.code == 0
    assert f"{rise}: 2 segments flagged: 2 rate\n" in result.stderr
    assert [one["flags"] for one in document()["segments"]] == [["rate"], ["rate"]]
    assert transcribe(toy, rise, *FAST, "--quiet").stderr == ""


def test_fail_writes_everything_and_ends_with_8(toy: Path, rise: Path) -> None:
    result = transcribe(toy, rise, *FAST, "--on-flag", "fail")
    assert result.code == 8
    assert result.stderr.endswith(f"error: {rise} is doubtful: 2 segments flagged: 2 rate\n")
    assert len(document()["segments"]) == 2
    assert transcribe(toy, rise, *FAST, "--on-flag", "fail", "--act-on", "repetition,fallback").code == 0


def test_drop_takes_segments_out_and_hides_none(toy: Path, rise: Path, fall: Path) -> None:
    result = transcribe(toy, rise, *FAST, "--on-flag", "drop", "--json")
    assert result.code == 0
    found = document()
    assert (found["text"], found["segments"]) == ("", [])
    assert [one["text"] for one in found["dropped"]] == [
        " The river runs down to the sea,",
        " and nobody can hurry it.",
    ]
    events = result.events
    assert [one["id"] for one in events if one["event"] == "dropped"] == [0, 1]
    assert [one for one in events if one["event"] == "segment"] == []
    (done,) = [one for one in events if one["event"] == "file_done"]
    assert (done["segments"], done["dropped"]) == (0, 2)


def test_a_word_that_is_not_a_flag_is_refused(rise: Path) -> None:
    result = run("transcribe", rise, "--act-on", "repetitions")
    assert result.code == 2
    assert "did you mean 'repetition'?" in result.stderr
    assert run("transcribe", rise, "--on-flag", "dorp").code == 2


def segment(*flags: str) -> Segment:
    return Segment("a", Span(0, 1), flags=flags)


def transcript(**other: object) -> Transcript:
    return Transcript((), "en", 4000.0, **other)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Transcript((segment(),), "en", 1.0), ""),
        (
            Transcript((segment("rate", "repetition"), segment(), segment("repetition")), "en", 1.0),
            "2 segments flagged: 2 repetition, 1 rate",
        ),
        (transcript(dropped=(segment("no_speech"),)), "1 segment dropped: 1 no_speech"),
        (
            transcript(uncovered=(Span(724.2, 729.4),)),
            "1 stretch of speech without words: 12:04 to 12:09",
        ),
        (
            transcript(uncovered=tuple(Span(100.0 * at, 100.0 * at + at + 2) for at in range(5))),
            "5 stretches of speech without words: "
            "03:20 to 03:24, 05:00 to 05:05, 06:40 to 06:46 and 2 shorter",
        ),
        (
            transcript(uncovered=(Span(3600, 3605),)),
            "1 stretch of speech without words: 01:00:00 to 01:00:05",
        ),
    ],
)
def test_the_sentence(given: Transcript, said: str) -> None:
    assert sentence(given) == said


def test_an_event_has_only_what_there_is() -> None:
    assert doubts(transcript()) == {}
    found = doubts(Transcript((segment("rate"),), "en", 9.0, uncovered=(Span(1, 4),)))
    assert found == {"flagged": {"rate": 1}, "uncovered": [[1, 4]]}
