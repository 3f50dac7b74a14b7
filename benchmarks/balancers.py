"""What each balancing rule costs, and what it reaches in equal CPU-seconds.

    python benchmarks/balancers.py --cost                 one step of each, against a plain step
    python benchmarks/balancers.py --errors --seconds 60  three cases, three seeds, every rule
    python benchmarks/balancers.py --table                what has been measured

Cost: see `balancer_costs.py`.

Errors: gated networks and points of the source's M3 rows under Adam, each rule for as many steps
as cost what the plain sum's steps cost in the given time, and the rate falls by the same factor
over every run. Costs are ratios measured in turn, so that a busy machine does not favour a rule;
they come from short runs and are rough, so what every run took stands beside it. Compilation is
not counted: it is the same kind of work for all, and done once for a case, in one process. Results
are written as they come, and what is there is not measured again.
"""

import argparse
import csv
import json
import os
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from balancer_costs import cost

from sciml import compose
from sciml.contracts import Diverged
from sciml.training.run import measure, train

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results/balancers.json"

#: Choices of `balancer=…`.
BALANCERS = [
    "fixed",
    "annealing_paper",
    "annealing_released_code",
    "softadapt",
    "dwa",
    "relobralo",
    "uncertainty",
    "gradnorm",
    "ntk",
    "pcgrad",
    "cagrad",
    "mgda",
    "imtlg",
    "nashmtl",
    "alignedmtl",
    "config",
    "upgrad",
    "gcond",
    "samgs",
    "samo",
]
#: Case → metric.
CASES = {
    "helmholtz_2d/m3": "rel_l2/u",
    "klein_gordon/m3": "rel_l2/u",
    "lid_driven_cavity/stream_m3": "rel_l2/speed",
}
SEEDS = 3
#: Rounds and steps of the short runs that measure the paces.
ROUNDS, SHORT = 5, 60
#: The source's schedule: 40 times the factor 0.9.
DECAYS = 40


# ---- errors -------------------------------------------------------------------------------------


class Trainer:
    """One case whose compiled terms serve every rule and seed: none pays for a compilation."""

    def __init__(self, case: str, runs: Path) -> None:
        self.case, self.runs = case, runs
        self.metric = CASES[case]
        self.system = self._parts("fixed", 0, 1).system
        self.pace: dict[str, float] = {}

    def _parts(self, balancer: str, seed: int, steps: int) -> compose.Parts:
        """The case's own parts under a rule, with the source's schedule over `steps`."""
        options = [f"balancer={balancer}", f"seed={seed}", f"phases.adam.steps={steps}"]
        options.append(f"phases.adam.schedule.every={max(1, round(steps / DECAYS))}")
        options += [f"trainer.{key}_every={steps}" for key in ("validate", "save")]
        options.append(f"trainer.log_every={max(100, steps // 20)}")
        options.append("weights=null")  # whatever the case's own: `fixed` is the plain sum
        return compose.build(compose.compose(self.case, options))

    def run(self, balancer: str, seed: int, steps: int) -> tuple[float | None, float]:
        """Error (None where the run diverged) and CPU-seconds after the first step."""
        parts = self._parts(balancer, seed, steps)
        folder = self.runs / self.case / f"{balancer}_{seed}_{time.time_ns()}"
        folder.mkdir(parents=True)
        self.system.model.to(torch.float32).load_state_dict(parts.system.model.state_dict())
        for part in (self.system.model, self.system.objective):
            part.train()
        system = replace(self.system, data=parts.system.data)
        try:
            outcome = train(system, parts.balancer, parts.phases, parts.settings, folder)
        except Diverged:
            return None, float("nan")
        found = measure(system, outcome.model)[self.metric]
        spent = clock(folder)
        return found, spent[max(spent)] - spent[1]

    def steps(self, balancer: str, seconds: float) -> int:
        """How many cost as much as the plain sum's steps in `seconds` at the machine's best.

        The same for every seed: where one is in the results already, its number is taken.
        """
        place = {"case": self.case, "balancer": balancer, "seconds": seconds}
        for row in recorded()["errors"]:
            if place.items() <= row.items():
                return row["steps"]
        if not self.pace:
            self._measure()
        return max(1, round(seconds / self.pace[balancer]))

    def _measure(self) -> None:
        """CPU-seconds per step: every rule takes its turn in every round, against the plain sum.

        A ratio within a round depends little on what else the machine does; the plain sum's own
        pace is the best of all rounds.
        """
        self.run("fixed", 0, 3)  # compiles
        spent: dict[str, list[float]] = {name: [] for name in BALANCERS}
        for _ in range(ROUNDS):
            for balancer in BALANCERS:
                spent[balancer].append(self.run(balancer, 0, SHORT)[1] / (SHORT - 1))
        plain = spent["fixed"]
        for balancer, seconds in spent.items():
            ratio = median(a / b for a, b in zip(seconds, plain, strict=True))
            self.pace[balancer] = ratio * min(plain)


def clock(folder: Path) -> dict[int, float]:
    """CPU-seconds by step, from a run's history."""
    with (folder / "history.csv").open(newline="") as file:
        return {int(row["step"]): float(row["cpu_s"]) for row in csv.DictReader(file)}


def errors(seconds: float, seeds: int, chosen: list[str], only: str, runs: Path) -> None:
    """Every case, rule and seed that is not in the results yet; each is written when it ends."""
    trainers = {case: Trainer(case, runs) for case in CASES if only in case}
    for seed in range(seeds):
        for case, trainer in trainers.items():
            for balancer in chosen:
                place = {"case": case, "balancer": balancer, "seed": seed, "seconds": seconds}
                if not done(place):
                    steps = trainer.steps(balancer, seconds)
                    error, spent = trainer.run(balancer, seed, steps)
                    row = place | {"steps": steps, "error": error, "cpu_s": spent}
                    keep("errors", [*recorded()["errors"], row])
                    print(row, file=sys.stderr, flush=True)


def done(place: dict) -> bool:
    """True where this run is in the results."""
    return any(place.items() <= row.items() for row in recorded()["errors"])


# ---- results ------------------------------------------------------------------------------------


def recorded() -> dict[str, list[dict]]:
    """What has been measured so far."""
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return {"cost": [], "errors": []} | found


def keep(part: str, rows: list[dict]) -> None:
    """Write one part of the results, whole or not at all."""
    RESULTS.parent.mkdir(exist_ok=True)
    new = RESULTS.with_suffix(".new")
    new.write_text(json.dumps(recorded() | {part: rows}, indent=1) + "\n")
    new.replace(RESULTS)


def table(found: dict[str, list[dict]]) -> str:
    """Markdown: the cost of a step, then median and worst error of each case and budget."""
    lines = []
    if found["cost"]:
        lines += ["| rule | engine | CPU-ms per step | against a plain step |", "|---|---|---|---|"]
    for row in found["cost"]:
        cells = (row["balancer"], row["engine"], f"{row['cpu_ms']:.2f}", f"{row['ratio']:.2f}")
        lines.append(f"| {' | '.join(cells)} |")
    groups = dict.fromkeys((row["case"], row["seconds"]) for row in found["errors"])
    for case, seconds in groups:
        rows = [r for r in found["errors"] if (r["case"], r["seconds"]) == (case, seconds)]
        lines += ["", f"{case}, {seconds:g} CPU-seconds, {CASES[case]}", ""]
        lines += ["| rule | seeds | median | worst | steps | CPU-s |", "|---|---|---|---|---|---|"]
        lines += sorted(map(partial(line, rows), dict.fromkeys(r["balancer"] for r in rows)),
                        key=lambda text: float(text.split("|")[3]))  # fmt: skip
    return "\n".join(lines)


def line(rows: list[dict], balancer: str) -> str:
    """One rule's seeds: a run that diverged has an infinite error."""
    own = [row for row in rows if row["balancer"] == balancer]
    values = [float("inf") if row["error"] is None else row["error"] for row in own]
    steps = f"{median(row['steps'] for row in own):,.0f}"
    spent = [row["cpu_s"] for row in own if row["cpu_s"] is not None]
    cpu = f"{median(spent):.0f}" if spent else "–"
    cells = (balancer, str(len(own)), f"{median(values):.2e}", f"{max(values):.2e}", steps, cpu)
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cost", action="store_true", help="measure the cost of a step")
    parser.add_argument("--errors", action="store_true", help="measure errors at equal CPU-seconds")
    parser.add_argument("--table", action="store_true", help="measure nothing, print what there is")
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU-seconds of each run")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--rounds", type=int, default=15, help="rounds of the cost table")
    parser.add_argument("--only", default="", help="cases (errors) or rules (cost) with this name")
    parser.add_argument("--balancers", nargs="+", default=BALANCERS, choices=BALANCERS)
    parser.add_argument("--runs", type=Path, default=Path("runs/balancers"))
    given = parser.parse_args()
    if given.cost and not given.table:
        keep("cost", cost(given.rounds, given.only))
    if given.errors and not given.table:
        errors(given.seconds, given.seeds, given.balancers, given.only, given.runs.resolve())
    print(table(recorded()))


if __name__ == "__main__":
    main()
