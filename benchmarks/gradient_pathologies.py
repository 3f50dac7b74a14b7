"""The four models of Wang, Teng & Perdikaris, full schedule: errors and CPU-seconds.

    python benchmarks/gradient_pathologies.py            what is missing is run, then the table
    python benchmarks/gradient_pathologies.py --table    the table of what has been run
    python benchmarks/gradient_pathologies.py --table --readmes    and each case's into its README
    python benchmarks/gradient_pathologies.py --only klein_gordon

Every run is `sciml run CASE seed=N run_dir=…` in a process of its own with one torch thread; one
that was interrupted goes on. Rows, seeds and errors go to `results/gradient_pathologies.json`,
where those of runs whose folders are gone stay.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results/gradient_pathologies.json"
BEGIN, END = "<!-- table:begin -->", "<!-- table:end -->"

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


def recorded() -> list[dict]:
    """What earlier calls have written to the results."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else []


def merged(earlier: list[dict], found: list[dict]) -> list[dict]:
    """One entry per case and seed, in the order of the rows; of two the newly found one."""
    entries = {(row["case"], row["seed"]): row for row in (*earlier, *found)}
    order = list(ROWS)
    known = (row for row in entries.values() if row["case"] in ROWS)
    return sorted(known, key=lambda row: (order.index(row["case"]), row["seed"]))


def table(found: list[dict]) -> str:
    """Markdown: median and worst error over seeds, median CPU-seconds."""
    lines = ["| case | metric | seeds | median | worst | CPU-s |", "|---|---|---|---|---|---|"]
    for case, (metric, _) in ROWS.items():
        if any(row["case"] == case for row in found):
            seeds, middle, worst, seconds, _ = cells(case, found)
            lines.append(f"| {case} | {metric} | {seeds} | {middle} | {worst} | {seconds} |")
    return "\n".join(lines)


def cells(case: str, found: list[dict]) -> tuple[str, ...]:
    """Seeds, median and worst error, median CPU-seconds, steps; dashes where nothing was run."""
    rows = [row for row in found if row["case"] == case]
    if not rows:
        return ("–",) * 5
    errors = [row[ROWS[case][0]] for row in rows]
    seconds = f"{median(row['cpu_s'] for row in rows):.0f}"
    steps = f"{max(row['steps'] for row in rows):,}"
    return str(len(rows)), f"{median(errors):.2e}", f"{max(errors):.2e}", seconds, steps


def readmes() -> list[Path]:
    """The pages of the cases measured here."""
    folders = dict.fromkeys(case.partition("/")[0] for case in ROWS)
    return [ROOT / "cases" / folder / "README.md" for folder in folders]


def table_of(folder: str, found: list[dict]) -> str:
    """Markdown of one case's rows."""
    head = "| row | command | seeds | median rel. l2 | worst | CPU-seconds (median) | steps |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for case in ROWS:
        if case.startswith(f"{folder}/"):
            row = case.partition("/")[2].replace("_", " ")
            columns = (row, f"`sciml run {case}`", *cells(case, found))
            lines.append(f"| {' | '.join(columns)} |")
    return "\n".join(lines)


def with_table(text: str, folder: str, found: list[dict]) -> str:
    """The text of a page with the case's table between the two marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"cases/{folder}/README.md: expected {BEGIN} and {END}, got none")
    return f"{before}{BEGIN}\n{table_of(folder, found)}\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true", help="run nothing, print what there is")
    parser.add_argument(
        "--readmes", action="store_true", help="write the tables of the cases' READMEs"
    )
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--runs", type=Path, default=Path("runs/gradient_pathologies"))
    arguments = parser.parse_args()
    if not arguments.table:
        for seed in range(3):
            for case, (_, seeds) in ROWS.items():
                if seed < seeds and arguments.only in case:
                    run(case, seed, arguments.runs / case / f"seed{seed}")
    found = merged(recorded(), collect(arguments.runs))
    if found:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    if arguments.readmes:
        for page in readmes():
            text = page.read_text(encoding="utf-8")
            page.write_text(with_table(text, page.parent.name, found), encoding="utf-8")
    print(table(found))


if __name__ == "__main__":
    main()
