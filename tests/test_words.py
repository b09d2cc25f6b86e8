"""Words of segments: grouping and rules against faster-whisper's, and what holds for any text at any time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faster_whisper.tokenizer import Tokenizer as PeerTokenizer
from faster_whisper.transcribe import merge_punctuations
from hypothesis import given, settings
from hypothesis import strategies as st

from distilcli import assets, models
from distilcli.audio import open_audio
from distilcli.backends.base import Backend, load_backend
from distilcli.backends.scripted import Scripted
from distilcli.config import (
    ChunkedOptions,
    DecodeOptions,
    EngineOptions,
    FallbackOptions,
    SequentialOptions,
    TranscribeOptions,
    WordOptions,
)
from distilcli.errors import UsageError
from distilcli.longform.base import Decode, Flow, drive
from distilcli.longform.chunked import chunked
from distilcli.longform.segments import split
from distilcli.longform.sequential import sequential, short_form
from distilcli.pipeline import load_model, transcribe_many
from distilcli.tokens import Tokenizer
from distilcli.types import Audio, Hypothesis, Segment, Span, Transcript, Window, Word
from distilcli.words import Timing, merge_punctuation, split_words, with_token_times, with_words
from tests.support.speech import write_wav
from tests.support.tokenizer import write_tokenizer
from tests.support.toy import toy_clip, toy_ct2_folder

MARKS = WordOptions()
TIMED = TranscribeOptions(
    language="en",
    words=WordOptions(word_timestamps=True),
    decode=DecodeOptions(beam_size=1),
    fallback=FallbackOptions(temperatures=(0.0,)),
    sequential=SequentialOptions(condition_on_previous_text=False),
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """The tokenizer of large-v3."""
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, 51866)
    return Tokenizer.from_folder(folder)


def words_of(tokenizer: Tokenizer, text: str, language: str = "en") -> list[str]:
    return [word for word, _ in split_words(tokenizer.pieces(tokenizer.encode(text)), language)]


def test_words_by_hand(tokenizer: Tokenizer) -> None:
    assert words_of(tokenizer, " It's Köln, isn't it?") == [" It's", " Köln", ",", " isn't", " it", "?"]
    assert words_of(tokenizer, " 東京から。", "ja") == [" ", "東", "京", "から", "。"]
    assert words_of(tokenizer, "") == []


TEXTS = (
    " The river runs down to the sea, and nobody can hurry it.",
    ' He said: "Don\'t (ever) go!" - and went...',
    " Grüße aus Köln — 東京から、こんにちは。 ♪ 🎉🎉 done",
    "no space before, tab\tand\nline",
)


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("text", TEXTS)
def test_words_equal_faster_whispers(tokenizer: Tokenizer, text: str, language: str) -> None:
    tokens = tokenizer.encode(text)
    peer = PeerTokenizer(tokenizer._tokenizer, True, task="transcribe", language=language)
    words, parts = peer.split_to_word_tokens([*tokens, peer.eot])
    found = split_words(tokenizer.pieces(tokens), language)
    assert [(word, list(ids)) for word, ids in found] == list(zip(words[:-1], parts[:-1], strict=True))


@given(
    tokens=st.lists(st.integers(0, 50256) | st.integers(0, 255), max_size=40),
    language=st.sampled_from(["en", "zh"]),
)
def test_words_are_all_of_the_text_and_all_of_its_tokens(
    tokenizer: Tokenizer, tokens: list[int], language: str
) -> None:
    words = split_words(tokenizer.pieces(tokens), language)
    assert "".join(text for text, _ in words) == tokenizer.decode(tokens)
    assert [token for _, ids in words for token in ids] == tokens


spoken = st.lists(
    st.sampled_from([" a", "b", " (", ' "', "'", ",", ".", " ", "!?", " -", " word", "("]), max_size=12
)


@given(texts=spoken)
def test_punctuation_is_merged_as_by_faster_whisper(texts: list[str]) -> None:
    theirs: list[dict[str, Any]] = [
        {"word": text, "tokens": [number], "start": number} for number, text in enumerate(texts)
    ]
    merge_punctuations(theirs, MARKS.prepend_punctuations, MARKS.append_punctuations)
    ours = merge_punctuation(
        [Timing(text, (number,), number, number, 1.0) for number, text in enumerate(texts)],
        MARKS.prepend_punctuations,
        MARKS.append_punctuations,
    )
    assert [(one.text, list(one.tokens), one.start) for one in ours] == [
        (one["word"], one["tokens"], one["start"]) for one in theirs if one["word"]
    ]


class Spread:
    """Times the tokens of a text at random, in order."""

    def __init__(self, seed: int, vocab: Any) -> None:
        self._draw, self._vocab = np.random.default_rng(seed), vocab

    def align(
        self, windows: Sequence[Window], hypotheses: Sequence[Hypothesis], task: str
    ) -> list[tuple[Word, ...]]:
        times = []
        for window, hypothesis in zip(windows, hypotheses, strict=True):
            tokens = self._vocab.text_tokens(hypothesis.tokens)
            last = round(window.span.duration * 50)
            bounds = np.sort(self._draw.integers(0, last, len(tokens) + 1)) / 50
            times.append(
                tuple(
                    Word("", Span(float(start), float(end)), 0.5, (token,))
                    for token, start, end in zip(tokens, bounds, bounds[1:], strict=False)
                )
            )
        return times


def _babble(seed: int, tokenizer: Tokenizer) -> Decode:
    """A decoder that writes plausible segments of random words, sometimes without an end or any pair."""
    draw = np.random.default_rng(seed)
    vocab = tokenizer.vocab
    known = [tokenizer.encode(text) for text in TEXTS]

    def decode(windows: Sequence[Window]) -> list[Hypothesis]:
        answers = []
        for window in windows:
            tokens, time = list[int](), float(draw.uniform(0, 2))
            while time < window.span.duration:
                text = known[draw.integers(len(known))]
                tokens += [vocab.timestamp(time), *text[: draw.integers(1, len(text) + 1)]]
                time += float(draw.uniform(0.02, 12))
                if time < window.span.duration or draw.random() < 0.5:
                    tokens.append(vocab.timestamp(min(time, window.span.duration)))
            answers.append(Hypothesis(tuple(tokens), -0.1, 0.0, language="en"))
        return answers

    return decode


def _flow(strategy: Any, seconds: float, tokenizer: Tokenizer, *, timed: bool) -> Flow:
    audio = Audio("a", np.zeros(round(seconds * 16_000), dtype=np.float32))
    options = replace(TIMED, chunked=ChunkedOptions(chunk_length=12, batch_size=3))
    flow: Flow = strategy(audio, tokenizer, options)
    return with_words(flow, tokenizer, options, audio.duration) if timed else flow


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    strategy=st.sampled_from([short_form, sequential, chunked]),
    seconds=st.floats(0.5, 100),
)
def test_words_are_the_text_of_their_segment_in_the_order_of_time(
    seed: int, strategy: Any, seconds: float, tokenizer: Tokenizer
) -> None:
    seconds = min(seconds, 29.5) if strategy is short_form else seconds
    plain = list(drive(_flow(strategy, seconds, tokenizer, timed=False), _babble(seed, tokenizer)))
    decode = with_token_times(_babble(seed, tokenizer), Spread(seed, tokenizer.vocab), "transcribe")
    segments = list(drive(_flow(strategy, seconds, tokenizer, timed=True), decode))
    assert [(one.text, one.tokens) for one in segments] == [(one.text, one.tokens) for one in plain]
    bounds = []
    for one in segments:
        assert "".join(word.text for word in one.words) == one.text
        text = tokenizer.vocab.text_tokens(one.tokens)
        assert [token for word in one.words for token in word.tokens] == text
        bounds += [second for word in one.words for second in (word.span.start, word.span.end)]
        assert one.span.duration >= 0
    assert bounds == sorted(bounds)
    assert all(0 <= second <= seconds for second in bounds)


def _timed_flow(
    pieces: Sequence[tuple[float, float, str]], bounds: Sequence[float], tokenizer: Tokenizer
) -> list[Segment]:
    """The segments of one window of 30 s with these texts, whose tokens begin and end at `bounds`."""
    stamp, encode = tokenizer.vocab.timestamp, tokenizer.encode
    tokens = [id for start, end, text in pieces for id in (stamp(start), *encode(text), stamp(end))]
    ids = tokenizer.vocab.text_tokens(tokens)
    words = tuple(
        Word("", Span(start, end), 1.0, (token,))
        for token, start, end in zip(ids, bounds, bounds[1:], strict=False)
    )
    assert len(words) == len(ids) == len(bounds) - 1
    answer = Hypothesis(tuple(tokens), -0.1, 0.0, language="en", words=words)
    return list(drive(_flow(sequential, 30.0, tokenizer, timed=True), lambda windows: [answer]))


def _bounds(segment: Segment) -> list[tuple[str, float, float]]:
    return [(word.text, word.span.start, word.span.end) for word in segment.words]


def test_a_pause_after_a_sentence_is_taken_from_its_mark_and_from_the_next_word(tokenizer: Tokenizer) -> None:
    # The words last 0.4 s; the full stop got 3 s of silence, of which it may keep 0.8 s, and so did "to".
    (segment,) = _timed_flow([(1.0, 9.0, " Go on. Back to")], [1.0, 1.4, 1.8, 4.8, 7.8, 8.2], tokenizer)
    assert _bounds(segment) == [(" Go", 1.0, 1.4), (" on.", 1.4, 1.8), (" Back", 7.0, 7.8), (" to", 7.8, 8.2)]


def test_the_words_decide_how_long_their_segment_lasts(tokenizer: Tokenizer) -> None:
    first, second = _timed_flow(
        [(0.0, 2.0, " one two"), (2.0, 5.0, " three four")], [0.2, 0.6, 1.0, 2.3, 2.7], tokenizer
    )
    # "three" begins a second before its segment: it keeps the 0.4 s of a typical word.
    assert (first.span, second.span) == (Span(0.2, 1.0), Span(1.9, 2.7))


def test_a_first_word_long_before_its_segment_is_cut(tokenizer: Tokenizer) -> None:
    (segment,) = _timed_flow([(10.0, 12.0, " one two three")], [0.0, 10.4, 10.8, 11.2], tokenizer)
    assert _bounds(segment)[0] == (" one", 9.6, 10.4)


def test_a_translation_has_spaces_between_its_words(tokenizer: Tokenizer) -> None:
    stamp = tokenizer.vocab.timestamp
    ids = tokenizer.encode(" one twofold")
    words = tuple(Word("", Span(n / 10, n / 10 + 0.1), 1.0, (token,)) for n, token in enumerate(ids))
    answer = Hypothesis((stamp(0), *ids, stamp(2)), -0.1, 0.0, language="zh", words=words)
    audio = Audio("a", np.zeros(16_000 * 3, dtype=np.float32))
    for task, expected in (("translate", [" one", " twofold"]), ("transcribe", [" one", " two", "fold"])):
        options = replace(TIMED, decode=DecodeOptions(task=task))
        flow = with_words(short_form(audio, tokenizer, options), tokenizer, options, 3.0)
        (segment,) = drive(flow, lambda _: [answer])
        assert [word.text for word in segment.words] == expected


def test_words_end_where_the_next_window_begins(tokenizer: Tokenizer) -> None:
    """The first window says that speech goes on at 20 s; its last word was stretched over what follows."""
    stamp, encode = tokenizer.vocab.timestamp, tokenizer.encode
    answers = {
        0.0: (stamp(0), *encode(" one two"), stamp(20), stamp(20), *encode(" three")),
        20.0: (stamp(0), *encode(" three four"), stamp(5)),
    }
    times = {0.0: [18.0, 19.0, 25.0, 29.0], 20.0: [0.5, 1.0, 1.5]}

    def decode(windows: Sequence[Window]) -> list[Hypothesis]:
        (window,) = windows
        tokens, bounds = answers[window.span.start], times[window.span.start]
        ids = tokenizer.vocab.text_tokens(tokens)
        words = tuple(
            Word("", Span(*part), 1.0, (token,)) for token, part in zip(ids, pairwise(bounds), strict=True)
        )
        return [Hypothesis(tokens, -0.1, 0.0, language="en", words=words)]

    first, second = drive(_flow(sequential, 40.0, tokenizer, timed=True), decode)
    assert [word.span.end for word in first.words][-1] == 20.0
    assert second.words[0].span == Span(20.5, 21.0)


@pytest.fixture(scope="module")
def nano() -> Any:
    backend = load_model("nano", EngineOptions(compute_type="float32", threads=1))
    yield backend
    backend.close()


def test_words_equal_faster_whispers_for_the_same_windows(nano: Backend) -> None:
    """Word by word. The peer gets our windows: with words it would move its own."""
    import ctranslate2
    from faster_whisper import WhisperModel

    windows: list[tuple[Window, Hypothesis]] = []

    def decode(asked: Sequence[Window]) -> list[Hypothesis]:
        answers = nano.decode(asked, TIMED.decode)
        windows.extend(zip(asked, answers, strict=True))
        return answers

    folder = str(models.resolve("nano", "ctranslate2").folder)
    peer = WhisperModel(folder, device="cpu", compute_type="float32", cpu_threads=1)
    vocab = nano.tokenizer.vocab
    with open_audio(Path(assets.__file__).parent / "demo.mp3", n_mels=nano.capabilities.n_mels) as audio:
        part = sequential(audio, nano.tokenizer, TIMED, [Span(0.0, 36.0)])  # two windows
        flow = with_words(part, nano.tokenizer, TIMED, audio.duration)
        segments = list(drive(flow, with_token_times(decode, nano, "transcribe")))
        tokenizer = PeerTokenizer(peer.hf_tokenizer, vocab.multilingual, task="transcribe", language="en")
        expected, speech_end = [], 0.0
        for window, answer in windows:
            start = window.span.start
            parts = split(answer.tokens, vocab, window.span.duration)
            pieces = [*parts.pieces, (vocab.seconds(parts.tail[0]) if parts.tail else 0.0, 30.0, parts.tail)]
            rows: list[dict[str, Any]] = [
                {"seek": round(start * 100), "start": start + one, "end": start + two, "tokens": tokens}
                for one, two, tokens in pieces
                if tokens
            ]
            states = ctranslate2.StorageView.from_array(nano._encoded([window])[0][None])
            frames = round(window.span.duration * 100)
            peer.add_word_timestamps(
                [rows],
                tokenizer,
                states,
                frames,
                MARKS.prepend_punctuations,
                MARKS.append_punctuations,
                speech_end,
            )
            kept = rows[: len(parts.pieces)]
            speech_end = kept[-1]["end"]
            expected += [word for row in kept for word in row["words"]]
    found = [word for segment in segments for word in segment.words]
    assert len(found) > 80
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.text == theirs["word"]
        assert (ours.span.start, ours.span.end) == pytest.approx((theirs["start"], theirs["end"]), abs=0.006)
        assert ours.probability == pytest.approx(theirs["probability"], abs=1e-4)


def test_words_change_no_token_and_encode_nothing_twice(tmp_path: Path) -> None:
    clip = write_wav(tmp_path / "rise.wav", toy_clip("rise"))
    counts, texts = [], []
    for timed in (False, True):
        backend = load_backend(toy_ct2_folder("multi"), EngineOptions(compute_type="float32", threads=1))
        options = replace(TIMED, language=None, words=WordOptions(word_timestamps=timed))
        (transcript,) = transcribe_many([clip], backend, options)
        assert isinstance(transcript, Transcript)
        counts.append(backend.encoded_windows)
        texts.append([segment.tokens for segment in transcript.segments])
        assert all(bool(segment.words) == timed for segment in transcript.segments)
        backend.close()
    assert texts[0] == texts[1]
    assert counts == [1, 1]


def test_a_backend_that_cannot_align_is_refused_before_any_work(tokenizer: Tokenizer, tmp_path: Path) -> None:
    backend = Scripted([], tokenizer)
    with pytest.raises(UsageError, match="--word-timestamps cannot be used with the scripted backend"):
        transcribe_many([tmp_path / "missing.wav"], backend, TIMED)
    assert backend.windows == []
