"""The benches of docs/performance.md, as data. Runs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

AMX = "amx_bf16"
"""The matrix instructions of some Intel processors, as /proc/cpuinfo names them."""

CTRANSLATE2_PEERS = "faster-whisper,whisper-ctranslate2,openai-whisper,whisper.cpp"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A bench: which recordings, with which flags and variables, on processors with which instructions."""

    recordings: str
    flags: str
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: str = ""


_BATCHED = (
    "--backends ctranslate2 --strategies sequential,chunked,chunked-vad --batch-sizes 8 "
    "--against faster-whisper"
)

SCENARIOS = {
    "long": Scenario(
        "long", f"--backends ctranslate2 --compute-type int8,int8_bfloat16 --against {CTRANSLATE2_PEERS}"
    ),
    "long-batched": Scenario("long", f"--compute-type int8,int8_bfloat16 {_BATCHED}"),
    "long-without-amx": Scenario(
        "long", f"--compute-type int8 {_BATCHED}", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}, AMX
    ),
    "short": Scenario(
        "short", f"--backends ctranslate2 --compute-type int8 --detect-language --against {CTRANSLATE2_PEERS}"
    ),
    "many": Scenario(
        "many",
        "--backends ctranslate2 --compute-type int8 --batch-sizes 8 "
        "--against faster-whisper,whisper-ctranslate2",
    ),
    "transformers": Scenario(
        "medium",
        "--backends transformers --compute-type float32,bfloat16 --strategies chunked --batch-sizes 8 "
        "--beam-size 1 --against transformers-pipeline",
    ),
}
