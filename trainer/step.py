"""One step of distillation: from the micro-batches of all processes to changed weights.

It knows an objective, its optimiser and its processes; it does not know data, files or the log.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from transformers import WhisperForConditionalGeneration

from distilcli.errors import DistilError
from distilcli.trainer.averages import Averages
from distilcli.trainer.losses import IGNORED, LossTerms
from distilcli.trainer.objective import Objective, loss_weights
from distilcli.trainer.ranks import Ranks
from distilcli.trainer.recipe import DistilOptions
from distilcli.trainer.records import WindowBatch

NAMED_WINDOWS = 8
"""Windows of a failed batch that its error message lists."""


def freeze(student: WhisperForConditionalGeneration, options: DistilOptions) -> None:
    """Marks what is trained."""
    student.requires_grad_(True)
    student.model.encoder.embed_positions.requires_grad_(False)  # sinusoids
    if options.freeze_encoder:
        student.model.encoder.requires_grad_(False)
    if options.freeze_embeddings:
        student.model.decoder.embed_tokens.requires_grad_(False)
    if options.freeze_positions:
        student.model.decoder.embed_positions.requires_grad_(False)
    if options.gradient_checkpointing:
        student.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def trained(student: nn.Module) -> dict[str, nn.Parameter]:
    """Returns the parameters that are trained, by name; tied ones once."""
    return {name: value for name, value in student.named_parameters() if value.requires_grad}


@dataclass(kw_only=True, slots=True)
class Sums:
    """What one step, or one measurement, adds up over all micro-batches and processes."""

    tokens: int = 0
    seconds: float = 0.0
    """Audio, without padding."""
    total: float = 0.0
    cross_entropy: float = 0.0
    kl: float = 0.0
    mse: float = 0.0
    gradient_norm: float = 0.0

    def __add__(self, other: Sums) -> Sums:
        """Sums over both; the later gradient norm."""
        names = ("tokens", "seconds", "total", "cross_entropy", "kl", "mse")
        added = {name: getattr(self, name) + getattr(other, name) for name in names}
        return Sums(**added, gradient_norm=other.gradient_norm)

    def per_token(self, *, teacher: bool, mse: bool) -> dict[str, float]:
        """Losses per token under the names of the log."""
        tokens = max(self.tokens, 1)
        shown = {"loss": self.total / tokens, "ce": self.cross_entropy / tokens}
        if teacher:
            shown["kl"] = self.kl / tokens
        if mse:
            shown["mse"] = self.mse / tokens
        return shown


def add_up(terms: Sequence[LossTerms], seconds: float, ranks: Ranks) -> Sums:
    """Sums loss terms over micro-batches and processes."""
    rows = [torch.stack([one.total.detach(), one.cross_entropy, one.kl, one.mse]) for one in terms]
    local = torch.zeros(6, device=ranks.device)
    if rows:
        local[:4] = torch.stack(rows).sum(0)
    local[4], local[5] = sum(one.tokens for one in terms), seconds
    total, cross_entropy, kl, mse, tokens, heard = ranks.sum(local).tolist()
    return Sums(tokens=round(tokens), seconds=heard, total=total, cross_entropy=cross_entropy, kl=kl, mse=mse)


@dataclass(kw_only=True, slots=True)
class Stepper:
    """An objective with its optimiser: turns micro-batches into one change of the weights."""

    objective: Objective
    ranks: Ranks
    describe: Callable[[str], str] = str
    """A window's key in words, for error messages."""
    parameters: dict[str, nn.Parameter] = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)
    scaler: torch.amp.GradScaler = field(init=False)
    averages: Averages | None = field(init=False)
    steps: int = 0
    """Steps done."""

    def __post_init__(self) -> None:
        options = self.objective.options
        freeze(self.objective.student, options)
        self._learn()
        self.parameters = trained(self.objective.student)
        self.optimizer = make_optimizer(self.parameters, options)
        device = self.ranks.device.type
        self.scaler = torch.amp.GradScaler(device, enabled=self.objective.dtype == torch.float16)
        self.averages = Averages(self.parameters, options.ema) if options.ema else None

    def train(self, batches: Sequence[WindowBatch], lr: float) -> Sums:
        """One optimiser step over this process's micro-batches; every token of all processes weighs the same.

        Raises:
            DistilError: loss or gradient are not finite; the weights are as they were.
        """
        objective, options = self.objective, self.objective.options
        counts = torch.tensor([float(sum(int((one.targets != IGNORED).sum()) for one in batches))])
        tokens = float(self.ranks.sum(counts.to(self.ranks.device)))
        weights = loss_weights(options)
        terms = []
        for batch in batches:
            found = objective.terms(batch, weights)
            self.scaler.scale(found.total / tokens).backward()
            terms.append(replace(found, total=found.total.detach()))  # lets go of the graph
        sums = add_up(terms, sum(batch.seconds for batch in batches), self.ranks)
        totals = [float(found.total) for found in terms]
        pairs = zip(batches, totals, strict=True)
        bad = [one for one, total in pairs if not math.isfinite(total)]
        self._insist_on_finite("loss of", self.steps + 1, sums.total, bad)
        self.ranks.sum_gradients(self.parameters.values())
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), options.clip or math.inf)
        sums.gradient_norm = float(norm)
        if not self.scaler.is_enabled():  # in float16 the scaler leaves such a step out, and is halved
            self._insist_on_finite("gradient of", self.steps + 1, sums.gradient_norm, batches)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        if self.averages is not None:
            self.averages.update(self.steps)
        return sums

    @torch.no_grad()
    def measure(self, batches: Iterable[WindowBatch]) -> Sums:
        """Sums the loss at temperature 1 over this process's batches and all processes; averaged weights."""
        objective, terms, seconds = self.objective, [], 0.0
        weights = loss_weights(objective.options, temperature=1.0)
        objective.student.eval()
        with self.averages.in_place() if self.averages is not None else nullcontext():
            for batch in batches:
                terms.append(objective.terms(batch, weights))
                seconds += batch.seconds
        self._learn()
        return add_up(terms, seconds, self.ranks)

    def check(self, batches: Sequence[WindowBatch]) -> None:
        """Makes sure that the weights are worth keeping: with them the loss of some batches is a number.

        Raises:
            DistilError: it is not; the step before has spoilt them.
        """
        self._insist_on_finite("loss after", self.steps, self.measure(batches).total, batches)

    def _learn(self) -> None:
        """Puts the student into training mode, a frozen encoder excepted."""
        student = self.objective.student.train()
        if self.objective.options.freeze_encoder:
            student.model.encoder.eval()

    def state(self) -> dict[str, object]:
        """Everything that later steps depend on."""
        return {
            "steps": self.steps,
            "weights": {name: value.detach() for name, value in self.parameters.items()},
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "averages": self.averages.state() if self.averages is not None else {},
        }

    @torch.no_grad()
    def restore(self, state: dict[str, object]) -> None:
        """Goes on from `state()`."""
        self.steps = state["steps"]  # type: ignore[assignment]  # a checkpoint's values have known types
        weights: dict[str, Tensor] = state["weights"]  # type: ignore[assignment]
        for name, value in self.parameters.items():
            value.copy_(weights[name])
        self.optimizer.load_state_dict(state["optimizer"])  # type: ignore[arg-type]
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])  # type: ignore[arg-type]
        if self.averages is not None:
            self.averages.restore(state["averages"] or weights)  # type: ignore[arg-type]

    def _insist_on_finite(self, what: str, step: int, value: float, guilty: Sequence[WindowBatch]) -> None:
        """Stops the run before a value that is not a number reaches weights or files; names the batch."""
        if math.isfinite(value):
            return
        keys = [key for batch in guilty for key in batch.keys]
        more = f" and {len(keys) - NAMED_WINDOWS} more" if len(keys) > NAMED_WINDOWS else ""
        named = ", ".join(map(self.describe, keys[:NAMED_WINDOWS])) or "on another process"
        raise DistilError(
            f"the {what} step {step} is {value}; its batch: {named}{more}",
            hint="the last checkpoint is intact: go on from it with a lower rate, --set distil.lr=...",
        )


def make_optimizer(parameters: dict[str, nn.Parameter], options: DistilOptions) -> torch.optim.Optimizer:
    """Returns AdamW; weight decay touches matrices only."""
    values = list(parameters.values())
    groups = [
        {"params": [p for p in values if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in values if p.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = all(value.device.type in ("cpu", "cuda") for value in values)
    return torch.optim.AdamW(groups, lr=options.lr, betas=(0.9, 0.999), eps=1e-8, fused=fused)
