"""The four models of Wang, Teng & Perdikaris on their problems, full schedule: errors and CPU-seconds.

    python benchmarks/gradient_pathologies.py                 what is missing is run, then the table
    python benchmarks/gradient_pathologies.py --table         the table of what has been run
    python benchmarks/gradient_pathologies.py --only klein_gordon

Every run is `sciml run CASE seed=N run_dir=…` in a process of its own with one torch thread; a run that was
interrupted goes on. Rows, seeds and errors go to `results/gradient_pathologies.json`.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).parent / "results/gradient_pathologies.json"

#: Case → (metric, seeds). Three seeds where the claim rests on the row, one elsewhere.
ROWS = {
    "helmholtz_2d/m1": ("rel_l2/u", 3),
    "helmholtz_2d/m2": ("rel_l2/u", 1),
    "helmholtz_2d/m3": ("rel_l2/u", 1),
    "helmholtz_2d/m4": ("rel_l2/u", 3),
    "klein_gordon/m1": ("rel_l2/u", 3),
    "klein_gordon/m2": ("rel_l2/u", 1),
    "klein_gordon/m3": ("rel_l2/u", 1),
    "klein_gordon/m4": ("rel_l2/u", 3),
    "poisson_1d/m1": ("rel_l2/u", 3),
    "poisson_1d/m2": ("rel_l2/u", 3),
    "lid_driven_cavity/velocity_m1": ("rel_l2/speed", 3),
    "lid_driven_cavity/velocity_m2": ("rel_l2/speed", 1),
    "lid_driven_cavity/velocity_m3": ("rel_l2/speed", 1),
    "lid_driven_cavity/velocity_m4": ("rel_l2/speed", 3),
    "lid_driven_cavity/stream_m1": ("rel_l2/speed", 3),
    "lid_driven_cavity/stream_m2": ("rel_l2/speed", 1),
    "lid_driven_cavity/stream_m3": ("rel_l2/speed", 1),
    "lid_driven_cavity/stream_m4": ("rel_l2/speed", 3),
}


def run(case: str, seed: int, folder: Path) -> None:
    """One full-schedule run, unless its metrics are there already."""
    if (folder / "metrics.json").exists():
        return
    command = [sys.executable, "-m", "sciml", "run", case, f"seed={seed}", f"run_dir={folder}"]
    subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)


def collect(runs: Path) -> list[dict]:
    """Every finished run: case, seed and the metrics that the table needs."""
    found = []
    for case, (metric, seeds) in ROWS.items():
        for seed in range(seeds):
            path = runs / case / f"seed{seed}" / "metrics.json"
            if path.exists():
                metrics = json.loads(path.read_text())
                errors = {k: v for k, v in metrics.items() if k.startswith("rel_l2/")}
                row = {"case": case, "seed": seed, "metric": metric, "steps": metrics["steps"]}
                found.append(row | {"cpu_s": metrics["cpu_s"]} | errors)
    return found


def table(found: list[dict]) -> str:
    """Markdown: median and worst error over seeds, median CPU-seconds."""
    lines = ["| case | metric | seeds | median | worst | CPU-s |", "|---|---|---|---|---|---|"]
    for case, (metric, _) in ROWS.items():
        rows = [row for row in found if row["case"] == case]
        if rows:
            errors = [row[metric] for row in rows]
            seconds = median(row["cpu_s"] for row in rows)
            lines.append(
                f"| {case} | {metric} | {len(rows)} | {median(errors):.2e} | {max(errors):.2e} "
                f"| {seconds:.0f} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true", help="run nothing, print what there is")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--runs", type=Path, default=Path("runs/gradient_pathologies"))
    arguments = parser.parse_args()
    if not arguments.table:
        for seed in range(3):
            for case, (_, seeds) in ROWS.items():
                if seed < seeds and arguments.only in case:
                    run(case, seed, arguments.runs / case / f"seed{seed}")
    found = collect(arguments.runs)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(table(found))


if __name__ == "__main__":
    main()
