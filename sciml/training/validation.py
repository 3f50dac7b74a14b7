"""What validation reports: the held-out terms, their sum, and the metric's values."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from sciml.contracts import Metric, Objective
from sciml.training.means import Means

HELD_OUT = "held_out"


def statistics(
    model: nn.Module, objective: Objective, metric: Metric | None, batch: Any
) -> dict[str, tuple[Tensor, Tensor]]:
    """Sums and weights of one held-out batch: its terms (`held_out/…`) and the metric's own.

    Terms are means over the batch and weigh as many samples as it has, where it has a length.
    Gradients are on: a residual is made of derivatives.
    """
    with torch.enable_grad():
        terms = {name: term.detach() for name, term in objective(model, batch).items()}
        found = {} if metric is None else metric.statistics(model, batch)
    n = len(batch) if hasattr(batch, "__len__") else 1
    held_out = {
        f"{HELD_OUT}/{name}": (n * term, n * torch.ones_like(term)) for name, term in terms.items()
    }
    return held_out | found


def values(
    means: Means,
    metric: Metric | None,
    add_over_ranks: Callable[[Tensor], Tensor],
    names_of_ranks: Callable[[list[str]], list[str]] = lambda names: names,
) -> dict[str, float]:
    """The mean held-out terms, their plain sum `held_out`, and the metric's values."""
    found = means.value(add_over_ranks, names_of_ranks)
    held_out = {name: value for name, value in found.items() if name.startswith(f"{HELD_OUT}/")}
    judged = {} if metric is None else metric.value(found)
    return {HELD_OUT: sum(held_out.values()), **held_out, **judged}


def held_out(model: nn.Module, objective: Objective, batches: Iterable[Any]) -> float:
    """The plain sum of the terms, mean over the held-out batches; no gradient."""
    training = objective.training, model.training
    objective.eval()
    model.eval()
    with torch.no_grad():
        every = [sum(objective(model, batch).values()) for batch in batches]
    objective.train(training[0])
    model.train(training[1])
    return float(sum(every)) / len(every)
