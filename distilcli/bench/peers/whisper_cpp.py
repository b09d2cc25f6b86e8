"""whisper.cpp, through the binding pywhispercpp, on the GGML file of `distilcli convert --to ggml`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distilcli.bench.peers.base import READS_SAMPLES, Heard, samples, temperature_step
from distilcli.bench.weights import exported

if TYPE_CHECKING:
    from distilcli.bench.values import Case, Clip

KINDS = {
    "auto": "q8_0",
    "int8": "q8_0",
    "int8_float32": "q8_0",
    "int8_float16": "q8_0",
    "int8_bfloat16": "q8_0",
}
"""Compute type -> the kind of GGML file that is nearest to it; f16 for all others."""


def differences(case: Case) -> tuple[str, ...]:
    """Its number formats, its measure of loops and its attention are its own."""
    kind = KINDS.get(case.compute_type, "f16")
    found = [
        READS_SAMPLES,
        f"computes with {kind} weights and float16 attention",
    ]
    if case.defaults:
        return tuple(found)
    if case.timestamps:
        found.append("leaves timestamp tokens out with the first Distil models (two layers, no large-v3)")
    if len(case.temperatures) > 1:
        found.append("tries again on the entropy of the last tokens, not on how well the text compresses")
    if case.strategy == "chunked":
        found.append("has no chunked mode: it decodes one window after the other")
    elif case.batch_size > 1:
        found.append("has no batches of windows: it decodes one after the other")
    return tuple(found)


def prepare(case: Case) -> Path:
    """A GGML file of the kind nearest to the compute type."""
    return exported(case.model, "ggml", KINDS.get(case.compute_type, "f16"))


def load(case: Case, weights: Path) -> WhisperCpp:
    """Load the file; what whisper.cpp logs goes nowhere."""
    from pywhispercpp.model import Model

    model = Model(
        str(weights),
        params_sampling_strategy=0 if case.defaults or case.beam_size == 1 else 1,
        redirect_whispercpp_logs_to=None,
        context_params={"use_gpu": case.device != "cpu"},
        n_threads=case.threads,
        print_progress=False,
        print_timestamps=False,
        **_options(case),
    )
    return WhisperCpp(model, case)


def _options(case: Case) -> dict[str, Any]:
    if case.defaults:
        return {}
    beams = {"beam_search": {"beam_size": case.beam_size, "patience": -1.0}} if case.beam_size > 1 else {}
    return {
        **beams,
        "greedy": {"best_of": 5},
        "temperature": case.temperatures[0],
        "temperature_inc": temperature_step(case) or 0.0,
        "suppress_nst": True,
        "no_timestamps": not case.timestamps,
        "n_max_text_ctx": 16_384 if case.condition_on_previous_text else 0,
    }


class WhisperCpp:
    """A loaded model with the options of a case."""

    def __init__(self, model: Any, case: Case) -> None:
        self._model: Any = model
        self._case = case

    def transcribe(self, clips: Sequence[Clip]) -> Iterator[Heard]:
        """Yield results."""
        for clip in clips:
            begun = time.perf_counter()
            firsts: list[float] = []
            segments = self._model.transcribe(
                samples(clip),
                language=self._case.language_of(clip) or "auto",
                new_segment_callback=lambda _, begun=begun, firsts=firsts: firsts.append(
                    time.perf_counter() - begun
                ),
            )
            yield Heard(
                text=" ".join(segment.text for segment in segments).strip(),
                first_segment=firsts[0] if firsts else None,
            )

    def close(self) -> None:
        """Release the model."""
        self._model = None
