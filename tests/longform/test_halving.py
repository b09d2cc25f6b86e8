"""Batches that do not fit a device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from distilcli.audio import from_array
from distilcli.errors import OutOfMemory
from distilcli.longform.halving import with_halving
from distilcli.types import Hypothesis, Span, Window

AUDIO = from_array(np.zeros(16_000, np.float32), "silence")


def windows(count: int) -> list[Window]:
    return [Window(AUDIO, Span(float(number), number + 1.0)) for number in range(count)]


class Device:
    """Holds `room` windows; answers with the second at which a window starts."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.batches: list[int] = []

    def decode(self, batch: Sequence[Window], temperature: float) -> list[Hypothesis]:
        self.batches.append(len(batch))
        if len(batch) > self.room:
            raise OutOfMemory("the device is out of memory")
        return [Hypothesis((round(window.span.start),), 0.0, 0.0, temperature) for window in batch]


def test_every_window_is_answered_in_order_and_the_size_is_kept() -> None:
    device, said = Device(3), list[str]()
    decode = with_halving(device.decode, said.append)
    assert [answer.tokens for answer in decode(windows(16), 0.2)] == [(number,) for number in range(16)]
    assert device.batches == [16, 8, 4, *[2] * 8]
    assert said == [
        f"the device is out of memory with {size} windows at once; going on with {size // 2}"
        for size in (16, 8, 4)
    ]
    decode(windows(4), 0.0)
    assert device.batches[-2:] == [2, 2]


def test_one_window_that_does_not_fit_is_an_error() -> None:
    decode = with_halving(Device(0).decode, lambda message: None)
    with pytest.raises(OutOfMemory):
        decode(windows(2), 0.0)


def test_no_window_is_no_work() -> None:
    device = Device(1)
    assert with_halving(device.decode, lambda message: None)([], 0.0) == []
    assert device.batches == []
