"""The losses of supervised training: cross-entropy on valid tokens, CTC, guided cross-attention.

It knows tensors; it does not know models, vocabularies or where labels come from.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -100
"""Target of a position without loss."""


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
