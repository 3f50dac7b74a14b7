"""The ranks of a command that trains nothing, such as a forecast: who there is, and one meeting."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch.distributed as dist
from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

from sciml.contracts import Team, UserError


@final
@dataclass(frozen=True)
class Joined:
    """`contracts.Team` of a process group.

    Args:
        rank: number of this process.
        ranks: how many there are.
    """

    rank: int
    ranks: int

    def agree(self, told: Any = None, failure: str | None = None) -> list[Any]:
        """Waits for all; what each told. Raises on each where one has failed.

        Raises:
            UserError: what the first of them said.
        """
        every: list[Any] = [(told, failure)]
        if self.ranks > 1:
            every = [None] * self.ranks
            dist.all_gather_object(every, (told, failure))
        for _, said in every:
            if said is not None:
                raise UserError(said)
        return [one for one, _ in every]


@contextmanager
def joined() -> Iterator[Team]:
    """The processes that srun or torchrun has started with this one; itself alone where none."""
    environment = _environment()
    if environment is None:
        yield Joined(0, 1)
        return
    rank, ranks = environment.global_rank(), environment.world_size()
    address = f"tcp://{environment.main_address}:{environment.main_port}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=ranks)
    try:
        yield Joined(rank, ranks)
    finally:
        dist.destroy_process_group()


def _environment() -> Any:
    if TorchElasticEnvironment.detect() and int(os.environ["WORLD_SIZE"]) > 1:
        return TorchElasticEnvironment()
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1 and SLURMEnvironment.detect():
        return SLURMEnvironment(auto_requeue=False)
    return None
