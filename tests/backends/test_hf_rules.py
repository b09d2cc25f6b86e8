"""The token rules against openai/whisper's own filters, on random logits and texts."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from whisper.decoding import ApplyTimestampRules, SuppressBlank, SuppressTokens
from whisper.tokenizer import get_tokenizer

from distilcli.backends.hf_rules import rules_for
from distilcli.config import DecodeOptions
from distilcli.tokens import Tokenizer
from tests.support.tokenizer import whisper_tokenizer_json

SIZES = {51864: (False, 99), 51865: (True, 99), 51866: (True, 100)}


@cache
def tokenizers(size: int) -> tuple[Tokenizer, object]:
    """Ours and openai/whisper's for one vocabulary."""
    import tokenizers as library

    multilingual, languages = SIZES[size]
    ours = Tokenizer(library.Tokenizer.from_file(str(whisper_tokenizer_json(size))))
    return ours, get_tokenizer(multilingual, num_languages=languages, language="en", task="transcribe")


def _text(size: int, length: int, random: torch.Generator) -> list[int]:
    """Words and timestamps in an order that the rules allow or not: both must be judged alike."""
    vocab = tokenizers(size)[0].vocab
    text: list[int] = []
    for _ in range(length):
        if torch.rand(1, generator=random).item() < 0.4:
            text.append(vocab.timestamp_begin + int(torch.randint(0, 1501, (1,), generator=random)))
        else:
            text.append(int(torch.randint(0, vocab.eot, (1,), generator=random)))
    return text


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("length", [0, 1, 2, 3, 8])
def test_the_rules_are_those_of_openai_whisper(size: int, length: int) -> None:
    ours, theirs = tokenizers(size)
    vocab = ours.vocab
    random = torch.Generator().manual_seed(size + length)
    texts = [_text(size, length, random) for _ in range(6)]
    logits = torch.randn(6, size, generator=random)
    logits[::2, vocab.timestamp_begin :] += (
        4  # rows where timestamps are likelier, and rows where they are not
    )
    prompt = vocab.prefix("en")
    options = DecodeOptions(max_initial_timestamp=0.8)
    expected = logits.clone()
    tokens = torch.tensor([prompt + text for text in texts])
    for rule in (
        SuppressBlank(theirs, len(prompt)),
        SuppressTokens(ours.suppressed((-1,))),
        ApplyTimestampRules(theirs, len(prompt), 40),
    ):
        rule.apply(expected, tokens)
    found = rules_for(ours, options, torch.device("cpu")).apply(logits, texts)
    assert torch.equal(found, expected.log_softmax(dim=-1))


def test_repeated_words_lose_by_the_penalty() -> None:
    ours, _ = tokenizers(51865)
    rules = rules_for(
        ours,
        DecodeOptions(timestamps=False, suppress_tokens=(), suppress_blank=False, repetition_penalty=2.0),
        torch.device("cpu"),
    )
    logits = torch.zeros(1, 51865)
    logits[0, 5], logits[0, 6], logits[0, 7] = 4.0, -3.0, 1.0
    found = rules.apply(logits, [[5, 6, 5]])
    assert (found[0, 5] - found[0, 0]).item() == pytest.approx(2.0)
    assert (found[0, 6] - found[0, 0]).item() == pytest.approx(-6.0)
    assert (found[0, 7] - found[0, 0]).item() == pytest.approx(1.0)


def test_an_ngram_is_not_written_twice() -> None:
    ours, _ = tokenizers(51865)
    rules = rules_for(
        ours,
        DecodeOptions(timestamps=False, no_repeat_ngram_size=3, suppress_blank=False),
        torch.device("cpu"),
    )
    found = rules.apply(torch.zeros(2, 51865), [[10, 11, 12, 10, 11], [10, 11, 12, 11, 10]])
    assert found[0, 12].item() == float("-inf")
    assert torch.isfinite(found[1, 12])
