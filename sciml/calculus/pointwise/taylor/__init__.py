"""Partial derivatives by truncated Taylor series carried forward through the function.

A function of coordinates is fed `jet.Jet`s instead of tensors; `series` holds the algebra of their
coefficients, `operations` and `elementwise` say what each of torch's functions does to them.
"""

from sciml.calculus.pointwise.taylor.jet import Jet, UnsupportedOperation
from sciml.calculus.pointwise.taylor.streams import derivatives

__all__ = ["Jet", "UnsupportedOperation", "derivatives"]
