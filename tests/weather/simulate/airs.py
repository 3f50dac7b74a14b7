"""Dry atmospheres small enough for a test, in double precision, and states for them."""

import math

import torch

from sciml.calculus.sphere import gauss
from sciml.physics.primitive_equations import equal_layers
from sciml.weather.simulate.dry_atmosphere import DryAtmosphere
from sciml.weather.simulate.truncation import Dissipation

IDEAL = Dissipation(time=math.inf)


def air(n_lat=32, layers=5, dissipation=IDEAL, dtype=torch.float64, **settings):
    return DryAtmosphere(
        gauss(n_lat), equal_layers(layers), dissipation=dissipation, dtype=dtype, **settings
    )


def smooth_state(gas, degree=4, seed=0):
    """Waves of l <= 4: products of three stay inside T21, so that the tendencies are exact."""
    count, size = gas.layers.count, gas.harmonics.truncation + 1
    sizes = [1e-5] * count + [3e-6] * count + [10.0] * count + [0.03]
    draw = torch.randn(1, len(sizes), size, size, 2, generator=torch.Generator().manual_seed(seed))
    l, m = torch.arange(size)[:, None], torch.arange(size)[None]
    x = draw.double() * torch.tensor(sizes).double()[:, None, None, None]
    x = x * ((l <= degree) & (m <= l) & (l > 0))[..., None]
    x[..., 0, 1] = 0
    return x
