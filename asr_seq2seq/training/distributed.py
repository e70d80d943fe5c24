"""Several processes that train one model, on one machine or many; torchrun starts them.

What they have to agree on is small, so it is done here by hand and not by a wrapper of the network:
sums of a few numbers before each step, and of the gradients, as one flat tensor, after it. A process
that has run out of batches takes part with zeros, and every character weighs the same whichever
process read it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from asr_seq2seq.errors import AsrError, ConfigError, brief

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class DistributedContext:
    """This process among those that train together; alone it is number 0 of 1."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one process that writes and talks."""
        return self.rank == 0

    def sum(self, numbers: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.size > 1:
            with _talking():
                dist.all_reduce(numbers)
        return numbers

    def sum_gradients(self, parameters: Iterable[nn.Parameter], divisor: float) -> None:
        """Replace gradients by their sums over all processes, divided by `divisor`."""
        learned = [p for p in parameters if p.requires_grad]
        for parameter in learned:
            if parameter.grad is None:  # this process had no batch left
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in learned if p.grad is not None]
        if self.size > 1:
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            with _talking():
                dist.all_reduce(flat)
            start = 0
            for gradient in gradients:
                gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
                start += gradient.numel()
        torch._foreach_div_(gradients, divisor)

    def gather(self, values: list[_Value]) -> list[_Value]:
        """The values of all processes, in the order of their numbers."""
        if self.size == 1:
            return values
        found: list[list[_Value]] = [[] for _ in range(self.size)]
        with _talking():
            dist.all_gather_object(found, values)
        return [value for of_one in found for value in of_one]

    def from_leader(self, value: _Value) -> _Value:
        """What the leading process holds; the others need not have it."""
        if self.size == 1:
            return value
        box = [value]
        with _talking():
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def close(self) -> None:
        """Leave the others."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()


@contextmanager
def _talking() -> Iterator[None]:
    """Say it in one sentence where another process has gone: its own message says why."""
    try:
        yield
    except RuntimeError as error:  # what all backends raise of a broken connection
        reason = brief(str(error).partition("\n")[0], 100)
        raise AsrError(f"another process of this training has ended ({reason}); see its message") from error


def join_processes(device: str) -> tuple[DistributedContext, str]:
    """The context of this process by the variables that torchrun sets, and the device that it is to use."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return DistributedContext(), device
    cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if cuda and local >= torch.cuda.device_count():
        raise ConfigError(
            f"torchrun started a process number {local} here and there are {torch.cuda.device_count()} GPUs; "
            "give --nproc-per-node no more than that"
        )
    if cuda:
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if cuda else "gloo")
    return DistributedContext(dist.get_rank(), size), f"cuda:{local}" if cuda else "cpu"
