"""Doubtful text in a run: flags, drop, retry and gaps, with a backend that answers from a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from distilcli.audio import from_array
from distilcli.backends.scripted import Scripted
from distilcli.config import QualityOptions, TranscribeOptions, VadOptions
from distilcli.gaps import FILLED
from distilcli.pipeline import Listener, transcribe
from distilcli.tokens import Tokenizer
from distilcli.types import Audio, Hypothesis, Segment, Span, Window
from tests.support.tokenizer import write_tokenizer

SPEECH = (Span(0.0, 9.0), Span(20.0, 58.0))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, 51866)
    return Tokenizer.from_folder(folder)


@pytest.fixture(autouse=True)
def recording(monkeypatch: pytest.MonkeyPatch) -> list[VadOptions | None]:
    """Every source is a minute with speech at `SPEECH`, which is known where it is looked for; how it was."""
    asked: list[VadOptions | None] = []

    @contextmanager
    def opened(source: str, *, vad: VadOptions | None = None, **_: object) -> Iterator[Audio]:
        asked.append(vad)
        audio = from_array(np.zeros(60 * 16_000, np.float32), source)
        yield replace(audio, speech=SPEECH) if vad else audio

    monkeypatch.setattr("distilcli.opening.open_audio", opened)
    return asked


class Heard(Listener):
    """Segments as they come."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, tuple[str, ...]]] = []

    def segment(self, source: str, segment: Segment) -> None:
        self.lines.append(("segment", segment.text, segment.flags))

    def dropped(self, source: str, segment: Segment) -> None:
        self.lines.append(("dropped", segment.text, segment.flags))


def backend(tokenizer: Tokenizer, say: Callable[[Window], str], size: float | None = None) -> Scripted:
    """Says one text per window, from its start for `size` seconds or to its end."""
    stamp = tokenizer.vocab.timestamp

    def answer(window: Window) -> Hypothesis:
        end = min(size or 30.0, window.span.duration)
        ids = tokenizer.encode(say(window))
        tokens = (stamp(0.0), *ids, stamp(end)) if ids else ()
        return Hypothesis(tokens, -0.1, 0.0, language="en")

    return Scripted(answer, tokenizer)


def options(**quality: object) -> TranscribeOptions:
    padding = VadOptions(detect=True, speech_pad_ms=0)
    return TranscribeOptions(language="en", vad=padding, quality=QualityOptions(**quality))


def test_flags_come_with_the_segments_and_the_audit_with_the_transcript(tokenizer: Tokenizer) -> None:
    heard = Heard()
    say = backend(tokenizer, lambda window: " All is well." if window.span.start else " so on" * 20, 25.0)
    result = transcribe("a.wav", say, options(), listener=heard)
    assert heard.lines == [
        ("segment", " so on" * 20, ("repetition",)),
        ("segment", " All is well.", ("rate",)),  # ten letters in 25 seconds of speech
    ]
    assert [one.flags for one in result.segments] == [("repetition",), ("rate",)]
    assert result.uncovered == (Span(25.0, 30.0), Span(55.0, 58.0))
    assert result.dropped == ()


def test_without_detection_nothing_is_said_about_speech(
    tokenizer: Tokenizer, recording: list[object]
) -> None:
    say = backend(tokenizer, lambda window: " All is well.", 25.0)
    result = transcribe("a.wav", say, TranscribeOptions(language="en"))
    assert recording == [None]
    assert {one.flags for one in result.segments} == {()}
    assert result.uncovered == ()


@pytest.mark.parametrize("quality", [{"fill_gaps": True}, {"on_flag": "retry"}])
def test_what_needs_detection_brings_it(
    tokenizer: Tokenizer, recording: list[object], quality: dict[str, object]
) -> None:
    say = backend(tokenizer, lambda window: " All is well and good in here.")
    transcribe("a.wav", say, TranscribeOptions(language="en", quality=QualityOptions(**quality)))
    assert recording == [VadOptions()]


def test_dropped_segments_are_kept_apart(tokenizer: Tokenizer) -> None:
    heard = Heard()
    say = backend(
        tokenizer,
        lambda window: (
            " All is well in this old house, and so it has been." if window.span.start else " la" * 20
        ),
    )
    result = transcribe("a.wav", say, options(on_flag="drop"), listener=heard)
    assert [kind for kind, _, _ in heard.lines] == ["dropped", "segment"]
    assert result.text == "All is well in this old house, and so it has been."
    assert [one.text for one in result.dropped] == [" la" * 20]
    # What was dropped covers nothing any more.
    assert result.uncovered == (Span(0.0, 9.0), Span(20.0, 30.0))


def test_retried_windows_say_what_was_tried(tokenizer: Tokenizer) -> None:
    def say(window: Window) -> str:
        if window.span.duration == 30:
            return " la" * 20
        return f" Now this is what was said at second {window.span.start:.0f}."

    result = transcribe("a.wav", backend(tokenizer, say), options(on_flag="retry"))
    assert {one.text[:26] for one in result.segments} == {" Now this is what was said"}
    assert {one.flags for one in result.segments} == {()}
    assert all(one.tried[0].startswith("as usual") for one in result.segments)


def test_gaps_are_filled_with_what_a_window_of_its_own_holds(tokenizer: Tokenizer) -> None:
    texts = {
        0.0: " First of all good morning.",
        20.0: " In the middle of it all.",
        30.0: " And so good night.",
    }
    say = backend(tokenizer, lambda window: texts.get(window.span.start, ""), 9.0)
    say_all = options(fill_gaps=True)
    heard = Heard()
    result = transcribe("a.wav", say, say_all, listener=heard)
    assert [(one.span.start, one.text, one.tried) for one in result.segments] == [
        (0.0, texts[0.0], ()),
        (20.0, texts[20.0], (FILLED,)),
        (30.0, texts[30.0], ()),
    ]
    assert [text for _, text, _ in heard.lines] == list(texts.values())
    assert result.uncovered == (Span(39.0, 58.0),)
    assert [one.prompt for one in say.windows if one.span.start == 20.0] == [()]
