"""Whether an export says what its checkpoint says: every tensor read again, then tokens of the real runtime.

Knows the rules and tolerances; it does not know formats or runtimes.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from statistics import median

from distilcli.converters.checkpoint import Checkpoint
from distilcli.converters.probe import Probe
from distilcli.converters.runners import RUNNERS, ProbeAnswer
from distilcli.converters.runners.process import ProbeFailed, RuntimeUnfit, ask
from distilcli.converters.targets import Wanted

_SPLIT_MARGINS = {
    **dict.fromkeys(("float32", "f32", "fp32", "float16", "f16", "fp16"), 0.05),
    "bfloat16": 0.3,
}
"""Kind -> margin in logits under which another token may follow: rounding decides it. Others: quantised."""

_LEAST_AGREEMENT = 0.5
_UNSURE = 0.5  # logits: with a median margin under this, tokens of a quantised model tell nothing


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found.

    Attributes:
        passed: whether the export may be handed over.
        tensors: how many were read again and compared.
        agreed: tokens that the runtime and the checkpoint have in common, None: no runtime was asked.
        of: tokens that the checkpoint wrote.
        note: one clause: what is wrong, or what was not done and why; empty: nothing to say.
    """

    passed: bool
    tensors: int
    agreed: int | None = None
    of: int | None = None
    note: str = ""

    @property
    def summary(self) -> str:
        """One line for people."""
        tokens = "" if self.agreed is None else f", {self.agreed} of {self.of} tokens agree"
        note = f" ({self.note})" if self.note else ""
        return f"{'verified' if self.passed else 'failed'}: {self.tensors} tensors compared{tokens}{note}"


def verify(wanted: Wanted, target: Path, checkpoint: Checkpoint, probe: Probe | None) -> Verification:
    """Read the export `target` again, then let its runtime answer the probe.

    Args:
        wanted: format and kind of the export.
        target: its file or folder.
        checkpoint: what it was made from.
        probe: the question with the checkpoint's answer; None: only tensors are compared.
    """
    compared = list(wanted.target.load().read_back(target, checkpoint, wanted.kind))
    wrong = [one for one in compared if not one.passed]
    if wrong:
        worst = max(wrong, key=lambda one: one.rmse)
        note = f"{len(wrong)} differ; {worst.name} by {worst.rmse:.3g} of its spread, limit {worst.limit:.3g}"
        return Verification(False, len(compared), note=note)
    if not compared:
        return Verification(False, 0, note="no tensor was found")
    runtime = wanted.target.runtime
    if runtime is None:
        return Verification(True, len(compared), note="no runtime of this format can be asked here")
    runner = RUNNERS[runtime]
    if not runner.installed:
        note = f"tokens not compared: {runner.package.strip('_')} is not installed; {runner.install}"
        return Verification(True, len(compared), note=note)
    if probe is None:
        return Verification(True, len(compared), note="no probe was given")
    try:
        answer = ask(runtime, target, probe.request, probe.seconds)
    except ProbeFailed as error:
        return Verification(False, len(compared), 0, len(probe.answer.tokens), error.message)
    except RuntimeUnfit as error:
        return Verification(True, len(compared), note=f"tokens not compared: {error.message}")
    passed, note = judge(probe.answer, answer, wanted.kind, probe.request.eot)
    agreed = common(probe.answer.tokens, answer.tokens)
    return Verification(passed, len(compared), agreed, len(probe.answer.tokens), note)


def judge(source: ProbeAnswer, found: ProbeAnswer, kind: str, eot: int) -> tuple[bool, str]:
    """Whether a runtime says what the checkpoint says, and one clause of explanation, which may be empty.

    Kinds that keep the values must agree to end-of-text, but for a split where the checkpoint itself was in
    doubt. Quantised kinds must keep half of the tokens and some text, where the checkpoint is sure of them.
    """
    if source.tokens == found.tokens:
        return True, ""
    tolerated = _SPLIT_MARGINS.get(kind)
    if tolerated is None:
        return _judge_quantised(source, found, eot)
    split = _first_difference(source.tokens, found.tokens)
    margins = source.margins or []
    doubt = margins[split] if split < len(margins) else None
    if doubt is not None and doubt < tolerated:
        return True, f"they part at number {split + 1}, where the checkpoint is in doubt ({doubt:.3f})"
    return False, f"the tokens differ from number {split + 1} on"


def common(one: list[int], other: list[int]) -> int:
    """Tokens that two answers have in common, in the same order."""
    return sum(block.size for block in SequenceMatcher(a=one, b=other, autojunk=False).get_matching_blocks())


def _judge_quantised(source: ProbeAnswer, found: ProbeAnswer, eot: int) -> tuple[bool, str]:
    if source.margins and median(source.margins) < _UNSURE:
        return True, "the checkpoint is in doubt of most of its tokens, so that they tell little"
    if min(source.tokens) < eot <= min(found.tokens, default=eot):
        return False, "no text"
    if common(source.tokens, found.tokens) < _LEAST_AGREEMENT * len(source.tokens):
        return False, f"expected at least {_LEAST_AGREEMENT:.0%} of the tokens"
    return True, ""


def _first_difference(one: list[int], other: list[int]) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (left, right) in pairs if left != right), min(len(one), len(other)))
