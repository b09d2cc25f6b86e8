"""The page: one document that needs nothing else, with everything that was measured."""

from __future__ import annotations

from dataclasses import replace

from distilcli.bench.page import render
from distilcli.bench.tables import paper_tables
from distilcli.bench.values import Case, Missing, Report
from tests.bench.reports import Run, clip_set, report
from tests.support.html import Reader

EVIL = '<script>alert("&")</script>'
OURS = Case(model="nano", device="cpu")
PEER = replace(OURS, system="faster-whisper", backend="")
SPEECH = clip_set("speech", "red green blue grey", "cat dog cow hen")
NOISY = clip_set("speech, pink noise 5 dB", "red green blue grey", "cat dog cow hen", noise="pink", snr=5.0)
TEXTS = ("red green blue grey", "cat dog cow pig")


def full() -> Report:
    """Two systems, an A/A case, a set with noise, differences and a system that is missing."""
    made = report(
        {
            (case, data): Run(walls=[wall] * 3, texts=TEXTS)
            for case, wall in ((OURS, 2.0), (replace(OURS, repeat=1), 2.0), (PEER, 4.0))
            for data in (SPEECH, NOISY)
        }
    )
    made = replace(
        made,
        differences={PEER.key: (EVIL,)},
        missing=(Missing(system="whisper.cpp", reason="not installed here"),),
        notes=("3 rounds: too few",),
    )
    return replace(made, tables=paper_tables(made))


def test_the_page_is_one_well_nested_file_without_references() -> None:
    read = Reader(render(full()))
    assert read.open == []
    assert read.references() == []
    assert "script" not in {name for name, _ in read.tags}


def test_the_page_has_every_chart_and_table() -> None:
    text = render(full())
    read = Reader(text)
    labels = [attributes.get("aria-label") or "" for name, attributes in read.tags if name == "svg"]
    assert [label.split(" over ")[1].split(":")[0] for label in labels] == [
        "RTFx",
        "seconds to the text of a recording",
        "signal-to-noise ratio in dB",
    ]
    for words in (
        *("Where the time goes", "encoder", "Error rate and noise", "Repetitions and insertions"),
        *("not installed here", EVIL, "3 rounds: too few", "a processor", "(A/A)"),
        "10.0 ×",  # 20 s of sound in 2 s
    ):
        assert words in read.text, words
    assert "2.00 × speed" not in read.text  # the baseline is the fastest


def test_speeds_are_relative_to_the_first_case() -> None:
    made = report(
        {(PEER, SPEECH): Run(walls=[4.0] * 3, texts=TEXTS), (OURS, SPEECH): Run(walls=[2.0] * 3, texts=TEXTS)}
    )
    assert "2.00 ×speed of faster-whisper" in Reader(render(made)).text


def test_columns_and_stages_that_nobody_has_a_figure_for_are_left_out() -> None:
    read = Reader(render(full()))
    assert "GPU MB" not in read.text  # no GPU
    assert "Where the time goes" in read.text
    made = full()
    silent = tuple(replace(one, rtfx_model=None) for one in made.summaries)
    assert "Where the time goes" not in Reader(render(replace(made, summaries=silent))).text


def test_a_report_without_any_result_is_a_page_too() -> None:
    made = report({(OURS, SPEECH): Run(walls=[1.0], texts=TEXTS)})
    read = Reader(render(replace(made, samples=(), summaries=(), data=())))
    assert "Where it was measured" in read.text
