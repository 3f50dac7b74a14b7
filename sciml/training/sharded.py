"""Parameters cut over the ranks (FSDP): each holds its piece of every tensor and of its moments.

A layer is put together where it is used, and its gradient is averaged over ranks into the pieces
while the backward pass goes on. Checkpoints are those of one process: rank 0 writes whole tensors,
and every rank takes its pieces from them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import torch
from pytorch_lightning.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


@final
class Sharded(ModelParallelStrategy):
    """Lightning's FSDP2, with checkpoints of whole tensors in the format of one process."""

    def __init__(self, ranks: int) -> None:
        super().__init__(ranks, 1, save_distributed_checkpoint=False)

    @property
    def lightning_restore_optimizer(self) -> bool:
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        return whole(self.lightning_module.state_dict(), self.is_global_zero)

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        return whole(getattr(optimizer, "optimizer", optimizer).state_dict(), self.is_global_zero)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> Any:
        return self.checkpoint_io.load_checkpoint(Path(checkpoint_path))

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        own = self.lightning_module.state_dict()
        pieces = {
            name: _cut(value, own.get(name)) for name, value in checkpoint["state_dict"].items()
        }
        self.lightning_module.load_state_dict(pieces, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        states = checkpoint["optimizer_states"]
        for optimizer, state in zip(self.optimizers, states, strict=True):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            moments = {
                number: {name: _cut(value, parameters[number]) for name, value in of_one.items()}
                for number, of_one in state["state"].items()
            }
            optimizer.load_state_dict({**state, "state": moments})


def shard(module: nn.Module, mesh: DeviceMesh) -> None:
    """Cuts the parameters in place: those of every member of a list of layers together, then what
    is left.
    """
    for part in list(module.modules()):
        if isinstance(part, nn.ModuleList):
            for layer in part:
                if any(True for _ in layer.parameters()):
                    fully_shard(layer, mesh=mesh)
    fully_shard(module, mesh=mesh)


def is_sharded(module: nn.Module) -> bool:
    """Whether parameters of it are cut over ranks."""
    return any(isinstance(parameter, DTensor) for parameter in module.parameters())


def local(tensor: Tensor) -> Tensor:
    """This rank's piece of a tensor; the tensor itself where it is whole."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def norm(tensors: list[Tensor]) -> Tensor:
    """The Euclidean norm of all entries of all ranks."""
    total = torch.nn.utils.get_total_norm(tensors)
    return total.full_tensor() if isinstance(total, DTensor) else total


def whole(state: Any, wanted: bool = True) -> Any:
    """With whole tensors on the processor; all ranks take part, and where not wanted let go."""
    if isinstance(state, DTensor):
        full = state.full_tensor()
        return full.cpu() if wanted else None
    if isinstance(state, Mapping):
        return {key: whole(value, wanted) for key, value in state.items()}
    return state


def _cut(value: Any, like: Any) -> Any:
    """This rank's piece of a whole tensor, cut as another of the same shape; all else as it is."""
    if not isinstance(like, DTensor) or getattr(value, "shape", None) != like.shape:
        return value
    value = value.to(like.device)
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)
