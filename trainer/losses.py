"""The losses: cross-entropy on valid tokens, CTC and guided attention; and distillation from a teacher.

It knows tensors; it does not know models, vocabularies or where labels come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

IGNORED = -100
"""Target of a position without loss."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LossWeights:
    """What the three terms of distillation weigh, and how soft the distributions of the second are."""

    cross_entropy: float = 1.0
    kl: float = 0.8
    mse: float = 0.0
    temperature: float = 2.0


@dataclass(frozen=True, slots=True)
class LossTerms:
    """Sums over the valid tokens of a batch: the caller divides by the tokens of the whole step."""

    total: Tensor
    """Weighted sum, float32 scalar; the only one that carries gradients."""
    cross_entropy: Tensor
    """Nats."""
    kl: Tensor
    """Nats, at the temperature of the loss, without its square; 0 without a teacher."""
    mse: Tensor
    """Squared distance per element of the state; 0 where it has no weight."""
    tokens: int


def distillation(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    teacher_hidden: Tensor | None,
    teacher_weight: Tensor | None,
    weights: LossWeights,
    chunk: int,
) -> LossTerms:
    """Cross-entropy on the labels, KL divergence from the teacher, distance of the last states.

    Over valid tokens only, with p and q the teacher's and the student's softmax at temperature T:
    ``w_ce * CE(label, student) + w_kl * T^2 * KL(p || q) + w_mse * mean((h - h_teacher)^2)`` (Distil-Whisper
    paper, Eq. 6; Hinton et al. 2015 for T^2). Under autocast the products with the output matrices are in its
    number format, everything else is float32.

    Args:
        hidden: the student's last decoder states (..., d).
        weight: its output matrix (vocabulary, d).
        targets: ids to predict (...), int64, `IGNORED` where there is no loss.
        teacher_hidden: the teacher's last decoder states (..., d_teacher), for the same decoder inputs; None:
            cross-entropy only. Rows without a target are not read.
        teacher_weight: the teacher's output matrix (vocabulary, d_teacher).
        weights: of the terms.
        chunk: tokens whose logits exist at once. The gradients are computed in the forward pass, chunk by
            chunk, and cannot be differentiated again. 0: the plain loss, with every logit at once and
            torch's own gradients.
    """
    valid = targets != IGNORED
    states, answers = hidden[valid], targets[valid]
    teacher = None
    if teacher_hidden is not None and teacher_weight is not None:
        teacher = (teacher_hidden[valid].detach(), teacher_weight.detach())
    if not chunk:
        total, cross_entropy, kl = _plain(states, weight, answers, teacher, weights)
    elif torch.is_grad_enabled() and (states.requires_grad or weight.requires_grad):
        total, cross_entropy, kl = _Chunked.apply(  # type: ignore[no-untyped-call]  # torch's own
            states, weight, answers, teacher, weights, chunk
        )
    else:
        (total, cross_entropy, kl), _, _ = _by_chunks(
            states, weight, answers, teacher, weights, chunk, (False, False)
        )
    mse = total.new_zeros(())
    if weights.mse and teacher is not None:
        mse = (states.float() - teacher[0].float()).square().mean(-1).sum()
        total = total + weights.mse * mse
    return LossTerms(total, cross_entropy.detach(), kl.detach(), mse.detach(), int(answers.numel()))


Teaching = tuple[Tensor, Tensor]
"""States (tokens, d) and output matrix (vocabulary, d) of one model."""

Sums = tuple[Tensor, Tensor, Tensor]
"""Weighted total, cross-entropy and KL divergence, float32 scalars."""


def _plain(
    states: Tensor, weight: Tensor, answers: Tensor, teacher: Teaching | None, weights: LossWeights
) -> Sums:
    """The loss as it is written down: every logit at once."""
    logits = functional.linear(states, weight).float()
    cross_entropy = functional.cross_entropy(logits, answers, reduction="sum")
    if teacher is None:
        return weights.cross_entropy * cross_entropy, cross_entropy, logits.new_zeros(())
    heat = weights.temperature
    wanted = functional.linear(*teacher).float().div(heat).log_softmax(-1)
    kl = functional.kl_div(logits.div(heat).log_softmax(-1), wanted, log_target=True, reduction="sum")
    return weights.cross_entropy * cross_entropy + weights.kl * heat**2 * kl, cross_entropy, kl


class _Chunked(torch.autograd.Function):
    """The same loss with gradients that are ready when the forward pass ends."""

    @staticmethod
    def forward(
        ctx: Any,  # takes attributes of any name
        states: Tensor,
        weight: Tensor,
        answers: Tensor,
        teacher: Teaching | None,
        weights: LossWeights,
        chunk: int,
    ) -> Sums:
        wanted = (ctx.needs_input_grad[0], ctx.needs_input_grad[1])
        sums, *gradients = _by_chunks(states, weight, answers, teacher, weights, chunk, wanted)
        ctx.gradients = gradients  # not as saved tensors: they are scaled in place, then freed
        ctx.dtypes = (states.dtype, weight.dtype)
        ctx.mark_non_differentiable(sums[1], sums[2])
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        gradients: list[Tensor | None] = ctx.gradients
        del ctx.gradients
        scaled = [
            None if gradient is None else gradient.mul_(scale).to(dtype)
            for gradient, dtype in zip(gradients, ctx.dtypes, strict=True)
        ]
        return *scaled, None, None, None, None


def _by_chunks(
    states: Tensor,
    weight: Tensor,
    answers: Tensor,
    teacher: Teaching | None,
    weights: LossWeights,
    chunk: int,
    wanted: tuple[bool, bool],
) -> tuple[Sums, Tensor | None, Tensor | None]:
    """Returns the sums and, where wanted, the float32 gradients of the total by `states` and by `weight`.

    Four buffers of (chunk, vocabulary) float32 are used again and again.
    """
    device = states.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states.dtype
    with torch.autocast(device, enabled=False), torch.no_grad():
        states, weight = states.to(dtype), weight.to(dtype)
        teacher = None if teacher is None else (teacher[0].to(dtype), teacher[1].to(dtype))
        by_states = torch.zeros(states.shape, device=states.device) if wanted[0] else None
        by_weight = torch.zeros(weight.shape, device=weight.device) if wanted[1] else None
        size = (min(chunk, len(states)), len(weight))
        buffers = [torch.empty(size, device=states.device) for _ in range(2 if teacher is None else 4)]
        sums = torch.zeros(2, device=states.device)
        for start in range(0, len(states), chunk):
            part = slice(start, start + chunk)
            rows = states[part]
            taught = None if teacher is None else (teacher[0][part], teacher[1])
            used = [buffer[: len(rows)] for buffer in buffers]
            sums += _one_chunk((rows, weight), answers[part], taught, weights, used)
            if by_states is not None or by_weight is not None:
                narrow = used[1].to(dtype)
                if by_states is not None:
                    by_states[part] = narrow @ weight
                if by_weight is not None:
                    _accumulate(by_weight, narrow, rows)
    cross_entropy, kl = sums.unbind()
    total = weights.cross_entropy * cross_entropy + weights.kl * weights.temperature**2 * kl
    return (total, cross_entropy.clone(), kl.clone()), by_states, by_weight


def _one_chunk(
    student: Teaching, answers: Tensor, teacher: Teaching | None, weights: LossWeights, buffers: list[Tensor]
) -> Tensor:
    """Returns cross-entropy and KL of one chunk (2,), and leaves the gradient by its logits in `buffers[1]`.

    With z the logits that is ``w_ce * (softmax(z) - onehot) + w_kl * T * (q - p)``.
    """
    logits, gradient, *others = buffers
    _project(*student, logits)
    torch.log_softmax(logits, -1, out=gradient)
    column = answers[:, None]
    cross_entropy = -gradient.gather(1, column).sum()
    gradient.exp_().scatter_add_(1, column, torch.full_like(column, -1.0, dtype=gradient.dtype))
    gradient.mul_(weights.cross_entropy)
    if teacher is None:
        return torch.stack([cross_entropy, torch.zeros_like(cross_entropy)])
    kl = _tempered(logits, teacher, weights.temperature, others)
    gradient.add_(others[0], alpha=weights.kl * weights.temperature)
    return torch.stack([cross_entropy, kl])


def _tempered(logits: Tensor, teacher: Teaching, heat: float, buffers: list[Tensor]) -> Tensor:
    """Returns the sum of KL(p || q) and leaves q - p in the first of two buffers; overwrites `logits`."""
    student, wanted = buffers
    torch.log_softmax(logits.div_(heat), -1, out=student)
    _project(*teacher, logits)
    torch.log_softmax(logits.div_(heat), -1, out=wanted)
    torch.sub(wanted, student, out=logits)
    wanted.exp_()
    kl: Tensor = torch.linalg.vecdot(wanted, logits).sum()
    student.exp_().sub_(wanted)
    return kl


def _project(states: Tensor, weight: Tensor, out: Tensor) -> None:
    """Writes the logits (tokens, vocabulary) into float32 `out`."""
    if states.dtype == out.dtype:
        torch.mm(states, weight.T, out=out)
    else:
        out.copy_(states @ weight.T)


def _accumulate(total: Tensor, gradient: Tensor, states: Tensor) -> None:
    """Adds one chunk's gradient by the weight in float32: a running sum in bfloat16 loses its low bits."""
    if gradient.dtype == total.dtype:
        total.addmm_(gradient.T, states)
    else:
        total.add_(gradient.T @ states)


def token_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, offset: Tensor
) -> tuple[Tensor, int]:
    """Sums the cross-entropy (nats) over positions with a target; only they reach the output matrix.

    Args:
        hidden: decoder output (batch, tokens, d).
        weight: output rows (rows, d).
        targets: rows to predict (batch, tokens), int64, `IGNORED` where there is no loss.
        offset: added to the logits (rows,), see `vocabulary.CompactVocabulary.log_multiplicity`.

    Returns:
        The sum over valid positions, float32 scalar, and their number: the caller divides by the tokens of
        the whole step, so that accumulation over micro-batches weighs every token alike.
    """
    valid = targets != IGNORED
    logits = hidden[valid] @ weight.to(hidden.dtype).T
    return functional.cross_entropy(logits.float() + offset, targets[valid], reduction="sum"), int(
        valid.sum()
    )


def ctc(logits: Tensor, texts: list[list[int]], positions: list[int]) -> Tensor:
    """Returns the CTC loss (Graves et al. 2006) in nats per character; class 0 is the blank.

    Args:
        logits: (batch, positions, classes).
        texts: class ids of each text, without blanks.
        positions: valid encoder positions of each window.
    """
    spoken = [row for row, text in enumerate(texts) if text]  # silence would add a blank for every position
    if not spoken:
        return logits.sum() * 0.0
    log_probs = logits[spoken].float().log_softmax(-1).transpose(0, 1)
    lengths = torch.tensor([len(texts[row]) for row in spoken])
    flat = torch.tensor([character for row in spoken for character in texts[row]], dtype=torch.long)
    sizes = torch.tensor([positions[row] for row in spoken])
    total = functional.ctc_loss(log_probs, flat, sizes, lengths, reduction="sum", zero_infinity=True)
    return total / int(lengths.sum())


def guided_attention(weights: Tensor, expected: Tensor, seconds: Tensor, sigma: float) -> Tensor:
    """Penalises attention far from the expected time: the mean of sum_t a_t (1 - exp(-(t - e)^2 / 2 s^2)).

    After Tachibana et al. 2018 (arXiv:1710.08969, eq. 6), with known times in place of the diagonal.

    Args:
        weights: attention probabilities (batch, heads, tokens, positions).
        expected: seconds in the window (batch, tokens); NaN where nothing is expected.
        seconds: time of each encoder position (positions,).
        sigma: tolerance in seconds.
    """
    known = ~expected.isnan()
    if not known.any():
        return weights.sum() * 0.0
    distance = expected.nan_to_num()[:, None, :, None] - seconds
    penalty = 1.0 - torch.exp(-(distance**2) / (2.0 * sigma**2))
    per_token = (weights.float() * penalty).sum(-1).mean(1)  # (batch, tokens)
    return per_token[known].mean()
