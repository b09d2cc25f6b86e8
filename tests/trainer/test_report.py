"""The page and the card: everything in one file, nothing of a stranger's text taken as markup."""

from __future__ import annotations

import base64
import dataclasses
import json

import pytest

from distilcli.intervals import Interval
from distilcli.trainer.card import render_card
from distilcli.trainer.model_facts import ModelFacts
from distilcli.trainer.recipe import (
    DataOptions,
    DistilRecipe,
    InitOptions,
    ReportOptions,
    SourceOptions,
    TeacherOptions,
)
from distilcli.trainer.report import DroppedReason, FilterFacts, ReportData, marked, render
from distilcli.trainer.scores import Difference, Example, Results, Score
from distilcli.trainer.watch import Metrics, StepRow
from tests.support.html import Reader

EVIL = '<script>alert("&")</script>'
TINY = {"width": 64, "encoder_hidden": 256, "decoder_hidden": 256, "vocabulary": 51866, "mels": 80}


def score(model: str, mode: str = "short", snr: float | None = None, rate: float = 12.5) -> Score:
    around = Interval(rate, rate - 1, rate + 1)
    return Score(
        model=model,
        mode=mode,
        snr=snr,
        recordings=20,
        audio_seconds=7200.0,
        seconds=60.0 if model == "student" else 300.0,
        unit="word",
        rate=around,
        insertions=1.0,
        deletions=2.0,
        substitutions=rate - 3.0,
        wer=around,
        wer_orthographic=around,
        cer=around,
        cer_orthographic=around,
        duplicates=3,
        rtfx=120.0 if model == "student" else 24.0,
    )


def data() -> ReportData:
    rows = [
        StepRow(
            step=step,
            total=100,
            losses={"loss": 300 / step, "kl": 100 / step},
            lr=1e-4,
            tokens_per_second=1000.0,
            audio_hours=step / 10,
        )
        for step in range(10, 101, 10)
    ]
    return ReportData(
        title="student of whales",
        language="en",
        models={
            "teacher": ModelFacts(encoder_layers=4, decoder_layers=4, **TINY),
            "student": ModelFacts(encoder_layers=4, decoder_layers=1, **TINY),
        },
        metrics=Metrics(tuple(rows), ((50, {"loss": 7.0}), (100, {"loss": 4.0}))),
        results=Results(
            scores=(
                score("teacher"),
                score("student", rate=13.25),
                score("teacher", "chunked"),
                score("student", "chunked"),
                score("teacher", snr=10.0, rate=30.0),
                score("student", snr=10.0, rate=35.0),
                score("teacher", snr=0.0, rate=60.0),
                score("student", snr=0.0, rate=70.0),
            ),
            differences=(
                Difference(
                    baseline="teacher",
                    model="student",
                    mode="short",
                    snr=None,
                    points=Interval(0.75, 0.25, 1.25),
                ),
            ),
            worst=(
                Example(
                    key=f"whales/{EVIL}",
                    reference=f"the blue whale {EVIL}",
                    texts={"teacher": "the blue whale", "student": "the new whale sings"},
                    rates={"teacher": 25.0, "student": 75.0},
                ),
            ),
        ),
        filtered=FilterFacts(
            kept=90,
            kept_hours=1.5,
            dropped=(DroppedReason(reason="error rate", recordings=10, hours=0.25, examples=(EVIL,)),),
            error_rate=9.5,
            kept_error_rate=4.25,
        ),
        rejected=[f"a.wav: {EVIL}"],
        sounds={f"whales/{EVIL}": b"sound"},
        seconds={"label": 12.0, "distil": 340.0},
        recipe={"run": EVIL},
        versions={"torch": "2.x"},
    )


def test_the_page_is_one_well_nested_file_without_references() -> None:
    page = render(data())
    read = Reader(page)
    assert not read.open
    assert "script" not in {tag for tag, _ in read.tags}
    addresses = [
        value or "" for _, attrs in read.tags for name, value in attrs.items() if name in ("src", "href")
    ]
    assert addresses
    assert all(address.startswith("data:") for address in addresses)
    assert "@import" not in page
    assert "url(" not in page
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page


def test_the_page_shows_every_finding() -> None:
    text = Reader(render(data())).text
    for expected in (
        "student of whales",
        "13.25 %",
        "+0.75",
        "5.0 ×",  # 120 over 24
        "10.00 h",  # audio seen at the last step
        "90 recordings kept, 1.50 h.",
        "Labels against texts: 9.50 %, kept ones 4.25 %.",
        "error rate",
        "1 recordings could not be used",
        EVIL,
    ):
        assert expected in text
    assert render(data()).count("<svg") == 5  # losses, validation, rate, speed, noise


def test_the_sound_is_in_the_page() -> None:
    players = [attrs for tag, attrs in Reader(render(data())).tags if tag == "audio"]
    assert [attrs["src"] for attrs in players] == [
        "data:audio/mpeg;base64," + base64.b64encode(b"sound").decode()
    ]


def test_sections_without_content_are_left_out() -> None:
    page = render(ReportData(title="empty", language="en"))
    assert not Reader(page).open
    assert "<h2>" not in page


@pytest.mark.parametrize(
    ("reference", "text", "expected"),
    [
        ("a b c", "a b c", "a b c"),
        ("a b c", "a x c", "a <del>b</del> <ins>x</ins> c"),
        ("a b", "", "<del>a b</del>"),
        ("", "so it goes", "<ins>so it goes</ins>"),
        ("", "", "<em>nothing</em>"),
        ("a <b>", "a <i>", "a <del>&lt;b&gt;</del> <ins>&lt;i&gt;</ins>"),
    ],
)
def test_differences_from_the_text_are_marked(reference: str, text: str, expected: str) -> None:
    assert marked(reference, text) == expected


def recipe(**changes: object) -> DistilRecipe:
    options: dict[str, object] = {
        "run": "runs/whales",
        "data": DataOptions(
            sources=(SourceOptions(path="whales.jsonl"), SourceOptions(path="b", language="de"))
        ),
        "teacher": TeacherOptions(model="large-v3"),
        "report": ReportOptions(push_to_hub="sea/whales"),
    }
    return DistilRecipe(**options | changes)  # type: ignore[arg-type]  # options by name


def front_matter(card: str) -> dict[str, object]:
    """The card's YAML: every value is JSON on one line."""
    _, header, _ = card.split("---\n", 2)
    return {
        name: json.loads(value) for name, _, value in (line.partition(": ") for line in header.splitlines())
    }


def test_the_card_says_what_how_and_how_well() -> None:
    card = render_card(data(), recipe(), "openai/whisper-large-v3")
    header = front_matter(card)
    assert header["language"] == ["de", "en"]
    assert header["base_model"] == "openai/whisper-large-v3"
    assert header["pipeline_tag"] == "automatic-speech-recognition"
    results = header["model-index"][0]["results"][0]["metrics"]  # type: ignore[index]  # JSON
    assert [metric["value"] for metric in results] == [13.25, 12.5]
    assert "| short | student | 13.25 % | 12.25 to 14.25 | 1.00 | 2.00 | 10.25 | 120.0 × |" in card
    assert "distilled from `openai/whisper-large-v3`" in card
    assert "distilcli transcribe talk.mp3 --model sea/whales" in card
    assert "1 · cross-entropy + 0.8 · KL divergence (temperature 2)" in card


def test_the_card_of_a_fine_tuned_model_names_its_origin() -> None:
    tuned = recipe(
        teacher=TeacherOptions(),
        init=InitOptions(student="small"),
        distil=dataclasses.replace(recipe().distil, kl_weight=0.0),
    )
    card = render_card(dataclasses.replace(data(), results=Results()), tuned)
    assert "fine-tuned from `small`" in card
    assert "base_model" not in front_matter(card)
    assert "## Error rates" not in card


def test_card_headers_are_yaml() -> None:
    yaml = pytest.importorskip("yaml")
    card = render_card(data(), recipe(), "openai/whisper-large-v3")
    assert yaml.safe_load(card.split("---\n")[1]) == front_matter(card)
