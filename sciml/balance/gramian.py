"""Weights from the Gram matrix of the gradient rows, G_ij = ⟨g_i, g_j⟩: K×K, whatever P is.

Every direction that is a combination of the rows, found from their lengths and angles alone, is a
choice of weights; so these rules serve any optimiser, and their arithmetic does not grow with P.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import nnls
from torch import Tensor

#: A Gram matrix of trace 1 in double precision → one weight per row.
Rule = Callable[[Float[Tensor, "terms terms"]], Float[Tensor, " terms"]]

#: Added to the diagonal of cosines in the bargain, whose weights are infinite at a Pareto point.
RIDGE = 1e-8
#: Most Newton steps; about ten are needed, some dozens at a Pareto point.
NEWTON = 100


def gramian(rows: Float[Tensor, "terms columns"]) -> Float[Tensor, "terms terms"]:
    """G = g gᵀ on the processor in double precision: products of single numbers are exact there."""
    rows = rows.detach().double()
    return (rows @ rows.T).cpu()


def units(
    gram: Float[Tensor, "terms terms"],
) -> tuple[Float[Tensor, "terms terms"], Float[Tensor, " terms"]]:
    """Cosines U and inverse norms 1/n with G = diag(n) U diag(n); both 0 for a row that is 0."""
    norms = gram.diagonal().clamp_min(0).sqrt()
    inverse = torch.where(norms > 0, 1 / norms, torch.zeros_like(norms))
    return gram * inverse[:, None] * inverse, inverse


def root(gram: Float[Tensor, "terms terms"]) -> Float[Tensor, "terms terms"]:
    """R `[K, K]` with R Rᵀ = G: rows of the same lengths and angles, short ones exact as well."""
    values, vectors = torch.linalg.eigh(units(gram)[0])
    norms = gram.diagonal().clamp_min(0).sqrt()
    return norms[:, None] * vectors * values.clamp_min(0).sqrt()


def projected(
    gram: Float[Tensor, "terms terms"], order: np.random.Generator
) -> Float[Tensor, " terms"]:
    """PCGrad's weights: row i of `each` is g_i, projected, as a combination of the rows."""
    inner, each = gram.numpy(), np.eye(len(gram))
    for i, weights in enumerate(each):
        for j in order.permutation(len(gram)):
            product = inner[j] @ weights
            if j != i and product < 0:
                weights[j] -= product / inner[j, j]
    return torch.from_numpy(each.sum(0))


def shortest(gram: Float[Tensor, "terms terms"]) -> Float[Tensor, " terms"]:
    """MGDA's weights: min |Rᵀ w|² + (1 − Σ w)² over w >= 0 has the direction of the answer.

    Along w = s p with Σ p = 1 the least value is |Rᵀ p|²/(1 + |Rᵀ p|²), which grows with |Rᵀ p|.
    """
    rows = root(gram).T.numpy()
    weights, _ = nnls(np.vstack([rows, np.ones(len(gram))]), np.append(np.zeros(len(gram)), 1.0))
    return torch.from_numpy(weights / weights.sum())


def bargain(gram: Float[Tensor, "terms terms"]) -> Float[Tensor, " terms"]:
    """α with (G/|G|) α = 1/α, by damped Newton steps, which converge from any start.

    For rows of unit length: β = α |g|, U β = 1/β, U being the cosines.
    """
    cosines, inverse = units(gram / gram.norm())
    matrix = cosines.numpy() + RIDGE * np.eye(len(gram))
    beta = np.ones(len(gram))
    for _ in range(NEWTON):
        slope = matrix @ beta - 1 / beta
        step = np.linalg.solve(matrix + np.diag(beta**-2), slope)
        decrement = np.sqrt(slope @ step)
        beta = beta - step / (1 + decrement)
        if decrement < 1e-10:
            break
    return torch.from_numpy(beta) * inverse
