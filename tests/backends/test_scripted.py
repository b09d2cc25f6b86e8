"""The backend that answers from a list."""

from __future__ import annotations

from dataclasses import replace

import pytest

from distilcli.backends.scripted import Scripted
from distilcli.config import DecodeOptions
from distilcli.tokens import Tokenizer
from distilcli.types import Hypothesis, Window
from tests.support.toy import toy_folder


def test_answers_follow_the_list_and_questions_are_recorded(clips: dict[str, Window]) -> None:
    answers = [Hypothesis((number,), -0.5, 0.1) for number in (10, 11, 12)]
    backend = Scripted(answers, Tokenizer.from_folder(toy_folder("multi")), languages={"fr": 1.0})
    windows = list(clips.values())
    hot = replace(DecodeOptions(), temperature=0.2)
    assert backend.decode(windows[:1], DecodeOptions()) + backend.decode(windows[1:], hot) == answers
    assert backend.windows == windows
    assert [options.temperature for options in backend.options] == [0.0, 0.2]
    assert backend.detect_language(windows[:1]) == [{"fr": 1.0}]
    with pytest.raises(AssertionError, match="3 answers are too few"):
        backend.decode(windows[:1], hot)
