"""The tangent A = ∂P/∂F of an isotropic solid, by its contraction with two vectors of the body.

    Q_ik(a, b) = a_J A_iJkL b_L          Q(b, a) = Q(a, b)ᵀ

For a = b this is the acoustic tensor: waves along the unit vector a have speeds c, ρ c² an
eigenvalue of Q. For gradients of shape functions it is the stiffness between two nodes.

With ψ = W(I1, I2, J), f = F a, g = F b, and the vectors X_m a of

    X_1 = ∂I1/∂F = 2F      X_2 = ∂I2/∂F = 2(I1 F - F C)      X_J = ∂J/∂F = cof F

    Q = Σ_mn W_mn (X_m a)(X_n b)ᵀ + 2 W_1 a·b I + W_J ε (F (a × b))
      + 2 W_2 [2 f gᵀ - g fᵀ + (I1 a·b - f·g) I - a·b F Fᵀ]

where (ε s)_ik = ε_ikm s_m. Nothing divides by J.
"""

from typing import NamedTuple, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


class Along(NamedTuple):
    """A vector a of the body and its images X_1 a, X_2 a, X_J a (empty if unused).

    Axes as the tangent likes them: `[3, *n]`, so that components lie apart in memory; or several
    vectors at once, `[3, k, *n]`.
    """

    X: Tensor
    one: Tensor
    two: Tensor
    volume: Tensor

    def rolled(self) -> "Along":
        """Of several vectors, each in the place of the one before, the first in the last."""
        return Along(*(value.roll(-1, 1) if value.numel() else value for value in self))


@runtime_checkable
class Tangent(Protocol):
    """A at given F, as its contraction with pairs of vectors, or several at once."""

    def along(self, a: Float[Tensor, "*k 3"]) -> Along: ...

    def acoustic(self, a: Along, b: Along) -> Float[Tensor, "*k 3 3"]: ...


class Curvatures(NamedTuple):
    """First and second derivatives of W; None for those that vanish identically."""

    W1: Tensor | None = None
    W2: Tensor | None = None
    WJ: Tensor | None = None
    W11: Tensor | None = None
    W22: Tensor | None = None
    WJJ: Tensor | None = None
    W12: Tensor | None = None
    W1J: Tensor | None = None
    W2J: Tensor | None = None

    def scaled(self, scale: Tensor) -> "Curvatures":
        """All of them times `scale`."""
        return Curvatures(*(None if value is None else value * scale for value in self))


@final
class IsotropicTangent:
    """A of ψ = W(I1, I2, J) at given F.

    Args:
        F, cof: `[*n, 3, 3]`.
        I1: `[*n]`.
        W: derivatives at F, each broadcasting against `[*n]`.
    """

    def __init__(self, F: Tensor, cof: Tensor, I1: Tensor, W: Curvatures) -> None:
        self.F, self.cof = _first(F, 2), _first(cof, 2)
        self.I1, self.W = I1, W
        self.twice = None if W.W1 is None else 2 * W.W1

    def along(self, a: Float[Tensor, "*k 3"]) -> Along:
        a = _first(a, 1)
        f = 2 * _times(self.F, a)
        two = f.new_empty(0)
        if self.W.W2 is not None:
            C = _times(self.F.transpose(0, 1), f / 2)  # C a
            two = self.I1 * f - 2 * _times(self.F, C)
        return Along(a, f, two, _times(self.cof, a))

    def acoustic(self, a: Along, b: Along) -> Float[Tensor, "*k 3 3"]:
        """Q(a, b), axes [i, k]."""
        W, dot = self.W, (a.X * b.X).sum(0)
        found = self._curved(a, b)
        isotropic = None if self.twice is None else self.twice * dot
        if W.W2 is not None:
            fg = (a.one * b.one).sum(0) / 4
            isotropic = _sum(isotropic, 2 * W.W2 * (self.I1 * dot - fg))
            found = found + W.W2 * self._of_second_invariant(a, b, dot)
        if isotropic is not None:
            for i in range(3):
                found[i, i] += isotropic
        if W.WJ is not None and a is not b:
            _add_skew(found, W.WJ * _times(self.F, _cross(a.X, b.X)))
        return found.movedim((0, 1), (-2, -1))

    def _curved(self, a: Along, b: Along) -> Tensor:
        """Σ_mn W_mn (X_m a)(X_n b)ᵀ."""
        W = self.W
        rows = (
            (a.one, ((W.W11, b.one), (W.W12, b.two), (W.W1J, b.volume))),
            (a.two, ((W.W12, b.one), (W.W22, b.two), (W.W2J, b.volume))),
            (a.volume, ((W.W1J, b.one), (W.W2J, b.two), (W.WJJ, b.volume))),
        )
        found: Tensor | None = None
        for left, terms in rows:
            right: Tensor | None = None
            for weight, image in terms:
                if weight is not None:
                    right = _sum(right, weight * image)
            if right is not None:
                found = _sum(found, left[:, None] * right[None])
        return torch.zeros_like(a.X[:, None] * b.X[None]) if found is None else found

    def _of_second_invariant(self, a: Along, b: Along, dot: Tensor) -> Tensor:
        """4 f gᵀ - 2 g fᵀ - 2 a·b F Fᵀ; `one` is twice f."""
        outer = a.one[:, None] * b.one[None]
        inner = outer - outer.transpose(0, 1) / 2
        spatial = torch.stack([_times(self.F, row) for row in self.F])
        return inner - 2 * dot * beside(spatial, dot)


def full(tangent: Tangent, like: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 3 3 3 3"]:
    """A_iJkL from its contractions with unit vectors; `like` is any tensor of the shape of F."""
    units = torch.eye(3, dtype=like.dtype, device=like.device).expand_as(like)
    along = [tangent.along(units[..., J, :]) for J in range(3)]
    columns = [torch.stack([tangent.acoustic(a, b) for b in along], -1) for a in along]
    return torch.stack(columns, -3)


def _first(value: Tensor, axes: int) -> Tensor:
    """The last `axes` axes brought to the front, where sums over them run fastest."""
    return value.movedim(tuple(range(-axes, 0)), tuple(range(axes)))


def beside(matrix: Float[Tensor, "3 3 *n"], values: Float[Tensor, "*k"]) -> Tensor:
    """The matrix with axes of length one before `*n`, where `*k` has more."""
    n = matrix.shape[2:]
    return matrix.reshape(3, 3, *(1,) * (values.ndim - len(n)), *n)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    """Matrix `[3, 3, *n]` times vector or vectors `[3, *n]`, `[3, k, *n]`."""
    matrix = beside(matrix, vector[0])
    found = matrix[:, 0] * vector[0]
    return found.addcmul_(matrix[:, 1], vector[1]).addcmul_(matrix[:, 2], vector[2])


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """a × b of `[3, *n]`."""
    found = torch.empty_like(a)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        torch.mul(a[j], b[k], out=found[i]).addcmul_(a[k], b[j], value=-1)
    return found


def _sum(left: Tensor | None, right: Tensor) -> Tensor:
    return right if left is None else left + right


def _add_skew(matrix: Tensor, s: Tensor) -> None:
    """matrix_ik += ε_ikm s_m."""
    for i, k, m in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        matrix[i, k] += s[m]
        matrix[k, i] -= s[m]
