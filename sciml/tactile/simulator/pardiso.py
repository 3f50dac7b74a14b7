"""Sparse Cholesky factors by MKL's PARDISO (extra `direct`), for matrices of one pattern.

The pattern is analysed once and later factors only do the arithmetic, in single precision where
they only have to precondition: half as long for factor and solution. The order of the unknowns is
the caller's.

pypardiso finds and loads the library; its own calls analyse every matrix anew and know double
precision only. Source: Intel oneMKL developer reference, "oneMKL PARDISO", table of iparm.
"""

import ctypes
import os
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, final
from weakref import finalize

import numpy as np
from scipy.sparse import csr_matrix

if TYPE_CHECKING:
    from sciml.tactile.simulator.solver import Solve

#: Phases of the library, and its type of matrix.
ANALYSE, FACTOR, SOLVE, RELEASE = 11, 22, 33, -1
POSITIVE_DEFINITE = 2


@final
class Pardiso:
    """Factors one matrix after the other; a new factor replaces the last of the same precision."""

    def __init__(self) -> None:
        self._handles: dict[bool, _Handle] = {}

    def __call__(self, K: csr_matrix, rounded: bool = False) -> "Solve":
        """Factors a symmetric positive definite matrix, none of whose diagonal entries is missing.

        Args:
            K: both triangles.
            rounded: single precision will do.

        Raises:
            RuntimeError: K is not positive definite.
        """
        if not K.has_sorted_indices:
            K = K.sorted_indices()
        handle = self._handles.get(rounded)
        if handle is None or not handle.fits(K):
            handle = self._handles[rounded] = _Handle(K, rounded)
        try:
            handle.factor(K)
        except RuntimeError:
            if not rounded:
                raise
            return self(K)  # perhaps the rounding made it indefinite
        return handle.solve


@final
class _Handle:
    """The library's memory for one pattern in one precision."""

    def __init__(self, K: csr_matrix, single: bool) -> None:
        n = K.shape[0]
        self.indices, self.indptr = K.indices, K.indptr
        rows = np.repeat(np.arange(n), np.diff(K.indptr))
        self.upper = np.flatnonzero(K.indices >= rows)
        starts = np.searchsorted(rows[self.upper], np.arange(n + 1))
        kind = np.float32 if single else np.float64
        self.data, self.b, self.x = (np.zeros(k, kind) for k in (len(self.upper), n, n))
        iparm, handle = np.zeros(64, np.int32), np.zeros(64, np.int64)
        iparm[0] = 1  # all settings as given, the rest zero: no refinement of solutions
        iparm[4] = 1  # the order given, that is as it is
        iparm[27] = single
        iparm[34] = 1  # numbers begin with 0
        order = np.arange(n, dtype=np.int32)
        self.kept = (starts.astype(np.int32), K.indices[self.upper].astype(np.int32), order, iparm)
        rows_, columns, order_, iparm_ = (_pointer(value, ctypes.c_int32) for value in self.kept)
        number = [ctypes.byref(ctypes.c_int32(value)) for value in (0, 1, POSITIVE_DEFINITE, n)]
        self.error, nothing = ctypes.c_int32(0), ctypes.c_void_p
        self._before = (_pointer(handle, ctypes.c_int64), number[1], number[1], number[2])
        self._after = (
            number[3], _pointer(self.data, nothing), rows_, columns, order_, number[1], iparm_,
            number[0], _pointer(self.b, nothing), _pointer(self.x, nothing),
            ctypes.byref(self.error),
        )  # fmt: skip
        self._run(ANALYSE)
        finalize(self, _release, self._before, self._after, (handle, self.kept, self.data))

    def fits(self, K: csr_matrix) -> bool:
        """Whether K has the pattern that was analysed."""
        return all(
            own is other or np.array_equal(own, other)
            for own, other in ((self.indptr, K.indptr), (self.indices, K.indices))
        )

    def factor(self, K: csr_matrix) -> None:
        self.data[:] = K.data[self.upper]
        self._run(FACTOR)

    def solve(self, b: np.ndarray) -> np.ndarray:
        self.b[:] = b
        self._run(SOLVE)
        return self.x.astype(np.float64)

    def _run(self, phase: int) -> None:
        _library()(*self._before, ctypes.byref(ctypes.c_int32(phase)), *self._after)
        if self.error.value:
            raise RuntimeError(f"PARDISO: error {self.error.value} in phase {phase}")


def _release(before: tuple[Any, ...], after: tuple[Any, ...], kept: tuple[Any, ...]) -> None:
    """Gives the memory back; `kept` is what the pointers point at."""
    _library()(*before, ctypes.byref(ctypes.c_int32(RELEASE)), *after)


def _pointer(array: np.ndarray, kind: Any) -> Any:
    return array.ctypes.data_as(kind if kind is ctypes.c_void_p else ctypes.POINTER(kind))


@cache
def _library() -> Any:
    """The library's one function; pypardiso would search the whole environment for it."""
    places = sorted(Path(sys.prefix, "lib").glob("*mkl_rt*"))
    if places:
        os.environ.setdefault("PYPARDISO_MKL_RT", str(places[0]))
    from pypardiso import PyPardisoSolver

    return PyPardisoSolver().libmkl.pardiso
