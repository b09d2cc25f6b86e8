"""The question that an export is checked with: a short recording, and what the checkpoint writes for it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from distilcli.converters.checkpoint import Checkpoint
from distilcli.converters.runners import ProbeAnswer, ProbeRequest
from distilcli.converters.runners.process import ask

SECONDS_OF_DEMO = 10.0
"""Length of the probe: the beginning of the bundled demo recording."""

MAX_TOKENS = 64

_SECONDS_PER_BILLION = 600.0  # of parameters, for one thread of a slow machine
_SECONDS_TO_START = 180.0


@dataclass(frozen=True, slots=True)
class Probe:
    """A question, and what the checkpoint answers.

    Attributes:
        request: what every runtime is asked.
        answer: the checkpoint's own tokens, with margins, by Transformers.
        seconds: time that a runtime has.
    """

    request: ProbeRequest
    answer: ProbeAnswer
    seconds: float


def make_probe(checkpoint: Checkpoint, scratch: Path, audio: Path | None = None) -> Probe:
    """Ask the checkpoint itself.

    Args:
        checkpoint: what is converted.
        scratch: folder for the recording.
        audio: 16 kHz mono wav file in place of the demo's beginning.

    Raises:
        ProbeFailed: Transformers cannot run the checkpoint.
    """
    request = ProbeRequest(
        audio=audio or write_demo(scratch / "probe.wav"),
        prompt=tuple(checkpoint.vocab.prefix(None, timestamps=False)),
        max_tokens=min(MAX_TOKENS, checkpoint.dims.n_text_ctx // 2),
        eot=checkpoint.vocab.eot,
        n_mels=checkpoint.dims.n_mels,
    )
    parameters = sum(checkpoint.tensor(name).numel() for name in checkpoint.names())
    seconds = _SECONDS_TO_START + _SECONDS_PER_BILLION * parameters / 1e9
    return Probe(request, ask("transformers", checkpoint.folder, request, seconds), seconds)


def write_demo(path: Path) -> Path:
    """The beginning of the bundled demo as a wav file; returns `path`."""
    from distilcli.audio import open_audio
    from distilcli.converters.runners.sound import write_wav
    from distilcli.types import SAMPLE_RATE

    with as_file(files("distilcli.assets").joinpath("demo.mp3")) as demo, open_audio(demo) as audio:
        write_wav(path, audio.samples[: int(SECONDS_OF_DEMO * SAMPLE_RATE)])
    return path
