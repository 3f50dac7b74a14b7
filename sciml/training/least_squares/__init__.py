"""Optimisers on residual rows: Levenberg–Marquardt and Gauss–Newton as ordinary phases."""

from sciml.training.least_squares.damping import GainRatio, GradientPower
from sciml.training.least_squares.gauss_newton import GaussNewton
from sciml.training.least_squares.levenberg_marquardt import LevenbergMarquardt

__all__ = ["GainRatio", "GaussNewton", "GradientPower", "LevenbergMarquardt"]
