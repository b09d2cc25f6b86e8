"""The formats that a checkpoint can be brought to, as data: what ``--to`` and ``--list`` know.

A new format is one module with `predict`, `warnings`, `write` and `read_back`, and one row here. Imports
nothing heavy.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from distilcli.converters.runners import RUNNERS
from distilcli.errors import EnvironmentProblem, UsageError, closest

if TYPE_CHECKING:
    from distilcli.converters.checkpoint import Checkpoint
    from distilcli.converters.compared import Compared


class Format(Protocol):
    """The four functions of a format's module.

    A module whose `write` needs room that the export does not take has a fifth, `scratch`, with the arguments
    of `predict`: how many bytes more there have to be for a while.
    """

    def predict(self, checkpoint: Checkpoint, kind: str) -> int:
        """Bytes that the export will take, within a few per cent."""

    def warnings(self, checkpoint: Checkpoint, kind: str) -> tuple[str, ...]:
        """What a user should know of this export before it is made."""

    def write(self, checkpoint: Checkpoint, kind: str, target: Path) -> None:
        """Make the file or folder `target`, which is not there yet."""

    def read_back(self, target: Path, checkpoint: Checkpoint, kind: str) -> Iterator[Compared]:
        """Read every tensor of an export again and compare it with the checkpoint's."""


@dataclass(frozen=True, slots=True)
class Target:
    """A format.

    Attributes:
        name: what ``--to`` calls it.
        module: module of this package that has its four functions.
        purpose: what reads it.
        kinds: number formats, the most exact first.
        default_kind: the one that is made when none is asked for.
        single_file: the export is a file of this ending, else a folder ('').
        runtime: name in `runners.RUNNERS` of what verifies it; None: tensors only.
        needs: libraries (as imported) without which it cannot be written.
        extra: the optional dependency of distilcli that brings them.
        usage: the commands that run an export. ``{path}`` stands for it, ``{parent}`` and ``{name}`` for its
            folder and name, ``{kind}`` for its number format, ``{alone}`` for `alone` or nothing, ``{like}``
            and ``{tiny}`` for published models that know as many languages, ``{tiny-}`` for the name of the
            latter in files.
        other_usage: kinds, each with its commands, that `usage` does not run.
        alone: what `usage` says for a Distil model, so that its program hears each window without the text of
            the one before; empty: it does so without being told.
        language: of `usage`, as Markdown names it.
    """

    name: str
    module: str
    purpose: str
    kinds: tuple[str, ...]
    default_kind: str
    single_file: str = ""
    runtime: str | None = None
    needs: tuple[str, ...] = ()
    extra: str | None = None
    usage: str = ""
    other_usage: tuple[tuple[str, str], ...] = ()
    alone: str = ""
    language: str = "sh"

    def missing(self) -> tuple[str, ...]:
        """What is not installed here, in sentences: for writing, then for verifying."""
        found = []
        absent = _absent(self.needs)
        if absent:
            found.append(f"cannot be written here: {', '.join(absent)} missing; {self._install(absent)}")
        if self.runtime and not RUNNERS[self.runtime].installed:
            found.append(f"tokens are not verified here: {RUNNERS[self.runtime].install}")
        return tuple(found)

    def load(self) -> Format:
        """The format's module.

        Raises:
            EnvironmentProblem: a library that it needs is not installed.
        """
        absent = _absent(self.needs)
        if absent:
            raise EnvironmentProblem(
                f"writing {self.name} needs {', '.join(absent)}, not installed here",
                hint=self._install(absent),
            )
        return cast(Format, importlib.import_module(f"{__package__}.{self.module}"))

    def _install(self, absent: list[str]) -> str:
        return f"pip install 'distilcli[{self.extra}]'" if self.extra else f"pip install {absent[0]}"


def _absent(libraries: tuple[str, ...]) -> list[str]:
    return [name for name in libraries if importlib.util.find_spec(name) is None]


_QUANTISED_CANDLE = (
    "# in a checkout of Candle, whose example program reads repositories of the hub only, and of quantised\n"
    "# models only these names; programs of your own load model.gguf with whisper::quantized_model\n"
    "hf upload --private OWNER/{name} {path}/config.json config-{tiny-}.json\n"
    "hf upload --private OWNER/{name} {path}/tokenizer.json tokenizer-{tiny-}.json\n"
    "hf upload --private OWNER/{name} {path}/model.gguf model-{tiny-}-q80.gguf\n"
    "cargo run --release --example whisper -- --quantized --model {tiny} --model-id OWNER/{name} "
    "--input talk.wav"
)

TARGETS = {
    one.name: one
    for one in (
        Target(
            name="ctranslate2",
            module="ct2",
            purpose="faster-whisper and distilcli transcribe",
            kinds=(
                "float32",
                "float16",
                "bfloat16",
                "int16",
                "int8_float32",
                "int8_float16",
                "int8_bfloat16",
                "int8",
            ),
            default_kind="float16",
            runtime="ct2",
            needs=("ctranslate2",),
            usage=(
                "distilcli transcribe talk.mp3 --model {path}\n"
                'python -c "from faster_whisper import WhisperModel; '
                "print(*(s.text for s in WhisperModel('{path}').transcribe('talk.mp3'{alone})[0]))\""
            ),
            alone=", condition_on_previous_text=False",
        ),
        Target(
            name="ggml",
            module="ggml",
            purpose="whisper.cpp",
            kinds=("f32", "f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"),
            default_kind="f16",
            single_file=".bin",
            runtime="whispercpp",
            needs=("gguf",),
            extra="ggml",
            usage="whisper-cli -m {path} -f talk.wav -l auto{alone}",
            alone=" --max-context 0",
        ),
        Target(
            name="openai",
            module="openai_pt",
            purpose="openai/whisper",
            kinds=("float32", "float16"),
            default_kind="float16",
            single_file=".pt",
            runtime="openai_whisper",
            usage="whisper talk.mp3 --model {path}{alone}",
            alone=" --condition_on_previous_text False",
        ),
        Target(
            name="onnx",
            module="onnx_js",
            purpose="Transformers.js and onnxruntime",
            kinds=("fp32", "fp16", "q8", "q4"),
            default_kind="q8",
            runtime="onnxruntime",
            needs=("onnx", "onnxscript", "onnxruntime"),
            extra="onnx",
            usage=(
                'import { env, pipeline } from "@huggingface/transformers";\n\n'
                'env.localModelPath = "{parent}";\n'
                'const transcribe = await pipeline("automatic-speech-recognition", "{name}", '
                '{ dtype: "{kind}" });\n'
                "const heard = await transcribe(samples, { chunk_length_s: 30 }); // Float32Array, 16 kHz\n"
                "console.log(heard.text);"
            ),
            language="js",
        ),
        Target(
            name="candle",
            module="candle",
            purpose="Candle: safetensors, and GGUF for its quantized loader",
            kinds=("f32", "f16", "q8_0", "q4_0"),
            default_kind="f16",
            needs=("gguf",),
            extra="ggml",
            usage=(
                "# in a checkout of Candle, whose example program reads repositories of the hub only\n"
                "hf upload --private OWNER/{name} {path}\n"
                "cargo run --release --example whisper -- --model {like} --model-id OWNER/{name} "
                "--input talk.wav"
            ),
            other_usage=(("q8_0", _QUANTISED_CANDLE), ("q4_0", _QUANTISED_CANDLE)),
        ),
        Target(
            name="mlx",
            module="mlx",
            purpose="mlx-whisper",
            kinds=("f16", "8bit", "4bit"),
            default_kind="f16",
            runtime="mlx_whisper",
            usage="mlx_whisper talk.mp3 --model {path}{alone}",
            alone=" --condition-on-previous-text False",
        ),
        Target(
            name="transformers",
            module="hf_layout",
            purpose="Transformers, old and new; the way back from ggml and openai files",
            kinds=("float32", "float16", "bfloat16"),
            default_kind="float32",
            runtime="transformers",
            usage=(
                "from transformers import pipeline\n\n"
                'transcribe = pipeline("automatic-speech-recognition", "{path}")\n'
                'print(transcribe("talk.mp3", return_timestamps=True)["text"])'
            ),
            language="python",
        ),
    )
}
"""Name -> format: the table behind ``--to`` and ``--list``."""

_SPELLINGS = (
    ("float32", "f32", "fp32"),
    ("float16", "f16", "fp16"),
    ("int8", "q8_0", "q8", "8bit"),
    ("q4_0", "q4", "4bit"),
)
"""Each runtime writes the same number formats its own way; any of a row is understood for all of them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An export that was asked for: a format in one of its kinds."""

    target: Target
    kind: str

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{self.target.name} {self.kind}"


def parse(words: str, quantization: str | None = None) -> tuple[Wanted, ...]:
    """Understand ``FORMAT[:KIND],...``, with `quantization` as the kind of those that name none.

    Raises:
        UsageError: no such format, or the format has no such kind.
    """
    wanted: dict[Wanted, None] = {}
    for word in filter(None, (part.strip() for part in words.split(","))):
        name, _, kind = word.partition(":")
        target = TARGETS.get(name)
        if target is None:
            raise UsageError(
                f"--to: there is no format '{name}'{closest(name, TARGETS)}; expected {', '.join(TARGETS)}",
                hint="distilcli convert --list",
            )
        wanted[Wanted(target, _kind(target, kind or quantization or target.default_kind))] = None
    if not wanted:
        raise UsageError("--to names no format", hint="distilcli convert --list")
    return tuple(wanted)


def _kind(target: Target, asked: str) -> str:
    spellings: tuple[str, ...] = next((row for row in _SPELLINGS if asked in row), ())
    for kind in (asked, *spellings):
        if kind in target.kinds:
            return kind
    raise UsageError(
        f"{target.name} has no kind '{asked}'{closest(asked, target.kinds)}; "
        f"expected {', '.join(target.kinds)}",
        hint=f"--to {target.name}:{target.default_kind}",
    )
