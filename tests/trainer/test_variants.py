"""Golden labels of packed windows (prompt × timestamps × truncation × vocabulary), and how forms are drawn.

Labels are written as pairs of input and answer: `S` start, `L` language, `T` task, `N` no timestamps, `P`
start of previous text, `E` end, `Q` no speech, `.` no loss, `@12` the timestamp of 12 steps of 20 ms, other
numbers text. Ids of the special tokens are openai/whisper's, typed by hand.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest

from distilcli.tokens import Vocab
from distilcli.trainer.labels import IGNORED, MAX_TARGET, Label
from distilcli.trainer.packing import pack
from distilcli.trainer.recipe import AugmentOptions, DistilOptions, PackOptions
from distilcli.trainer.records import PackedWindow
from distilcli.trainer.variants import WindowForm, draw_form, generator, label_of, variant_name, window_label
from tests.trainer.packed import V3, Spoken, make_corpus, make_recipe

SPECIAL = {
    51864: {"S": 50257, "P": 50360, "N": 50362, "@": 50363, "E": 50256, "Q": 50361},
    51865: {"S": 50258, "L": 50259, "T": 50359, "P": 50361, "N": 50363, "@": 50364, "E": 50257, "Q": 50362},
    51866: {"S": 50258, "L": 50259, "T": 50360, "P": 50362, "N": 50364, "@": 50365, "E": 50257, "Q": 50363},
}

STAMPED, PLAIN = WindowForm(timestamps=True), WindowForm()
STAMPED_PROMPTED, PLAIN_PROMPTED = WindowForm(timestamps=True, prompted=True), WindowForm(prompted=True)

BEFORE = Spoken(seconds=29.5, label=(0, [5, 6], 25, 30, [7], 50))
"""Its window is the one before."""
FIRST = Spoken(seconds=1.0, label=(0, [11, 12], 40))
SECOND = Spoken(seconds=2.0, label=(10, [13], 50, 60, [14, 15], 90))
"""In the window it begins after 50 steps."""
CUT_IN_TEXT = Spoken(seconds=2.0, label=(10, [13], 50, 60, [14, 15]), truncated=True)
CUT_BETWEEN = Spoken(seconds=2.0, label=(10, [13], 50), truncated=True)
CUT_AT_A_START = Spoken(seconds=2.0, label=(10, [13], 50, 60), truncated=True)

TWO = "@0>11 11>12 12>@40 @40>@60 @60>13 13>@100 @100>@110"
GOLDEN = {
    "timestamps": (SECOND, STAMPED, f"S>L L>. T>@0 {TWO} @110>14 14>15 15>@140 @140>E"),
    "plain": (SECOND, PLAIN, "S>L L>. T>. N>11 11>12 12>13 13>14 14>15 15>E"),
    "prompt, timestamps": (
        SECOND,
        STAMPED_PROMPTED,
        f"P>. @0>. 5>. 6>. @25>. @30>. 7>. @50>. S>L L>. T>@0 {TWO} @110>14 14>15 15>@140 @140>E",
    ),
    "prompt, plain": (
        SECOND,
        PLAIN_PROMPTED,
        "P>. 5>. 6>. 7>. S>L L>. T>. N>11 11>12 12>13 13>14 14>15 15>E",
    ),
    "truncated in the text, timestamps": (
        CUT_IN_TEXT,
        STAMPED,
        f"S>L L>. T>@0 {TWO} @110>14 14>15 15>.",
    ),
    "truncated in the text, plain": (CUT_IN_TEXT, PLAIN, "S>L L>. T>. N>11 11>12 12>13 13>14 14>15 15>."),
    "truncated after a sentence": (
        CUT_BETWEEN,
        STAMPED,
        "S>L L>. T>@0 @0>11 11>12 12>@40 @40>@60 @60>13 13>@100 @100>.",
    ),
    "truncated after a sentence, plain": (CUT_BETWEEN, PLAIN, "S>L L>. T>. N>11 11>12 12>13 13>."),
    "truncated after a start": (
        CUT_AT_A_START,
        STAMPED,
        "S>L L>. T>@0 @0>11 11>12 12>@40 @40>@60 @60>13 13>@100 @100>.",
    ),
    "truncated, prompt": (
        CUT_IN_TEXT,
        PLAIN_PROMPTED,
        "P>. 5>. 6>. 7>. S>L L>. T>. N>11 11>12 12>13 13>14 14>15 15>.",
    ),
}


def golden(pairs: str, size: int) -> Label:
    """Turns written pairs into a label; English-only models have no language and no task."""
    special = SPECIAL[size]
    inputs: list[int] = []
    targets: list[int] = []

    def number(name: str) -> int:
        if name == ".":
            return IGNORED
        return special["@"] + int(name[1:]) if name[0] == "@" else special.get(name) or int(name)

    for pair in pairs.split():
        given, answer = pair.split(">")
        if given in "LT" and given not in special:
            targets[-1] = number(answer)  # what follows the task follows the start itself
            continue
        inputs.append(number(given))
        targets.append(number("." if answer in "LT" and answer not in special else answer))
    return Label(inputs=tuple(inputs), targets=tuple(targets), times=())


def windows_of(
    spoken: Sequence[Spoken], vocab: Vocab = V3, method: str = "next-fit"
) -> tuple[PackedWindow, ...]:
    """Packs in order."""
    corpus, labels = make_corpus(spoken, vocab)
    recipe = make_recipe(pack=PackOptions(method=method))
    return pack(corpus, labels, range(len(spoken)), recipe, vocab)


def last_label(spoken: Sequence[Spoken], form: WindowForm, vocab: Vocab = V3) -> Label:
    windows = windows_of(spoken, vocab)
    return label_of(windows, len(windows) - 1, form, vocab)


@pytest.mark.parametrize("size", SPECIAL)
@pytest.mark.parametrize("case", GOLDEN)
def test_golden_labels(case: str, size: int) -> None:
    second, form, pairs = GOLDEN[case]
    label = last_label([BEFORE, FIRST, second], form, Vocab(size))
    expected = golden(pairs, size)
    assert label.inputs == expected.inputs
    assert label.targets == expected.targets


@pytest.mark.parametrize("form", [STAMPED, PLAIN, STAMPED_PROMPTED, PLAIN_PROMPTED])
@pytest.mark.parametrize("second", [CUT_IN_TEXT, CUT_BETWEEN, CUT_AT_A_START])
def test_no_end_is_taught_after_a_truncated_label(second: Spoken, form: WindowForm) -> None:
    label = last_label([BEFORE, FIRST, second], form)
    assert V3.eot not in label.targets
    assert label.targets[-1] == IGNORED
    assert len(label.inputs) == len(label.targets) == len(label.times)


@pytest.mark.parametrize("size", SPECIAL)
def test_silence_is_answered_with_no_speech(size: int) -> None:
    silent = Spoken(seconds=2.0, label=(0,))
    stamped = golden("S>Q L>. T>@0 @0>E" if size > 51864 else "S>@0 @0>E", size)
    assert last_label([silent], STAMPED, Vocab(size)).targets == stamped.targets
    plain = golden("S>Q L>. T>. N>E" if size > 51864 else "S>. N>E", size)
    assert last_label([silent], PLAIN, Vocab(size)).targets == plain.targets


def test_the_teachers_own_tokens_are_the_answer() -> None:
    for label in [(0, [1, 2], 50), (5, [1], 20, 20, [2], 40), (0, [1], 30, 60, [2], 90, 90)]:
        spoken = Spoken(seconds=4.0, label=label)
        tokens = windows_of([spoken])[0].parts[0].tokens
        assert last_label([spoken], STAMPED).targets[2:] == (*tokens, V3.eot)


def test_a_sentence_cut_by_the_end_is_the_last_timestamp_of_the_last_part_only() -> None:
    cut = Spoken(seconds=2.0, label=(0, [1], 30, 60))
    assert last_label([FIRST, cut], STAMPED).targets[-3:] == golden("1>@80 @80>@110 @110>E", 51866).targets
    assert golden("@30>@100", 51866).inputs[0] in last_label([cut, FIRST], STAMPED).inputs
    assert golden("@60>E", 51866).inputs[0] not in last_label([cut, FIRST], STAMPED).inputs


def test_a_sentence_without_an_end_lasts_as_long_as_its_recording() -> None:
    label = last_label([Spoken(seconds=2.0, label=(10, [1]))], STAMPED)
    assert label.targets == golden("S>L L>. T>@10 @10>1 1>@100 @100>E", 51866).targets


def test_no_answer_of_a_teacher_breaks_a_label() -> None:
    """Any order of text, timestamps and special tokens, in recordings of any length, truncated or not."""
    source = np.random.default_rng(0)
    for _ in range(500):
        tokens = source.choice([7, 8, V3.sot, V3.no_speech, *range(V3.timestamp_begin, V3.size, 50)], 12)
        spoken = [
            Spoken(
                seconds=float(source.uniform(0.1, 6.0)),
                label=(tokens[:length].tolist(),),
                truncated=bool(source.random() < 0.3),
            )
            for length in source.integers(0, 13, 4)
        ]
        windows = windows_of(spoken)
        for form in (STAMPED, PLAIN_PROMPTED, WindowForm(timestamps=True, speed=0.9)):
            for index in range(len(windows)):
                label = label_of(windows, index, form, V3)
                stamps = [token for token in label.inputs if V3.is_timestamp(token)]
                assert stamps == sorted(stamps)
                assert len(label.inputs) == len(label.targets) == len(label.times)


def test_times_after_the_end_of_a_recording_are_moved_to_it() -> None:
    """The teacher hears padding after a recording, and may write a time that lies in it."""
    label = last_label([Spoken(seconds=1.0, label=(0, [1], 70)), FIRST], STAMPED)
    assert label.targets[2:6] == golden("T>@0 @0>1 1>@50 @50>@50", 51866).targets


def test_timestamps_need_labels_that_have_them() -> None:
    label = last_label([FIRST, Spoken(seconds=1.0, label=([13],))], STAMPED)
    assert label.inputs == golden("S>L L>. T>. N>11 11>12 12>13 13>E", 51866).inputs


def test_a_prompt_without_timestamps_goes_with_an_answer_that_has_them() -> None:
    label = last_label([Spoken(seconds=29.5, label=([5],)), FIRST], STAMPED_PROMPTED)
    assert label.inputs == golden("P>. 5>. S>L L>. T>@0 @0>11 11>12 12>@40 @40>E", 51866).inputs


def test_a_prompt_keeps_its_newest_223_tokens() -> None:
    before = Spoken(seconds=29.5, label=(0, list(range(250)), 50))
    label = last_label([before, FIRST], PLAIN_PROMPTED)
    assert label.inputs[:224] == (SPECIAL[51866]["P"], *range(27, 250))
    assert label.inputs[224] == SPECIAL[51866]["S"]


def test_a_prompt_keeps_no_more_than_fits() -> None:
    before = Spoken(seconds=29.5, label=(0, list(range(250)), 50))
    windows = windows_of([before, Spoken(seconds=29.0, label=(0, [9] * 400, 50))])
    label = label_of(windows, 1, PLAIN_PROMPTED, V3)
    assert len(label.inputs) == MAX_TARGET
    assert label.inputs[: 1 + 43] == (SPECIAL[51866]["P"], *range(207, 250))


def test_a_full_answer_leaves_no_room_for_a_prompt() -> None:
    windows = windows_of([BEFORE, Spoken(seconds=29.0, label=(0, [9] * 442, 50))])
    label = label_of(windows, 1, STAMPED_PROMPTED, V3)
    assert label.inputs[0] == SPECIAL[51866]["S"]
    assert len(label.inputs) == MAX_TARGET - 1


def test_silence_before_is_no_prompt() -> None:
    label = last_label([Spoken(seconds=29.5, label=(0,)), FIRST], PLAIN_PROMPTED)
    assert label.inputs[0] == SPECIAL[51866]["S"]


def test_timestamps_follow_the_speed() -> None:
    label = last_label([FIRST, SECOND], WindowForm(timestamps=True, speed=1.25))
    stamps = [round(V3.seconds(token), 2) for token in label.inputs if V3.is_timestamp(token)]
    assert stamps == [0.0, 0.64, 0.96, 1.6, 1.76, 2.24]


def test_another_spelling_is_used_where_it_fits() -> None:
    windows = windows_of([Spoken(seconds=29.0, label=(0, [9] * 300, 50))])
    twice = window_label(windows[0], None, PLAIN, V3, lambda tokens: (*tokens, *tokens[:100]))
    assert len(twice.inputs) == 4 + 400
    kept = window_label(windows[0], None, PLAIN, V3, lambda tokens: tokens * 2)
    assert len(kept.inputs) == 4 + 300


def test_equal_names_have_equal_inputs() -> None:
    windows = windows_of([BEFORE, FIRST])
    labels = [label_of(windows, 1, form, V3) for form in (STAMPED, PLAIN, STAMPED_PROMPTED, PLAIN_PROMPTED)]
    names = [variant_name(windows[1].key, label) for label in labels]
    assert len(set(names)) == 4
    assert variant_name(windows[1].key, label_of(windows, 1, PLAIN, V3)) == names[1]
    assert variant_name(windows[1].key, labels[0], changed_in=1) not in names


def many(count: int) -> tuple[PackedWindow, ...]:
    return windows_of([Spoken(seconds=0.1)] * count, method="none")


def test_shares_of_forms_are_the_recipes_and_independent() -> None:
    windows = many(4001)[1:]  # the first has no window before it
    recipe = make_recipe(pack=PackOptions(timestamp_probability=0.2, prompt_probability=0.5))
    forms = np.array(
        [(form.timestamps, form.prompted) for form in (draw_form(w, recipe, 0) for w in windows)]
    )
    stamped, prompted = forms.mean(axis=0)
    both = forms.all(axis=1).mean()
    deviation = 4 * np.sqrt(0.25 / len(windows))
    assert stamped == pytest.approx(0.2, abs=deviation)
    assert prompted == pytest.approx(0.5, abs=deviation)
    assert both == pytest.approx(0.1, abs=deviation)


def test_forms_are_drawn_anew_in_every_epoch_and_by_every_seed() -> None:
    windows = many(200)
    recipe = make_recipe()
    other = make_recipe(distil=DistilOptions(seed=2))
    draws = [
        tuple(draw_form(window, made, epoch) for window in windows)
        for made, epoch in ((recipe, 0), (recipe, 1), (recipe, 2), (other, 0))
    ]
    assert len(set(draws)) == 4
    assert tuple(draw_form(window, recipe, 1) for window in reversed(windows)) == draws[1][::-1]


def test_a_window_without_a_predecessor_is_never_prompted() -> None:
    recipe = make_recipe(pack=PackOptions(prompt_probability=1.0))
    first, second = many(2)
    assert not draw_form(first, recipe, 0).prompted
    assert draw_form(second, recipe, 0).prompted


def test_a_slower_window_stays_under_30_seconds() -> None:
    recipe = make_recipe(augment=AugmentOptions(speed_probability=1.0, speed=(0.5, 0.6)))
    (long,) = windows_of([Spoken(seconds=29.0)])
    (short,) = windows_of([Spoken(seconds=3.0)])
    assert draw_form(long, recipe, 0).speed == pytest.approx(29.0 / 30.0)
    assert 0.5 <= draw_form(short, recipe, 0).speed <= 0.6


DRAWS = """
from distilcli.trainer.variants import generator
print([generator(7, 3, key, "form").random(3).tolist() for key in ("a", "b")])
"""


def test_other_processes_draw_the_same_and_no_two_windows_share_a_draw() -> None:
    here = [generator(7, 3, key, "form").random(3).tolist() for key in ("a", "b")]
    there = [
        subprocess.run(
            [sys.executable, "-c", DRAWS], capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert there == [str(here)] * 2
    firsts = {generator(7, epoch, str(key), "form").random() for epoch in range(20) for key in range(50)}
    assert len(firsts) == 1000
