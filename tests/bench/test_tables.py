"""The paper's tables: each appears when the report has its cases, with figures that arithmetic confirms."""

from __future__ import annotations

from dataclasses import replace

import pytest

from distilcli.bench.tables import identical_texts, paper_tables, speed_of
from distilcli.bench.values import Case, Report, Table
from tests.bench.reports import Run, clip_set, report

TEACHER = Case(model="teacher", device="cpu", beam_size=1)
STUDENT = replace(TEACHER, model="student")
SPEECH = clip_set("speech", "red green blue grey", "cat dog cow hen")
RIGHT = ("red green blue grey", "cat dog cow hen")
ONE_WRONG = ("red green blue grey", "cat dog cow pig")


def table(made: Report, title: str) -> Table | None:
    return next((one for one in paper_tables(made) if one.title == title), None)


def test_models_are_compared_round_by_round() -> None:
    made = report(
        {
            (TEACHER, SPEECH): Run(walls=[4.0, 8.0, 40.0], texts=RIGHT),  # whatever slows one slows both
            (STUDENT, SPEECH): Run(walls=[2.0, 4.0, 20.0], texts=ONE_WRONG),
        }
    )
    found = table(made, "Models")
    assert found
    assert [row[0].split(" (")[0] for row in found.rows] == ["teacher", "student"]
    assert [row[2].split(" ")[0] for row in found.rows] == ["0.00", "12.50"]  # 1 of 8 words
    assert [row[3] for row in found.rows] == ["2.5", "5.0"]  # 20 s of sound in 8 s, and in 4 s
    assert [row[4] for row in found.rows] == ["1", "2.00"]


def test_one_model_needs_no_table_of_models() -> None:
    made = report({(TEACHER, SPEECH): Run(walls=[1.0], texts=RIGHT)})
    assert [one.title for one in paper_tables(made)] == ["Repetitions and insertions"]


def test_the_repeated_case_is_in_no_table() -> None:
    run = Run(walls=[1.0], texts=RIGHT)
    made = report({(TEACHER, SPEECH): run, (replace(TEACHER, repeat=1), SPEECH): run})
    (found,) = paper_tables(made)
    assert len(found.rows) == 1


def test_sequential_is_compared_with_chunked() -> None:
    chunked = replace(TEACHER, strategy="chunked", batch_size=8)
    made = report(
        {
            (TEACHER, SPEECH): Run(walls=[9.0, 9.0], texts=RIGHT),
            (chunked, SPEECH): Run(walls=[3.0, 3.0], texts=RIGHT),
        }
    )
    found = table(made, "Sequential and chunked")
    assert found
    assert [row[4].split(" ")[0] for row in found.rows] == ["1", "3.00"]
    assert "batch 8" in found.rows[1][0]


def test_speculative_decoding_counts_identical_transcripts_by_their_tokens() -> None:
    alone = replace(TEACHER, backend="transformers")
    drafted = replace(alone, assistant="student")
    made = report(
        {
            (alone, SPEECH): Run(walls=[4.0, 4.0], texts=RIGHT, digests=("a", "b")),
            (drafted, SPEECH): Run(walls=[2.0, 2.0], texts=RIGHT, digests=("a", "c")),
        }
    )
    found = table(made, "Speculative decoding")
    assert found
    assert found.rows[0][0] == "teacher + student"
    assert found.rows[0][3:] == ("2.00", "1 of 2")
    assert identical_texts(made, (alone, drafted), SPEECH) == (1, 2)


def test_texts_are_compared_where_a_system_hides_its_tokens() -> None:
    made = report(
        {
            (TEACHER, SPEECH): Run(walls=[1.0], texts=RIGHT, digests=("a", "b")),
            (STUDENT, SPEECH): Run(walls=[1.0], texts=ONE_WRONG),
        }
    )
    assert identical_texts(made, (TEACHER, STUDENT), SPEECH) == (1, 2)


def test_rounds_that_only_one_case_has_are_no_pairs() -> None:
    made = report(
        {
            (TEACHER, SPEECH): Run(walls=[1.0, 1.0, 100.0], texts=RIGHT),
            (STUDENT, SPEECH): Run(walls=[0.5], texts=RIGHT),
        }
    )
    found = speed_of(made, (TEACHER, STUDENT), SPEECH)
    assert found
    assert found.value == 2.0
    assert speed_of(made, (TEACHER, replace(STUDENT, model="absent")), SPEECH) is None


def test_chunk_lengths_are_compared_with_the_first() -> None:
    cases = [replace(TEACHER, strategy="chunked", chunk_length=seconds) for seconds in (10.0, 30.0)]
    made = report(
        {(case, SPEECH): Run(walls=[wall], texts=RIGHT) for case, wall in zip(cases, (2.0, 1.0), strict=True)}
    )
    found = table(made, "Length of chunks")
    assert found
    assert [(row[0], row[4].split(" ")[0]) for row in found.rows] == [
        ("teacher, 10 s", "1"),
        ("teacher, 30 s", "2.00"),
    ]


def test_noise_is_a_column_per_level() -> None:
    swept = [
        clip_set(f"speech, white noise {level:g} dB", *RIGHT, noise="white", snr=level)
        for level in (10.0, -5.0)
    ]
    made = report(
        {
            (TEACHER, SPEECH): Run(walls=[1.0], texts=RIGHT),
            (TEACHER, swept[1]): Run(walls=[1.0], texts=("", "")),
            (TEACHER, swept[0]): Run(walls=[1.0], texts=ONE_WRONG),
        }
    )
    found = table(made, "Error rate and noise")
    assert found
    assert found.columns == ("system", "recordings", "noise", "as recorded", "10 dB", "-5 dB")
    (row,) = found.rows
    assert row[1:3] == ("speech", "white")
    assert [cell.split(" ")[0] for cell in row[3:]] == ["0.0", "12.5", "100.0"]


def test_words_in_noise_alone_are_counted_per_minute() -> None:
    nothing = clip_set("noise alone", None, None, noise="white")
    made = report(
        {
            (TEACHER, SPEECH): Run(walls=[1.0], texts=RIGHT),
            (TEACHER, nothing): Run(walls=[1.0], texts=("Thank you.", " ")),
        }
    )
    found = table(made, "Noise alone")
    assert found
    assert found.rows[0][1:] == ("6.0", "1 of 2")  # two words in 20 s


def test_repetitions_and_insertions_are_counted() -> None:
    looped = ("red green blue grey pink brown " * 3 + "red green blue grey", RIGHT[1])
    made = report({(TEACHER, SPEECH): Run(walls=[1.0], texts=looped)})
    found = table(made, "Repetitions and insertions")
    assert found
    (row,) = found.rows
    # 26 words hold 22 5-grams; those across both texts and of the loop's first turn are new.
    assert int(row[2]) == 22 - len(
        {tuple(w[n : n + 5]) for w in [" ".join(looped).split()] for n in range(22)}
    )
    assert float(row[3]) == pytest.approx(100 * 18 / 8)
