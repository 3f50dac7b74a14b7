"""Jacobians of many rows from one backward pass, where every row sees its own points only.

The affine maps that a function applies to its points are noted (`affine_maps.Capture`); adjoints of
their outputs, from one backward pass of the sum of all rows, give every row's derivatives.
"""

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor

from sciml.calculus.pointwise.affine_maps import NUMPY, Adjoints, AffineMap, Capture

#: The maps of a group, their adjoints, and the points that rows see.
Contribution = tuple[Sequence[AffineMap], Sequence[Adjoints | None], slice]


@final
class Columns:
    """Where the parameters stand in a row `[P]` of the Jacobian, and how maps fill them."""

    def __init__(self, leaves: Mapping[str, Tensor]) -> None:
        self.leaves = tuple(leaves.values())
        self.places: dict[int, slice] = {}
        start = 0
        for leaf in self.leaves:
            self.places[id(leaf)] = slice(start, start + leaf.numel())
            start += leaf.numel()
        self.total = start

    def room(self, rows: Tensor) -> Tensor:
        """`[n, P]` for the Jacobian of rows `[n]`; NumPy's memory has large pages, torch's has not.

        Uninitialised: 42 MB take 17 ms to touch for the first time in small pages, 8 in large ones.
        """
        shape = len(rows), self.total
        if rows.device.type == "cpu" and rows.dtype in NUMPY:
            return torch.from_numpy(np.empty(shape, NUMPY[rows.dtype]))
        return rows.new_empty(shape)

    def fill(self, out: Tensor, contributions: Sequence[Contribution]) -> None:
        """Jacobian rows `out` `[n, P]`: the sum over the points that each row sees."""
        written: set[int] = set()
        for maps, adjoints, points in contributions:
            for use, adjoint in zip(maps, adjoints, strict=True):
                if adjoint is None:
                    continue
                if use.weight.requires_grad:
                    self._weight(out, use, adjoint, points, written)
                if use.bias is not None and use.bias.requires_grad:
                    self._put(out, use.bias, use.bias_rows(adjoint, points), written)
        for leaf, place in self.places.items():
            if leaf not in written:
                out[:, place] = 0

    def add_loose(
        self, rows: Mapping[str, Tensor], jacobians: Mapping[str, Tensor], loose: set[int]
    ) -> None:
        """Adds what the rows owe to parameters outside of the maps, by the exact way."""
        leaves = [self.leaves[number] for number in sorted(loose)]
        found = exact(torch.cat(tuple(rows.values())), leaves)
        parts = found.split([leaf.numel() for leaf in leaves], dim=1)
        for leaf, part in zip(leaves, parts, strict=True):
            pieces = part.split([len(r) for r in rows.values()])
            for name, piece in zip(rows, pieces, strict=True):
                jacobians[name][:, self.places[id(leaf)]] += piece

    def _weight(
        self,
        out: Tensor,
        use: AffineMap,
        adjoint: Adjoints,
        points: slice,
        written: set[int],
    ) -> None:
        place = self.places.get(id(use.weight))
        if place is not None and id(use.weight) not in written:
            written.add(id(use.weight))
            use.weight_rows(adjoint, points, out[:, place].unflatten(1, use.weight.shape))
            return
        rows = out.new_empty(len(out), *use.weight.shape)
        use.weight_rows(adjoint, points, rows)
        self._put(out, use.weight, rows, written)

    def _put(self, out: Tensor, tensor: Tensor, rows: Tensor, written: set[int]) -> None:
        """Rows of ∂r/∂tensor; where the tensor is made of parameters, pulled back to them."""
        if id(tensor) in self.places:
            found: Sequence[Tensor | None] = [rows]
            leaves: Sequence[Tensor] = [tensor]
        else:
            leaves = self.leaves
            found = torch.autograd.grad(
                tensor, leaves, rows, retain_graph=True, allow_unused=True, is_grads_batched=True
            )
        for leaf, part in zip(leaves, found, strict=True):
            if part is None:
                continue
            target = out[:, self.places[id(leaf)]]
            if id(leaf) in written:
                target += part.flatten(1)
            else:
                written.add(id(leaf))
                target.copy_(part.flatten(1))


def backward(
    rows: Sequence[Tensor], capture: Capture, columns: Columns
) -> tuple[list[list[Adjoints | None]], set[int]]:
    """One backward pass of the sum of rows that have no points in common.

    Returns:
        For each group the adjoints of each map's targets, None where no row depends on it; and the
        numbers of the parameters that the rows also use otherwise.
    """
    maps = [use for group in capture.groups for use in group]
    targets = [target for use in maps for target in use.targets]
    sought = [*targets, *columns.leaves]
    total = sum((r.sum() for r in rows), start=torch.zeros(()))
    gradients: Sequence[Tensor | None] = [None] * len(sought)
    if total.requires_grad:
        gradients = torch.autograd.grad(total, sought, retain_graph=True, allow_unused=True)
    found = iter(gradients)
    adjoints: list[list[Adjoints | None]] = []
    for group in capture.groups:
        each = [[next(found) for _ in use.targets] for use in group]
        adjoints.append([a if any(part is not None for part in a) else None for a in each])
    return adjoints, {number for number, gradient in enumerate(found) if gradient is not None}


def exact(rows: Tensor, leaves: Sequence[Tensor]) -> Tensor:
    """∂rows/∂leaves `[n, P]` whatever depends on what: by rows or by columns, whichever is fewer.

    A column is the derivative of Jᵀu, linear in u, by u.

    Cost: min(n, P) backward passes.
    """
    if not rows.requires_grad:
        return rows.new_zeros(len(rows), sum(leaf.numel() for leaf in leaves))
    if len(rows) < sum(leaf.numel() for leaf in leaves):
        return torch.stack([_flat(rows, leaves, unit) for unit in torch.eye(len(rows)).to(rows)])
    u = torch.zeros_like(rows).requires_grad_()
    columns = []
    for entry in _flat(rows, leaves, u, create_graph=True):
        if entry.requires_grad:
            column = torch.autograd.grad(entry, u, retain_graph=True, allow_unused=True)[0]
            columns.append(torch.zeros_like(rows) if column is None else column)
        else:
            columns.append(torch.zeros_like(rows))
    return torch.stack(columns, dim=1).detach()


def _flat(
    rows: Tensor, leaves: Sequence[Tensor], cotangent: Tensor, create_graph: bool = False
) -> Tensor:
    gradients = torch.autograd.grad(
        rows, leaves, cotangent, retain_graph=True, create_graph=create_graph,
        allow_unused=True, materialize_grads=True,
    )  # fmt: skip
    return torch.cat([gradient.flatten() for gradient in gradients])
