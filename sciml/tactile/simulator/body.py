"""What is in balance at every step: elements, held unknowns, what acts, the pattern of matrices.

Made once for a simulator; only the pattern grows, as contacts couple other nodes.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.sparse import csr_matrix
from torch import Tensor

from sciml.tactile.elements import Elements
from sciml.tactile.pattern import Pattern
from sciml.tactile.simulator.external import Barring, External, Moving, pairs
from sciml.tactile.simulator.ordering import nested_dissection
from sciml.tactile.simulator.pressure import Pressure
from sciml.tactile.stiffness import Stiffness


@final
class Body:
    """Elements, held unknowns and external terms, with all that depends on nothing else.

    Args:
        elements: the mesh.
        held: `[n, 3]`, true for the components of displacement whose motion is given.
        terms: what acts from outside.

    Attributes:
        nodes: `[h]`, rising, of which one component or more is held.
        barring: whether there are states that lie in the way of others.
    """

    def __init__(
        self, elements: Elements, held: Bool[np.ndarray, "n 3"], terms: Sequence[External]
    ) -> None:
        self.elements, self.terms = elements, tuple(terms)
        self.nodes = np.flatnonzero(held.any(1))
        self.components = np.flatnonzero(held[self.nodes])
        inner = np.flatnonzero(~held.all(1))
        inner = nested_dissection(elements.nodes, elements.cells, inner)
        self._held, self._order = held, np.concatenate([inner, np.flatnonzero(held.all(1))])
        self.barring = any(isinstance(term, Barring) for term in self.terms)
        self._fixed = [term for term in self.terms if not isinstance(term, Moving)]
        self._room = pairs([term for term in self.terms if isinstance(term, Moving)])
        self.pattern = self._laid_out()
        self._assemblies: dict[bool, tuple[Stiffness, Tensor, np.ndarray]] = {}

    def couple(self, u: Tensor, parameters: Sequence[Sequence[Tensor]]) -> None:
        """Makes room in the pattern for what the terms couple at u; it never shrinks.

        The order of the unknowns stays, so that old factors still precondition.

        Args:
            u: `[n, 3]`.
            parameters: and memory of every term.
        """
        room = [self._room]
        for term, values in zip(self.terms, parameters, strict=True):
            if isinstance(term, Moving) and not self.pattern.holds(term.coupled(u, *values)):
                room += [term.coupled(u, *values), term.vicinity(u, *values)]
        if len(room) > 1:
            self._room = np.unique(np.concatenate(room), axis=0)
            self.pattern = self._laid_out()
            self.__dict__.pop("mass_blocks", None)

    def _laid_out(self) -> Pattern:
        return Pattern(self.elements, self._held, self._order, pairs(self._fixed), self._room)

    def with_motion(
        self, u: Float[np.ndarray, "n 3"], motion: Float[np.ndarray, "h 3"]
    ) -> Float[np.ndarray, "n 3"]:
        """A copy of u with the held components set."""
        found = u.copy()
        found.reshape(-1)[self.pattern.held] = motion.reshape(-1)[self.components]
        return found

    def at_nodes(self, values: Float[np.ndarray, " held"]) -> Float[np.ndarray, "h 3"]:
        """Values of the held components, zero for the other components of their nodes."""
        found = np.zeros((len(self.nodes), 3))
        found.reshape(-1)[self.components] = values
        return found

    def assembly(self, rounded: bool) -> tuple[Stiffness, Tensor, Float[np.ndarray, "3 3 v"]]:
        """What tangents are assembled with: gradients, weights, and room for all blocks.

        The room is written over by every tangent of the same precision.
        """
        if rounded not in self._assemblies:
            kind = torch.float32 if rounded else torch.float64
            stiffness = Stiffness(self.elements, kind)
            room = torch.empty((3, 3, self.elements.mass.size + self._term_pairs), dtype=kind)
            weights = self.elements.weights_tensor.to(kind)
            self._assemblies[rounded] = stiffness, weights, room.numpy()
        return self._assemblies[rounded]

    @cached_property
    def mass_blocks(self) -> Float[np.ndarray, "9 b"]:
        """∫ N_a N_b dV times the identity of three components, m³."""
        zeros = np.zeros((3, 3, self._term_pairs))
        cells = self.elements.mass[None, None] * np.eye(3)[:, :, None, None]
        return self.pattern.blocks(np.concatenate([cells.reshape(3, 3, -1), zeros], -1))

    @cached_property
    def mass(self) -> csr_matrix:
        """∫ N_a N_b dV `[n, n]`, m³."""
        n, rows, columns = self.elements.n, self.pattern.rows, self.pattern.columns
        upper = csr_matrix((self.mass_blocks[0], (rows, columns)), shape=(n, n))
        diagonal = csr_matrix((upper.diagonal(), (np.arange(n),) * 2), shape=(n, n))
        return (upper + upper.T - diagonal).tocsr()

    @cached_property
    def pressure(self) -> Pressure:
        """The field of pressures, for solids that have one."""
        return Pressure(self.elements)

    @property
    def _term_pairs(self) -> int:
        return sum(len(term.pairs) for term in self._fixed)
