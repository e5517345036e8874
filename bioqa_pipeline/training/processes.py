"""The processes of a torchrun as one: which of them this is, and the few things that they tell each other."""

from __future__ import annotations

import atexit
import os
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

# The others wait while the first one fits the threshold of a teacher.
PATIENCE = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among `count`; alone where there was no torchrun."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all have come to here."""
        self.agreed(0.0)

    def agreed(self, value: float) -> float:
        """The first process's value, told without the device."""
        if self.count == 1:
            return value
        told = torch.tensor(value, dtype=torch.float64)
        distributed.broadcast(told, src=0)
        return float(told)

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """Of the values of all processes."""
        if self.count == 1:
            return value
        total = value.clone()
        distributed.all_reduce(total)
        return total / self.count

    def wrapped(self, model: torch.nn.Module) -> torch.nn.Module:
        """The model, with gradients that are the mean over all processes."""
        return DistributedDataParallel(model) if self.count > 1 else model


def join_processes(device: str) -> tuple[Processes, str]:
    """This process's place in its torchrun, if there is one, and the device that it takes."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes(), device
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        backend = "gloo" if device == "cpu" else "cpu:gloo,cuda:nccl"
        distributed.init_process_group(backend, timeout=PATIENCE)
        atexit.register(distributed.destroy_process_group)
    return Processes(distributed.get_rank(), count), device
