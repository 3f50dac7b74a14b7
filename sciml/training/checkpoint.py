"""Checkpoints never half-written: saved beside the target, synced, renamed; the old is kept."""

from pathlib import Path
from typing import Any, final

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import CheckpointIO

from sciml import atomic
from sciml.contracts import UserError

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"


@final
class AtomicCheckpointIO(CheckpointIO):
    """A whole file stands at `path` at every moment; `last.ckpt` stays as `previous.ckpt`."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        target = Path(path)
        with atomic.replacing(target) as temporary:
            save(checkpoint, temporary)
            if target.name == LAST:
                atomic.keep_as(target, target.with_name(PREVIOUS))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return torch.load(path, map_location=map_location or "cpu", weights_only=True)

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def save(checkpoint: dict[str, Any], path: Path) -> None:
    """`torch.save` whose complaint about a full disk is an `OSError`, as everywhere else."""
    try:
        with path.open("wb") as file:
            torch.save(checkpoint, file)
    except RuntimeError as error:
        raise OSError(atomic.reason(error)) from error


def newest(folder: Path) -> Path | None:
    """`last.ckpt`, or `previous.ckpt` where that does not load; None where there is neither.

    Raises:
        UserError: there are checkpoints and none of them loads.
    """
    broken = []
    for path in (folder / LAST, folder / PREVIOUS):
        if path.exists():
            try:
                load(path)
                return path
            except UserError as error:
                broken.append(str(error))
    if broken:
        raise UserError(f"no checkpoint in {folder} can be read: {'; '.join(broken)}")
    return None


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint of plain tensors and containers; nothing is unpickled.

    Raises:
        UserError: the file is missing, truncated or not a checkpoint of ours.
    """
    if not path.exists():
        raise UserError(f"checkpoint {path} does not exist")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(
            f"checkpoint {path} is truncated or no checkpoint ({atomic.reason(error)}); "
            "delete it to start again"
        ) from error
    if not isinstance(checkpoint, dict) or not {"state_dict", "global_step"} <= set(checkpoint):
        raise UserError(
            f"checkpoint {path} was not written by sciml: no state_dict and global_step in it"
        )
    return checkpoint


def require_same_network(checkpoint: dict[str, Any], fit: pl.LightningModule, path: Path) -> None:
    """Refuse a checkpoint whose model parameters differ in name or shape from `fit`'s.

    Raises:
        UserError: names the first parameter that differs.
    """
    ours = shapes(fit.state_dict())
    theirs = shapes(checkpoint["state_dict"])
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            raise UserError(
                f"checkpoint {path} is of another network: {name} is "
                f"{describe(theirs.get(name))} in the checkpoint and {describe(ours.get(name))} "
                "in the config; use the run's own config.yaml"
            )


def shapes(state: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """Shape by name of the model's part of a state."""
    return {name: tuple(value.shape) for name, value in state.items() if name.startswith("model.")}


def describe(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else f"of shape {list(shape)}"
