"""The drivers: order, batches, laziness."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from distilcli.longform.base import Flow, Step, drive, drive_many
from distilcli.types import Audio, Hypothesis, Segment, Span, Window

AUDIO = Audio("a", np.zeros(16_000 * 100, dtype=np.float32))


def _flow(name: str, counts: Sequence[int]) -> Flow:
    """Ask for windows in the given numbers; a segment's text repeats the answers it was made from."""
    ready: tuple[Segment, ...] = ()
    for turn, count in enumerate(counts):
        windows = tuple(Window(AUDIO, Span(turn, turn + index / 10)) for index in range(count))
        answers = yield Step(ready, windows, float(turn))
        text = " ".join(str(answer.tokens[0]) for answer in answers)
        ready = (Segment(f"{name}{turn}:{text}", Span(turn, turn + 1)),)
    yield Step(ready)


class Decoder:
    """Answers each window with a token made of its span; remembers the sizes of its batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, windows: Sequence[Window]) -> list[Hypothesis]:
        self.batches.append(len(windows))
        return [
            Hypothesis((round(one.span.start * 100 + one.span.duration * 10),), 0.0, 0.0) for one in windows
        ]


def test_drive_yields_segments_in_order() -> None:
    assert [one.text for one in drive(_flow("x", [1, 2, 1]), Decoder())] == ["x0:0", "x1:100 101", "x2:200"]


def test_windows_of_several_flows_share_batches() -> None:
    decode = Decoder()
    texts: dict[str, list[str]] = {"a": [], "b": [], "c": []}
    flows = [("a", _flow("a", [1, 1, 1])), ("b", _flow("b", [3])), ("c", _flow("c", [1, 1]))]
    for key, step in drive_many(flows, decode, batch_size=4):
        texts[key] += [one.text for one in step.ready] if step else ["end"]
    assert texts == {
        "a": ["a0:0", "a1:100", "a2:200", "end"],
        "b": ["b0:0 1 2", "end"],
        "c": ["c0:0", "c1:100", "end"],
    }
    assert sum(decode.batches) == 8
    assert max(decode.batches) == 4
    assert len(decode.batches) == 3


def test_a_need_larger_than_the_batch_is_answered_in_parts() -> None:
    decode = Decoder()
    assert [one.text for one in drive(_flow("x", [5]), decode)] == ["x0:0 1 2 3 4"]
    assert decode.batches == [1] * 5


def test_flows_are_started_only_when_there_is_room() -> None:
    started: list[str] = []

    def flows() -> Iterator[tuple[str, Flow]]:
        for name in "abc":
            started.append(name)
            yield name, _flow(name, [2, 2])

    run = drive_many(flows(), Decoder(), batch_size=2)
    next(run)
    assert started == ["a"]
    list(run)
    assert started == ["a", "b", "c"]


def test_a_flow_that_wants_nothing_ends() -> None:
    def empty() -> Flow:
        return
        yield Step()

    assert list(drive(empty(), Decoder())) == []
