"""Which tokens may come next: Whisper's rules on the decoder's logits, in torch. Knows no model.

Source: openai/whisper `decoding.py` (SuppressBlank, SuppressTokens, ApplyTimestampRules); the two repetition
rules are CTranslate2's. Like there, all of them look at the written tokens only, never at the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from distilcli.backends.prompts import last_initial_timestamp
from distilcli.config import DecodeOptions
from distilcli.tokens import Tokenizer

NEVER = float("-inf")


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """The rules of one decode call; made by `rules_for`."""

    options: DecodeOptions
    eot: int
    no_timestamps: int
    timestamp_begin: int
    suppressed: torch.Tensor
    blank: torch.Tensor

    def apply(self, logits: torch.Tensor, written: Sequence[Sequence[int]]) -> torch.Tensor:
        """Log-probabilities of the next token after the rules, shape (rows, vocabulary), float32.

        `logits` has the same shape and is not changed; `written` holds the tokens so far of each row.
        """
        logits = logits.float().clone()
        for row, tokens in enumerate(written):
            self._repetition(logits[row], tokens)
        logits[:, self.suppressed] = NEVER
        if self.options.suppress_blank and not written[0]:
            logits[:, self.blank] = NEVER
        if self.options.timestamps:
            logits[:, self.no_timestamps] = NEVER
            for row, tokens in enumerate(written):
                self._timestamps(logits[row], tokens)
            self._prefer_timestamps(logits)
        return logits.log_softmax(dim=-1)

    def _repetition(self, logits: torch.Tensor, tokens: Sequence[int]) -> None:
        if self.options.repetition_penalty != 1 and tokens:
            ids = torch.tensor(sorted(set(tokens)), device=logits.device)
            scores = logits[ids]
            penalty = self.options.repetition_penalty
            logits[ids] = torch.where(scores < 0, scores * penalty, scores / penalty)
        size = self.options.no_repeat_ngram_size
        if size and len(tokens) >= size:
            tail = list(tokens[len(tokens) - size + 1 :])
            for start in range(len(tokens) - size + 1):
                if list(tokens[start : start + size - 1]) == tail:
                    logits[tokens[start + size - 1]] = NEVER

    def _timestamps(self, logits: torch.Tensor, tokens: Sequence[int]) -> None:
        """Timestamps come first, in pairs, never decreasing; a segment is never empty."""
        begin = self.timestamp_begin
        if not tokens:
            logits[:begin] = NEVER
            logits[begin + last_initial_timestamp(self.options) + 1 :] = NEVER
            return
        after_timestamp = tokens[-1] >= begin
        pair_is_closed = len(tokens) < 2 or tokens[-2] >= begin
        if after_timestamp and pair_is_closed:
            logits[begin:] = NEVER
        elif after_timestamp:
            logits[: self.eot] = NEVER
        latest = next((token for token in reversed(tokens) if token >= begin), None)
        if latest is not None:
            opens_the_next = after_timestamp and not pair_is_closed
            logits[begin : latest if opens_the_next else latest + 1] = NEVER

    def _prefer_timestamps(self, logits: torch.Tensor) -> None:
        """When all timestamps together are likelier than any one text token, only they may follow."""
        begin = self.timestamp_begin
        together = logits[:, begin:].logsumexp(dim=-1)
        logits[together > logits[:, :begin].amax(dim=-1), :begin] = NEVER


def rules_for(tokenizer: Tokenizer, options: DecodeOptions, device: torch.device) -> Rules:
    """The rules that `options` ask for, with their tables on `device`."""
    vocab = tokenizer.vocab
    return Rules(
        options=options,
        eot=vocab.eot,
        no_timestamps=vocab.no_timestamps,
        timestamp_begin=vocab.timestamp_begin,
        suppressed=torch.tensor(tokenizer.suppressed(options.suppress_tokens), device=device),
        blank=torch.tensor([*tokenizer.encode(" "), vocab.eot], device=device),
    )
