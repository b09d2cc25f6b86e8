"""Who may import whom (docs/architecture.md, section 5), and what a lean start-up must not touch."""

from __future__ import annotations

import ast
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "numpy", "transformers", "ctranslate2", "av", "huggingface_hub", "faster_whisper", "click"}


@dataclass(frozen=True)
class Rule:
    """`room` may import modules of distilcli that match `may`, and `libraries` from elsewhere."""

    room: str
    may: str = ""
    libraries: str = ""


FOUNDATION = "types errors languages"
FIGURES = "intervals measures accuracy charts pages"
SOUND = f"{FOUNDATION} audio media spool features edit sound_files vad paths stages __version__"
MODEL_FILES = "model_folder model_names folders hub bundled paths"

# The first rule whose room matches a module is the one that holds; a module without a rule is an error.
RULES = [
    Rule("types"),
    Rule("errors"),
    Rule("languages", "errors"),
    Rule("text", FOUNDATION),
    Rule("config*", f"{FOUNDATION} config.*"),
    Rule("tokens", FOUNDATION, "tokenizers"),
    Rule("paths", "", "platformdirs"),
    Rule("spans", "types"),
    Rule("vad", "types config", "numpy faster_whisper"),
    Rule("audio", f"{SOUND} config prefetch", "numpy"),
    Rule("media", SOUND, "numpy av"),
    Rule("spool", SOUND, "numpy"),
    Rule("features", SOUND, "numpy"),
    Rule("alignment", "types", "numpy"),
    Rule("edit", SOUND, "numpy pydub"),
    Rule("sound_files", "types writers.atomic", "numpy av"),
    Rule("manifest", "errors"),
    Rule("intervals", "", "numpy"),
    Rule("measures", "intervals", "jiwer numpy transformers"),
    Rule("accuracy", "intervals measures"),
    Rule("charts"),
    Rule("pages"),
    Rule("stages"),
    Rule("folders", "errors", "filelock"),
    Rule("quiet", "", "transformers"),
    Rule("model_folder", "errors"),
    Rule("ct2_file", "errors", "numpy"),
    Rule("model_names", "errors model_folder"),
    Rule("hub", "errors", "huggingface_hub filelock tqdm"),
    Rule("bundled", f"errors {MODEL_FILES}"),
    Rule("models", f"errors {MODEL_FILES} converters converters.ct2 converters.ct2_rounded"),
    Rule("inventory", f"errors {MODEL_FILES} models"),
    Rule(
        "doctor",
        f"errors {MODEL_FILES} backends.bf16_probe backends.ct2_hybrid",
        "av ctranslate2 packaging torch",
    ),
    Rule("backends.bf16_probe", "errors paths writers.atomic", "torch"),
    Rule("backends.ct2_encoder", "ct2_file", "numpy torch"),
    Rule(
        "backends.ct2*",
        f"{FOUNDATION} alignment backends.* config features model_folder stages tokens",
        "numpy ctranslate2",
    ),
    Rule(
        "backends.hf*",
        f"{FOUNDATION} alignment backends.* config features model_folder quiet stages tokens",
        "numpy torch transformers safetensors",
    ),
    Rule("backends.contexts", f"{FOUNDATION} features stages", "numpy"),
    Rule("backends*", f"{FOUNDATION} backends.* config tokens"),
    Rule("longform*", f"{FOUNDATION} longform.* config spans text tokens"),
    Rule("writers*", "config types errors stages writers writers.*"),
    Rule("words", f"{FOUNDATION} backends.base config longform.base tokens"),
    Rule("listener", FOUNDATION),
    Rule("line_file", "errors"),
    Rule("journal", f"{FOUNDATION} folders line_file longform.base", "filelock"),
    Rule("file_digests", "errors paths writers.atomic"),
    Rule("parts", "types spans"),
    Rule("hints", f"{FOUNDATION} config tokens"),
    Rule("spoken", f"{FOUNDATION} backends.base config spans"),
    Rule("utterances", "types config vad", "numpy"),
    Rule("live", f"{SOUND} config listener longform.segments utterances", "numpy"),
    Rule("quality", f"{FOUNDATION} config spans text"),
    Rule("gaps", f"{FOUNDATION} config longform.base quality spans"),
    Rule("retry", f"{FOUNDATION} config longform.* quality spans text tokens"),
    Rule("decoding", f"{FOUNDATION} backends.base config longform.* retry words"),
    Rule("prefetch", "stages"),
    Rule("opening", f"{SOUND} config listener prefetch vad"),
    Rule(
        "batch",
        f"{SOUND} backends.base config decoding gaps hints journal listener longform.* opening parts quality "
        "spans spoken tokens words",
    ),
    Rule("pipeline", f"{FOUNDATION} batch opening config listener backends.base models journal"),
    Rule("converters.targets", f"{FOUNDATION} converters.checkpoint converters.compared converters.runners"),
    Rule("converters.runners", "errors"),
    Rule("converters.runners.__main__", "errors converters.runners"),
    Rule("converters.runners.sound", f"{SOUND} converters.runners", "numpy"),
    Rule(
        "converters.runners.*",
        f"{FOUNDATION} converters.runners converters.runners.sound converters.onnx_js quiet tokens",
        "_pywhispercpp ctranslate2 mlx mlx_whisper numpy onnxruntime torch transformers whisper",
    ),
    Rule("converters.probe", f"{SOUND} converters.*"),
    Rule("converters.source", "errors model_folder models converters converters.*"),
    Rule("converters.upload", "errors hub", "huggingface_hub"),
    Rule(
        "converters*",
        f"{FOUNDATION} converters converters.* ct2_file tokens model_folder folders features quiet",
        "ctranslate2 gguf mlx numpy onnx onnx_ir onnxruntime safetensors tokenizers torch transformers",
    ),
    Rule(
        "trainer*",
        f"{SOUND} {FIGURES} trainer trainer.* converters.* backends.* config manifest tokens text models "
        "pipeline quiet model_folder folders hub writers.atomic",
        "numpy torch transformers tokenizers safetensors "
        "accelerate av datasets filelock huggingface_hub jiwer rich",
    ),
    Rule(
        "bench.peers*",
        f"{SOUND} bench.* config converters.* models model_folder model_names paths folders",
        "ctranslate2 faster_whisper numpy pywhispercpp torch transformers whisper",
    ),
    Rule(
        "bench*",
        f"{SOUND} {FIGURES} bench bench.* assets backends.* bundled config converters.* manifest "
        "model_folder model_names models pipeline quality text tokens writers.*",
        "filelock numpy",
    ),
    Rule("cli.live_sound", "errors spool types", "numpy sounddevice"),
    Rule("cli.live", "*", "numpy"),
    Rule("cli*", "*", "typer rich"),
    Rule("__main__", "cli.app"),
    Rule("__init__", "pipeline"),
    Rule("assets*"),
]


def _modules() -> Iterator[tuple[str, Path]]:
    """(name without ``distilcli.``, file) of every module of the package."""
    for prefix, folder in (("", "distilcli"), ("trainer", "trainer"), ("converters", "converters")):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = [*([prefix] if prefix else []), *path.relative_to(ROOT / folder).with_suffix("").parts]
            if parts[-1] == "__init__" and len(parts) > 1:
                parts.pop()
            yield ".".join(parts), path


MODULES = dict(_modules())


def _imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere but under ``if TYPE_CHECKING``."""
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write the import in full"
            assert node.module is not None
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield (
                    full
                    if full.removeprefix("distilcli.") in MODULES or node.module == "distilcli"
                    else node.module
                )
        else:
            waiting += ast.iter_child_nodes(node)


@pytest.mark.parametrize("module", MODULES)
def test_imports_stay_in_the_house(module: str) -> None:
    rule = next((one for one in RULES if fnmatchcase(module, one.room)), None)
    assert rule is not None, f"{module} has no row in the table of who may import whom"
    for name in _imports(MODULES[module]):
        top = name.split(".")[0]
        if top in sys.stdlib_module_names:
            continue
        if top == "distilcli":
            inner = name.removeprefix("distilcli.")
            assert any(fnmatchcase(inner, one) for one in rule.may.split()), f"{module} may not import {name}"
            assert not inner.startswith("cli") or module.startswith(("cli", "__main__")), (
                f"{module} imports {name}"
            )
        else:
            assert top in rule.libraries.split(), f"{module} may not import {name}"


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "transcribe --help",
        "train --help",
        "bench --help",
        "models --help",
        "doctor --help",
        "convert --help",
        "convert --list",
    ],
)
def test_help_imports_nothing_heavy(command: str) -> None:
    code = (
        "import json, sys\n"
        "from distilcli.cli.app import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit:\n    print('\\n' + json.dumps(sorted(sys.modules)))"
    )
    line = [sys.executable, "-c", code, *command.split()]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}
    assert "distilcli" in loaded
    assert not loaded & HEAVY


def _cpu_seconds(command: list[str]) -> float:
    """CPU time, user and system, of a process: does not depend on what else the machine does."""

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = spent()
    subprocess.run(command, capture_output=True, check=True)
    return spent() - before


def test_help_costs_under_a_fifth_of_a_second() -> None:
    command = [sys.executable, "-m", "distilcli", "--help"]
    assert min(_cpu_seconds(command) for _ in range(5)) < 0.2
