"""Planned windows: lengths, order, cuts, shares, and that a plan depends on nothing but seed and state."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest

from distilcli.tokens import Vocab
from distilcli.trainer.config import PhaseOptions
from distilcli.trainer.data import Utterance
from distilcli.trainer.windows import Sampler, WindowPlan

VOCAB = Vocab(51866)


def utterances(count: int = 400) -> list[Utterance]:
    """Sentences of 1 to 4 s by two speakers; the text is the token 100 + number."""
    rng = np.random.default_rng(0)
    return [
        Utterance(
            offset=0,
            samples=int(rng.integers(16_000, 64_000)),
            tokens=(100 + i,),
            centres=(0.5,),
            text=f"Text {i}.",
            speaker="ab"[i % 2],
        )
        for i in range(count)
    ]


def sampler(seed: int = 1) -> Sampler:
    return Sampler(utterances(), VOCAB, seed, "en")


def flat(batches: list[list[WindowPlan]]) -> list[WindowPlan]:
    return [plan for batch in batches for plan in batch]


FULL = PhaseOptions(
    name="full",
    steps=1,
    min_seconds=5.0,
    max_seconds=40.0,
    cut=0.5,
    no_timestamps=0.3,
    previous=0.3,
    silence=0.1,
)


def test_sentences_do_not_overlap_and_stay_inside_30_seconds() -> None:
    lengths = [utterance.seconds for utterance in utterances()]
    for plan in flat(sampler().next_bucket(FULL)):
        assert 0.0 < plan.seconds <= plan.width <= 30.0
        ends = [item.start + lengths[item.index] for item in plan.placed]
        assert all(item.start > end for item, end in zip(plan.placed[1:], ends, strict=False))
        cut = bool(plan.placed) and ends[-1] > plan.seconds + 0.02
        assert all(end <= plan.seconds + 0.02 for end in (ends[:-1] if cut else ends))


def test_a_cut_sentence_is_not_in_the_text_but_its_start_is() -> None:
    lengths = [utterance.seconds for utterance in utterances()]
    cuts = 0
    for plan in flat(sampler().next_bucket(FULL)):
        if plan.placed and plan.placed[-1].start + lengths[plan.placed[-1].index] > plan.seconds + 0.02:
            cuts += 1
            assert 100 + plan.placed[-1].index not in plan.label.targets
            assert plan.label.targets[-2] == VOCAB.timestamp(plan.placed[-1].start)
    assert cuts > 5


def test_the_first_timestamp_is_at_most_one_second() -> None:
    for plan in flat(sampler().next_bucket(FULL)):
        assert not plan.placed or plan.placed[0].start <= 1.0


def test_one_sentence_each_where_no_length_is_given() -> None:
    plans = flat(sampler().next_bucket(PhaseOptions(name="single", steps=1)))
    assert {len(plan.placed) for plan in plans} == {1}


def test_every_sentence_of_a_speaker_comes_once_in_a_round() -> None:
    deal = sampler()
    drawn = [item.index for _ in range(3) for plan in flat(deal.next_bucket(FULL)) for item in plan.placed]
    first_round = [index for index in drawn if index % 2 == 0][:100]
    assert len(set(first_round)) == 100  # of 200; some more are dealt but do not fit their window


def test_equal_seeds_make_equal_plans_and_other_seeds_others() -> None:
    assert sampler(1).next_bucket(FULL) == sampler(1).next_bucket(FULL)
    assert sampler(1).next_bucket(FULL) != sampler(2).next_bucket(FULL)


def test_a_restored_sampler_goes_on_as_if_nothing_had_happened() -> None:
    one = sampler()
    one.next_bucket(FULL)
    state = one.state()
    expected = [one.next_bucket(FULL), one.next_bucket(FULL)]
    other = sampler()
    other.restore(state)
    assert [other.next_bucket(FULL), other.next_bucket(FULL)] == expected


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (1.0, 1)])
def test_shares_of_silence_and_padding(share: float, expected: int) -> None:
    phase = PhaseOptions(name="x", steps=1, min_seconds=3.0, max_seconds=9.0, silence=share, padded=share)
    plans = flat(sampler().next_bucket(phase))
    assert {int(not plan.placed) for plan in plans} == {expected}
    assert {int(plan.width == 30.0) for plan in plans} == {expected}
    if share:
        assert {plan.label.targets[0] for plan in plans} == {VOCAB.no_speech}


def test_batches_hold_similar_lengths_within_the_budget() -> None:
    for batch in sampler().next_bucket(FULL):
        assert len(batch) == 1 or max(plan.width for plan in batch) * len(batch) <= FULL.batch_seconds + 0.1


def test_disturbed_inputs_keep_prompt_and_answers() -> None:
    phase = PhaseOptions(
        name="x", steps=1, min_seconds=9.0, max_seconds=9.0, no_timestamps=0.0, disturbed=1.0
    )
    fed = too_many = 0
    for plan in flat(sampler().next_bucket(phase)):
        label = plan.label
        assert label.inputs[:3] == tuple(VOCAB.prefix("en"))
        assert len(label.inputs) == len(label.targets) == len(label.times)
        words = [target for target in label.targets if 0 <= target < VOCAB.eot]
        # every sentence is one token, due again after each word too many
        assert [word for word, _ in groupby(words)] == [100 + item.index for item in plan.placed]
        assert label.targets[-1] == VOCAB.eot
        text = {token for token in label.inputs if token < VOCAB.eot}
        fed += len(text - set(words))
        too_many += len(label.targets) - 2 - 3 * len(plan.placed)  # start and end, two timestamps and a word
    assert fed > 0
    assert too_many > 0


def test_joined_sentences_are_one_segment_and_only_the_pause_says_so() -> None:
    phase = PhaseOptions(name="x", steps=1, min_seconds=20.0, max_seconds=30.0, no_timestamps=0.0, joined=0.5)
    lengths = [utterance.seconds for utterance in utterances()]
    shares = []
    for plan in flat(sampler().next_bucket(phase)):
        pauses = [
            after.start - before.start - lengths[before.index]
            for before, after in zip(plan.placed, plan.placed[1:], strict=False)
        ]
        joined = [item.joined for item in plan.placed[1:]]
        assert [pause < 0.081 for pause in pauses] == joined
        assert all(pause > 0.149 for pause, together in zip(pauses, joined, strict=True) if not together)
        stamps = sum(VOCAB.is_timestamp(target) for target in plan.label.targets)
        assert stamps == 2 * (1 + joined.count(False))
        times = [time for time in plan.label.times if time is not None]
        assert times == sorted(times)
        shares += joined
    assert 0.4 < sum(shares) / len(shares) < 0.6
