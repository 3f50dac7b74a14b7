"""Layers small enough for a test, in double precision."""

import torch

from sciml.calculus.sphere import gauss
from sciml.physics.earth import GRAVITY
from sciml.weather.simulate.shallow_water import ShallowWater
from sciml.weather.simulate.truncation import Dissipation

#: No dissipation at all.
IDEAL = Dissipation(time=float("inf"))


def layer(n_lat=32, depth=5600.0, dissipation=IDEAL):
    return ShallowWater(
        gauss(n_lat), mean=GRAVITY * depth, dissipation=dissipation, dtype=torch.float64
    )


def largest(field):
    return float(field.abs().max())
