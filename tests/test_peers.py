"""The same weights and recordings give the same tokens as the tools that people use today.

The model is the bundled one; the recordings are a synthetic demo (always) and real chapters (where present).
Sampling is switched off: above temperature 0 every tool draws from its own random numbers. Where a tool's
input differs by design, the test says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilcli import assets, models
from distilcli.backends.base import Backend
from distilcli.config import (
    ChunkedOptions,
    DecodeOptions,
    EngineOptions,
    FallbackOptions,
    SequentialOptions,
    TranscribeOptions,
)
from distilcli.pipeline import load_model, transcribe_many
from distilcli.types import Transcript
from tests.support.openai_model import openai_model
from tests.support.speech import chapter, needs_speech, write_wav

DEMO = Path(assets.__file__).parent / "demo.mp3"
GREEDY = TranscribeOptions(
    language="en",
    long_form="sequential",
    decode=DecodeOptions(beam_size=1),
    fallback=FallbackOptions(temperatures=(0.0,)),
)


@pytest.fixture(scope="module")
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording by name: the bundled demo, or minutes of a real chapter."""
    if request.param == "demo":
        return DEMO
    name, seconds = request.param
    return write_wav(tmp_path_factory.mktemp("speech") / "chapter.wav", chapter(name, seconds))


CHAPTER = pytest.param(("train/ls-train-clean-100/4088-158079", 100), marks=needs_speech, id="chapter")
LONG_CHAPTER = pytest.param(("eval/ls-test-clean/4970-29095", 270), marks=needs_speech, id="whole-chapter")


@pytest.fixture(scope="module")
def ct2() -> Iterator[Backend]:
    backend = load_model("nano", EngineOptions(compute_type="float32", threads=1))
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def hf() -> Iterator[Backend]:
    backend = load_model("nano", EngineOptions(backend="transformers", compute_type="float32", threads=1))
    yield backend
    backend.close()


def _transcribe(recording: Path, backend: Backend, options: TranscribeOptions) -> Transcript:
    (transcript,) = transcribe_many([recording], backend, options)
    assert isinstance(transcript, Transcript)
    return transcript


@pytest.mark.parametrize("recording", ["demo", CHAPTER], indirect=True)
@pytest.mark.parametrize(
    ("beam_size", "condition", "language"), [(5, True, None), (1, False, "en"), (5, False, "en")]
)
def test_sequential_equals_faster_whisper(
    recording: Path, ct2: Backend, beam_size: int, condition: bool, language: str | None
) -> None:
    import faster_whisper

    peer = faster_whisper.WhisperModel(
        str(models.resolve("nano", "ctranslate2").folder), device="cpu", compute_type="float32", cpu_threads=1
    )
    segments, info = peer.transcribe(
        str(recording),
        language=language,
        beam_size=beam_size,
        temperature=0.0,
        condition_on_previous_text=condition,
    )
    expected = [(one.tokens, one.text, round(one.start, 2), round(one.no_speech_prob, 4)) for one in segments]
    options = replace(
        GREEDY,
        language=language,
        decode=DecodeOptions(beam_size=beam_size),
        sequential=SequentialOptions(condition_on_previous_text=condition),
    )
    found = _transcribe(recording, ct2, options)
    assert expected, "a comparison of nothing proves nothing"
    assert [
        (list(one.tokens), one.text, round(one.span.start, 2), round(one.no_speech_prob, 4))
        for one in found.segments
    ] == expected
    assert found.language == info.language


def test_hints_are_those_of_faster_whisper(ct2: Backend) -> None:
    """A prefix takes the place of the hotwords in the first window; those after it have them."""
    import faster_whisper

    hints = {"prefix": "Hello, and", "hotwords": "the computer"}

    peer = faster_whisper.WhisperModel(
        str(models.resolve("nano", "ctranslate2").folder), device="cpu", compute_type="float32", cpu_threads=1
    )
    segments, _ = peer.transcribe(str(DEMO), language="en", beam_size=1, temperature=0.0, **hints)
    expected = [one.tokens for one in segments]
    plain, found = (
        [list(one.tokens) for one in _transcribe(DEMO, ct2, options).segments]
        for options in (GREEDY, replace(GREEDY, **hints))
    )
    assert found == expected
    assert found != plain, "hints that change nothing prove nothing"


def test_clips_equal_those_of_faster_whisper(ct2: Backend) -> None:
    """With the text so far as the prompt across clips; the last clip has no end."""
    import faster_whisper

    clips = (2.317, 12.0, 40.5, 41.9, 58.0)
    peer = faster_whisper.WhisperModel(
        str(models.resolve("nano", "ctranslate2").folder), device="cpu", compute_type="float32", cpu_threads=1
    )
    segments, _ = peer.transcribe(
        str(DEMO), language="en", beam_size=1, temperature=0.0, clip_timestamps=list(clips)
    )
    expected = [(one.tokens, round(one.start, 2)) for one in segments]
    found = _transcribe(DEMO, ct2, replace(GREEDY, clip_timestamps=clips))
    assert [(list(one.tokens), round(one.span.start, 2)) for one in found.segments] == expected
    assert expected[0][1] >= 2.31
    assert not any(12.0 <= start < 40.49 or 41.9 <= start < 58.0 for _, start in expected)


@pytest.mark.parametrize("recording", ["demo", LONG_CHAPTER], indirect=True)
@pytest.mark.parametrize("backend", ["ct2", "hf"])
def test_sequential_equals_openai_whisper(
    recording: Path, backend: str, request: pytest.FixtureRequest
) -> None:
    """Greedy, with the text so far as the prompt; both backends, float32."""
    import whisper

    expected = _openai(recording)
    found = _transcribe(recording, request.getfixturevalue(backend), GREEDY)
    assert expected, "a comparison of nothing proves nothing"
    ours = [(list(one.tokens), round(one.span.start, 2)) for one in found.segments]
    assert ours == expected
    assert whisper.__version__


_openai_results: dict[Path, list[tuple[list[int], float]]] = {}


def _openai(recording: Path) -> list[tuple[list[int], float]]:
    """openai-whisper's segments, once per recording; it gets our samples, for it needs an ffmpeg binary."""
    from tests.support.speech import samples

    if recording not in _openai_results:
        model = openai_model(models.resolve("nano", "transformers").folder)
        torch.set_num_threads(1)
        result = model.transcribe(samples(recording), language="en", temperature=0.0, fp16=False)
        # openai-whisper keeps segments without text, as empty ones.
        _openai_results[recording] = [
            (one["tokens"], round(one["start"], 2)) for one in result["segments"] if one["text"].strip()
        ]
    return _openai_results[recording]


@pytest.mark.parametrize("recording", ["demo", CHAPTER], indirect=True)
def test_chunked_equals_the_transformers_pipeline(recording: Path, hf: Backend) -> None:
    """Each window is a recording of its own for both: its features see no neighbours (`Window.isolated`)."""
    from transformers import AutoTokenizer, WhisperFeatureExtractor, WhisperForConditionalGeneration, pipeline

    from tests.support.speech import samples

    folder = models.resolve("nano", "transformers").folder
    peer = pipeline(
        "automatic-speech-recognition",
        model=WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        feature_extractor=WhisperFeatureExtractor.from_pretrained(folder),
    )
    result: dict[str, Any] = peer(
        samples(recording),
        chunk_length_s=25,
        batch_size=1,
        return_timestamps=True,
        generate_kwargs={
            "language": "en",
            "task": "transcribe",
            "num_beams": 1,
            # Without this `generate` slides inside each window, with the sequential algorithm.
            "force_unique_generate_call": True,
            # Half the decoder's context is the limit of openai/whisper, and ours; Transformers has the whole.
            "max_new_tokens": 224,
        },
    )
    options = replace(
        GREEDY,
        long_form="chunked",
        # The pipeline has no check for silence and no fallback.
        fallback=FallbackOptions(temperatures=(0.0,), no_speech_threshold=None),
        chunked=ChunkedOptions(chunk_length=25, refill=False),
    )
    found = _transcribe(recording, hf, options)
    expected = [(one["text"], one["timestamp"][0]) for one in result["chunks"] if one["text"].strip()]
    assert expected, "a comparison of nothing proves nothing"
    assert [(one.text, round(one.span.start, 2)) for one in found.segments] == expected
    assert np.isfinite([one.avg_logprob for one in found.segments]).all()
