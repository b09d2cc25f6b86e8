"""openai/whisper: its `transcribe`, on the checkpoint as `distilcli convert --to openai` writes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distilcli.bench.peers.base import READS_SAMPLES, Heard, on_cuda, samples
from distilcli.bench.values import digest_of
from distilcli.bench.weights import exported

if TYPE_CHECKING:
    from distilcli.bench.values import Case, Clip

_HALF = ("float16", "auto")


def differences(case: Case) -> tuple[str, ...]:
    """It has one mode, one window at a time, and two number formats."""
    found = [READS_SAMPLES]
    half = case.device != "cpu" and case.compute_type in _HALF
    if not half and case.compute_type != "float32":
        asked = "int8" if case.compute_type == "auto" else case.compute_type
        found.append(f"computes in float32: it has no {asked} on this device")
    if case.defaults:
        return tuple(found)
    if case.strategy == "chunked":
        found.append("has no chunked mode: it decodes one window after the other")
    elif case.batch_size > 1:
        found.append("has no batches: it decodes one window after the other")
    return tuple(found)


def prepare(case: Case) -> Path:
    """A checkpoint of openai/whisper in float32, which the library makes float16 itself where it is asked."""
    return exported(case.model, "openai", "float32")


def load(case: Case, weights: Path) -> OpenaiWhisper:
    """Load the checkpoint and fix the threads of PyTorch."""
    import torch
    import whisper

    torch.set_num_threads(case.threads)
    cuda = on_cuda(case)
    return OpenaiWhisper(whisper.load_model(str(weights), device="cuda" if cuda else "cpu"), case, cuda)


class OpenaiWhisper:
    """A loaded model with the options of a case."""

    def __init__(self, model: Any, case: Case, cuda: bool) -> None:
        self._model: Any = model
        self._case = case
        self._options: dict[str, object] = {"fp16": cuda and case.compute_type in _HALF}
        if not case.defaults:
            # Without beams it searches greedily; one beam is another, slower code path.
            self._options |= {
                "beam_size": case.beam_size if case.beam_size > 1 else None,
                "best_of": 5,
                "temperature": case.temperatures,
                "condition_on_previous_text": case.condition_on_previous_text,
                "without_timestamps": not case.timestamps,
            }

    def transcribe(self, clips: Sequence[Clip]) -> Iterator[Heard]:
        """Yield results; the library hands out a recording's segments all at once."""
        for clip in clips:
            result = self._model.transcribe(
                samples(clip), language=self._case.language_of(clip), **self._options
            )
            tokens = [token for segment in result["segments"] for token in segment["tokens"]]
            yield Heard(
                text=result["text"].strip(),
                language=result["language"],
                tokens=len(tokens),
                digest=digest_of(tokens),
            )

    def close(self) -> None:
        """Release the model."""
        self._model = None
