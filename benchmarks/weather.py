"""Skill, small scales, long rollouts and costs of the weather system on the sets it makes itself.

    python benchmarks/weather.py                     what is missing is run, then the tables
    python benchmarks/weather.py --part skill        skill, scales, rollouts or costs alone
    python benchmarks/weather.py --seeds 1 --table   the tables of what has been run

Every training is `sciml run CASE seed=N run_dir=…` in a process of its own with one torch thread.
Rows of a case share their first phases: the others go on from the checkpoint that the first row
left at their end, which gives the same numbers as training them whole. CPU-seconds are those of
the whole training, shared phases included. What is there is not run again.
"""

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from weather_costs import costs

from sciml import atomic, compose
from sciml.calculus.sphere import Harmonics, spectrum
from sciml.globe.archive import open_archive
from sciml.globe.metrics import definitions
from sciml.globe.rollout import trajectory
from sciml.training import checkpoint
from sciml.weather.simulate.make import shallow_water

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results/weather.json"

#: Case → rows; the first is trained whole, the others from the end of its phase `two_steps`.
SKILL = {"weather_shallow_water": ["mse", "msh_gradient"]}
ALONE = ["weather_shallow_water/fastnet", "weather_held_suarez"]
SCALES = {
    "weather_shallow_water_climate": [
        "small_mse", "small_msh", "small_gradient", "small_msh_gradient", "small_wind",
    ]
}  # fmt: skip
#: Row of the free rollouts → whether its jets are driven; days, trajectories, T of the harmonics.
ROLLOUTS = {"weather_shallow_water/mse": False, "weather_shallow_water_climate/default": True}
ROLLOUT_DAYS, UNSEEN, TRUNCATION = 60, 6, 42


# ---- training -----------------------------------------------------------------------------------


def train(case: str, seed: int, folder: Path, options: tuple[str, ...] = ()) -> None:
    """One run, unless its metrics are there already."""
    if (folder / "metrics.json").exists():
        return
    command = [sys.executable, "-m", "sciml", "run", case, f"seed={seed}", f"run_dir={folder}"]
    subprocess.run([*command, *options], check=True)


def shared_steps(case: str) -> int:
    """Steps of the phases before `fine_tuning`."""
    phases = compose.compose(case, []).phases
    return sum(phase.steps for name, phase in phases.items() if name != "fine_tuning")


def family(case: str, rows: list[str], seed: int, runs: Path) -> None:
    """The first row whole, the others from its checkpoint at the end of the shared phases."""
    first = runs / case / rows[0] / f"seed{seed}"
    steps = shared_steps(f"{case}/{rows[0]}")
    often = f"trainer.save_every={steps}"
    train(f"{case}/{rows[0]}", seed, first, (often,))
    for row in rows[1:]:
        folder = runs / case / row / f"seed{seed}"
        if not folder.exists():
            branch(first, folder, f"{case}/{row}", steps)
        train(f"{case}/{row}", seed, folder, (often,))


def branch(first: Path, folder: Path, case: str, steps: int) -> None:
    """A run folder that goes on from another's checkpoint at a step, with the losses of its row."""
    source = first / "checkpoints" / checkpoint.PREVIOUS
    content = checkpoint.load(source)
    if content["global_step"] != steps:
        raise SystemExit(f"{source} is of step {content['global_step']}, expected {steps}")
    objective = compose.build(compose.compose(case, [])).system.objective.state_dict()
    state = {k: v for k, v in content["state_dict"].items() if not k.startswith("objective.")}
    content["state_dict"] = state | {f"objective.{k}": v for k, v in objective.items()}
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    (new / "checkpoints").mkdir(parents=True)
    checkpoint.save(content, new / "checkpoints" / checkpoint.LAST)
    shutil.copy(first / "history.csv", new / "history.csv")
    new.rename(folder)


# ---- rollouts -----------------------------------------------------------------------------------


def rollout(run: Path, days: int, climate: bool) -> dict:
    """Forecasts from the first states of trajectories that no training saw, day by day.

    Returns: by day and channel the standard deviation over the globe of forecast and truth, means
    over the forecasts; and the power ratio of v by degree over the last ten days.
    """
    parts, model = compose.restore(run)
    known = parts.system.data.archive
    archive = open_archive(unseen(days, climate), known.channels, gaps="allowed")
    per_day = round(86_400 / archive.step)
    names, harmonics = archive.channels.names, Harmonics(archive.grid, TRUNCATION)
    area, horizon = torch.as_tensor(archive.grid.area).float(), days * per_day
    starts = list(range(0, len(archive), len(archive) // UNSEEN))
    deviation = {"forecast": [], "truth": []}
    power = {"forecast": 0, "truth": 0}
    states = trajectory(model, torch.from_numpy(archive.read(starts)), None, horizon)
    for step in range(1, horizon + 1):
        with torch.no_grad():
            reached = next(states)
        if step % per_day:
            continue
        truth = torch.from_numpy(archive.read([first + step for first in starts]))
        for name, one in (("forecast", reached), ("truth", truth)):
            squared = definitions.activity(one, torch.zeros(()), area)
            deviation[name].append(squared.sqrt().mean(0).tolist())
            if step > horizon - 10 * per_day:
                coefficients = harmonics.analysis(one[:, names.index("v")])
                power[name] = power[name] + spectrum.power(coefficients).mean(0)
    ratio = (power["forecast"] / power["truth"])[1:].tolist()
    found = {"starts": len(starts), "days": days, "channels": list(names)}
    return found | {"deviation": deviation, "power_ratio_v": ratio}


def unseen(days: int, climate: bool) -> Path:
    """A set of the simulator's by other random numbers than the cases', a day longer."""
    name = f"shallow_water_{'climate_' if climate else ''}unseen_{days}.zarr"
    path = Path(os.environ.get("SCIML_DATA", "runs/data")) / name
    if not path.exists():
        few = {"train": UNSEEN - 2, "validation": 1, "test": 1, "seed": 1}
        shallow_water(path, days=days + 1, climate=climate, dt=1200, **few)
    return path


# ---- results ------------------------------------------------------------------------------------


def collect(runs: Path) -> list[dict]:
    """Row, seed, CPU-seconds and metrics of finished runs, beside those recorded earlier."""
    found = []
    for path in sorted(runs.glob("*/*/seed*/metrics.json")):
        folder = path.parent
        row = f"{folder.parents[1].name}/{folder.parent.name}"
        metrics = json.loads(path.read_text())
        spent = cpu_seconds(folder)
        found.append(
            {"row": row, "seed": int(folder.name[4:]), "cpu_s": spent} | {"metrics": metrics}
        )
    new = {(one["row"], one["seed"]) for one in found}
    earlier = [one for one in recorded().get("runs", []) if (one["row"], one["seed"]) not in new]
    return sorted([*earlier, *found], key=lambda one: (one["row"], one["seed"]))


def recorded() -> dict:
    """What earlier calls have written."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def cpu_seconds(folder: Path) -> float:
    """Of the whole training, by the last line of the history."""
    with (folder / "history.csv").open(newline="") as file:
        return float(list(csv.DictReader(file))[-1]["cpu_s"])


def keep(**parts) -> dict:
    """Adds to the results, whole or not at all."""
    found = recorded() | parts
    atomic.write(RESULTS, json.dumps(found, indent=1) + "\n")
    return found


def middle(values: list[float], digits: str = ".3f") -> str:
    """Median and, behind a stroke, the worst (largest) of several."""
    low = statistics.median(values)
    return f"{low:{digits}}" + (f" / {max(values):{digits}}" if len(values) > 1 else "")


def tables(found: dict) -> str:
    """Markdown of everything there is."""
    by_row: dict[str, list[dict]] = {}
    for run in found.get("runs", []):
        by_row.setdefault(run["row"], []).append(run)
    lines = ["RMSE over persistence, the worst variable; median / worst seed"]
    shown: list[float] = []
    for row, mine in by_row.items():
        hours = hours_of(mine[0]["metrics"])
        if hours != shown:  # another evaluation: a table of its own
            shown, names = hours, " | ".join(f"{hour:g} h" for hour in hours)
            lines += ["", f"| row | seeds | CPU-s | {names} |", "|" + "---|" * (3 + len(hours))]
        cells = [middle([worst(run["metrics"], hour) for run in mine]) for hour in hours]
        spent = middle([run["cpu_s"] for run in mine], ".0f")
        lines.append(f"| {row} | {len(mine)} | {spent} | {' | '.join(cells)} |")
    lines += ["", "|ln(power of v over the truth's)|; median / worst seed", ""]
    for row, mine in by_row.items():
        degrees = degrees_of(mine[0]["metrics"])
        for hour in hours_of(mine[0]["metrics"]) if degrees else ():
            cells = [f"l {degree}: {middle(off(mine, degree, hour))}" for degree in degrees]
            lines.append(f"* {row}, {hour:g} h: {', '.join(cells)}")
    for one in found.get("rollouts", []):
        lines += ["", rollout_line(one)]
    if "costs" in found:
        lines += ["", json.dumps(found["costs"], indent=1)]
    return "\n".join(lines)


def off(runs: list[dict], degree: int, hour: float) -> list[float]:
    """|ln(power of v over the truth's)| at a total wavenumber."""
    name = f"power_ratio/v/l{degree}/{hour:g}h"
    return [abs(float(np.log(run["metrics"][name]))) for run in runs]


def rollout_line(one: dict) -> str:
    """The range of the ratios of standard deviations, to day 30 and to the end."""
    forecast, truth = (np.array(one["deviation"][name]) for name in ("forecast", "truth"))
    ratio, parts = forecast / truth, []
    for day in sorted({min(30, one["days"]), one["days"]}):
        columns = zip(one["channels"], ratio[:day].T, strict=True)
        values = ", ".join(f"{name} {c.min():.2f} … {c.max():.2f}" for name, c in columns)
        parts.append(f"to day {day}: {values}")
    power = np.array(one["power_ratio_v"])[: 2 * TRUNCATION // 3]
    parts.append(f"power of v by l over the last ten days: {power.min():.2f} … {power.max():.2f}")
    title = f"{one['row']}, seed {one['seed']}, free rollout from {one['starts']} starts, "
    title += "st.dev. over the truth's: "
    return title + "; ".join(parts)


def hours_of(metrics: dict) -> list[float]:
    found = {key.rsplit("/", 1)[1] for key in metrics if key.startswith("rmse_over_persistence/")}
    return sorted(float(hour[:-1]) for hour in found)


def degrees_of(metrics: dict) -> list[int]:
    found = {key.split("/")[2] for key in metrics if key.startswith("power_ratio/v/")}
    return sorted(int(degree[1:]) for degree in found)


def worst(metrics: dict, hour: float) -> float:
    ending = f"/{hour:g}h"
    return max(
        value
        for key, value in metrics.items()
        if key.startswith("rmse_over_persistence/") and key.endswith(ending)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("skill", "scales", "rollouts", "costs"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs/weather")
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.table:
        perform(options)
    runs = collect(options.runs)
    print(tables(keep(runs=runs) if runs else keep()))


def perform(options: argparse.Namespace) -> None:
    """What is missing of the parts asked for."""

    def wanted(part: str) -> bool:
        return options.part in (None, part)

    for seed in range(options.seeds):
        for part, cases in (("skill", SKILL), ("scales", SCALES)):
            for case, rows in cases.items() if wanted(part) else ():
                family(case, rows, seed, options.runs)
        for name in ALONE if wanted("skill") else ():
            case, _, row = name.partition("/")
            train(name, seed, options.runs / case / (row or "default") / f"seed{seed}")
        keep(runs=collect(options.runs))
    if wanted("rollouts"):
        for row, climate in ROLLOUTS.items():
            folder = options.runs / row / "seed0"
            train(row, 0, folder)
            found = rollout(folder, ROLLOUT_DAYS, climate) | {"row": row, "seed": 0}
            others = [
                one
                for one in recorded().get("rollouts", [])
                if (one["row"], one["seed"]) != (row, 0)
            ]
            keep(rollouts=[*others, found])
    if wanted("costs"):
        keep(costs=costs())


if __name__ == "__main__":
    main()
