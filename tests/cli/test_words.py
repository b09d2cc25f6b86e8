"""Words on the command line: openai/whisper's spellings, what implies them, and the files they end up in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distilcli.cli.arguments import FLAGS
from distilcli.cli.arguments_words import line_options, word_options
from distilcli.cli.argv import fold_booleans
from distilcli.config import LineOptions, WordOptions
from distilcli.errors import UsageError
from tests.support.cli import run
from tests.support.subtitles import read_srt

NOTHING = dict.fromkeys(
    (
        *("word_timestamps", "prepend_punctuations", "append_punctuations"),
        *("max_line_width", "max_line_count", "max_words_per_line"),
    )
) | {"highlight_words": False}


def test_openai_whispers_spellings_are_understood() -> None:
    words = ["--word_timestamps", "True", "--highlight_words", "False", "--max_line_width", "None"]
    assert fold_booleans(words, FLAGS) == [
        *("--word-timestamps", "--no-highlight-words", "--max_line_width", "None")
    ]
    assert fold_booleans(["--word_timestamps=False"], FLAGS) == ["--no-word-timestamps"]


@pytest.mark.parametrize(
    ("given", "timed"),
    [
        ({}, False),
        ({"word_timestamps": True}, True),
        ({"word_timestamps": False}, False),
        ({"max_line_width": 40}, True),
        ({"max_words_per_line": 3}, True),
        ({"highlight_words": True}, True),
        ({"append_punctuations": "!"}, False),
    ],
)
def test_options_of_lines_imply_times_of_words(given: dict[str, object], timed: bool) -> None:
    options = word_options({**NOTHING, **given})
    assert options.word_timestamps == timed
    assert options.append_punctuations == given.get("append_punctuations", WordOptions().append_punctuations)


def test_lines_without_words_are_refused() -> None:
    values = {**NOTHING, "word_timestamps": False, "max_line_width": 40}
    assert line_options(values) == LineOptions(max_line_width=40)
    with pytest.raises(UsageError, match="--max-line-width needs the times of words, and --no-word-times"):
        word_options(values)


def test_words_reach_every_file_that_has_a_place_for_them(toy: Path, rise: Path) -> None:
    result = run("transcribe", rise, "-m", toy, "-f", "srt", "-f", "json", "--max_words_per_line", "2")
    assert result.code == 0
    (first, *_) = json.loads(Path("rise.json").read_text())["segments"]
    assert [word["word"] for word in first["words"]][:3] == [" The", " river", " runs"]
    assert (first["start"], first["end"]) == (first["words"][0]["start"], first["words"][-1]["end"])
    cues = read_srt(Path("rise.srt").read_text())
    assert [cue.text for cue in cues][:2] == ["The river", "runs down"]


def test_events_carry_words(toy: Path, rise: Path) -> None:
    result = run("transcribe", rise, "-m", toy, "--json", "--word_timestamps", "True")
    segment = next(event for event in result.events if event["event"] == "segment")
    assert "".join(word["word"] for word in segment["words"]) == segment["text"]
