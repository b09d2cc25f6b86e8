"""Labels made of text: ids with the leading space, timestamps of the whole recording, limits."""

from __future__ import annotations

import pytest

from distilcli.errors import UsageError
from distilcli.trainer.text_labels import LONGEST, text_labels
from tests.support.tokenizer import tokenizer_of
from tests.trainer.corpora import corpus_of, spoken


def test_text_becomes_ids_between_the_recordings_ends() -> None:
    tokenizer = tokenizer_of(51866)
    corpus = corpus_of([spoken(0, "Hello there.", seconds=2.5), spoken(1), spoken(2, "")])
    labels = text_labels(corpus, tokenizer, "transcribe")
    assert list(labels) == ["speech/000.wav", "speech/002.wav"]
    label = labels["speech/000.wav"]
    start, *tokens, end = label.tokens
    assert (tokenizer.vocab.seconds(start), tokenizer.vocab.seconds(end)) == (0.0, 2.5)
    assert tokenizer.decode(tokens) == " Hello there."
    assert (label.text, label.language, label.task) == ("Hello there.", "en", "transcribe")
    assert not label.truncated
    assert labels["speech/002.wav"].tokens == ()


def test_a_text_that_does_not_fit_is_marked() -> None:
    texts = [
        " ".join(["yes"] * (LONGEST - 2 + extra)) for extra in (0, 1)
    ]  # a token each, and two timestamps
    assert len(tokenizer_of(51866).encode(f" {texts[0]}")) == LONGEST - 2
    corpus = corpus_of([spoken(number, text) for number, text in enumerate(texts)])
    labels = text_labels(corpus, tokenizer_of(51866), "transcribe")
    assert [label.truncated for label in labels.values()] == [False, True]


@pytest.mark.parametrize("language", ["", "xx"])
def test_a_language_is_needed(language: str) -> None:
    corpus = corpus_of([spoken(0, "Hello.", language=language)])
    with pytest.raises(UsageError, match="language"):
        text_labels(corpus, tokenizer_of(51866), "transcribe")
