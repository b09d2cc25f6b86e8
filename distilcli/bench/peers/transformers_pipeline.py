"""Transformers' speech recognition pipeline, sequential or chunked, on the Hugging Face checkpoint itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distilcli.bench.peers.base import READS_SAMPLES, Heard, on_cuda, samples
from distilcli.bench.weights import chunk_length, in_format

if TYPE_CHECKING:
    from distilcli.bench.values import Case, Clip

_DTYPES = ("float32", "float16", "bfloat16")
_MAX_NEW_TOKENS = 224  # half of the decoder's context, the limit of all others
_TOKENS_REPEAT = 1.35  # compression of token ids, in the place of 2.4 for text


def differences(case: Case) -> tuple[str, ...]:
    """Its features end otherwise, and its quality gates are other ones."""
    found = [
        READS_SAMPLES,
        "computes the features of the last window with silence behind it, where the others put zeros",
    ]
    if case.compute_type not in _DTYPES:
        found.append("computes in float32 on a CPU and float16 on a GPU: it has no int8 weights here")
    if case.defaults:
        return tuple(found)
    if case.strategy == "chunked" and len(case.temperatures) > 1:
        found.append("tries the first temperature only: its chunks have no fallback")
    if case.strategy != "chunked" and len(case.temperatures) > 1:
        found.append("measures how well tokens compress, where the others measure the text")
    if case.strategy != "chunked" and case.batch_size > 1:
        found.append("decodes one recording after the other: it batches chunks only")
    return tuple(found)


def prepare(case: Case) -> Path:
    """The checkpoint."""
    return in_format(case.model, "transformers")


def load(case: Case, weights: Path) -> Pipeline:
    """Build the pipeline and fix the threads of PyTorch."""
    import torch
    from transformers import pipeline

    torch.set_num_threads(case.threads)
    cuda = on_cuda(case)
    dtype = case.compute_type if case.compute_type in _DTYPES else "float16" if cuda else "float32"
    built = pipeline(
        "automatic-speech-recognition",
        model=str(weights),
        device="cuda" if cuda else "cpu",
        dtype=dtype,
        ignore_warning=True,
    )
    config = json.loads((weights / "generation_config.json").read_text(encoding="utf-8"))
    return Pipeline(built, case, multilingual=bool(config.get("is_multilingual", True)))


def _call(case: Case) -> dict[str, object]:
    """Arguments of the pipeline; recordings of several windows need timestamps."""
    if case.defaults or case.strategy != "chunked":
        return {"return_timestamps": True}
    return {
        "return_timestamps": case.timestamps,
        "chunk_length_s": case.chunk_length or chunk_length(case.model, "transformers"),
        "batch_size": case.batch_size,
    }


def _generate(case: Case) -> dict[str, object]:
    """Arguments of `generate`."""
    if case.defaults:
        return {}
    shared: dict[str, object] = {"num_beams": case.beam_size, "max_new_tokens": _MAX_NEW_TOKENS}
    if case.strategy == "chunked":
        # Without this `generate` slides inside each window, with the sequential algorithm.
        return {**shared, "force_unique_generate_call": True}
    return {
        **shared,
        "temperature": case.temperatures,
        "condition_on_prev_tokens": case.condition_on_previous_text,
        "compression_ratio_threshold": _TOKENS_REPEAT,
        "logprob_threshold": -1.0,
        "no_speech_threshold": 0.6,
    }


class Pipeline:
    """A loaded pipeline with the options of a case."""

    def __init__(self, built: Any, case: Case, *, multilingual: bool) -> None:
        self._pipeline: Any = built
        self._case, self._multilingual = case, multilingual
        self._call, self._generate = _call(case), _generate(case)

    def transcribe(self, clips: Sequence[Clip]) -> Iterator[Heard]:
        """Yield results; the library hands out a recording's text all at once."""
        for clip in clips:
            generate = dict(self._generate)
            language = self._case.language_of(clip)
            if self._multilingual:
                generate |= {"task": "transcribe"} | ({"language": language} if language else {})
            result = self._pipeline(samples(clip), generate_kwargs=generate, **self._call)
            yield Heard(text=result["text"].strip())

    def close(self) -> None:
        """Release the model."""
        self._pipeline = None
