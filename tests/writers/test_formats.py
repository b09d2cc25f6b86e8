"""Output formats against openai/whisper's own writers, and strict readers for any text and any times."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilcli.types import Segment, Span, Transcript
from distilcli.writers import WRITERS
from tests.support.subtitles import read_srt, read_vtt

SPEECH = (
    (0.0, 4.2, " The river runs down to the sea,"),
    (4.2, 10.24, " and nobody can hurry it."),
    (59.9996, 61.5, " Grüße aus Köln — 東京から、こんにちは。 ♪"),
    (3599.0004, 3600.5, " An hour\tlater."),
    (36_000.02, 36_001.0005, " Ten hours later: a -> b"),
)


def transcript(*rows: tuple[float, float, str], language: str = "en") -> Transcript:
    segments = tuple(
        Segment(
            text,
            Span(start, end),
            tokens=(50363, 464, 7850),
            seek=30.0,
            avg_logprob=-0.25,
            no_speech_prob=0.01,
        )
        for start, end, text in rows
    )
    return Transcript(segments, language, 36_002.0, model="nano", backend="ctranslate2 int8 on cpu")


def whisper_writes(name: str, folder: Path, given: Transcript) -> str:
    """What openai/whisper's command would write for the same segments."""
    utils = pytest.importorskip("whisper.utils")
    rows = [
        {
            "id": number,
            "seek": round(100 * one.seek),
            "start": one.span.start,
            "end": one.span.end,
            "text": one.text,
            "tokens": list(one.tokens),
            "temperature": one.temperature,
            "avg_logprob": one.avg_logprob,
            "compression_ratio": one.compression_ratio,
            "no_speech_prob": one.no_speech_prob,
        }
        for number, one in enumerate(given.segments)
    ]
    result = {"text": given.text, "segments": rows, "language": given.language}
    utils.get_writer(name, str(folder))(result, "talk.mp3", {})
    return (folder / f"talk.{name}").read_bytes().decode("utf-8")


@pytest.mark.parametrize("name", ["txt", "srt", "vtt", "tsv"])
def test_same_bytes_as_openai_whisper(name: str, tmp_path: Path) -> None:
    given = transcript(*SPEECH)
    assert WRITERS[name](given) == whisper_writes(name, tmp_path, given)


def test_json_holds_what_openai_whisper_writes(tmp_path: Path) -> None:
    given = transcript(*SPEECH)
    ours = json.loads(WRITERS["json"](given))
    theirs = json.loads(whisper_writes("json", tmp_path, given))
    assert {key: ours[key] for key in theirs} == theirs


def test_json_adds_schema_model_and_length_and_keeps_letters_readable() -> None:
    document = WRITERS["json"](transcript(*SPEECH))
    assert "Grüße" in document
    assert document.endswith("}\n")
    added = {key: value for key, value in json.loads(document).items() if key not in ("text", "segments")}
    assert added == {
        "schema": 1,
        "language": "en",
        "duration": 36_002.0,
        "task": "transcribe",
        "model": "nano",
        "backend": "ctranslate2 int8 on cpu",
    }


def test_json_says_when_a_transcript_is_incomplete() -> None:
    whole = transcript(*SPEECH)
    part = Transcript(whole.segments[:2], "en", whole.duration, complete=False)
    assert json.loads(WRITERS["json"](part))["complete"] is False
    assert "complete" not in json.loads(WRITERS["json"](whole))


def test_srt_by_hand() -> None:
    assert WRITERS["srt"](transcript((0.0, 1.5, " One."), (3661.001, 3662.0, " Two."))) == (
        "1\n00:00:00,000 --> 00:00:01,500\nOne.\n\n2\n01:01:01,001 --> 01:01:02,000\nTwo.\n\n"
    )


def test_vtt_by_hand() -> None:
    assert WRITERS["vtt"](transcript((0.0, 1.5, " One."), (3661.001, 3662.0, " Two."))) == (
        "WEBVTT\n\n00:00.000 --> 00:01.500\nOne.\n\n01:01:01.001 --> 01:01:02.000\nTwo.\n\n"
    )


@pytest.mark.parametrize("name", list(WRITERS))
def test_nothing_said(name: str) -> None:
    empty = {"txt": "", "srt": "", "vtt": "WEBVTT\n\n", "tsv": "start\tend\ttext\n"}
    written = WRITERS[name](transcript())
    assert json.loads(written)["segments"] == [] if name == "json" else written == empty[name]


def test_vtt_escapes_markup_where_openai_whisper_writes_a_tag(tmp_path: Path) -> None:
    # W3C WebVTT 3.3: cue text is not plain text, `<` starts a tag and `&` an entity.
    given = transcript((0.0, 1.0, " Q&A: is a<b>c?"))
    with pytest.raises(ValueError, match="a tag or a loose &"):
        read_vtt(whisper_writes("vtt", tmp_path, given))
    assert [cue.text for cue in read_vtt(WRITERS["vtt"](given))] == ["Q&A: is a<b>c?"]


def test_an_arrow_of_any_length_is_shortened_where_openai_whisper_leaves_one(tmp_path: Path) -> None:
    # Replacing "-->" by "->" once makes "-->" out of "--->".
    given = transcript((0.0, 1.0, " left ---> right"))
    with pytest.raises(ValueError, match="an arrow in it"):
        read_srt(whisper_writes("srt", tmp_path, given))
    assert [cue.text for cue in read_srt(WRITERS["srt"](given))] == ["left -> right"]


def test_a_blank_segment_makes_no_cue_where_openai_whisper_writes_an_empty_one(tmp_path: Path) -> None:
    given = transcript((0.0, 1.0, " One."), (1.0, 2.0, "  "), (2.0, 3.0, " Two."))
    with pytest.raises(ValueError):  # noqa: PT011  # which rule its file breaks first does not matter
        read_srt(whisper_writes("srt", tmp_path, given))
    assert [cue.text for cue in read_srt(WRITERS["srt"](given))] == ["One.", "Two."]
    assert WRITERS["txt"](given) == "One.\nTwo.\n"


def test_blank_lines_inside_a_text_do_not_end_its_cue() -> None:
    given = transcript((0.0, 1.0, " One\r\n\n\u2028 two\0 "))
    assert [cue.text for cue in read_srt(WRITERS["srt"](given))] == ["One\ntwo\ufffd"]
    assert WRITERS["tsv"](given) == "start\tend\ttext\n0\t1000\tOne two\ufffd\n"


def test_impossible_times_are_mended() -> None:
    given = transcript(
        (-1.0, 2.0, "a"), (math.nan, 3.0, "b"), (5.0, 5.0, "c"), (4.0, math.inf, "d"), (6.0, 1.0, "e")
    )
    times = [(cue.start, cue.end) for cue in read_vtt(WRITERS["vtt"](given))]
    assert times == [(0, 2000), (2000, 3000), (5000, 5001), (5000, 5001), (6000, 6001)]


seconds = st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 40_000)
texts = st.text(max_size=60) | st.text(alphabet="-> \n\r\t&<;a1:,.\u2028\x0b\x85", max_size=30)
rows = st.lists(st.tuples(seconds, seconds, texts), max_size=8)


@pytest.mark.parametrize(("name", "read"), [("srt", read_srt), ("vtt", read_vtt)])
@given(rows=rows)
def test_any_text_at_any_time_makes_a_valid_file(
    name: str, read: Callable[[str], list[object]], rows: list[tuple[float, float, str]]
) -> None:
    assert len(read(WRITERS[name](transcript(*rows)))) <= len(rows)


@given(rows=rows)
def test_any_text_at_any_time_makes_valid_rows_and_json(rows: list[tuple[float, float, str]]) -> None:
    header, *lines = WRITERS["tsv"](transcript(*rows)).splitlines()
    assert header == "start\tend\ttext"
    for line in lines:
        start, end, text = line.split("\t")
        assert 0 <= int(start) < int(end)
        assert text.strip()

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is not JSON")

    document = json.loads(WRITERS["json"](transcript(*rows)), parse_constant=refuse)
    assert [segment["text"] for segment in document["segments"]] == [text for _, _, text in rows]
