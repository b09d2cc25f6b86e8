"""faster-whisper: its `WhisperModel`, and for chunked cases its `BatchedInferencePipeline`.

Both read the CTranslate2 folder of distilcli's own backend.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distilcli.bench.peers.base import Heard
from distilcli.bench.values import digest_of
from distilcli.bench.weights import for_engine
from distilcli.config import EngineOptions

if TYPE_CHECKING:
    from distilcli.bench.values import Case, Clip


def differences(case: Case) -> tuple[str, ...]:
    """None in sequential cases: options, features and tokens are the same (``tests/test_peers.py``)."""
    if case.defaults or case.strategy != "chunked":
        return ()
    found = ["cuts windows at the pauses that its voice activity detector finds, and decodes only speech"]
    if len(case.temperatures) > 1:
        found.append("tries the first temperature only: its batches have no fallback")
    return tuple(found)


def prepare(case: Case) -> Path:
    """The CTranslate2 folder of distilcli's own backend."""
    engine = EngineOptions(device=case.device, compute_type=case.compute_type)
    return for_engine(case.model, engine)


def load(case: Case, weights: Path) -> FasterWhisper:
    """Load the folder with the compute type and threads of the case."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    device, _, index = case.device.partition(":")
    model = WhisperModel(
        str(weights),
        device=device,
        device_index=int(index or 0),
        compute_type=compute_type(case),
        cpu_threads=case.threads,
        local_files_only=True,
    )
    batched = not case.defaults and case.strategy == "chunked"
    return FasterWhisper(BatchedInferencePipeline(model) if batched else model, case, options(case))


def compute_type(case: Case) -> str:
    """CTranslate2's name of the case's compute type; ``auto`` is what distilcli takes on this device."""
    if case.compute_type != "auto":
        return case.compute_type
    import ctranslate2

    on_gpu = case.device.startswith("cuda") or (case.device == "auto" and ctranslate2.get_cuda_device_count())
    return "float16" if on_gpu else "int8"


def options(case: Case) -> dict[str, object]:
    """The arguments of `transcribe` besides the recording and its language."""
    if case.defaults:
        return {}
    shared = {
        "beam_size": case.beam_size,
        "temperature": list(case.temperatures),
        "condition_on_previous_text": case.condition_on_previous_text,
        "without_timestamps": not case.timestamps,
    }
    if case.strategy == "chunked":
        length = None if case.chunk_length is None else int(case.chunk_length)
        return {**shared, "batch_size": case.batch_size, "chunk_length": length}
    return {**shared, "vad_filter": False}


class FasterWhisper:
    """A loaded model or pipeline with the options of a case."""

    def __init__(self, model: Any, case: Case, arguments: dict[str, object]) -> None:
        self._model: Any = model
        self._case, self._arguments = case, arguments

    def transcribe(self, clips: Sequence[Clip]) -> Iterator[Heard]:
        """Yield results; the library decodes while its segments are read."""
        for clip in clips:
            begun = time.perf_counter()
            language = self._case.language_of(clip)
            segments, info = self._model.transcribe(clip.path, language=language, **self._arguments)
            texts: list[str] = []
            tokens: list[int] = []
            first = None
            for segment in segments:
                first = first or time.perf_counter() - begun
                texts.append(segment.text)
                tokens += segment.tokens
            yield Heard(
                text="".join(texts).strip(),
                language=info.language,
                tokens=len(tokens),
                first_segment=first,
                digest=digest_of(tokens),
            )

    def close(self) -> None:
        """Release the model."""
        self._model = None
