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
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from sciml import atomic, compose
from sciml.training import checkpoint

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
#: Days of the free rollouts, and the share of days 5 to the end that is compared.
ROLLOUT_DAYS = 60


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


def rollout(run: Path, days: int) -> dict:
    """Forecasts from the first test states against the truth of the same set, day by day.

    Returns: by channel, the standard deviation over the globe of forecast and truth, means over
    the forecasts; the power ratio of v by degree over the last ten days; the largest wind.
    """
    from sciml.calculus.sphere import Harmonics, spectrum
    from sciml.globe.rollout import trajectory

    parts, model = compose.restore(run)
    data = parts.system.data
    archive, names = data.archive, [channel.name for channel in data.archive.channels]
    area = torch.as_tensor(archive.grid.area, dtype=torch.float32)
    harmonics = Harmonics(archive.grid, 42)
    per_day = round(86_400 / archive.step)
    starts, horizon = beginnings(data, days * per_day), days * per_day
    state = torch.from_numpy(archive.read(starts))
    spread, powers = {"forecast": [], "truth": []}, {"forecast": 0, "truth": 0}
    with torch.no_grad():
        for step, reached in enumerate(trajectory(model, state, None, horizon), 1):
            if step % per_day:
                continue
            truth = torch.from_numpy(archive.read([n + step for n in starts]))
            for name, one in (("forecast", reached), ("truth", truth)):
                spread[name].append(deviation(one, area).mean(0).tolist())
                if step > horizon - 10 * per_day:
                    coefficients = harmonics.analysis(one[:, names.index("v")])
                    powers[name] = powers[name] + spectrum.power(coefficients).mean(0)
    found = {"run": run.name, "starts": len(starts), "days": days, "channels": names}
    ratio = (powers["forecast"] / powers["truth"])[1:].tolist()
    return found | {"deviation": spread, "power_ratio_v": ratio}


def beginnings(data, horizon: int) -> list[int]:
    """First states of the test trajectories that hold `horizon` further ones."""
    times, step = data.archive.times, data.archive.step
    whole = [0, *(np.flatnonzero(np.diff(times) != step) + 1).tolist(), len(times)]
    return [a for a, b in zip(whole[-4:-1], whole[-3:], strict=True) if b - a > horizon]


def deviation(state: torch.Tensor, area: torch.Tensor) -> torch.Tensor:
    """Standard deviation over the globe `[B, C]`."""
    mean = (area * state).sum((-2, -1), keepdim=True)
    return (area * (state - mean) ** 2).sum((-2, -1)).sqrt()


# ---- costs --------------------------------------------------------------------------------------


def costs() -> dict:
    """Generator, share of the spectral loss, wait for data, memory of rollouts."""
    return {
        "generator_cpu_ms": generator(),
        "msh_share": msh_share(),
        "loader_share": loader_share(),
        "memory_mib": {
            form: {str(n): memory(n, form == "checkpoint") for n in (1, 7)}
            for form in ("checkpoint", "kept")
        },
    }


def generator() -> float:
    """CPU-milliseconds of the shallow-water simulator per six hours and member, 64 × 128."""
    import tempfile

    from sciml.weather.simulate.make import shallow_water

    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        shallow_water(
            Path(folder) / "set.zarr", train=10, validation=1, test=1, days=9, spin_up=3, dt=1200
        )
        return 1e3 * (time.process_time() - start) / (12 * 12 * 4)


def parts_of(row: str):
    parts = compose.build(compose.compose(f"weather_shallow_water/{row}", []))
    parts.system.model.train()
    parts.system.objective.train()
    return parts


def msh_share(rounds: int = 9) -> dict[str, float]:
    """The loss's share of a training step of the row msh_gradient, one step and four."""
    found = {}
    for steps in (1, 4):
        system = parts_of("msh_gradient").system
        for part in (system.objective, system.data):
            part.configure(rollout=steps)
        system.objective.configure(rollout=steps, terms=["msh_gradient"])
        batch = next(iter(system.data.train_dataloader(0, 0, 1))).to(
            torch.device("cpu"), torch.float32
        )
        loss = system.objective.named.losses["msh_gradient"]
        prediction = batch.state[:, 1 : steps + 1].clone().requires_grad_()
        target = batch.state[:, 1 : steps + 1] * 1.01
        shares = []
        for _ in range(rounds):
            begin = time.process_time()
            sum(system.objective(system.model, batch).values()).backward()
            whole = time.process_time() - begin
            begin = time.process_time()
            loss(prediction, target).backward()
            shares.append((time.process_time() - begin) / whole)
        found[str(steps)] = statistics.median(shares)
    return found


def loader_share(steps: int = 40) -> float:
    """Wall-clock share of a training step that waits for the next window."""
    system = parts_of("mse").system
    batches = iter(system.data.train_dataloader(0, 0, 1))
    waited, begin = 0.0, time.perf_counter()
    for _ in range(steps):
        asked = time.perf_counter()
        batch = next(batches).to(torch.device("cpu"), torch.float32)
        waited += time.perf_counter() - asked
        sum(system.objective(system.model, batch).values()).backward()
    return waited / (time.perf_counter() - begin)


def memory(steps: int, checkpointed: bool) -> float:
    """MiB that a training step of so many rollout steps adds to a process of its own."""
    command = [sys.executable, __file__, "--memory", str(steps), str(int(checkpointed))]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def added_memory(steps: int, checkpointed: bool) -> float:
    """Peak resident MiB of forward and backward pass over what stood before."""
    system = parts_of("mse").system
    system.data.configure(rollout=steps)
    system.objective.configure(rollout=steps, terms=None)
    system.objective.checkpoint = checkpointed
    batch = next(iter(system.data.train_dataloader(0, 0, 1))).to(torch.device("cpu"), torch.float32)
    with torch.no_grad():
        system.model(batch.state[:, 0], None)
    before = resident()
    sum(system.objective(system.model, batch).values()).backward()
    return peak() - before


def resident() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise SystemExit("this part needs Linux")


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# ---- results ------------------------------------------------------------------------------------


def collect(runs: Path) -> list[dict]:
    """What every finished run has written: row, seed, CPU-seconds and its metrics."""
    found = []
    for path in sorted(runs.glob("*/*/seed*/metrics.json")):
        folder = path.parent
        row = f"{folder.parents[1].name}/{folder.parent.name}"
        metrics = json.loads(path.read_text())
        spent = cpu_seconds(folder)
        found.append(
            {"row": row, "seed": int(folder.name[4:]), "cpu_s": spent} | {"metrics": metrics}
        )
    return found


def cpu_seconds(folder: Path) -> float:
    """Of the whole training, by the last line of the history."""
    with (folder / "history.csv").open(newline="") as file:
        return float(list(csv.DictReader(file))[-1]["cpu_s"])


def keep(**parts) -> dict:
    """Adds to the results, whole or not at all."""
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    found |= parts
    atomic.write(RESULTS, json.dumps(found, indent=1) + "\n")
    return found


def middle(values: list[float], digits: str = ".3f") -> str:
    """Median and, behind a stroke, the worst (largest) of several."""
    low = statistics.median(values)
    return f"{low:{digits}}" + (f" / {max(values):{digits}}" if len(values) > 1 else "")


def tables(found: dict) -> str:
    """Markdown of everything there is."""
    runs = found.get("runs", [])
    rows = list(dict.fromkeys(run["row"] for run in runs))
    lines = ["RMSE over persistence, the worst variable; median / worst seed", ""]
    for row in rows:
        mine = [run for run in runs if run["row"] == row]
        hours = hours_of(mine[0]["metrics"])
        if not lines[-1].startswith("|") or str(hours) not in lines[0]:
            lines += ["", "| row | seeds | CPU-s | " + " | ".join(f"{h:g} h" for h in hours) + " |"]
            lines += ["|" + "---|" * (3 + len(hours))]
        cells = [middle([worst(run["metrics"], hour) for run in mine]) for hour in hours]
        spent = middle([run["cpu_s"] for run in mine], ".0f")
        lines.append(f"| {row} | {len(mine)} | {spent} | " + " | ".join(cells) + " |")
    lines += ["", "|ln(power of v over the truth's)|; median / worst seed", ""]
    for row in rows:
        mine = [run for run in runs if run["row"] == row]
        degrees = degrees_of(mine[0]["metrics"])
        for hour in hours_of(mine[0]["metrics"]):
            cells = [
                f"l {degree}: "
                + middle(
                    [abs(np.log(r["metrics"][f"power_ratio/v/l{degree}/{hour:g}h"])) for r in mine]
                )
                for degree in degrees
            ]
            if cells:
                lines.append(f"* {row}, {hour:g} h: " + ", ".join(cells))
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
    forecast, truth = (np.array(one["deviation"][k]) for k in ("forecast", "truth"))
    ratio = forecast / truth
    parts = []
    for day in sorted({min(30, one["days"]), one["days"]}):
        values = ", ".join(
            f"{name} {ratio[:day, n].min():.2f} … {ratio[:day, n].max():.2f}"
            for n, name in enumerate(one["channels"])
        )
        parts.append(f"to day {day}: {values}")
    power = np.array(one["power_ratio_v"])
    parts.append(
        f"power of v, last ten days, l <= 28: {power[:28].min():.2f} … {power[:28].max():.2f}"
    )
    return (
        f"rollout of {one['row']}, {one['starts']} starts, st.dev. over the truth's "
        + "; ".join(parts)
    )


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
    parser.add_argument("--memory", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        print(added_memory(options.memory[0], bool(options.memory[1])))
        return
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
        row = "weather_shallow_water_climate"
        folder = options.runs / row / "default" / "seed0"
        train(row, 0, folder)
        keep(rollouts=[rollout(folder, ROLLOUT_DAYS) | {"row": row}])
    if wanted("costs"):
        keep(costs=costs())


if __name__ == "__main__":
    main()
