"""Both backends write the same tokens in float32, on every vocabulary and number of mel bands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from distilcli.backends.base import Aligner, Backend
from distilcli.config import DecodeOptions
from distilcli.types import Hypothesis, Span, Window
from tests.support.toy import toy_tokens

OPTIONS = {
    "greedy": DecodeOptions(beam_size=1),
    "beam": DecodeOptions(),
    "no timestamps": DecodeOptions(timestamps=False),
    "no timestamps, greedy": DecodeOptions(timestamps=False, beam_size=1),
    "patience": DecodeOptions(beam_size=3, patience=2.0, length_penalty=0.6),
    "repetition": DecodeOptions(repetition_penalty=1.3, no_repeat_ngram_size=2),
    "nothing suppressed": DecodeOptions(suppress_blank=False, suppress_tokens=()),
    "cut": DecodeOptions(max_new_tokens=6),
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
@pytest.mark.parametrize("kind", ["en", "multi", "v3"])
def test_same_tokens_and_likelihoods(
    kind: str, options: DecodeOptions, loaded: Callable[[str, str], Backend], clips: dict[str, Window]
) -> None:
    ours, theirs = loaded("ctranslate2", kind), loaded("transformers", kind)
    prompt = tuple(ours.tokenizer.encode(" Once upon a time there was a river."))
    # The last two are cuts that nobody taught the models.
    windows = [
        *clips.values(),
        *(replace(window, prompt=prompt) for window in clips.values()),
        replace(clips["rise"], span=Span(2.0, 7.5), isolated=True),
        replace(clips["fall"], span=Span(3.2, 7.0)),
    ]
    for mine, other in zip(ours.decode(windows, options), theirs.decode(windows, options), strict=True):
        assert mine.tokens == other.tokens
        assert mine.avg_logprob == pytest.approx(other.avg_logprob, abs=1e-3)
        assert mine.no_speech_prob == pytest.approx(other.no_speech_prob, abs=1e-3)


@pytest.mark.parametrize("kind", ["en", "multi", "v3"])
def test_same_languages(kind: str, loaded: Callable[[str, str], Backend], clips: dict[str, Window]) -> None:
    windows = list(clips.values())
    ours, theirs = (loaded(name, kind).detect_language(windows) for name in ("ctranslate2", "transformers"))
    assert [list(one)[:1] for one in ours] == [list(one)[:1] for one in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine == pytest.approx(other, abs=1e-4)
        assert bool(mine) == (kind != "en")


@pytest.mark.parametrize("kind", ["en", "multi", "v3"])
def test_same_times_of_tokens(
    kind: str, loaded: Callable[[str, str], Backend], clips: dict[str, Window]
) -> None:
    """CTranslate2 filters and warps in its own code; ours is in `distilcli.alignment`."""
    ours, theirs = loaded("ctranslate2", kind), loaded("transformers", kind)
    assert isinstance(ours, Aligner)
    assert isinstance(theirs, Aligner)
    texts = ["rise", "fall", "rise", "fall"]
    windows = [
        clips["rise"],
        clips["fall"],
        replace(clips["fall"], span=Span(0.5, 6.3), isolated=True),
        replace(clips["rise"], span=Span(2.0, 11.0)),
    ]
    answers = [Hypothesis(toy_tokens(ours.tokenizer, name), -0.1, 0.0) for name in texts]
    pairs = zip(
        ours.align(windows, answers, "transcribe"), theirs.align(windows, answers, "transcribe"), strict=True
    )
    for mine, other in pairs:
        for word, twin in zip(mine, other, strict=True):
            assert word.span.start == pytest.approx(twin.span.start, abs=0.021)
            assert word.span.end == pytest.approx(twin.span.end, abs=0.021)
            assert word.probability == pytest.approx(twin.probability, abs=1e-3)
