"""The trained model as the judge of every exported file: same numbers on three batch sizes."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sciml.contracts import Surrogate, UserError
from sciml.export.reader import Run, difference


@dataclass(frozen=True)
class Reference:
    """The trained model in evaluation mode on the CPU, and the sample it is compared on."""

    module: nn.Module
    sample: Tensor
    output: Tensor
    tolerance: float

    def difference(self, run: Run, dtype: np.dtype) -> float:
        """Largest relative difference over the sample, one row, and a batch of another size."""
        batches = (self.sample, self.sample[:1], torch.cat([self.sample.flip(0), self.sample[:3]]))
        return max(
            difference(
                run(batch.numpy().astype(dtype)),
                evaluate(self.module, batch).numpy(),
                self.output.numpy(),
            )
            for batch in batches
        )


def reference(surrogate: Surrogate) -> Reference:
    """A copy of the model: float64 if any parameter or buffer is, else float32.

    Raises:
        UserError: sample, output and their names do not belong together.
    """
    tensors = [*surrogate.module.parameters(), *surrogate.module.buffers()]
    double = any(tensor.dtype == torch.float64 for tensor in tensors)
    dtype = torch.float64 if double else torch.float32
    module = copy.deepcopy(surrogate.module).cpu().to(dtype).eval().requires_grad_(False)
    sample = surrogate.sample.detach().cpu().to(dtype).contiguous()
    _check("input", sample, list(surrogate.inputs))
    output = evaluate(module, sample)
    _check("output", output, list(surrogate.outputs))
    if len(sample) < 2 or len(output) != len(sample):
        raise UserError(
            f"export: expected a sample [n, …] with n >= 2 and as many outputs, got "
            f"{list(sample.shape)} and {list(output.shape)}; the first axis is the batch"
        )
    if not torch.isfinite(output).all():
        raise UserError("export: the model's output on the sample is not finite; train it first")
    return Reference(module, sample, output, surrogate.tolerance)


def evaluate(module: nn.Module, x: Tensor) -> Tensor:
    """The module's output without gradients."""
    with torch.no_grad():
        return module(x).contiguous()


def _check(what: str, tensor: Tensor, names: list[str]) -> None:
    if tensor.ndim < 2 or tensor.shape[1] != len(names):
        raise UserError(
            f"export: expected the {what} as [n, {len(names)}, …] for {', '.join(names)}, "
            f"got {list(tensor.shape)}; name every column once"
        )
