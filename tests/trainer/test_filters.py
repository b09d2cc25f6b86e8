"""The filter: every rule at its limit, error rates by language, and the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distilcli.errors import InputError, NoInputError
from distilcli.trainer import filters
from distilcli.trainer.filters import Filtered, filter_labels
from distilcli.trainer.recipe import (
    DataOptions,
    DistilOptions,
    DistilRecipe,
    FilterOptions,
    InitOptions,
    SourceOptions,
)
from distilcli.trainer.records import Labelled, Recording
from tests.trainer.corpora import corpus_of, labelled, recipe_for, spoken

TEN = "my dear old friend went down to the sea today"
NINE = "my dear old friend went down to the sea yesterday"


def judged(folder: Path, cases: list[tuple[Recording, Labelled]], **options: object) -> Filtered:
    """Filters some cases, and one more that is always kept."""
    good = spoken(999, "All is well with us.")
    pairs = [*cases, (good, labelled(good, "All is well with us."))]
    corpus = corpus_of([recording for recording, _ in pairs])
    labels = {label.key: label for _, label in pairs}
    return filter_labels(corpus, labels, recipe_for(folder, filters=FilterOptions(**options)))  # type: ignore[arg-type]


def reason(folder: Path, recording: Recording, label: Labelled, **options: object) -> str | None:
    """Why one label is dropped; None: it is kept."""
    found = judged(folder, [(recording, label)], **options)
    return found.dropped[0].reason if found.dropped else None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"truncated": True}, "truncated"),
        ({"avg_logprob": -1.0}, None),
        ({"avg_logprob": -1.01}, "low probability"),
        ({"avg_logprob": -1.01, "no_speech_prob": 0.61}, "no speech"),
        ({"no_speech_prob": 0.99}, None),
        ({"compression_ratio": 2.4}, None),
        ({"compression_ratio": 2.41}, "repetition"),
        ({"text": "x" * 80}, None),  # in 2 s: 40 characters per second
        ({"text": "x" * 81}, "too fast"),
    ],
)
def test_every_rule_at_its_limit(tmp_path: Path, changes: dict[str, object], expected: str | None) -> None:
    recording = spoken(0)
    assert reason(tmp_path, recording, labelled(recording, **{"text": "Hello there."} | changes)) == expected


@pytest.mark.parametrize(
    ("options", "changes", "expected"),
    [
        ({"drop_truncated": False}, {"truncated": True}, None),
        ({"min_rate": 6.0}, {}, None),  # 12 characters in 2 s
        ({"min_rate": 6.1}, {}, "too slow"),
        ({"max_no_speech": 1.0}, {"avg_logprob": -2.0, "no_speech_prob": 1.0}, "low probability"),
    ],
)
def test_rules_follow_the_options(
    tmp_path: Path, options: dict[str, object], changes: dict[str, object], expected: str | None
) -> None:
    recording = spoken(0)
    assert (
        reason(tmp_path, recording, labelled(recording, **{"text": "Hello there."} | changes), **options)
        == expected
    )


@pytest.mark.parametrize(
    ("text", "label", "threshold", "expected"),
    [
        (TEN, NINE, 10.0, None),  # one of ten
        (TEN, NINE, 9.9, "error rate"),
        ("HELLO, it's Mr. Smith!", "hello it is mister smith", 0.0, None),  # the English normaliser
        (None, "anything at all", 0.0, None),  # no text: passes
        ("", "", 0.0, None),
        ("", "ghost words", 10.0, "error rate"),
        ("words", "", 10.0, "error rate"),
        ("[noise]", "", 0.0, None),  # nothing is left of the text
    ],
)
def test_error_rates_against_the_text(
    tmp_path: Path, text: str | None, label: str, threshold: float, expected: str | None
) -> None:
    recording = spoken(0, text, seconds=10.0)
    assert reason(tmp_path, recording, labelled(recording, label), wer_threshold=threshold) == expected


@pytest.mark.parametrize(
    ("language", "metric", "expected"),
    [
        ("zh", "auto", None),  # one of ten characters
        ("zh", "wer", "error rate"),  # the one word is wrong
        ("de", "auto", "error rate"),
        ("de", "cer", None),
    ],
)
def test_scripts_without_spaces_are_counted_in_characters(
    tmp_path: Path, language: str, metric: str, expected: str | None
) -> None:
    text, label = (
        ("今天天气很好我们出去", "今天天气很好我们出来") if language == "zh" else ("abcdefghij", "abcdefghix")
    )
    recording = spoken(0, text, language=language)
    assert reason(tmp_path, recording, labelled(recording, label), metric=metric) == expected


def test_the_detected_language_chooses_the_normaliser(tmp_path: Path) -> None:
    recording = spoken(0, "it's", language="")
    assert reason(tmp_path, recording, labelled(recording, "it is", language="en")) is None
    assert reason(tmp_path, recording, labelled(recording, "it is", language="de")) == "error rate"
    translated = labelled(recording, "it is", language="de", task="translate")
    assert reason(tmp_path, recording, translated) is None


def test_spellings_are_equal_where_a_table_says_so(tmp_path: Path) -> None:
    recording = spoken(0, "colour")
    label = labelled(recording, "color")
    corpus, recipe = corpus_of([recording]), recipe_for(tmp_path)
    assert filter_labels(corpus, {label.key: label}, recipe).kept == ()
    assert filter_labels(corpus, {label.key: label}, recipe, {"colour": "color"}).kept == (0,)


def test_silence_is_kept_unless_it_is_not_wanted(tmp_path: Path) -> None:
    silent = spoken(0, None)
    label = labelled(silent, "", avg_logprob=-3.0, no_speech_prob=0.9)
    assert reason(tmp_path, silent, label) is None
    assert reason(tmp_path, silent, label, keep_empty=False) == "empty"


def test_the_report_counts_recordings_hours_and_examples(tmp_path: Path) -> None:
    cases = []
    for number in range(4):
        recording = spoken(number, TEN, seconds=9.0)
        cases.append((recording, labelled(recording, "something else", truncated=number == 3)))
    found = judged(tmp_path, cases, examples=2)
    assert found.kept == (4,)
    assert found.kept_seconds == 2.0
    # 40 words of text and 5 good ones; of every wrong label 2 substitutions and 8 deletions.
    assert found.error_rate == pytest.approx(100 * 40 / 45, abs=1e-3)
    assert found.kept_error_rate == 0.0
    summary = found.summary()
    assert summary["recordings"] == 5
    assert summary["kept"] == {"recordings": 1, "hours": round(2 / 3600, 4)}
    reasons = summary["dropped"]["reasons"]
    assert [(name, one["recordings"], one["hours"]) for name, one in reasons.items()] == [
        ("error rate", 3, round(27 / 3600, 4)),
        ("truncated", 1, round(9 / 3600, 4)),
    ]
    assert [one["key"] for one in reasons["error rate"]["examples"]] == ["speech/000.wav", "speech/001.wav"]
    assert reasons["error rate"]["examples"][0]["label"] == "something else"
    assert reasons["error rate"]["examples"][0]["text"] == TEN
    assert "100.0 %" in reasons["error rate"]["examples"][0]["detail"]


def test_decisions_are_read_back(tmp_path: Path) -> None:
    recording = spoken(0, TEN)
    found = judged(tmp_path, [(recording, labelled(recording, "“else”"))])
    filters.write(found, tmp_path / "filter")
    assert filters.read(tmp_path / "filter") == found
    assert json.loads((tmp_path / "filter" / "summary.json").read_text(encoding="utf-8")) == found.summary()
    (tmp_path / "filter" / "filter.json").write_text("{}")
    with pytest.raises(InputError, match=r"filter\.json"):
        filters.read(tmp_path / "filter")


def test_nothing_left_names_the_reasons_and_an_option(tmp_path: Path) -> None:
    pairs = [(one := spoken(n, TEN), labelled(one, "else", truncated=n == 0)) for n in range(3)]
    corpus = corpus_of([recording for recording, _ in pairs])
    found = filter_labels(corpus, {label.key: label for _, label in pairs}, recipe_for(tmp_path))
    with pytest.raises(
        NoInputError, match=r"all 3 recordings: 2 for error rate.*; 1 for truncated"
    ) as caught:
        filters.write(found, tmp_path / "filter")
    assert "--set filter.wer_threshold=" in str(caught.value.hint)
    assert filters.read(tmp_path / "filter") == found  # the report is there all the same


def test_recordings_without_a_label(tmp_path: Path) -> None:
    first, second = spoken(0, "Yes."), spoken(1)
    corpus = corpus_of([first, second])
    labels = {first.key: labelled(first, "Yes.")}
    with pytest.raises(NoInputError, match=r"1 of 2 recordings have no label.*001\.wav"):
        filter_labels(corpus, labels, recipe_for(tmp_path))
    without = DistilRecipe(
        run=str(tmp_path),
        data=DataOptions(sources=(SourceOptions(path="speech"),)),
        init=InitOptions(student="tiny"),
        distil=DistilOptions(kl_weight=0.0),
    )
    found = filter_labels(corpus, labels, without)
    assert found.kept == (0,)
    assert [(one.recording, one.reason) for one in found.dropped] == [(1, "no label")]
