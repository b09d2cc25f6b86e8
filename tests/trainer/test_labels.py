"""Labels against sequences written by hand, for every form of the prompt."""

from __future__ import annotations

import pytest

from distilcli.errors import UsageError
from distilcli.tokens import Vocab
from distilcli.trainer.labels import IGNORED, Form, Piece, build_label

# large-v3: SOT, <|en|>, <|transcribe|>, start of previous, no speech, no timestamps, <|0.00|>, end of text
SOT, EN, TASK, PREV, SILENT, PLAIN, ZERO, END = 50258, 50259, 50360, 50362, 50363, 50364, 50365, 50257
V3 = Vocab(51866)
FIRST = Piece(tokens=(11, 12), start=0.2, end=1.0, centres=(0.25, 0.75))
SECOND = Piece(tokens=(13,), start=1.5, end=2.0, centres=(0.5,))
X = IGNORED


def test_timestamps_enclose_every_sentence() -> None:
    label = build_label(V3, [FIRST, SECOND], Form())
    assert label.inputs == (SOT, EN, TASK, ZERO + 10, 11, 12, ZERO + 50, ZERO + 75, 13, ZERO + 100)
    assert label.targets == (EN, X, ZERO + 10, 11, 12, ZERO + 50, ZERO + 75, 13, ZERO + 100, END)


def test_without_timestamps_the_prompt_says_so_and_carries_no_loss() -> None:
    label = build_label(V3, [FIRST, SECOND], Form(timestamps=False))
    assert label.inputs == (SOT, EN, TASK, PLAIN, 11, 12, 13)
    assert label.targets == (EN, X, X, 11, 12, 13, END)


def test_previous_text_carries_no_loss() -> None:
    label = build_label(V3, [SECOND], Form(previous=(7, 8)))
    assert label.inputs == (PREV, 7, 8, SOT, EN, TASK, ZERO + 75, 13, ZERO + 100)
    assert label.targets == (X, X, X, EN, X, ZERO + 75, 13, ZERO + 100, END)


def test_a_cut_sentence_leaves_its_start_as_last_timestamp() -> None:
    label = build_label(V3, [FIRST], Form(), cut=1.3)
    assert label.targets[-3:] == (ZERO + 50, ZERO + 65, END)


def test_without_timestamps_a_cut_sentence_leaves_nothing() -> None:
    assert build_label(V3, [FIRST], Form(timestamps=False), cut=1.3).targets[-2:] == (12, END)


def test_silence_answers_no_speech_and_ends() -> None:
    label = build_label(V3, [], Form())
    assert label.inputs == (SOT, EN, TASK, ZERO)
    assert label.targets == (SILENT, X, ZERO, END)
    assert build_label(V3, [], Form(timestamps=False)).targets == (SILENT, X, X, END)


@pytest.mark.parametrize(("size", "sot", "zero", "end"), [(51864, 50257, 50363, 50256)])
def test_english_only_models_have_no_language_and_task(size: int, sot: int, zero: int, end: int) -> None:
    label = build_label(Vocab(size), [SECOND], Form())
    assert label.inputs == (sot, zero + 75, 13, zero + 100)
    assert label.targets == (zero + 75, 13, zero + 100, end)


def test_the_older_multilingual_vocabulary_has_one_language_less() -> None:
    label = build_label(Vocab(51865), [SECOND], Form(task="translate", language="de"))
    assert label.inputs == (50258, 50261, 50358, 50364 + 75, 13, 50364 + 100)


def test_times_follow_the_share_of_characters() -> None:
    label = build_label(V3, [FIRST], Form())
    expected = [None, None, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert [None if time is None else round(time, 6) for time in label.times] == expected


def test_pieces_out_of_order_are_refused() -> None:
    with pytest.raises(UsageError, match="out of order"):
        build_label(V3, [SECOND, FIRST], Form())


def test_a_label_longer_than_the_decoder_is_refused() -> None:
    with pytest.raises(UsageError, match="448"):
        build_label(V3, [Piece(tokens=(11,) * 450, start=0.0, end=20.0)], Form())
