"""A gradient row cut into the layers of the network, and the ratios of their magnitudes."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.contracts import UserError

#: A gradient row cut into layers: one vector of magnitudes |∂L/∂θ| per layer.
Layers = list[Float[Tensor, " _"]]


def global_ratio(residual: Layers, term: Layers) -> Float[Tensor, ""]:
    """max |g_r| over all entries divided by the mean of |g_k| over all entries: the paper's."""
    return torch.cat(residual).max() / torch.cat(term).mean()


def layer_mean_ratio(residual: Layers, term: Layers) -> Float[Tensor, ""]:
    """As `global_ratio`, but the mean is the unweighted mean over layers of the layers' means."""
    mean = torch.stack([layer.mean() for layer in term]).mean()
    return torch.cat(residual).max() / mean


def largest_layer_ratio(residual: Layers, term: Layers) -> Float[Tensor, ""]:
    """The largest over layers of max |g_r| / mean |g_k| within the layer."""
    ratios = [r.max() / k.mean() for r, k in zip(residual, term, strict=True)]
    return torch.stack(ratios).max()


REDUCTIONS: Mapping[str, Callable[[Layers, Layers], Tensor]] = {
    "global": global_ratio,
    "layer_mean": layer_mean_ratio,
    "layer_ratio_max": largest_layer_ratio,
}


def cuts(parameters: Mapping[str, Tensor], matrices_only: bool) -> list[list[slice]]:
    """Slices of a gradient row, grouped by layer (the module that owns the parameters).

    Args:
        parameters: in the order of the row.
        matrices_only: leave out all but the weight matrices of the main stack.

    Raises:
        UserError: nothing is left.
    """
    layers: dict[str, list[slice]] = {}
    start = 0
    for name, parameter in parameters.items():
        cut = slice(start, start + parameter.numel())
        start = cut.stop
        if not matrices_only or is_main_weight(name, parameter):
            layers.setdefault(name.rpartition(".")[0], []).append(cut)
    if not layers:
        raise UserError("balancer: params=weights finds no weight matrix; set balancer.params=all")
    return list(layers.values())


def is_main_weight(name: str, parameter: Tensor) -> bool:
    """True for a weight matrix of the main stack: two axes, and not part of an encoder."""
    return parameter.ndim == 2 and "encoder" not in name


def magnitudes(row: Float[Tensor, " parameters"], layers: list[list[slice]]) -> Layers:
    """|row| cut into one vector per layer."""
    row = row.abs()
    return [torch.cat([row[cut] for cut in cuts]) for cuts in layers]
