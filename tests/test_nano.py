"""The bundled model reads the bundled recording: the text that `make demo` shows is right enough to read."""

from __future__ import annotations

import re
from importlib.resources import as_file, files

import jiwer

from distilcli import transcribe
from distilcli.pipeline import default_options

GOAL = 0.2


def words(text: str) -> str:
    """Lower case, letters and apostrophes only."""
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def test_the_demo_is_readable_with_the_default_options() -> None:
    assets = files("distilcli.assets")
    with as_file(assets / "demo.mp3") as recording:
        transcript = transcribe(recording, model="nano")
    true_text = (assets / "demo.txt").read_text(encoding="utf-8")
    assert jiwer.wer(words(true_text), words(transcript.text)) <= GOAL
    ends = [segment.span.end for segment in transcript.segments]
    assert ends == sorted(ends)
    assert ends[-1] > transcript.duration - 3.0


def test_a_model_by_name_gets_the_options_that_suit_it() -> None:
    options = default_options("nano")
    assert not options.sequential.condition_on_previous_text  # two decoder layers beside four: a Distil model
    assert options.chunked.chunk_length == 30.0
