"""Evaluation: right figures for models that know their texts, kept measurements, joined recordings, noise."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from distilcli.accuracy import Answer
from distilcli.errors import InputError, NoInputError
from distilcli.trainer import evaluate as module
from distilcli.trainer.evaluate import evaluate, jobs, long_cases, short_cases, sound_of
from distilcli.trainer.recipe import DistilRecipe, EvaluateOptions, LabelOptions
from distilcli.trainer.records import Corpus, Recording
from distilcli.trainer.scores import Measured, difference, read_results, score, worst
from tests.support.toy import LANGUAGE, toy_clip, toy_folder, toy_text
from tests.trainer.corpora import corpus_of, recipe_for, spoken


def melodies(*names: str) -> Corpus:
    """Clips that the toy models know by heart: those named, or both."""
    names = names or tuple(LANGUAGE)
    sounds = [(toy_clip(name) * 32767).astype(np.int16) for name in names]
    recordings, offset = [], 0
    for name, sound in zip(names, sounds, strict=True):
        one = Recording(
            id=name,
            source="toy",
            language=LANGUAGE[name],
            offset=offset,
            samples=len(sound),
            text=toy_text(name),
            speaker=name,
        )
        recordings.append(one)
        offset += len(sound)
    return Corpus(np.concatenate(sounds), tuple(recordings), (), "melodies")


def options(folder: Path, **changes: object) -> DistilRecipe:
    chosen: dict[str, object] = {"compute_type": "float32", "bootstrap": 50, "batch_size": 2}
    recipe = recipe_for(folder, label=LabelOptions(threads=1))
    return dataclasses.replace(recipe, evaluate=EvaluateOptions(**chosen | changes))  # type: ignore[arg-type]


def test_a_model_that_knows_a_text_makes_no_errors_in_any_mode(tmp_path: Path) -> None:
    found = evaluate(options(tmp_path), melodies("rise"), {"teacher": toy_folder("multi")})
    assert [one.mode for one in found.scores] == ["short", "sequential", "chunked"]
    for one in found.scores:
        assert one.wer.value == one.cer.value == one.wer_orthographic.value == 0.0, one
        assert one.audio_seconds == pytest.approx(11.0)
        assert one.rtfx == pytest.approx(11.0 / one.seconds)
    assert not found.differences
    assert not found.worst
    assert read_results(tmp_path / "run" / "evaluate" / "results.json") == found


def test_every_recording_is_transcribed_in_its_language(tmp_path: Path) -> None:
    recipe = options(tmp_path, modes=("short",))
    (found,) = evaluate(recipe, melodies(), {"teacher": toy_folder("multi")}).scores
    assert (found.recordings, found.rate.value) == (2, 0.0)


def test_measurements_are_kept_until_a_model_changes(tmp_path: Path) -> None:
    student = tmp_path / "student"
    shutil.copytree(toy_folder("multi"), student)
    recipe, models = (
        options(tmp_path, modes=("short",), snr=(30.0,)),
        {"teacher": toy_folder("multi"), "student": student},
    )
    first = evaluate(recipe, melodies("rise"), models)
    assert [(one.model, one.snr) for one in first.scores] == [
        ("teacher", None),
        ("student", None),
        ("teacher", 30.0),
        ("student", 30.0),
    ]
    assert [one.points.value for one in first.differences if one.snr is None] == [0.0]
    assert evaluate(recipe, melodies("rise"), models) == first  # times included: nothing was measured again
    config = json.loads((student / "config.json").read_text(encoding="utf-8"))
    (student / "config.json").write_text(json.dumps(config | {"note": "changed"}), encoding="utf-8")
    second = evaluate(recipe, melodies("rise"), models)
    assert [one.seconds for one in second.scores[::2]] == [one.seconds for one in first.scores[::2]]
    assert all(
        new.seconds != old.seconds for new, old in zip(second.scores[1::2], first.scores[1::2], strict=True)
    )


def test_jobs_go_mode_by_mode_and_end_with_the_noise(tmp_path: Path) -> None:
    recipe = options(tmp_path, modes=("chunked", "short"), snr=(20.0, 0.0))
    names = [job.name for job in jobs(recipe, ["teacher", "student"])]
    assert names == [
        "teacher-chunked",
        "student-chunked",
        "teacher-short",
        "student-short",
        "teacher-short-20dB",
        "student-short-20dB",
        "teacher-short-0dB",
        "student-short-0dB",
    ]


def test_only_recordings_with_text_are_measured() -> None:
    corpus = corpus_of([spoken(0), spoken(1, "one"), spoken(2, ""), spoken(3, "three")])
    assert [case.text for case in short_cases(corpus)] == ["one", "", "three"]
    assert [case.text for case in short_cases(corpus, 2)] == ["one", ""]
    with pytest.raises(NoInputError, match="expected validation recordings with text"):
        short_cases(corpus_of([spoken(0)]))


def test_long_recordings_are_joined_by_speaker_up_to_two_minutes() -> None:
    anna = [spoken(n, f"a{n}", seconds=25.0, speaker="anna") for n in range(6)]
    bert = [spoken(n, f"b{n}", seconds=3.0, speaker="bert") for n in range(6, 8)]
    corpus = corpus_of([*anna, *bert])
    cases = long_cases(short_cases(corpus), corpus)
    # four of 25 s with pauses of 0.5 s are 101.5 s; a fifth would make it 127
    assert [case.parts for case in cases] == [(0, 1, 2, 3), (4, 5), (6, 7)]
    assert [case.text for case in cases] == ["a0 a1 a2 a3", "a4 a5", "b6 b7"]
    assert cases[0].seconds == pytest.approx(101.5)
    sound = sound_of(cases[2], corpus)
    assert len(sound) == round(6.5 * 16_000)
    assert not sound[48_000:56_000].any()
    assert np.array_equal(sound[56_000:], corpus.sound(7))


@pytest.mark.parametrize("snr", [20.0, 0.0, -5.0])
def test_noise_has_the_stated_level_and_is_always_the_same(snr: float) -> None:
    corpus = corpus_of([spoken(0, "hiss", seconds=4.0), spoken(1, "hiss", seconds=4.0)])
    case, other = short_cases(corpus)
    clean, noisy = (sound_of(case, corpus, level).astype(np.float64) for level in (None, snr))
    gain = float(clean @ noisy / (clean @ clean))  # a mixture that would clip is turned down as a whole
    noise = noisy - gain * clean
    level = 10 * np.log10(np.mean((gain * clean) ** 2) / np.mean(noise**2))
    assert level == pytest.approx(snr, abs=0.2)
    assert np.array_equal(sound_of(case, corpus, snr), noisy.astype(np.int16))
    assert not np.array_equal(sound_of(other, corpus, snr), noisy.astype(np.int16))


def measured(model: str, *texts: str, language: str = "en") -> Measured:
    references = ("The blue whale sings.", "It is deep.")
    answers = tuple(
        Answer(key=f"k{number}", reference=reference, text=text, language=language)
        for number, (reference, text) in enumerate(zip(references, texts, strict=True))
    )
    return Measured(model=model, mode="short", snr=None, audio_seconds=10.0, seconds=2.0, answers=answers)


def test_a_score_counts_what_a_hand_counts() -> None:
    found = score(measured("student", "the new whale", "it is is deep"), 100, {})
    assert (found.unit, found.recordings, found.rtfx) == ("word", 2, 5.0)
    # 7 words: blue -> new, sings missing, one "is" too many
    assert found.wer.value == pytest.approx(100 * 3 / 7)
    assert (found.substitutions, found.deletions, found.insertions) == pytest.approx((100 / 7,) * 3)
    # with case and full stops: The, blue, sings. and It, deep. are wrong, one "is" too many
    assert found.wer_orthographic.value == pytest.approx(100 * 6 / 7)
    assert found.wer.low <= found.wer.value <= found.wer.high


def test_languages_without_spaces_are_scored_in_characters() -> None:
    answers = (Answer(key="a", reference="你好世界", text="你好世", language="zh"),)
    found = score(
        Measured(model="m", mode="short", snr=None, audio_seconds=1.0, seconds=1.0, answers=answers), 10, {}
    )
    assert (found.unit, found.rate.value, found.deletions) == ("character", 25.0, 25.0)


def test_the_worst_recordings_come_first_and_right_ones_not_at_all() -> None:
    teacher = measured("teacher", "the blue whale sings", "it")
    student = measured("student", "the whale", "it is deep")
    (example,) = worst([teacher, student], 5, {})
    assert (example.key, example.rates) == ("k0", {"teacher": 0.0, "student": 50.0})
    assert difference(teacher, student, 10, {}).points.value == pytest.approx(0.0)  # two errors each
    assert worst([], 5, {}) == ()


def test_damaged_results_are_named(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    for content in ("{", "[]", '{"scores": [{"model": "x"}]}'):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=r"results\.json cannot be read"):
            read_results(path)


def test_the_first_spelling_table_that_is_there_is_used(tmp_path: Path) -> None:
    for name, table in (("a", None), ("b", {"colour": "color"}), ("c", {"grey": "gray"})):
        (tmp_path / name).mkdir()
        if table:
            (tmp_path / name / "normalizer.json").write_text(json.dumps(table), encoding="utf-8")
    assert module.spelling_of(tmp_path / name for name in "abc") == {"colour": "color"}
    assert module.spelling_of([tmp_path / "a"]) == {}
