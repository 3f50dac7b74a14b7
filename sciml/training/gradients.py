"""`gradients.npz`: histograms of the gradients by term and layer at start, middle and end.

This is the diagnostic of Wang, Teng & Perdikaris (2021): where the gradients of one term crowd at
zero while another's spread, training is unbalanced. Counted is what the optimiser sees,
w_k ∂L_k/∂θ.
"""

import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any, final

import numpy as np
import pytorch_lightning as pl
from torch import Tensor

from sciml import atomic
from sciml.contracts import Direction, UserError
from sciml.training.fit import Fit
from sciml.training.step import Step
from sciml.training.vectors import unflatten

STAGES = ("start", "middle", "end")


@final
class GradientHistograms(pl.Callback):
    """Keeps histograms of the weighted gradient rows of the first, middle and last step.

    Args:
        path: the `.npz` file; a resumed run adds to what is there.
        bins: number of bins, shared by all terms of a parameter within a stage.
    """

    def __init__(self, path: Path, bins: int = 101) -> None:
        self.path, self.bins = path, bins
        self.stages: dict[int, str] = {}

    def on_fit_start(self, trainer: pl.Trainer, module: Fit) -> None:
        last = module.steps - 1
        self.stages = dict(zip((0, last // 2, last), STAGES, strict=True))
        module.watchers.append(self.stages.__contains__)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Fit, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        step = module.latest
        if trainer.is_global_zero and step.index in self.stages and step.has_rows:
            stage = self.stages[step.index]
            weights = module.latest_weights
            self._keep(stage, step, {} if isinstance(weights, Direction) else weights)

    def _keep(self, stage: str, step: Step, weights: dict[str, Tensor]) -> None:
        arrays, index = read(self.path)
        for name, row in zip(step.losses, step.rows(), strict=True):
            for parameter, values in unflatten(row, step.parameters).items():
                key = f"{stage}_{parameter}"
                weighted = (weights.get(name, 1.0) * values).detach().flatten().cpu().numpy()
                arrays.setdefault(f"values_{key}", {})[name] = weighted
        histograms = {k: v for k, v in arrays.items() if not k.startswith("values_")}
        for key in [k for k in arrays if k.startswith("values_")]:
            histograms |= histogram(key.removeprefix("values_"), arrays[key], self.bins)
        index["stages"][stage] = step.index
        index["terms"] = list(dict.fromkeys([*index["terms"], *step.losses]))
        index["parameters"] = list(dict.fromkeys([*index["parameters"], *step.parameters]))
        buffer = io.BytesIO()
        np.savez_compressed(buffer, index=np.array(json.dumps(index)), **histograms)
        with suppress(UserError):  # the next save says that the disk is full, and to all ranks
            atomic.write(self.path, buffer.getvalue())


def histogram(key: str, values: dict[str, np.ndarray], bins: int) -> dict[str, np.ndarray]:
    """Counts per term over common symmetric bins that hold every value."""
    largest = max(float(np.abs(value).max()) for value in values.values()) or 1.0
    edges = np.linspace(-largest, largest, bins + 1)
    stage, parameter = key.split("_", 1)
    counts = {
        f"counts_{stage}_{term}_{parameter}": np.histogram(value, edges)[0]
        for term, value in values.items()
    }
    return {f"edges_{stage}_{parameter}": edges, **counts}


def read(path: Path) -> tuple[dict, dict]:
    """Arrays and index of an earlier stage; empty where there is none."""
    if not path.exists():
        return {}, {"stages": {}, "terms": [], "parameters": []}
    with np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files if key != "index"}
        return arrays, json.loads(str(file["index"]))
