"""Which device this process computes on, and sums over the processes of a run (Accelerate, torchrun).

It knows processes and tensors; it does not know models.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from distilcli.errors import EnvironmentProblem

BUCKET = 1 << 24
"""Gradient elements that travel together: 64 MB of float32."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """One process of `world` that train together, and its device."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and reports."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Adds a tensor up over all processes; the same bits on each of them."""
        if self.world == 1:
            return values
        from accelerate.utils import reduce  # type: ignore[import-untyped]  # no type information

        summed: Tensor = reduce(values, reduction="sum")
        return summed

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replaces every gradient by its sum over all processes; a missing one counts as 0."""
        if self.world == 1:
            return
        bucket: list[Tensor] = []
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            if bucket and sum(map(torch.numel, bucket)) + parameter.numel() > BUCKET:
                self._sum_bucket(bucket)
                bucket = []
            bucket.append(parameter.grad)
        self._sum_bucket(bucket)

    def _sum_bucket(self, gradients: list[Tensor]) -> None:
        """Sums several tensors in one message."""
        flat = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(gradients, flat.split([one.numel() for one in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def wait(self) -> None:
        """Waits until every process has come this far."""
        if self.world > 1:
            _state(self.device.type == "cpu").wait_for_everyone()


def open_ranks(device: str = "auto") -> Ranks:
    """Joins the other processes that `accelerate launch` or `torchrun` has started, if there are any.

    Args:
        device: auto (an accelerator where there is one), cpu, or a name of torch for a single process.

    Raises:
        EnvironmentProblem: the device is not there.
    """
    there = torch.accelerator.is_available()
    if device not in ("auto", "cpu") and not (there and _known(device)):
        raise EnvironmentProblem(
            f"distil.device is {device!r}, which this machine does not have",
            hint="set distil.device to auto or cpu",
        )
    state = _state(device == "cpu" or not there)
    named = device not in ("auto", "cpu") and state.num_processes == 1
    return Ranks(torch.device(device) if named else state.device, state.process_index, state.num_processes)


def _known(device: str) -> bool:
    """Whether a name is that of one of this machine's accelerators."""
    found = torch.accelerator.current_accelerator()
    kind, _, number = device.partition(":")
    if found is None or kind != found.type or not (number or "0").isdigit():
        return False
    return int(number or 0) < torch.accelerator.device_count()


def _state(cpu: bool) -> Any:  # untyped in the library
    """Accelerate's view of this process; made once per process."""
    from accelerate import PartialState  # type: ignore[import-untyped]  # no type information

    return PartialState(cpu=cpu)
