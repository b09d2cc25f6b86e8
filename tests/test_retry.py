"""Doubtful windows are decoded again: what is asked, what is kept, and where its parts end up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilcli.config import FallbackOptions, QualityOptions, TranscribeOptions
from distilcli.longform.base import drive
from distilcli.longform.chunked import chunked
from distilcli.longform.segments import split
from distilcli.longform.sequential import sequential, short_form
from distilcli.retry import AS_USUAL, whole, with_retry
from distilcli.tokens import Tokenizer
from distilcli.types import Audio, Hypothesis, Span, Window
from tests.support.tokenizer import write_tokenizer

OPTIONS = TranscribeOptions(quality=QualityOptions(on_flag="retry"))
LOOP = " go on and on" * 9


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, 51866)
    return Tokenizer.from_folder(folder)


def recording(seconds: float = 30.0, *speech: tuple[float, float]) -> Audio:
    spans = tuple(Span(*one) for one in speech) or None
    return Audio("a", np.zeros(round(seconds * 16_000), np.float32), speech=spans)


class Speaker:
    """Says what a function makes of a window: text, or (start, end, text) pieces; remembers the questions."""

    def __init__(self, tokenizer: Tokenizer, say: Callable[[Window], object], logprob: float = -0.2) -> None:
        self.tokenizer, self.say, self.logprob = tokenizer, say, logprob
        self.calls: list[list[Window]] = []

    def __call__(self, windows: Sequence[Window]) -> list[Hypothesis]:
        self.calls.append(list(windows))
        return [self.answer(window) for window in windows]

    def answer(self, window: Window) -> Hypothesis:
        said = self.say(window)
        if isinstance(said, Hypothesis):
            return said
        pieces = [(0.0, window.span.duration, said)] if isinstance(said, str) else said
        return Hypothesis(tokens(self.tokenizer, pieces), self.logprob, 0.0, language="en")

    @property
    def spans(self) -> list[list[tuple[float, float]]]:
        return [[(one.span.start, one.span.end) for one in call] for call in self.calls]


def tokens(tokenizer: Tokenizer, pieces: Sequence[tuple[float, float | None, str]]) -> tuple[int, ...]:
    """Pieces between timestamps; one without an end is left open."""
    found: list[int] = []
    for start, end, text in pieces:
        found += [tokenizer.vocab.timestamp(start), *tokenizer.encode(text)]
        found += [] if end is None else [tokenizer.vocab.timestamp(end)]
    return tuple(found)


def test_text_beyond_doubt_is_decoded_once(tokenizer: Tokenizer) -> None:
    speaker = Speaker(tokenizer, lambda window: " The river runs down to the sea.")
    audio = recording(30.0, (0.0, 30.0))
    windows = [Window(audio, Span(0.0, 20.0), prompt=(1, 2)), Window(audio, Span(20.0, 30.0))]
    answers = with_retry(speaker, tokenizer, OPTIONS)(windows)
    assert len(speaker.calls) == 1
    assert [one.tried for one in answers] == [(), ()]


def test_the_text_before_is_left_out_first(tokenizer: Tokenizer) -> None:
    speaker = Speaker(tokenizer, lambda window: LOOP if window.prompt else " All is well here.")
    windows = [Window(recording(), Span(0.0, 30.0), prompt=prompt) for prompt in ((), (5, 6))]
    calm, healed = with_retry(speaker, tokenizer, OPTIONS)(windows)
    assert calm.tried == ()
    assert tokenizer.decode(healed.tokens) == " All is well here."
    assert healed.tried == (
        f"{AS_USUAL}: 30.0 s in doubt",
        "without previous text: 0.0 s in doubt (kept)",
    )
    assert [[one.prompt for one in call] for call in speaker.calls] == [[(), (5, 6)], [()]]


def test_then_the_window_is_cut_in_a_pause_and_cropped_to_speech(tokenizer: Tokenizer) -> None:
    audio = recording(30.0, (2.0, 7.4), (9.0, 28.0))
    speaker = Speaker(tokenizer, lambda window: LOOP)
    (kept,) = with_retry(speaker, tokenizer, OPTIONS)([Window(audio, Span(0.0, 30.0))])
    # Speech without its padding of 0.4 s ends at 7.0 and begins at 9.4: the pause's middle is 8.2. The
    # detected stretches are decoded with their padding.
    assert speaker.spans == [
        [(0.0, 30.0)],
        [(0.0, 8.2)],
        [(8.2, 30.0)],
        [(2.0, 7.4)],
        [(9.0, 28.0)],
    ]
    # All loops: the last attempt leaves the least in doubt, because it says nothing where nobody speaks.
    assert kept.tried == (
        "as usual: 30.0 s in doubt",
        "shifted: 30.0 s in doubt",
        "cropped to speech: 24.4 s in doubt (kept)",
    )


def test_without_a_pause_the_cut_is_where_it_was_asked_for(tokenizer: Tokenizer) -> None:
    quality = QualityOptions(on_flag="retry", retry_shift=3.0)
    speaker = Speaker(tokenizer, lambda window: LOOP if window.span.start == 0 else " Now all is well.")
    windows = [Window(recording(60.0), Span(10.0 * at, 10.0 * at + 8.0)) for at in (0, 2)]
    with_retry(speaker, tokenizer, TranscribeOptions(quality=quality))(windows)
    assert speaker.spans == [[(0.0, 8.0), (20.0, 28.0)], [(0.0, 3.0), (3.0, 8.0)]]
    short = Speaker(tokenizer, lambda window: LOOP)
    with_retry(short, tokenizer, TranscribeOptions(quality=quality))([Window(recording(), Span(0.0, 6.0))])
    assert short.spans == [[(0.0, 6.0)]]


def test_an_answer_without_words_is_never_kept(tokenizer: Tokenizer) -> None:
    speaker = Speaker(tokenizer, lambda window: LOOP if window.prompt else "")
    (kept,) = with_retry(speaker, tokenizer, OPTIONS)([Window(recording(), Span(0, 30), prompt=(7,))])
    assert tokenizer.decode(kept.tokens) == LOOP
    assert kept.tried == (
        "as usual: 30.0 s in doubt (kept)",
        "without previous text: no words",
        "shifted: no words",
    )


def test_of_two_as_doubtful_the_likelier_is_kept(tokenizer: Tokenizer) -> None:
    def say(window: Window) -> Hypothesis:
        return Hypothesis(tuple(tokenizer.encode(LOOP)), -0.9 if window.prompt else -0.5, 0.0)

    (kept,) = with_retry(Speaker(tokenizer, say), tokenizer, OPTIONS)(
        [Window(recording(8.0), Span(0, 8), prompt=(7,))]
    )
    assert kept.avg_logprob == -0.5


def test_parts_of_a_second_decide_nothing(tokenizer: Tokenizer) -> None:
    """The crop leaves 7.2 s in doubt, the whole window 7.4 s: the likelier one is kept."""
    audio = recording(7.4, (0.2, 7.4))

    def say(window: Window) -> Hypothesis:
        return Hypothesis(tuple(tokenizer.encode(LOOP)), -0.3 if window.span.start == 0 else -0.4, 0.0)

    (kept,) = with_retry(Speaker(tokenizer, say), tokenizer, OPTIONS)([Window(audio, Span(0.0, 7.4))])
    assert kept.tried == ("as usual: 7.4 s in doubt (kept)", "cropped to speech: 7.2 s in doubt")


def test_speech_that_has_no_words_is_a_doubt_too(tokenizer: Tokenizer) -> None:
    audio = recording(30.0, (0.0, 30.0))
    speaker = Speaker(
        tokenizer,
        lambda window: [(0, 9 if window.prompt else 29, " A word or two at last, and then some more.")],
    )
    (kept,) = with_retry(speaker, tokenizer, OPTIONS)([Window(audio, Span(0.0, 30.0), prompt=(7,))])
    # The padding of 0.4 s at the end of speech is not counted.
    assert kept.tried[0] == "as usual: 20.6 s in doubt"
    assert kept.tried[1] == "without previous text: 0.0 s in doubt (kept)"


def test_silence_is_not_asked_again(tokenizer: Tokenizer) -> None:
    speaker = Speaker(tokenizer, lambda window: Hypothesis(tuple(tokenizer.encode(LOOP)), -1.5, 0.9))
    (kept,) = with_retry(speaker, tokenizer, OPTIONS)([Window(recording(), Span(0, 30), prompt=(7,))])
    assert (len(speaker.calls), kept.tried) == (1, ())


def test_no_call_has_more_windows_than_the_first(tokenizer: Tokenizer) -> None:
    audio = recording(60.0, *((float(at), at + 1.5) for at in range(0, 60, 4)))
    speaker = Speaker(tokenizer, lambda window: LOOP)
    with_retry(speaker, tokenizer, OPTIONS)([Window(audio, Span(0, 30)), Window(audio, Span(30, 60))])
    assert max(map(len, speaker.calls)) == 2


@pytest.mark.parametrize("strategy", [short_form, sequential, chunked])
def test_segments_of_a_cropped_window_lie_where_they_were_heard(tokenizer: Tokenizer, strategy) -> None:
    audio = recording(24.0, (4.0, 8.0), (15.0, 20.0))
    texts = {4.0: " First of all good morning.", 15.0: " And then good night."}

    def say(window: Window) -> object:
        if window.span.duration > 10:
            return LOOP
        text = texts.get(window.span.start)
        return "" if text is None else [(0.5, window.span.duration - 0.5, text)]

    options = replace(OPTIONS, quality=QualityOptions(on_flag="retry", retry_shift=0))
    decode = with_retry(Speaker(tokenizer, say), tokenizer, options)
    found = [
        (one.span.start, one.span.end, one.text) for one in drive(strategy(audio, tokenizer, options), decode)
    ]
    assert found == [(4.5, 7.5, texts[4.0]), (15.5, 19.5, texts[15.0])]


def test_text_that_the_last_part_leaves_open_is_left_to_the_next_window(tokenizer: Tokenizer) -> None:
    audio = recording(60.0, (1.0, 8.0), (12.0, 59.0))

    def say(window: Window) -> object:
        start, duration = window.span.start, window.span.duration
        if duration == 30 and start == 0:
            return LOOP
        if start == 12.0:
            return [(0.0, 10.0, " Here is one sentence."), (11.0, None, " And here begins")]
        return [(0.0, duration, f" This was heard at {start:.0f}.")]

    options = replace(OPTIONS, quality=QualityOptions(on_flag="retry", retry_shift=0))
    speaker = Speaker(tokenizer, say)
    found = list(drive(sequential(audio, tokenizer, options), with_retry(speaker, tokenizer, options)))
    assert [one.text for one in found] == [
        " This was heard at 1.",
        " Here is one sentence.",
        " This was heard at 22.",
        " This was heard at 52.",
    ]


def test_parts_become_one_hypothesis(tokenizer: Tokenizer) -> None:
    vocab, audio = tokenizer.vocab, recording()
    window = Window(audio, Span(5.0, 30.0))
    parts = [Window(audio, Span(*span)) for span in ((6.0, 9.0), (10.0, 12.0), (14.0, 20.0))]
    answers = [
        Hypothesis(tokens(tokenizer, [(0, 2, " a b")]), -0.3, 0.5, 0.2, "en"),
        Hypothesis(tokens(tokenizer, [(0, 2, " you")]), -1.5, 0.9, 1.0, "en"),
        Hypothesis(tokens(tokenizer, [(1, 29, " c")]), -0.6, 0.1, 0.4, "en"),
    ]
    found = whole(window, parts, answers, vocab, FallbackOptions())
    # The second is silence. The third claims an end behind its part, which ends 15 s into the window.
    assert found.tokens == tokens(tokenizer, [(1, 3, " a b"), (10, 15, " c")])
    # Four and three tokens, each with the end of text.
    assert found.avg_logprob == pytest.approx((5 * -0.3 + 4 * -0.6) / 9)
    assert (found.no_speech_prob, found.temperature, found.language) == (0.1, 0.4, "en")


def test_nothing_but_silence_becomes_nothing(tokenizer: Tokenizer) -> None:
    window = Window(recording(), Span(0.0, 30.0))
    parts = [replace(window, span=Span(1.0, 4.0)), replace(window, span=Span(6.0, 8.0))]
    silence = Hypothesis(tokens(tokenizer, [(0, 2, " you")]), -1.5, 0.9)
    found = whole(window, parts, [silence, silence], tokenizer.vocab, FallbackOptions())
    assert found.tokens == ()


ANSWER = st.lists(st.one_of(st.none(), st.integers(0, 1500)), max_size=8)
"""A number for each timestamp, None for each word."""


@given(st.lists(ANSWER, min_size=2, max_size=3))
@settings(max_examples=60, deadline=None)
def test_any_answers_keep_their_words_and_stay_in_their_parts(
    tokenizer: Tokenizer, given_answers: list[list[int | None]]
) -> None:
    vocab, audio = tokenizer.vocab, recording()
    window = Window(audio, Span(0.0, 30.0))
    parts = [replace(window, span=Span(10.0 * at, 10.0 * at + 7.0)) for at in range(len(given_answers))]
    number, answers = 1000, []
    for stamps in given_answers:
        ids = []
        for stamp in stamps:
            number += 1
            ids.append(number if stamp is None else vocab.timestamp_begin + stamp)
        answers.append(Hypothesis(tuple(ids), -0.1, 0.0))
    found = whole(window, parts, answers, vocab, FallbackOptions())
    assert vocab.text_tokens(found.tokens) == [
        token for answer in answers for token in vocab.text_tokens(answer.tokens)
    ]
    cut = split(found.tokens, vocab, 30.0)
    for start, end, piece in cut.pieces:
        text = vocab.text_tokens(piece)
        if not text:
            continue
        (part,) = (at for at, one in enumerate(answers) if set(text) <= set(one.tokens))
        assert 10.0 * part - 1e-6 <= start < end <= 10.0 * part + 7.0 + 1e-6
    last = split(answers[-1].tokens, vocab, 7.0)
    assert vocab.text_tokens(cut.tail) == vocab.text_tokens(last.tail)
