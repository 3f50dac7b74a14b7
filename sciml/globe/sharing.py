"""Forecasts that several ranks write together: who makes which, and how they come into one store.

Starts and members in order are dealt out as stretches. A forecast is a function of its start and
member alone, so any number of ranks makes the same ones.

    Zarr      rank 0 makes the store, the others join it: each forecast has files of its own
    NetCDF    every rank writes a part beside the store, `.NAME.3.part.nc`; rank 0 puts the parts
              together, and the whole gets its name at last
"""

import os
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from sciml.contracts import Team, UserError
from sciml.globe.archive import stores
from sciml.globe.forecast_writer import ForecastWriter
from sciml.globe.layout import begun

#: `(path, join) -> writer` of the same forecasts at a path.
Opening = Callable[[Path, bool], ForecastWriter]
#: A forecast: its start, and the number of a member, 0 where there is no ensemble.
Pair = tuple[int, int]
#: A start, and numbers of members of it.
Task = tuple[int, list[int]]
#: Makes forecasts and writes them.
Making = Callable[[ForecastWriter, list[Task]], None]


def write(
    path: Path, every: Sequence[Pair], opening: Opening, make: Making, team: Team | None = None
) -> None:
    """Has those of the forecasts made that are not in the store, each by one rank.

    Raises:
        UserError: on all ranks where one could not write; more ranks than forecasts.
    """
    if team is None or team.ranks == 1:
        with opening(path, False) as writer:
            make(writer, dealt(_absent(writer)))
        return
    if len(every) < team.ranks:
        raise UserError(
            f"forecast: expected a forecast for each of {team.ranks} ranks, got {len(every)} "
            f"(starts × members); take {len(every)} ranks at most"
        )
    if stores.suffix_of(path) == ".zarr":
        _zarr(path, opening, make, team)
    else:
        _netcdf(path, every, opening, make, team)


def dealt(absent: Sequence[Pair], rank: int = 0, ranks: int = 1) -> list[Task]:
    """A rank's stretch of the forecasts that are to be made, by start."""
    n = len(absent)
    own = absent[rank * n // ranks : (rank + 1) * n // ranks]
    return [(start, [m for _, m in some]) for start, some in groupby(own, lambda pair: pair[0])]


def _zarr(path: Path, opening: Opening, make: Making, team: Team) -> None:
    first = team.rank == 0
    made = _agreed(team, lambda: opening(path, False) if first else None)[1]
    writer = made or opening(path, True)
    absent = _absent(writer)
    team.agree()  # nobody writes before all have looked
    with writer:
        _agreed(team, lambda: make(writer, dealt(absent, team.rank, team.ranks)))


def _netcdf(path: Path, every: Sequence[Pair], opening: Opening, make: Making, team: Team) -> None:
    first = team.rank == 0
    absent = _agreed(team, lambda: _absent_from(path, every, opening) if first else None)[0][0]

    def work() -> None:
        part = opening(path.with_name(f".{path.stem}.{team.rank}.part.nc"), False)
        try:
            make(part, dealt(absent, team.rank, team.ranks))
        finally:
            part.store.close()

    _agreed(team, work)
    _agreed(team, lambda: _put_together(path, opening) if first else None)


def _agreed(team: Team, act: Callable[[], Any]) -> tuple[list[Any], Any]:
    """What plain data each rank's act gave, by rank, and this one's as it is."""
    found, failure = None, None
    try:
        found = act()
    except UserError as error:
        failure = str(error)
    plain = found if isinstance(found, list) else None
    return team.agree(plain, failure), found


def _absent(writer: ForecastWriter) -> list[Pair]:
    return [(int(start), m) for start in writer.starts for m in writer.absent(int(start))]


def _begun(path: Path) -> list[Path]:
    """Where forecasts may be that were made already: the store, if one process began it, and parts.

    Raises:
        UserError: something else is there.
    """
    if path.exists() and not begun(path):
        raise UserError(f"{path} is there already; delete it, or give another name")
    return [
        *([path] if path.exists() else []),
        *sorted(path.parent.glob(f".{path.stem}.*.part.nc")),
    ]


def _absent_from(path: Path, every: Sequence[Pair], opening: Opening) -> list[Pair]:
    """The forecasts that are in none of the files."""
    left = list(every)
    for source in _begun(path):
        (writer := opening(source, False)).store.close()
        absent = set(_absent(writer))
        left = [pair for pair in left if pair in absent]
    return left


def _put_together(path: Path, opening: Opening) -> None:
    """One file of all parts, under its name once it is whole."""
    whole, sources = path.with_name(f".{path.stem}.whole.nc"), _begun(path)
    whole.unlink(missing_ok=True)
    try:
        with opening(whole, False) as writer:
            for source in sources:
                _copy(opening(source, False), writer)
        os.replace(whole, path)
    finally:
        whole.unlink(missing_ok=True)
    for source in sources:
        if source != path:
            source.unlink(missing_ok=True)


def _copy(part: ForecastWriter, writer: ForecastWriter) -> None:
    left = set(_absent(part))
    try:
        for pair in _absent(writer):
            if pair not in left:
                writer.take(part, *pair)
    finally:
        part.store.close()
