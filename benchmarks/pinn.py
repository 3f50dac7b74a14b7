"""Error against CPU-seconds of the accurate solvers, beside DeepXDE on one problem, net and points.

    python benchmarks/pinn.py                     what is missing is run, then the tables
    python benchmarks/pinn.py --table             the tables of what has been run
    python benchmarks/pinn.py --only burgers      rows whose name contains this
    python benchmarks/pinn.py --in-turn           last layers and their T_P, one after the other

Every run is `sciml run CASE seed=N run_dir=… OVERRIDES` in a process of its own with one torch
thread; one that was interrupted goes on. T_P is what this machine takes for the case's M4 row in
eager float32: the median of timed steps times 40,001. A machine that does other things makes T_P
longer and goals in shares of it easier, so that `--in-turn` measures both within a minute of each
other, seed by seed. Curves (CPU-seconds, error of the weights that the held-out residual chose) go
to `results/pinn.json`.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results/pinn.json"
SEEDS = (0, 1, 2)
#: Steps of the published schedule, by which T_P is defined.
PUBLISHED_STEPS = 40_001


@dataclass(frozen=True)
class Goal:
    """An error to be reached within CPU-seconds, or within a share of a case's T_P."""

    error: float
    seconds: float | None = None
    share: float | None = None

    def budget(self, t_p: float | None) -> float | None:
        if self.seconds is not None:
            return self.seconds
        return None if t_p is None else self.share * t_p


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        case: what is run.
        metric: the error that is judged.
        must, aim: what was asked.
        t_p: the case whose M4 step defines T_P.
        overrides: of the command line.
        seeds: how many.
    """

    case: str
    metric: str = "rel_l2/u"
    must: Goal | None = None
    aim: Goal | None = None
    t_p: str | None = None
    overrides: tuple[str, ...] = ()
    seeds: int = 3


HELMHOLTZ, KLEIN_GORDON = "helmholtz_2d", "klein_gordon"
ROWS = {
    "Helmholtz, last layer": Row(
        "helmholtz_2d/best",
        must=Goal(1e-8, share=1 / 500),
        aim=Goal(1e-10, share=1 / 50),
        t_p=HELMHOLTZ,
    ),
    "Klein-Gordon, last layer": Row(
        "klein_gordon/best",
        must=Goal(1e-8, share=1 / 300),
        aim=Goal(1e-10, share=1 / 50),
        t_p=KLEIN_GORDON,
    ),
    "Helmholtz, all weights": Row(
        "helmholtz_2d/levenberg_marquardt",
        must=Goal(1e-6, share=1 / 10),
        aim=Goal(1e-8, share=1 / 4),
        t_p=HELMHOLTZ,
    ),
    "Burgers, odd, layer known": Row(
        "burgers/half_best",
        must=Goal(1e-7, seconds=120),
        aim=Goal(1e-9, seconds=900),
        overrides=("phases.levenberg_marquardt.steps=350",),
    ),
    "Burgers, full domain": Row(
        "burgers/full_best",
        must=Goal(1e-6, seconds=300),
        aim=Goal(1e-8, seconds=900),
        overrides=("phases.levenberg_marquardt.steps=450",),
    ),
    "Allen-Cahn": Row(
        "allen_cahn/best",
        must=Goal(1e-4, seconds=600),
        aim=Goal(2e-6, seconds=1200),
        overrides=("phases.lm.steps=250",),
    ),
    "Cavity, Re 100": Row(
        "lid_driven_cavity/best", metric="rel_l2/speed", aim=Goal(1e-4, seconds=300)
    ),
}

#: Ours on what DeepXDE gets: 3 x 50, 2,000 + 4 x 128 points for good, float64, walls x 100.
SAME = (
    "network=mlp", "network.width=50", "network.depth=3", "sampling=fixed",
    "sampling.points={residual: 2000, left: 128, right: 128, bottom: 128, top: 128}",
    "sampling.grid=[100, 100]", "balancer=fixed", "weights={walls: 100.0}",
    "phases.adam.precision=float64", "phases.adam.schedule=null", "trainer.log_every=50",
)  # fmt: skip
#: A start by Adam, as DeepXDE gets one, before what needs curvature.
WARM = ("derivatives=compiled", "phases.adam.steps=1000")


def polish(optimizer: str, steps: int) -> str:
    """A phase in float64 after Adam, as an override."""
    return (
        "+phases.polish={_target_: sciml.contracts.Phase, precision: float64, "
        f"steps: {steps}, optimizer: {{_partial_: true, {optimizer}}}}}"
    )


OURS = {
    "sciml Adam": (
        "derivatives=compiled", "phases.adam.steps=15000", "trainer.validate_every=1000",
    ),
    "sciml SOAP": (
        "optimizer=soap", "derivatives=compiled", "phases.adam.steps=4000",
        "trainer.validate_every=250",
    ),
    "sciml Adam, then L-BFGS": (*WARM, "trainer.validate_every=50", polish(
        "_target_: torch.optim.LBFGS, max_iter: 20, max_eval: 50, history_size: 100, "
        "tolerance_grad: 0, tolerance_change: 0, line_search_fn: strong_wolfe", 450,
    )),
    "sciml Adam, then SSBroyden": (*WARM, "trainer.validate_every=10", polish(
        "_target_: sciml.training.optimizers.self_scaled.SelfScaled", 100,
    )),
    "sciml Levenberg-Marquardt": (
        "optimizer=levenberg_marquardt", "derivatives=taylor", "phases.adam.steps=120",
        "trainer.validate_every=10",
    ),
}  # fmt: skip
BESIDE = {name: Row("helmholtz_2d/m1", overrides=(*SAME, *more)) for name, more in OURS.items()}
#: Name → (weight of the walls, steps of Adam, iterations of L-BFGS).
DEEPXDE = {"DeepXDE, walls x 1": (1.0, 5000, 3000), "DeepXDE, walls x 100": (100.0, 2500, 1500)}


@dataclass
class Found:
    """One run: its curve (CPU-seconds, error) and its last metrics."""

    row: str
    seed: int
    curve: list[list[float]] = field(default_factory=list)
    error: float = float("nan")
    cpu_s: float = float("nan")
    wall_s: float = float("nan")
    parameters: int = 0


def run(row: Row, seed: int, folder: Path) -> None:
    """One run, unless its metrics are there already."""
    if (folder / "metrics.json").exists():
        return
    command = [sys.executable, "-m", "sciml", "run", row.case, f"seed={seed}", f"run_dir={folder}"]
    subprocess.run(
        [*command, *row.overrides], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True
    )


def read(name: str, row: Row, seed: int, folder: Path) -> Found:
    """What a finished run has written."""
    metrics = json.loads((folder / "metrics.json").read_text())
    with (folder / "history.csv").open(newline="") as file:
        curve = [
            [float(line["cpu_s"]), float(line[f"metric/{row.metric}"])]
            for line in csv.DictReader(file)
            if line.get(f"metric/{row.metric}")
        ]
    curve.append([metrics["cpu_s"], metrics[row.metric]])
    return Found(
        name, seed, curve, metrics[row.metric], metrics["cpu_s"], metrics["wall_s"],
        metrics["parameters"],
    )  # fmt: skip


def run_deepxde(name: str, seed: int, folder: Path) -> Found:
    """DeepXDE's Adam and L-BFGS in a process of their own."""
    out = folder / "curve.json"
    if not out.exists():
        folder.mkdir(parents=True, exist_ok=True)
        script = Path(__file__).with_name("deepxde_helmholtz.py")
        command = [sys.executable, str(script), f"--seed={seed}", f"--out={out}"]
        weight, adam, lbfgs = DEEPXDE[name]
        command += [f"--wall-weight={weight}", f"--adam-steps={adam}", f"--lbfgs-steps={lbfgs}"]
        subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
    found = json.loads(out.read_text())
    curve = [[point["cpu_s"], point["rel_l2/u"]] for point in found["curve"]]
    return Found(name, seed, curve, curve[-1][1], curve[-1][0], found["wall_s"], 5301)


def published_time(case: str, folder: Path, steps: int = 1100) -> float:
    """T_P: CPU-seconds of the M4 row on the full schedule, eager nested autograd, float32.

    The median time of 100 steps in a short run, start-up and validation left out, times the steps.
    """
    row = Row(f"{case}/m4", overrides=("derivatives=autograd", f"phases.adam.steps={steps}"))
    run(row, 0, folder)
    with (folder / "history.csv").open(newline="") as file:
        at = {int(line["step"]): float(line["cpu_s"]) for line in csv.DictReader(file)}
    pieces = [at[step + 100] - at[step] for step in range(100, steps - 200, 100)]
    return median(pieces) / 100 * PUBLISHED_STEPS


def in_turn(results: dict, runs: Path) -> None:
    """T_P and the time of each last-layer row, seed by seed, in alternation."""
    for name, row in ROWS.items():
        if not name.endswith("last layer"):
            continue
        turns = []
        for seed in SEEDS:
            folder = runs / "in_turn" / name.replace(" ", "_").replace(",", "") / f"seed{seed}"
            t_p = published_time(row.t_p, folder / "t_p", 700)
            run(row, seed, folder / "ours")
            curve = read(name, row, seed, folder / "ours").curve
            turns.append({"seed": seed, "t_p": t_p, "cpu_s": seconds_to(curve, row.must.error)})
        results.setdefault("in_turn", {})[name] = turns
        write(results)


def shares(results: dict) -> str:
    """One line for each row measured in turn: the must in shares of T_P, median and worst."""
    lines = []
    for name, turns in results.get("in_turn", {}).items():
        parts = sorted(one["t_p"] / one["cpu_s"] for one in turns)
        seconds = sorted(one["cpu_s"] for one in turns)
        t_p = median(one["t_p"] for one in turns)
        must = ROWS[name].must
        lines.append(
            f"{name}, in turn with its T_P ({t_p:.0f} s): {must.error:.0e} after "
            f"{median(seconds):.2f} / {seconds[-1]:.2f} s, T_P/{median(parts):.0f} / "
            f"T_P/{parts[0]:.0f}; must T_P/{1 / must.share:.0f}"
        )
    return "\n".join(lines)


def reached(curve: list[list[float]], seconds: float) -> float:
    """The error of the weights chosen within the CPU-seconds; infinite before the first look."""
    within = [error for at, error in curve if at <= seconds]
    return within[-1] if within else float("inf")


def seconds_to(curve: list[list[float]], error: float) -> float:
    """CPU-seconds until the error was reached; infinite where it never was."""
    return next((at for at, found in curve if found <= error), float("inf"))


def cells(row: Row, found: list[dict], t_p: dict[str, float]) -> list[str]:
    """What was asked, and median and worst of what was reached in that time."""
    out = []
    for goal in (row.must, row.aim):
        if goal is None:
            out += ["–", "–"]
            continue
        budget = goal.budget(t_p.get(row.t_p) if row.t_p else None)
        errors = [reached(one["curve"], budget) for one in found]
        ran = sorted(one["cpu_s"] for one in found)
        short = ran[0] < budget and max(errors) > goal.error
        note = f" (ran {ran[0]:.0f} to {ran[-1]:.0f} s)" if short else ""
        out += [f"{goal.error:.0e} in {budget:.3g} s"]
        out += [f"{median(errors):.1e} / {max(errors):.1e}{note}"]
    times = sorted(seconds_to(one["curve"], row.must.error) for one in found) if row.must else []
    return [*out, f"{median(times):.3g} / {times[-1]:.3g}" if times else "–"]


def table(results: dict) -> str:
    """Markdown: must and aim beside what was reached, over seeds (median / worst)."""
    head = "| case | seeds | must | reached | aim | reached | CPU-s to the must |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for name, row in ROWS.items():
        found = [one for one in results["runs"] if one["row"] == name]
        if found:
            asked = cells(row, found, results["t_p"])
            lines.append(f"| {name} | {len(found)} | {' | '.join(asked)} |")
    return "\n".join(lines)


def beside(results: dict) -> str:
    """Markdown: one problem, net and set of points; median / worst error by CPU-seconds."""
    budgets = (30, 60, 120, 180, 240)
    head = "| optimiser | seeds | " + " | ".join(f"{seconds} s" for seconds in budgets) + " | end |"
    lines = [head, "|---" * (len(budgets) + 3) + "|"]
    for name in (*DEEPXDE, *BESIDE):
        found = [one for one in results["runs"] if one["row"] == name]
        if found:
            shown = [spread(found, seconds) for seconds in budgets]
            ends = [one["error"] for one in found]
            spent = median(one["cpu_s"] for one in found)
            shown.append(f"{median(ends):.1e} / {max(ends):.1e} ({spent:.0f} s)")
            lines.append(f"| {name} | {len(found)} | {' | '.join(shown)} |")
    return "\n".join(lines)


def spread(found: list[dict], seconds: float) -> str:
    """Median / worst error after CPU-seconds; a dash where a run had ended or not looked yet."""
    errors = [reached(one["curve"], seconds) for one in found]
    if max(errors) == float("inf") or min(one["cpu_s"] for one in found) < seconds:
        return "–"
    return f"{median(errors):.1e} / {max(errors):.1e}"


def recorded() -> dict:
    """What earlier calls have written."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {"t_p": {}, "runs": []}


def keep(results: dict, found: Found) -> None:
    """Adds one run in place of an earlier one of the same row and seed, and writes the file."""
    results["runs"] = [
        one for one in results["runs"] if (one["row"], one["seed"]) != (found.row, found.seed)
    ] + [vars(found)]
    write(results)


def write(results: dict) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results) + "\n")


def measure(results: dict, only: str, runs: Path) -> None:
    """Runs what is missing, seed by seed, so that every row has its first seed early."""
    for case in (HELMHOLTZ, KLEIN_GORDON):
        if case not in results["t_p"]:
            results["t_p"][case] = published_time(case, runs / "t_p" / case)
            write(results)
    done = {(one["row"], one["seed"]) for one in results["runs"]}
    for seed in SEEDS:
        for name, row in {**ROWS, **BESIDE}.items():
            if only in name and seed < row.seeds and (name, seed) not in done:
                folder = runs / name.replace(" ", "_").replace(",", "") / f"seed{seed}"
                run(row, seed, folder)
                keep(results, read(name, row, seed, folder))
        for name in DEEPXDE:
            if only in name and (name, seed) not in done:
                folder = runs / name.replace(" ", "_").replace(",", "") / f"seed{seed}"
                keep(results, run_deepxde(name, seed, folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true", help="run nothing, print what there is")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--runs", type=Path, default=Path("runs/pinn"))
    parser.add_argument("--in-turn", action="store_true", help="the last layers and T_P alone")
    arguments = parser.parse_args()
    results = recorded()
    if arguments.in_turn:
        in_turn(results, arguments.runs)
    elif not arguments.table:
        measure(results, arguments.only, arguments.runs)
    for case, seconds in results["t_p"].items():
        print(f"T_P of {case}: {seconds:.0f} CPU-s")
    print(table(results))
    print(shares(results))
    print(beside(results))


if __name__ == "__main__":
    main()
