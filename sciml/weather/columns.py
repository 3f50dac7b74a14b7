"""Which column of a network is which channel: names that travel with the weights."""

import json
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn


@final
class Columns(nn.Module):
    """Names of a network's inputs and outputs, held as bytes and so in every checkpoint.

    Args:
        inputs: in the order of the input columns, forcings last but for what the network adds.
        outputs: in the order of the output columns.
    """

    def __init__(self, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        super().__init__()
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        text = json.dumps({"inputs": self.inputs, "outputs": self.outputs}).encode()
        self.register_buffer("text", torch.tensor(list(text), dtype=torch.uint8))


def names_in(text: Tensor) -> dict[str, tuple[str, ...]]:
    """The names by "inputs" and "outputs", from the bytes of a checkpoint."""
    read = json.loads(bytes(text.cpu().tolist()))
    return {side: tuple(read[side]) for side in ("inputs", "outputs")}


def forcing_names(forcings: int | Sequence[str]) -> tuple[str, ...]:
    """The names, or "forcing 0", "forcing 1" … where only their number is known."""
    if isinstance(forcings, int):
        return tuple(f"forcing {i}" for i in range(forcings))
    return tuple(forcings)
