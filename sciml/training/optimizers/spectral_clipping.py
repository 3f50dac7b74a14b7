"""Spectral clipping: no step of a weight matrix has a singular value above lr times a limit.

    U = (x⁺ - x) / lr = P diag(σ) Qᵀ                          what the wrapped optimiser did
    x⁺ = x + lr P diag(min(σ, c)) Qᵀ                          `hard`
    x⁺ = x + lr (I + U Uᵀ / c²)^(-1/2) U,  σ → σ / √(1 + σ²/c²)   `soft`

Source: Jiang, Semenov & Stich, Enhancing LLM Training via Spectral Clipping, arXiv 2603.14315
(SPECTRA: clipping of a base optimiser's updates, and soft clipping by Newton-Schulz iterations).
"""

from collections.abc import Callable, Iterable
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.contracts import UserError


def hard(update: Float[Tensor, "rows columns"], limit: float) -> Float[Tensor, "rows columns"]:
    """Every singular value above `limit` becomes `limit`; by one SVD, and none where ‖U‖_F fits."""
    if update.norm() <= limit:
        return update
    left, values, right = torch.linalg.svd(update, full_matrices=False)
    return (left * values.clamp(max=limit)) @ right


def soft(
    update: Float[Tensor, "rows columns"], limit: float, iterations: int = 30
) -> Float[Tensor, "rows columns"]:
    """σ → σ / √(1 + σ²/c²) by products of matrices only, for layers too wide for an SVD.

    Newton-Schulz for the inverse root of A, eigenvalues in (0, 1], from Z = I:
    Z ← Z (3 I - Z A Z) / 2. It rises to A^(-1/2) from below, so the limit holds wherever it stops.
    """
    wide = update if len(update) <= len(update.T) else update.T
    scale = 1 + (wide.norm() / limit).square()
    identity = torch.eye(len(wide), dtype=wide.dtype, device=wide.device)
    y = (identity + wide @ wide.T / limit**2) / scale  # A Z, and A at first
    z = identity
    for _ in range(iterations):
        residue = (3 * identity - z @ y) / 2
        y, z = y @ residue, residue @ z
        if (residue - identity).norm() < 1e-7 * len(wide) ** 0.5:
            break
    clipped = z @ wide / scale.sqrt()
    return clipped if wide is update else clipped.T


@final
class SpectralClipping(torch.optim.Optimizer):
    """Any optimiser, its steps of matrices clipped; vectors and scalars are left as they are.

    Tensors of more axes count as matrices [first, all others]. The state is the wrapped one's.

    Args:
        parameters: any shape.
        optimizer: factory `(parameters) -> Optimizer`.
        limit: c, > 0: largest singular value of a step, in units of lr.
        clip: `hard` or `soft`.

    Raises:
        UserError: limit <= 0, or an optimiser of residual rows.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
        limit: float = 1.0,
        clip: Callable[[Tensor, float], Tensor] = hard,
    ) -> None:
        if limit <= 0:
            raise UserError(f"spectral clipping: expected limit > 0, got {limit}")
        self.inner, self.limit, self.clip = optimizer(parameters), limit, clip
        if getattr(self.inner, "asks_for_residuals", False):
            raise UserError(
                "spectral clipping: expected an optimiser that follows gradients, got "
                f"{type(self.inner).__name__}, whose steps come from residual rows; choose adam"
            )
        super().__init__(self.inner.param_groups, {})
        self._share()

    def _share(self) -> None:
        """One set of groups and one state, so that schedules and checkpoints see the inner ones."""
        self.param_groups, self.state = self.inner.param_groups, self.inner.state
        self.defaults = self.inner.defaults

    @property
    def single_process(self) -> bool:
        return getattr(self.inner, "single_process", False)

    @property
    def needs_double(self) -> bool:
        return getattr(self.inner, "needs_double", False)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        moved = [
            (parameter, parameter.clone(), group["lr"])
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.ndim >= 2 and group["lr"] > 0
        ]
        loss = self.inner.step(closure)
        for parameter, before, lr in moved:
            update = ((parameter - before) / lr).flatten(1)
            clipped = self.clip(update, self.limit)
            if clipped is not update:
                parameter.copy_(before + lr * clipped.view_as(parameter))
        return loss

    def state_dict(self) -> dict[str, Any]:
        return self.inner.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.inner.load_state_dict(state_dict)
        self._share()
