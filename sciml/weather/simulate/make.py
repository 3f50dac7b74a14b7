"""The sets that `sciml data make` writes: shallow water, and a dry atmosphere in layers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from sciml.calculus.sphere import gauss
from sciml.globe.channels import Channels
from sciml.physics import earth
from sciml.physics.primitive_equations import equal_layers
from sciml.weather.simulate.baroclinic import random_baroclinic_jets
from sciml.weather.simulate.climate import driven_layer
from sciml.weather.simulate.dry_atmosphere import DryAtmosphere
from sciml.weather.simulate.jets import random_jets
from sciml.weather.simulate.pressure_levels import PressureLevels
from sciml.weather.simulate.shallow_water import ShallowWater
from sciml.weather.simulate.time_steps import longest_step
from sciml.weather.simulate.trajectories import Atmosphere, Plan, generator, write

SIX_HOURS = 21_600


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
    dt: float | None = None,
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
        dt: time step, s; by the scheme's limit for winds of 75 m/s where None: 1200 at T42.
        batch: trajectories side by side.
        seed: of all random numbers.
        device: torch's.

    Raises:
        UserError: values out of range, something else at `path`, a run that blew up.
    """
    recipe = {name: value for name, value in locals().items() if name not in ("path", "device")}
    recipe["spin_up"] = spin_up = (60 if climate else 3) if spin_up is None else spin_up
    layer = ShallowWater(gauss(n_lat), mean=earth.GRAVITY * depth, device=device)
    recipe["dt"] = dt = dt or longest_step(SIX_HOURS, layer.harmonics.truncation, wind=75.0)
    plan = Plan(train, validation, test, days, spin_up, dt, batch=batch)
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


def held_suarez(
    path: str | Path,
    days: float = 120,
    train: int = 8,
    validation: int = 1,
    test: int = 2,
    spin_up: float = 60,
    n_lat: int = 32,
    layers: int = 8,
    levels: Sequence[int] = (850, 700, 500, 250),
    dt: float | None = None,
    batch: int = 12,
    seed: int = 0,
    device: str = "cpu",
) -> Path:
    """Wind, temperature and geopotential on pressure levels and surface pressure, every six hours.

    Args:
        path: ends in .zarr or .nc.
        days: recorded of each trajectory.
        train, validation, test: trajectories for each, in this order on the time axis.
        spin_up: days before: unstable jets become the climate of Held and Suarez within 60.
        n_lat: circles of the Gaussian grid: 32 is T21, 48 is T31, 64 is T42.
        layers: of equal mass; 5 to 20.
        levels: hPa.
        dt: time step, s; by the scheme's limit for winds of 65 m/s where None.
        batch: trajectories side by side.
        seed: of all random numbers.
        device: torch's.

    Raises:
        UserError: values out of range, something else at `path`, a run that blew up.
    """
    recipe = {name: value for name, value in locals().items() if name not in ("path", "device")}
    air = DryAtmosphere(gauss(n_lat), equal_layers(layers), forced=True, device=device)
    recipe["dt"] = dt = dt or longest_step(SIX_HOURS, air.harmonics.truncation, wind=65.0)
    output = PressureLevels(air, levels)
    atmosphere = Atmosphere(
        title=f"Held-Suarez at T{air.harmonics.truncation}, {layers} layers",
        channels=Channels.named(output.names),
        grid=air.grid,
        system=air,
        start=lambda numbers: torch.cat(
            [random_baroclinic_jets(air, generator(seed, number), 1) for number in numbers]
        ),
        fields=output,
        attributes={"source": "sciml.weather.simulate.make.held_suarez"},
    )
    plan = Plan(train, validation, test, days, spin_up, dt, batch=batch)
    return write(path, atmosphere, plan, {"made_by": "held_suarez", **_plain(recipe)})


def _plain(recipe: dict[str, Any]) -> dict[str, Any]:
    """Numbers as JSON has them: 9 and 9.0 are the same."""
    plain = json.loads(json.dumps(recipe))
    return {k: float(v) if type(v) is int else v for k, v in plain.items()}
