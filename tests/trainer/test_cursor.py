"""The order of windows: every epoch whole, every process its share, the same from any place on."""

from __future__ import annotations

from collections import Counter

import pytest

from distilcli.errors import NoInputError
from distilcli.trainer.cursor import Cursor, Place, share


def taken(cursor: Cursor, place: Place, steps: int, count: int) -> list[tuple[int, tuple[int, ...], Place]]:
    """Epoch, windows and the place behind them, of several steps."""
    found = []
    for _ in range(steps):
        one = cursor.take(place, count)
        place = one.after
        found.append((one.epoch, one.windows, place))
    return found


def test_every_epoch_has_every_window_once_in_an_order_of_its_own() -> None:
    steps = taken(Cursor(weights=[1.0] * 7, seed=3), Place(), 6, 3)
    assert [(epoch, len(windows)) for epoch, windows, _ in steps] == [
        (0, 3),
        (0, 3),
        (0, 1),
        (1, 3),
        (1, 3),
        (1, 1),
    ]
    orders = [[number for epoch, windows, _ in steps if epoch == one for number in windows] for one in (0, 1)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(7))
    assert orders[0] != orders[1]


def test_going_on_from_a_place_deals_the_same_windows() -> None:
    whole = taken(Cursor(weights=[1.0] * 7, seed=3), Place(), 6, 3)
    for number in range(5):
        assert (
            taken(Cursor(weights=[1.0] * 7, seed=3), whole[number][2], 5 - number, 3) == whole[number + 1 :]
        )


def test_weights_say_how_often_a_window_occurs() -> None:
    cursor = Cursor(weights=[2.0, 1.0, 0.0, 0.5], seed=1)
    counts: Counter[int] = Counter()
    place = Place()
    while place.epoch < 40:
        one = cursor.take(place, 10)
        place = one.after
        counts.update(one.windows if one.epoch < 40 else ())
    assert (counts[0], counts[1], counts[2]) == (80, 40, 0)
    assert 8 <= counts[3] <= 32


def test_progress_counts_epochs() -> None:
    assert Cursor(weights=[1.0] * 4, seed=0).progress(Place(2, 3)) == 2.75


def test_no_weight_above_zero_is_nothing_to_learn() -> None:
    with pytest.raises(NoInputError, match="no window"):
        Cursor(weights=[0.0, 0.0], seed=1)


@pytest.mark.parametrize(("world", "batch_size"), [(1, 4), (2, 2), (4, 1), (2, 8), (3, 3)])
@pytest.mark.parametrize("count", [1, 4, 8, 11])
def test_processes_share_a_step_without_gap_or_overlap(world: int, batch_size: int, count: int) -> None:
    windows = list(range(count))
    shares = [share(windows, batch_size, rank, world) for rank in range(world)]
    dealt = [number for one in shares for batch in one for number in batch]
    assert sorted(dealt) == windows
    assert all(len(batch) <= batch_size for one in shares for batch in one)
