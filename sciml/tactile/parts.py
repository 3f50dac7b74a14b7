"""Several bodies in one mesh: their cells one after the other, their surfaces by `part.surface`.

Bodies that touch are solved together (see `contact.mesh`); what tells them apart is where their
cells are, and so the values of constants by cell.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from sciml.contracts import UserError
from sciml.tactile.elements import Elements
from sciml.tactile.mesh import Mesh


def united(parts: Mapping[str, Mesh]) -> Mesh:
    """One mesh of several that share no node.

    Args:
        parts: name → body, placed where it is to be (`moved`).

    Returns:
        The mesh; surface "front" of part "gel" is "gel.front".

    Raises:
        UserError: no part.
    """
    if not parts:
        raise UserError("united: expected at least one part, got none")
    starts = np.cumsum([0, *(len(part.nodes) for part in parts.values())])
    surfaces = {
        f"{name}.{surface}": triangles + start
        for (name, part), start in zip(parts.items(), starts[:-1], strict=True)
        for surface, triangles in part.surfaces.items()
    }
    return Mesh(
        np.concatenate([part.nodes for part in parts.values()]),
        np.concatenate(
            [part.tets + start for part, start in zip(parts.values(), starts[:-1], strict=True)]
        ),
        surfaces,
        max(part.largest for part in parts.values()),
    )


def by_cell(parts: Mapping[str, Mesh], values: Mapping[str, float | Tensor]) -> Float[Tensor, " m"]:
    """A constant of every part as one value per cell of the united mesh.

    Args:
        parts: as given to `united`.
        values: name → a scalar or the values of the part's cells; gradients flow through them.

    Raises:
        UserError: other names than those of the parts.
    """
    if set(values) != set(parts):
        raise UserError(
            f"values: expected one for each part, {', '.join(parts)}, got {', '.join(values)}"
        )
    return torch.cat(
        [
            torch.as_tensor(values[name], dtype=torch.float64).expand(len(part.tets))
            for name, part in parts.items()
        ]
    )


def bodies(elements: Elements) -> Int[np.ndarray, " n"]:
    """The number of the body that each node belongs to: what shares no node is another."""
    cells = elements.cells
    a, b = cells[:, :-1].ravel(), cells[:, 1:].ravel()
    graph = coo_matrix((np.ones(len(a)), (a, b)), shape=(elements.n,) * 2)
    return connected_components(graph, directed=False)[1].astype(np.int64)


def moved(mesh: Mesh, by: tuple[float, float, float]) -> Mesh:
    """The same body elsewhere; `by` in m."""
    named = {name: found for name, found in mesh.surfaces.items() if name != "boundary"}
    return Mesh(mesh.nodes + np.asarray(by), mesh.tets, named, mesh.largest)
