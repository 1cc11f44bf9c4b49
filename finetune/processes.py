"""Several processes, one run: `accelerate launch` or `torchrun` start them, gradients are summed.

Each process knows the whole step, takes its share of the samples, and divides by the weight of
all of them: the sum of the gradients then is what one process would have got. No wrapper lies
around the model, and one process pays nothing.
"""

import os
from collections.abc import Sequence

import torch


class Group:
    """The processes of this run; `Group.join` is called once, before anything else of torch."""

    def __init__(self, size: int = 1, rank: int = 0) -> None:
        self.size = size
        self.rank = rank

    @classmethod
    def join(cls, device: torch.device) -> "Group":
        """This process's group, of one unless a launcher started several."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        from accelerate import PartialState

        state = PartialState(cpu=device.type == "cpu")
        return cls(state.num_processes, state.process_index)

    @property
    def first(self) -> bool:
        return self.rank == 0

    def sum(self, tensors: Sequence[torch.Tensor]) -> None:
        """Add up what all processes have, in place, in one message."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        torch.distributed.all_reduce(flat)
        pieces = flat.split([tensor.numel() for tensor in tensors])
        for tensor, piece in zip(tensors, pieces, strict=True):
            tensor.copy_(piece.view_as(tensor))

    def agree(self, values: Sequence[float], device: torch.device) -> list[float]:
        """What the first process has: clocks differ, and all must do the same."""
        if self.size == 1:
            return list(values)
        told = torch.tensor(values, dtype=torch.float64, device=device)
        torch.distributed.broadcast(told, 0)
        return told.tolist()

    def wait(self) -> None:
        if self.size > 1:
            torch.distributed.barrier()

    def leave(self) -> None:
        if self.size > 1 and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
