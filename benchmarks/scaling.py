"""Strong and weak scaling of training over ranks, and a model of its communication.

    python benchmarks/scaling.py [--ranks 1,2] [--steps 30] [--repeats 3] [--only pinn,weather]
    python benchmarks/scaling.py --plan      tables and picture of docs/scaling.md (scaling_plan.py)

Each measurement is `sciml`'s own training in processes of its own: gloo on processors, one core
each, NCCL where there are as many GPUs as ranks. Strong: the global batch stays; weak: each rank's
share stays. Ranks of one machine share its memory and its caches, so one rank with the share of N
ranks is measured while N - 1 others do the same alone (`contended`); what then is left is
communication. It is modelled by the all-reduce of a ring,

    t(S, N) = a + b · 2 (N - 1)/N · S           S bytes; a, b fitted to a sweep over S,

and a step is predicted as the contended step plus t of the bytes it was seen to reduce. Printed is
how far that is from the step measured. Medians over steps, then over turns.

Writes benchmarks/results/scaling.json.
"""

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
from pathlib import Path

from scaling_rank import WARM

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "scaling.json"
PICTURE = HERE.parent / "docs" / "pictures" / "scaling.png"


def launched(ranks: int, alone: bool, **keys) -> dict[str, dict]:
    """Job and turn → what the slowest rank found; `alone`: as many processes of one rank each."""
    port = free_port()
    processes = []
    for rank in range(ranks):
        asked = {"rank": rank, "ranks": 1 if alone else ranks} | keys
        given = {} if alone or ranks == 1 else placed(rank, ranks, port)
        if alone and gpus() >= ranks:
            given = {"CUDA_VISIBLE_DEVICES": str(rank)}
        processes.append(
            subprocess.Popen(
                [sys.executable, str(HERE / "scaling_rank.py"), json.dumps(asked)],
                env=os.environ | given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
    found = []
    try:
        for process in processes:
            out, err = process.communicate(timeout=3600)
            if process.returncode:
                raise SystemExit(f"{ranks} ranks: {err[-800:]}")
            found.append(json.loads(out.splitlines()[-1]))
    finally:
        for process in processes:
            process.kill()
    return {
        job: {name: max(f[job][name] for f in found) for name in values}
        for job, values in found[0].items()
    }


def placed(rank: int, ranks: int, port: int) -> dict[str, str]:
    """The environment that torchrun gives: one process a node, on GPUs all in one."""
    here = gpus() >= ranks
    named = {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": rank, "WORLD_SIZE": ranks,
        "LOCAL_RANK": rank if here else 0, "GROUP_RANK": 0 if here else rank,
        "LOCAL_WORLD_SIZE": ranks if here else 1,
        "GLOO_SOCKET_IFNAME": "lo", "TORCHELASTIC_RUN_ID": "scaling",
    }  # fmt: skip
    return {name: str(value) for name, value in named.items()}


def gpus() -> int:
    import torch

    return torch.cuda.device_count()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fitted(sweep: dict[str, float], ranks: int) -> dict[str, float]:
    """a and b of t = a + b · 2 (N - 1)/N · S, by least squares of relative errors."""
    import numpy as np

    size, seconds = np.array([float(s) for s in sweep]), np.array(list(sweep.values()))
    design = np.stack([np.ones_like(size), 2 * (ranks - 1) / ranks * size], 1)
    (a, b), *_ = np.linalg.lstsq(design / seconds[:, None], np.ones_like(size), rcond=None)
    error = np.abs(design @ (a, b) / seconds - 1)
    return {
        "alpha_us": 1e6 * a, "beta_gb_s": 1e-9 / b, "error_median": float(np.median(error)),
        "error_worst": float(error.max()),
    }  # fmt: skip


def reduced_in(model: dict[str, float], size: float, ranks: int) -> float:
    """Seconds of an all-reduce by the fitted model."""
    return 1e-6 * model["alpha_us"] + 2 * (ranks - 1) / ranks * size / (1e9 * model["beta_gb_s"])


def middle(found: dict[str, dict], job: str) -> dict[str, float]:
    """The median over turns, and of the step also the worst."""
    turns = [values for name, values in found.items() if name.rsplit(" ", 1)[0] == job]
    medians = {name: statistics.median(t[name] for t in turns) for name in turns[0]}
    return medians | {"worst": max(t["step"] for t in turns)} if "step" in medians else medians


def measured(cases: list[str], ranks: list[int], **keys) -> dict:
    """The sweeps, the models fitted to them, and rows of strong and weak scaling."""
    whole = [[case, case, 1.0] for case in cases]
    one = launched(1, False, jobs=whole, **keys)
    models, sweeps, rows = {}, {}, [row(case, "strong", 1, middle(one, case)) for case in cases]
    for n in ranks[1:]:
        shares = {"strong": 1.0, "weak": float(n)}
        together = launched(
            n, False, **keys,
            jobs=[[f"{c} {k}", c, share] for c in cases for k, share in shares.items()],
        )  # fmt: skip
        alone = launched(
            n, True, **keys,
            jobs=[[f"{c} {k}", c, share / n] for c in cases for k, share in shares.items()],
        )  # fmt: skip
        sweeps[str(n)] = middle(together, "sweep")
        models[str(n)] = fitted(sweeps[str(n)], n)
        for case in cases:
            for kind in shares:
                here = middle(together, f"{case} {kind}")
                apart = middle(alone, f"{case} {kind}")["step"]
                ideal = middle(one, case)["step"] / (n if kind == "strong" else 1)
                said = apart + reduced_in(models[str(n)], here["bytes"], n)
                rows.append(
                    row(case, kind, n, here)
                    | {
                        "efficiency": ideal / here["step"],
                        "contended_ms": 1e3 * apart, "efficiency_contended": apart / here["step"],
                        "predicted_ms": 1e3 * said, "error": said / here["step"] - 1,
                    }
                )  # fmt: skip
    return {"all_reduce": models, "sweep_s": sweeps, "rows": rows}


def row(case: str, kind: str, ranks: int, found: dict[str, float]) -> dict:
    return {
        "case": case, "kind": kind, "ranks": ranks, "step_ms": 1e3 * found["step"],
        "worst_ms": 1e3 * found["worst"], "cpu_ms": 1e3 * found["cpu"], "efficiency": 1.0,
        "reduce_ms": 1e3 * found["reduce"], "bytes": found["bytes"],
    }  # fmt: skip


def report(found: dict) -> str:
    lines = [f"{'case':8s} {'':7s} {'ranks':>5s} {'step ms':>8s} {'worst':>7s} {'effic.':>7s} "
             f"{'alone':>7s} {'reduce':>7s} {'MB':>6s} {'model':>8s} {'error':>6s}"]  # fmt: skip
    for r in found["rows"]:
        line = f"{r['case']:8s} {r['kind']:7s} {r['ranks']:5d} {r['step_ms']:8.2f} "
        line += (
            f"{r['worst_ms']:7.2f} {r['efficiency']:7.2f} "  # against one rank with the whole batch
        )
        if r["ranks"] > 1:
            line += f"{r['contended_ms']:7.2f} {r['reduce_ms']:7.2f} {r['bytes'] / 1e6:6.2f} "
            line += f"{r['predicted_ms']:8.2f} {r['error']:+6.1%}"
        lines.append(line)
    for n, m in found["all_reduce"].items():
        lines.append(
            f"all-reduce on {n} ranks: {m['alpha_us']:.0f} us + 2(N-1)/N S / {m['beta_gb_s']:.2f} "
            f"GB/s; error {m['error_median']:.0%}, at most {m['error_worst']:.0%}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", default="1,2", help="numbers of processes, 1 among them")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="pinn,weather", help="pinn, weather or both")
    parser.add_argument("--plan", action="store_true", help="the tables of docs/scaling.md")
    asked = parser.parse_args()
    if asked.plan:
        import scaling_plan

        found = scaling_plan.all_tables()
        scaling_plan.draw(found["planned"], PICTURE)
        return keep("plan", found)
    cases = asked.only.split(",")
    if unknown := set(cases) - {"pinn", "weather"}:
        parser.error(f"--only: expected pinn, weather or both, got {', '.join(sorted(unknown))}")
    ranks = sorted({1, *map(int, asked.ranks.split(","))})
    keys = {"steps": asked.steps + WARM, "repeats": asked.repeats}
    found = {"host": host(), **measured(cases, ranks, **keys)}
    print(report(found))
    keep("measured", found)


def keep(part: str, found: dict) -> None:
    """In the file of results, beside what others have put there."""
    before = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    RESULT.write_text(json.dumps(before | {part: found}, indent=1) + "\n")


def host() -> dict:
    import torch

    return {
        "machine": platform.machine(), "cores": len(os.sched_getaffinity(0)),
        "torch": torch.__version__, "gpus": torch.cuda.device_count(),
        "load": [round(x, 2) for x in os.getloadavg()],
    }  # fmt: skip


if __name__ == "__main__":
    main()
