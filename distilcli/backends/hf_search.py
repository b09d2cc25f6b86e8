"""Greedy search, sampling, beam search and speculative decoding over a `Network`. Knows no audio.

All rows of a `State` have prompts of one length.

Beam search takes the steps of CTranslate2's (`src/decoding.cc`), so that both backends write the same tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from distilcli.backends.hf_network import Network, State
from distilcli.backends.hf_rules import Rules

Choose = Callable[[torch.Tensor, Sequence[int]], torch.Tensor]
"""Log-probabilities (rows, vocabulary) and the rows' numbers -> the next token of each row."""


@dataclass(frozen=True, slots=True)
class Found:
    """Tokens without end-of-text, and the sum of log-probabilities with it (when it was written)."""

    tokens: tuple[int, ...]
    sum_logprob: float

    @property
    def avg_logprob(self) -> float:
        """Nats per token, end-of-text included."""
        return self.sum_logprob / (len(self.tokens) + 1)

    def score(self, length_penalty: float) -> float:
        """What candidates are ranked by; an empty text comes last, whatever its probability."""
        if not self.tokens:
            return float("-inf")
        return float(self.sum_logprob / len(self.tokens) ** length_penalty)


def best(candidates: Sequence[Found], length_penalty: float) -> Found:
    """The candidate with the highest score, the first of them on a tie."""
    return max(candidates, key=lambda found: found.score(length_penalty))


@dataclass(slots=True)
class _Row:
    tokens: list[int] = field(default_factory=list)
    sum_logprob: float = 0.0

    def found(self) -> Found:
        return Found(tuple(self.tokens), self.sum_logprob)


def greedy(network: Network, state: State, rules: Rules, limit: int) -> list[Found]:
    """The likeliest token at every step, for each row of `state`."""
    return _one_by_one(network, state, rules, limit, lambda logprobs, _: logprobs.argmax(dim=-1))


def sample(
    network: Network, state: State, rules: Rules, limit: int, generators: Sequence[torch.Generator]
) -> list[list[Found]]:
    """`best_of` random texts for each row of `state`; row ``i`` draws from ``generators[i]`` alone."""
    options = rules.options
    copies = options.best_of
    state.repeat(copies)

    def choose(logprobs: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        weights = (logprobs / options.temperature).softmax(dim=-1)
        return torch.cat(
            [
                torch.multinomial(weights[index, None], 1, generator=generators[row // copies])[0]
                for index, row in enumerate(rows)
            ]
        )

    found = _one_by_one(network, state, rules, limit, choose)
    return [found[start : start + copies] for start in range(0, len(found), copies)]


def _one_by_one(network: Network, state: State, rules: Rules, limit: int, choose: Choose) -> list[Found]:
    """Write one token per step and row; rows that have ended leave the batch."""
    rows = [_Row() for _ in range(state.logits.shape[0])]
    alive = list(range(len(rows)))
    for step in range(limit):
        logprobs = rules.apply(state.logits, [rows[row].tokens for row in alive])
        chosen = choose(logprobs, alive)
        scores = logprobs.gather(1, chosen[:, None])[:, 0].tolist()
        going_on = []
        for index, (token, score) in enumerate(zip(chosen.tolist(), scores, strict=True)):
            row = rows[alive[index]]
            row.sum_logprob += score
            if token != rules.eot:
                row.tokens.append(token)
                going_on.append(index)
        if not going_on or step + 1 == limit:
            break
        if len(going_on) < len(alive):
            state.select(going_on)
            alive = [alive[index] for index in going_on]
            chosen = chosen[going_on]
        network.step(state, chosen[:, None])
    return [row.found() for row in rows]


@dataclass(slots=True)
class _Beams:
    """One window in a beam search: its living beams, best first, and the texts that have ended."""

    window: int
    tokens: list[list[int]]
    scores: list[float]
    ended: list[Found] = field(default_factory=list)

    def advance(self, ranked: Sequence[tuple[float, int, int]], eot: int, *, last: bool) -> list[int]:
        """Take the next step; returns the beam that each living beam continues.

        `ranked` holds (score, beam, token) of twice as many candidates as there are beams, best first. One of
        the first half that ends gives its place to the next one of the second half that does not.
        """
        width = len(ranked) // 2
        spare = iter([candidate for candidate in ranked[width:] if candidate[2] != eot])
        kept = []
        for candidate in ranked[:width]:
            score, beam, token = candidate
            if token == eot or last:
                text = self.tokens[beam] if token == eot else [*self.tokens[beam], token]
                self.ended.append(Found(tuple(text), score))
                candidate = next(spare, candidate)
            kept.append(candidate)
        self.tokens = [[*self.tokens[beam], token] for _, beam, token in kept]
        self.scores = [score for score, _, _ in kept]
        return [beam for _, beam, _ in kept]


def beam_search(network: Network, state: State, rules: Rules, limit: int) -> list[list[Found]]:
    """The texts that ended first, at most beam_size × patience and a few, for each row of `state`."""
    options = rules.options
    width, enough = options.beam_size, int(options.beam_size * options.patience + 0.5)
    everything = [_Beams(window, [[]], [0.0]) for window in range(state.logits.shape[0])]
    alive = everything
    for step in range(limit):
        logprobs = rules.apply(state.logits, [tokens for beams in alive for tokens in beams.tokens])
        totals = logprobs + torch.tensor(
            [score for beams in alive for score in beams.scores], device=logprobs.device
        ).unsqueeze(1)
        vocabulary = totals.shape[1]
        scores, flat = (part.tolist() for part in totals.view(len(alive), -1).topk(2 * width))
        rows, going_on = [], []
        for index, beams in enumerate(alive):
            first_row = index * len(beams.tokens)
            ranked = [
                (score, place // vocabulary, place % vocabulary)
                for score, place in zip(scores[index], flat[index], strict=True)
            ]
            parents = beams.advance(ranked, rules.eot, last=step + 1 == limit)
            if len(beams.ended) < enough and step + 1 < limit:
                going_on.append(beams)
                rows += [first_row + parent for parent in parents]
        if not going_on:
            break
        if step > 0 and len(going_on) == len(alive):
            state.reorder(rows)
        else:
            state.select(rows)
        alive = going_on
        last_tokens = [[tokens[-1]] for beams in alive for tokens in beams.tokens]
        network.step(state, torch.tensor(last_tokens, device=network.device))
    return [beams.ended for beams in everything]


@dataclass(slots=True)
class Drafts:
    """How speculative decoding fared: tokens that the draft network proposed, and how many were right."""

    proposed: int = 0
    accepted: int = 0


@dataclass(slots=True, eq=False)
class Speaker:
    """A network and where it stands with one window."""

    network: Network
    state: State


def speculative(main: Speaker, draft: Speaker, rules: Rules, limit: int, drafts: Drafts) -> Found:
    """Greedy search for one window, with the tokens that a faster network guesses checked several at a time.

    Every token is the main network's own choice, so the text is that of `greedy`. Source: Leviathan et al.,
    "Fast Inference from Transformers via Speculative Decoding", greedy case.
    """
    tokens: list[int] = []
    total = 0.0
    logits, guesses = main.state.logits[:, None], list[int]()  # logits: (1, guesses + 1, vocabulary)
    read: list[int] = []  # what the draft network has read after the prompt
    ahead = 5
    while True:
        right = 0
        for position in range(len(guesses) + 1):
            logprobs = rules.apply(logits[:, position], [tokens])[0]
            token = int(logprobs.argmax())
            total += float(logprobs[token])
            if token == rules.eot:
                return Found(tuple(tokens), total)
            tokens.append(token)
            if len(tokens) == limit:
                return Found(tuple(tokens), total)
            if position == len(guesses) or token != guesses[position]:
                break
            right += 1
        drafts.proposed += len(guesses)
        drafts.accepted += right
        main.state.forget(len(guesses) - right)
        # The pace of Transformers' assisted generation: two more after a full hit, one less otherwise.
        ahead = ahead + 2 if right == len(guesses) else max(1, ahead - 1)
        guesses = _guess(draft, rules, tokens, read, min(ahead, limit - len(tokens) - 1))
        unread = torch.tensor([[tokens[-1], *guesses]], device=main.network.device)
        logits = main.network.step(main.state, unread)


def _guess(draft: Speaker, rules: Rules, tokens: Sequence[int], read: list[int], count: int) -> list[int]:
    """What the draft network would write next, `count` tokens at most; keeps `read` up to date."""
    common = 0
    while common < min(len(read), len(tokens)) and read[common] == tokens[common]:
        common += 1
    draft.state.forget(len(read) - common)
    del read[common:]
    guesses: list[int] = []
    unread = list(tokens[common:])
    while len(guesses) < count:
        draft.network.step(draft.state, torch.tensor([unread], device=draft.network.device))
        read += unread
        token = int(rules.apply(draft.state.logits, [[*tokens, *guesses]])[0].argmax())
        if token == rules.eot:
            break
        guesses.append(token)
        unread = [token]
    return guesses
