"""Which windows a step learns: the orders of all epochs, one after the other.

It knows numbers of windows and seeds; it does not know windows or batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from distilcli.errors import NoInputError
from distilcli.trainer.window_batches import epoch_order


@dataclass(frozen=True, slots=True)
class Place:
    """How far a run has come: `taken` windows of an epoch's order."""

    epoch: int = 0
    taken: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """The windows of one step, all of one epoch, and the place behind them."""

    epoch: int
    windows: tuple[int, ...]
    after: Place


@dataclass(kw_only=True, slots=True)
class Cursor:
    """Deals windows by their weights; where an epoch ends, a step has fewer windows.

    Raises:
        NoInputError: no window has a weight above 0.
    """

    weights: Sequence[float]
    """How often each window occurs per epoch."""
    seed: int
    _orders: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not any(weight > 0 for weight in self.weights):
            raise NoInputError("no window is left to learn from: the weights of all their sources are 0")

    def take(self, place: Place, count: int) -> Taken:
        """Returns the next `count` windows from `place` on, or what is left of its epoch."""
        order = self._order(place.epoch)
        while place.taken >= len(order):
            place = Place(place.epoch + 1)
            order = self._order(place.epoch)
        windows = order[place.taken : place.taken + count]
        return Taken(epoch=place.epoch, windows=windows, after=Place(place.epoch, place.taken + len(windows)))

    def progress(self, place: Place) -> float:
        """Epochs done, with the part of the present one."""
        return place.epoch + place.taken / max(len(self._order(place.epoch)), 1)

    def _order(self, epoch: int) -> tuple[int, ...]:
        """The windows of an epoch; the latest two are kept."""
        if epoch not in self._orders:
            self._orders = {number: order for number, order in self._orders.items() if number == epoch - 1}
            order = epoch_order(len(self.weights), self.seed, epoch, self.weights)
            self._orders[epoch] = tuple(int(number) for number in order)
        return self._orders[epoch]


def share(windows: Sequence[int], batch_size: int, rank: int, world: int) -> list[tuple[int, ...]]:
    """Returns the micro-batches of one process: every `world`-th slice of `batch_size` windows."""
    first = range(rank * batch_size, len(windows), world * batch_size)
    return [tuple(windows[start : start + batch_size]) for start in first]
