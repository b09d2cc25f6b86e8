"""Command lines of openai/whisper's users become the same options here."""

from __future__ import annotations

from pathlib import Path

import pytest

from distilcli.cli.arguments import FLAGS
from distilcli.cli.argv import fold_booleans
from distilcli.cli.flags import field_docs
from distilcli.cli.request import Request
from distilcli.config import DecodeOptions, EngineOptions, TranscribeOptions, VadOptions
from distilcli.models import ModelInfo
from tests.support.cli import run


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch):
    """A function from a command line to the request that it makes."""
    requests: list[Request] = []
    monkeypatch.setattr("distilcli.cli.run.transcribe", requests.append)

    def ask(*words: str) -> Request:
        result = run("transcribe", *words)
        assert (result.code, result.stderr) == (0, "")
        return requests.pop()

    return ask


def info(chunk_length: float, previous: bool) -> ModelInfo:
    return ModelInfo("m", Path("m"), None, not previous, chunk_length, previous, 80)


def test_defaults_are_those_of_the_option_objects(asked) -> None:
    request = asked("a.wav")
    assert request.model == "distil-large-v3"
    assert request.engine == EngineOptions()
    # The command looks for speech, to check the transcript against it.
    assert request.options == TranscribeOptions(vad=VadOptions(detect=True))
    assert request.output.formats == ()


def test_decoding_flags_with_underscores(asked) -> None:
    words = "a.wav --beam_size 2 --best_of 3 --patience 1.5 --length_penalty .5 --no_repeat_ngram_size 3"
    words += " --repetition_penalty 1.1 --suppress_tokens 1,2 --suppress_blank False --max_new_tokens 9"
    assert asked(*words.split(), "--task", "translate").options.decode == DecodeOptions(
        task="translate",
        beam_size=2,
        best_of=3,
        patience=1.5,
        length_penalty=0.5,
        no_repeat_ngram_size=3,
        repetition_penalty=1.1,
        suppress_tokens=(1, 2),
        suppress_blank=False,
        max_new_tokens=9,
    )


def test_none_as_openai_whisper_spells_it(asked) -> None:
    words = "a.wav --compression_ratio_threshold None --logprob_threshold None --no_speech_threshold None"
    words += " --beam_size None --best_of None --patience None --length_penalty None --language None"
    options = asked(*words.split()).options
    assert options.language is None
    gates = options.fallback
    assert (gates.compression_ratio_threshold, gates.logprob_threshold, gates.no_speech_threshold) == (
        None,
    ) * 3
    decode = options.decode
    assert (decode.beam_size, decode.best_of, decode.patience, decode.length_penalty) == (1, 1, 1.0, 1.0)


@pytest.mark.parametrize(
    ("words", "temperatures"),
    [
        ("", (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        ("--temperature 0.5", (0.5, 0.7, 0.9)),
        ("--temperature_increment_on_fallback 0.5", (0.0, 0.5, 1.0)),
        ("--temperature_increment_on_fallback None", (0.0,)),
        ("--temperature 0,0.3", (0.0, 0.3)),
        ("--temperature 1.2", (1.2,)),
    ],
)
def test_temperatures(asked, words: str, temperatures: tuple[float, ...]) -> None:
    assert asked("a.wav", *words.split()).options.fallback.temperatures == temperatures


@pytest.mark.parametrize("name", ["German", "de", "DE"])
def test_language_by_code_or_name(asked, name: str) -> None:
    assert asked("a.wav", "--language", name).options.language == "de"


def test_auto_detects_the_language(asked) -> None:
    assert asked("a.wav", "--language", "auto").options.language is None


def test_what_the_command_line_leaves_open_comes_from_the_model(asked) -> None:
    options = asked("a.wav").options_for(info(chunk_length=15.0, previous=False))
    assert (options.chunked.chunk_length, options.sequential.condition_on_previous_text) == (15.0, False)
    words = "a.wav --chunk_length 20 --condition_on_previous_text True"
    options = asked(*words.split()).options_for(info(chunk_length=15.0, previous=False))
    assert (options.chunked.chunk_length, options.sequential.condition_on_previous_text) == (20.0, True)


@pytest.mark.parametrize(
    ("words", "formats"),
    [
        ("--srt", ("srt",)),
        ("--srt --txt -f json", ("json", "txt", "srt")),
        ("-f srt,vtt", ("srt", "vtt")),
        ("-f srt --srt", ("srt",)),
        ("--output_format all", ("txt", "vtt", "srt", "tsv", "json")),
        ("-o out", ("txt", "vtt", "srt", "tsv", "json")),
        ("-o -", ("txt",)),
        ("-o - -f vtt", ("vtt",)),
    ],
)
def test_formats(asked, words: str, formats: tuple[str, ...]) -> None:
    assert sorted(asked("a.wav", *words.split()).output.formats) == sorted(formats)


def test_fp16_is_a_compute_type(asked) -> None:
    assert asked("a.wav", "--fp16", "False").engine.compute_type == "float32"
    assert asked("a.wav", "--fp16", "True").engine.compute_type == "auto"


@pytest.mark.parametrize(
    ("words", "folded"),
    [
        ("a.wav --verbose False", "a.wav"),
        ("a.wav --verbose True b.wav", "a.wav --verbose b.wav"),
        ("--condition_on_previous_text False a.wav", "--no-condition-on-previous-text a.wav"),
        ("--condition-on-previous-text=true a.wav", "--condition-on-previous-text a.wav"),
        ("-q a.wav", "-q a.wav"),
        ("-q False a.wav", "a.wav"),
        ("--quiet a.wav True", "--quiet a.wav True"),
        ("--model True", "--model True"),
        ("-- --quiet False", "-- --quiet False"),
    ],
)
def test_booleans_with_a_value(words: str, folded: str) -> None:
    assert fold_booleans(words.split(), FLAGS) == folded.split()


def test_every_option_has_a_help_text_that_stands_under_its_field() -> None:
    from distilcli.config import decoding

    assert field_docs(decoding)["DecodeOptions"]["beam_size"].startswith("Beams of the search")
    assert all(flag.help for flag in FLAGS)


def test_completion_offers_models_languages_and_formats() -> None:
    offered = {flag.name: list(flag.reader.complete()) for flag in FLAGS if flag.reader.complete}
    assert "nano" in offered["model"]
    assert "distil-large-v3" in offered["model"]
    assert "de" in offered["language"]
    assert offered["output_format"] == ["txt", "vtt", "srt", "tsv", "json", "all"]
