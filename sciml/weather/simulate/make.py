"""The sets that `sciml data make` writes: shallow water, and a dry atmosphere in layers."""

from pathlib import Path
from typing import Any

import torch

from sciml.calculus.sphere import gauss
from sciml.globe.channels import Channels
from sciml.physics import earth
from sciml.weather.simulate.climate import driven_layer
from sciml.weather.simulate.jets import random_jets
from sciml.weather.simulate.shallow_water import ShallowWater
from sciml.weather.simulate.trajectories import Atmosphere, Plan, generator, write


def shallow_water(
    path: str | Path,
    train: int = 36,
    validation: int = 4,
    test: int = 6,
    days: float = 9,
    spin_up: float | None = None,
    climate: bool = False,
    n_lat: int = 64,
    depth: float = 5600,
    dt: float = 1200,
    batch: int = 12,
    seed: int = 0,
    device: str = "cpu",
) -> Path:
    """Geopotential, u and v every six hours from random mid-latitude jets.

    Args:
        path: ends in .zarr or .nc.
        train, validation, test: trajectories for each, in this order on the time axis.
        days: recorded of each trajectory.
        spin_up: days before; 3, or 60 where None and with a climate.
        climate: whether heating and drag keep the jets alive; without, they decay.
        n_lat: circles of the Gaussian grid.
        depth: mean depth, m.
        dt: time step, s; at most 0.6 a/(U T) for winds of U m/s and truncation T.
        batch: trajectories side by side.
        seed: of all random numbers.
        device: torch's.

    Raises:
        UserError: values out of range, something else at `path`, a run that blew up.
    """
    recipe = {name: value for name, value in locals().items() if name not in ("path", "device")}
    recipe["spin_up"] = spin_up = (60 if climate else 3) if spin_up is None else spin_up
    plan = Plan(train, validation, test, days, spin_up, dt, batch=batch)
    layer = ShallowWater(gauss(n_lat), mean=earth.GRAVITY * depth, device=device)
    atmosphere = Atmosphere(
        title=f"shallow water at T{layer.harmonics.truncation}",
        channels=Channels.named(["z", "u", "v"]),
        grid=layer.grid,
        system=driven_layer(layer) if climate else layer,
        start=lambda numbers: torch.cat(
            [random_jets(layer, generator(seed, number), 1) for number in numbers]
        ),
        fields=layer.fields,
        attributes={"source": "sciml.weather.simulate.make.shallow_water"},
    )
    return write(path, atmosphere, plan, {"made_by": "shallow_water", **_plain(recipe)})


def _plain(recipe: dict[str, Any]) -> dict[str, Any]:
    """Numbers as JSON has them: 9 and 9.0 are the same."""
    return {
        k: float(v) if isinstance(v, int | float) and not isinstance(v, bool) else v
        for k, v in recipe.items()
    }
