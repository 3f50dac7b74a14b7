"""Tactile simulation: a soft, differentiable finite-element body against what it touches."""
