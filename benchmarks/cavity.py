"""A finished run of the lid-driven cavity at the points of Ghia, Ghia and Shin (1982), Re = 100.

    sciml run lid_driven_cavity/best run_dir=runs/cavity/best
    python benchmarks/cavity.py runs/cavity/best

Prints u on the vertical and v on the horizontal centreline: the run, our finite-element reference,
the table of 1982, and the largest differences. The table is itself up to 0.005 (u) and 0.0095 (v)
off our reference, which agrees with a spectral solution to seven digits.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import xarray
from scipy.interpolate import CubicSpline

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from oracles import ghia_1982  # noqa: E402

REFERENCE = ROOT / "data/samples/lid_driven_cavity_re100.nc"


def centreline(path: Path, name: str, places: np.ndarray) -> np.ndarray:
    """u on x = 1/2 or v on y = 1/2 at `places`, by cubic splines of the 101 nodes there."""
    across, along = ("x", "y") if name == "u" else ("y", "x")
    with xarray.open_dataset(path) as data:
        line = data[name].sel({across: 0.5}).load().astype("float64")
    return CubicSpline(line[along], line)(places)


def compare(run: Path) -> None:
    for name, along, places, table in (
        ("u", "y", ghia_1982.Y, ghia_1982.U),
        ("v", "x", ghia_1982.X, ghia_1982.V),
    ):
        ours, known = (centreline(path, name, places) for path in (run / "result.nc", REFERENCE))
        print(f"\n{along:>8}  {name:>10}  reference   Ghia 1982")
        for row in zip(places, ours, known, table, strict=True):
            print("{:8.4f}  {:10.6f}  {:10.6f}  {:10.5f}".format(*row))
        print(f"largest difference of {name}:", end=" ")
        print(f"to Ghia {np.abs(ours - table).max():.1e}, to ours {np.abs(ours - known).max():.1e}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs")
    for run in parser.parse_args().runs:
        print(run)
        compare(run)
