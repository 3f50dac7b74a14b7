"""Recorded presses of a real (or simulated) sensor, in one NetCDF layout: written and read here.

| variable | dimensions | unit | meaning |
|---|---|---|---|
| time | time | s | since the recording's start, rising |
| press | time | 1 | number of the press that a sample belongs to |
| force | time, axis | N | of the indenter on the sensor, in the sensor's frame |
| position | time, axis | m | of the indenter's reference point, in the sensor's frame |
| orientation | time, quaternion | 1 | (w, x, y, z) from the indenter's to the sensor's axes |
| markers | time, marker, pixel | pixel | (column, row), NaN where lost; optional |
| image | time, row, column, channel | 1 | red, green, blue, 0 … 255; optional |

Markers or images or both are there. Global attributes: `Conventions`, `layout`, `title`, `source`
(the sensor and the rig), `history`, and image_width and image_height in pixels where known.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from jaxtyping import Float

from sciml import atomic
from sciml.contracts import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray
    from torch import Tensor

    from sciml.tactile.sensor.sensor import Sensor

LAYOUT = "tactile-recording-1"
#: Variable → its dimensions and unit.
VARIABLES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "time": (("time",), "s"),
    "press": (("time",), "1"),
    "force": (("time", "axis"), "N"),
    "position": (("time", "axis"), "m"),
    "orientation": (("time", "quaternion"), "1"),
    "markers": (("time", "marker", "pixel"), "pixel"),
    "image": (("time", "row", "column", "channel"), "1"),
}
OPTIONAL = {"press", "markers", "image"}
NAMES = {
    "time": "time since the start of the recording",
    "press": "number of the press",
    "force": "force of the indenter on the sensor, in the sensor's frame",
    "position": "position of the indenter's reference point, in the sensor's frame",
    "orientation": "unit quaternion from the indenter's to the sensor's axes",
    "markers": "column and row of tracked markers, centres of pixels being whole numbers",
    "image": "image of the camera",
}
COORDINATES = {
    "axis": ["x", "y", "z"],
    "quaternion": ["w", "x", "y", "z"],
    "pixel": ["column", "row"],
    "channel": ["red", "green", "blue"],
}
#: Largest force, N, and distance of an indenter, m, that are believed of a fingertip's sensor.
STRONGEST, FURTHEST = 1e3, 1.0


@final
@dataclass(frozen=True, eq=False)
class Recording:
    """One recording; see the layout above.

    Args:
        time: `[t]`, s, rising.
        force: `[t, 3]`, N.
        position: `[t, 3]`, m.
        orientation: `[t, 4]`, unit quaternions (w, x, y, z).
        markers: `[t, k, 2]`, pixels; NaN where a marker is lost.
        image: `[t, rows, columns, 3]`, 0 … 255.
        press: `[t]`; all one press if None.
        attributes: global attributes: title, source, image_width …

    Raises:
        UserError: shapes that differ, values that are no recording or look like other units.
    """

    time: np.ndarray
    force: np.ndarray
    position: np.ndarray
    orientation: np.ndarray
    markers: np.ndarray | None = None
    image: np.ndarray | None = None
    press: np.ndarray | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.press is None:
            object.__setattr__(self, "press", np.zeros(len(self.time), dtype=np.int64))
        self._refuse_shapes()
        self._refuse_values()
        if self.markers is not None and self.size is not None:
            self._refuse_outside(*self.size)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.time)

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the camera's image, pixels, where known."""
        if self.image is not None:
            return self.image.shape[2], self.image.shape[1]
        if {"image_width", "image_height"} <= set(self.attributes):
            return int(self.attributes["image_width"]), int(self.attributes["image_height"])
        return None

    def flow(self) -> Float[np.ndarray, "t k 2"]:
        """How far the markers have moved since the first sample, pixels.

        Raises:
            UserError: a recording without markers.
        """
        if self.markers is None:
            raise UserError(
                "recording: expected markers, got images only; track the markers and store them"
            )
        return self.markers - self.markers[0]

    def _refuse_shapes(self) -> None:
        if not len(self.time):
            raise UserError("recording: expected at least one sample, got none")
        if self.markers is None and self.image is None:
            raise UserError("recording: expected markers or images, got neither")
        for name, (dimensions, _) in VARIABLES.items():
            value = getattr(self, name)
            if value is None:
                continue
            sizes = dict(zip(dimensions, value.shape, strict=False))
            wanted = {"time": len(self.time), **{d: len(c) for d, c in COORDINATES.items()}}
            fits = all(size == wanted.get(d, size) for d, size in sizes.items())
            if value.ndim != len(dimensions) or not fits:
                raise UserError(
                    f"recording: expected {name} as [{', '.join(dimensions)}] with "
                    f"{len(self.time)} times, got shape {list(value.shape)}"
                )

    def _refuse_values(self) -> None:
        for name in ("time", "force", "position", "orientation"):
            if not np.isfinite(getattr(self, name)).all():
                raise UserError(f"recording: expected finite {name}, got NaN or infinity")
        if (np.diff(self.time) <= 0).any():
            at = int(np.argmax(np.diff(self.time) <= 0)) + 1
            raise UserError(f"recording: expected rising times, got {self.time[at]:g} s at {at}")
        _refuse_units(
            "position", np.linalg.norm(self.position, axis=1), FURTHEST, "m", "millimetres"
        )
        _refuse_units("force", np.linalg.norm(self.force, axis=1), STRONGEST, "N", "millinewtons")
        length = np.linalg.norm(self.orientation, axis=1)
        if np.abs(length - 1).max() > 1e-6:
            at = int(np.argmax(np.abs(length - 1)))
            raise UserError(
                f"recording: expected unit quaternions (w, x, y, z), got one of length "
                f"{length[at]:.6g} at {at}; divide by the length"
            )

    def _refuse_outside(self, width: int, height: int) -> None:
        assert self.markers is not None
        column, row = self.markers[..., 0], self.markers[..., 1]
        outside = (column < -0.5) | (column > width - 0.5) | (row < -0.5) | (row > height - 0.5)
        if outside.any():
            time, marker = (int(i) for i in np.argwhere(outside)[0])
            raise UserError(
                f"recording: expected markers inside the image of {width} x {height} pixels, got "
                f"{int(outside.sum())} outside (marker {marker} at time {time}: column "
                f"{column[time, marker]:.1f}, row {row[time, marker]:.1f}); write NaN where lost"
            )


def simulated(
    sensor: "Sensor",
    displacements: "Sequence[Tensor]",
    time: Float[np.ndarray, " t"],
    force: Float[np.ndarray, "t 3"],
    position: Float[np.ndarray, "t 3"],
    orientation: Float[np.ndarray, "t 4"] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> Recording:
    """What a sensor would have recorded: its markers' pixels; NaN where they leave the image.

    Args:
        sensor: that is simulated.
        displacements: `[n, 3]` at every time, m, as in `Trajectory.u`.
        time, force, position, orientation: as in `Recording`; not turned if None.
        attributes: further global ones.
    """
    markers = np.stack([sensor.marker_pixels(u).detach().numpy() for u in displacements])
    seen = np.stack([sensor.seen(u).detach().numpy() for u in displacements])
    markers[~seen] = np.nan
    if orientation is None:
        orientation = np.tile([1.0, 0.0, 0.0, 0.0], (len(time), 1))
    size = {"image_width": sensor.camera.width, "image_height": sensor.camera.height}
    own = {"source": "simulated by sciml", **size, **(attributes or {})}
    return Recording(time, force, position, orientation, markers, attributes=own)


def write(path: str | Path, recording: Recording) -> None:
    """Writes a recording as NetCDF; a whole file stands there at every moment.

    Raises:
        UserError: the file cannot be written.
    """
    dataset = as_dataset(recording)
    packed = {"zlib": True, "complevel": 4}
    encoding = {name: packed for name in ("markers", "image") if name in dataset}
    with atomic.replacing(Path(path)) as temporary:
        dataset.to_netcdf(temporary, engine="netcdf4", encoding=encoding)


def as_dataset(recording: Recording) -> "xarray.Dataset":
    """A recording with names, units and CF attributes."""
    import xarray

    variables = {}
    for name, (dimensions, units) in VARIABLES.items():
        value = getattr(recording, name)
        if value is not None:
            attributes = {"long_name": NAMES[name], "units": units}
            variables[name] = (dimensions, value, attributes)
    used = {d for dimensions, *_ in variables.values() for d in dimensions}
    coordinates = {name: values for name, values in COORDINATES.items() if name in used}
    stamp = datetime.now(UTC).isoformat(timespec="seconds")
    own = {"Conventions": "CF-1.11", "layout": LAYOUT, "history": f"{stamp} written by sciml"}
    return xarray.Dataset(variables, coordinates, {**own, **recording.attributes})


def read(path: str | Path) -> Recording:
    """A recording from NetCDF.

    Raises:
        UserError: no such file, another layout, missing variables, other dimensions or units,
            or values that `Recording` refuses.
    """
    import xarray

    if not Path(path).is_file():
        raise UserError(f"recording: expected a NetCDF file, got '{path}': no such file")
    try:
        with xarray.open_dataset(path, decode_times=False, engine="netcdf4") as dataset:
            dataset.load()
    except (OSError, ValueError) as error:
        raise UserError(
            f"recording: expected a NetCDF file, got '{path}': {str(error).splitlines()[0]}"
        ) from error
    layout = dataset.attrs.get("layout", LAYOUT)
    if layout != LAYOUT:
        raise UserError(f"recording '{path}': expected layout {LAYOUT}, got {layout}; convert it")
    values: dict[str, Any] = {name: _variable(dataset, name, path) for name in VARIABLES}
    return Recording(**values, attributes=dict(dataset.attrs))


def _variable(dataset: "xarray.Dataset", name: str, path: str | Path) -> np.ndarray | None:
    dimensions, units = VARIABLES[name]
    if name not in dataset.variables:
        if name in OPTIONAL:
            return None
        raise UserError(
            f"recording '{path}': expected a variable {name} [{', '.join(dimensions)}] in {units}, "
            f"got {', '.join(map(str, dataset.variables))}; see docs/tactile.md for the layout"
        )
    variable = dataset[name].variable
    if set(variable.dims) != set(dimensions):
        raise UserError(
            f"recording '{path}': expected {name} [{', '.join(dimensions)}], got "
            f"[{', '.join(map(str, variable.dims))}]; rename the dimensions"
        )
    found = variable.attrs.get("units", "1" if units == "1" else "none")
    if found != units:
        raise UserError(
            f"recording '{path}': expected {name} in {units}, got {found}; convert the values and "
            f"set the attribute units = '{units}'"
        )
    values = variable.transpose(*dimensions).values
    whole = {"press": np.int64, "image": np.uint8}
    return np.asarray(values, dtype=whole.get(name, np.float64))


def _refuse_units(name: str, sizes: np.ndarray, largest: float, unit: str, other: str) -> None:
    if sizes.max() > largest:
        raise UserError(
            f"recording: expected {name} in {unit} and at most {largest:g} {unit}, got "
            f"{sizes.max():g}; if these are {other} multiply by 1e-3"
        )
