"""Forecasts of a trained model: some as a dataset for `result.nc`, any number into a store."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
import xarray
from torch import Tensor, nn

from sciml.contracts import Team, UserError
from sciml.globe.archive import Archive, open_archive
from sciml.globe.data import Forecasts
from sciml.globe.ensembles import Ahead, Ensemble, together
from sciml.globe.ensembles import ensemble as ensemble_of
from sciml.globe.noise import InputNoise
from sciml.globe.rollout import device_of, trajectory
from sciml.globe.schema import LAND, LEAD, NUMBER, TIME, Schema


@final
class ForecastPredictor:
    """`contracts.Predictor` and `contracts.Forecaster` of a model that steps a state ahead.

    Args:
        data: has the archive, the forcing and the test windows.
        shown: forecasts in `result.nc`, beside the states that came true.
        noise: makes the noise of ensembles, from its amplitude.
        amplitude: of the noise in training.
        trained: whether the model was trained as an ensemble.
        land: `[*grid]` share of land, kept in `result.nc` for the coasts of its maps.

    Raises:
        UserError: land on another grid than the data's.
    """

    def __init__(
        self,
        data: Forecasts,
        shown: int = 2,
        noise: Callable[[float], InputNoise] | None = None,
        amplitude: float = 0.0,
        trained: bool = False,
        land: np.ndarray | None = None,
    ) -> None:
        if land is not None and land.shape != tuple(data.archive.grid.shape):
            raise UserError(
                f"land: expected a field on the grid {tuple(data.archive.grid.shape)} of the "
                f"archive, got {land.shape}; interpolate it, or set system.land=null"
            )
        self.land = land
        self.data, self.shown = data, shown
        self.noise, self.amplitude, self.trained = noise, amplitude, trained

    def __call__(self, model: nn.Module, request: Mapping[str, Any]) -> Iterator[xarray.Dataset]:
        """One dataset: forecasts from the first `shown` test windows, and `…_reference`."""
        found, truth, starts = [], [], []
        for window in self.data.test_dataloader():
            left = self.shown - len(starts)
            if left <= 0:
                break
            window = window.to(device_of(model), torch.float32)
            with torch.no_grad():
                states = trajectory(
                    model, window.state[:left, 0], _some(window.forcing, left), self.data.horizon
                )
                found += list(torch.stack(list(states), 1).cpu().numpy())
            truth += list(window.state[:left, 1:].cpu().numpy())
            starts += window.time[:left, 0].tolist()
        schema = Schema(self.data.archive.channels, self.data.archive.grid, (TIME, LEAD))
        leads = self.data.archive.step * np.arange(1, self.data.horizon + 1)
        forecast = dataset(schema, np.stack(found), np.array(starts), leads)
        reference = dataset(schema, np.stack(truth), np.array(starts), leads)
        result = forecast.merge(reference.rename({name: f"{name}_reference" for name in reference}))
        if self.land is not None:
            said = {"units": "1", "standard_name": "land_area_fraction", "long_name": "land"}
            result[LAND] = (schema.horizontal, self.land.T.astype(np.float32), said)
        yield result

    def forecast(
        self,
        model: nn.Module,
        starts: Sequence[str],
        steps: int,
        out: Path,
        data: str | None,
        ensemble: Mapping[str, Any] | None = None,
        team: Team | None = None,
    ) -> Path:
        """Writes forecasts of `steps` steps from each of the times, one start after the other.

        What is in the store already is not made again. The ranks of a team make some each.
        """
        from sciml.globe import sharing
        from sciml.globe.writer import ForecastWriter

        ahead = Ahead(model, self.data.archive if data is None else self._opened(data), self.data)
        times = ahead.source.times
        begins = [int(times[n]) for n in sorted({at(times, start) for start in starts})]
        made = None if ensemble is None else self._ensemble(ensemble)
        if made is not None:
            made.check(ahead, begins)
        leads = ahead.step * np.arange(1, steps + 1)
        channels, grid = self.data.archive.channels, self.data.archive.grid
        members = None if made is None else made.members
        told = {} if ensemble is None else {f"ensemble_{k}": v for k, v in ensemble.items() if v}

        def opening(path: Path, join: bool) -> ForecastWriter:
            return ForecastWriter(
                path, channels, grid, begins, leads, members=members, attributes=told, join=join
            )

        def make(store: ForecastWriter, tasks: list[sharing.Task]) -> None:
            for start, numbers in tasks:
                if made is None:
                    states = ahead.states(ahead.state(start), start, steps)
                    store.put(start, (state[0].cpu().numpy() for state in states))
                    continue
                for some in together(int(np.prod(grid.shape)), numbers):
                    states = ahead.states(made.first(ahead, start, some), start, steps)
                    store.put(start, (state.cpu().numpy() for state in states), some)

        every = [(start, member) for start in begins for member in range(members or 1)]
        sharing.write(out, every, opening, make, team)
        return out

    def _ensemble(self, asked: Mapping[str, Any]) -> Ensemble:
        if self.noise is None:
            raise UserError("forecast: this model has no ensembles")
        return ensemble_of(asked, self.noise, self.amplitude, self.trained)

    def _opened(self, data: str) -> Archive:
        ours = self.data.archive
        archive = open_archive(data, ours.channels, gaps="allowed")
        if archive.grid.shape != ours.grid.shape:
            raise UserError(
                f"forecast: expected the grid {ours.grid.shape} that the model was trained on, "
                f"got {archive.grid.shape} in {data}; regrid the data"
            )
        return archive


def at(times: np.ndarray, start: str) -> int:
    """The number of a time, such as 2020-01-01T06, among times in seconds since 1970.

    Raises:
        UserError: not a time, or one that the archive does not hold; names the nearest.
    """
    try:
        wanted = np.datetime64(start, "s").astype(np.int64)
    except ValueError as error:
        raise UserError(
            f"forecast: expected a time such as 2020-01-01T06, got {start!r}"
        ) from error
    found = int(np.argmin(np.abs(times - wanted)))
    if times[found] != wanted:
        near = np.datetime64(int(times[found]), "s")
        raise UserError(f"forecast: the data hold no {start}; the nearest time is {near}")
    return found


def dataset(
    schema: Schema, states: np.ndarray, starts: np.ndarray, leads: np.ndarray
) -> xarray.Dataset:
    """Forecasts `[start, lead, C, *grid]` in WeatherBench 2's layout, or ensembles of them.

    The members of an ensemble, where the schema has them, are the second axis of `states`.

    Args:
        starts: seconds since 1970.
        leads: seconds.
    """
    leading = states.shape[: len(schema.leading)]
    flat = states.reshape(-1, *states.shape[len(leading) :])
    data = {
        one.name: (
            schema.dims(one),
            schema.values(one, flat).reshape(*leading, *schema.extent(one)),
            dict(one.attributes),
        )
        for one in schema.fields
    }
    found = xarray.Dataset(data)
    along = [schema.number(np.arange(leading[1]))] if NUMBER in schema.leading else []
    for one in (*along, *schema.coordinates()):
        found.coords[one.name] = (one.dims, one.values, dict(one.attributes))
    found.coords[TIME] = (TIME, starts.astype("datetime64[s]").astype("datetime64[ns]"),
                          {"standard_name": "forecast_reference_time"})  # fmt: skip
    found.coords[LEAD] = (LEAD, leads.astype("timedelta64[s]").astype("timedelta64[ns]"),
                          {"standard_name": "forecast_period"})  # fmt: skip
    return found


def _some(forcing: Tensor | None, number: int) -> Tensor | None:
    return None if forcing is None else forcing[:number]
