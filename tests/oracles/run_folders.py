"""Made-up run folders as a PINN leaves them: fields of known error, a history, gradients."""

import csv
import json
from pathlib import Path

import numpy as np
import xarray

Field = dict[str, np.ndarray]


def helmholtz(run: Path, error: float = 1e-2) -> Path:
    """u = sin(πx) sin(4πy) with an error of relative size `error` in l2 (a multiple of itself)."""
    x = y = np.linspace(-1, 1, 101)
    u = np.sin(np.pi * x) * np.sin(4 * np.pi * y[:, None])
    write_result(run, {"u": (1 + error) * u}, {"u": u}, {"y": y, "x": x}, "exact")
    write_training(run, ("residual", "walls"), {"rel_l2/u": error})
    write_story(run, "helmholtz_2d/m4", {"rel_l2/u": error}, {"rel_l2/u": 2.8e-3})
    return run


def burgers(run: Path) -> Path:
    """A steepening front in (t, x), predicted a little too smooth."""
    t, x = np.linspace(0, 1, 101), np.linspace(-1, 1, 257)
    width = 0.5 * (1 - t[:, None]) + 0.03
    u, smoother = (-np.sin(np.pi * x) * np.tanh(np.abs(x) / (width + s)) for s in (0, 0.01))
    grid, units = {"t": t, "x": x}, {"t": "s", "x": "m"}
    write_result(run, {"u": smoother}, {"u": u}, grid, "reference", units)
    write_training(run, ("residual", "initial", "walls"), {"rel_l2/u": 5e-3})
    write_story(run, "burgers/default", {"rel_l2/u": 5e-3}, {})
    return run


def cavity(run: Path) -> Path:
    """A vortex in the unit square, psi = x²(1−x)² y²(1−y) up to a factor; u = psi_y, v = −psi_x."""
    x, y = np.linspace(0, 1, 81), np.linspace(0, 1, 81)
    q, q_x = (x * (1 - x)) ** 2, 2 * x * (1 - x) * (1 - 2 * x)
    r, r_y = (y**2 * (y - 1))[:, None], (3 * y**2 - 2 * y)[:, None]
    exact = {"u": 16 * q * r_y, "v": -16 * q_x * r}
    bump = 0.02 * np.sin(np.pi * x) * np.sin(2 * np.pi * y[:, None])
    found = {"psi": 16 * q * r, "p": q + r, **{n: exact[n] + bump for n in exact}}
    write_result(run, found, exact, {"y": y, "x": x}, "reference")
    terms = ("momentum_x", "momentum_y", "walls")
    write_training(run, terms, {"rel_l2/u": 4e-2, "rel_l2/v": 6e-2})
    write_story(run, "cavity/m4", {"rel_l2/u": 4e-2}, {"rel_l2/speed": 3.42e-2})
    return run


def line(run: Path) -> Path:
    """u = sin 3x on an interval, error 0.1 x."""
    x = np.linspace(0, 2, 201)
    u = np.sin(3 * x)
    write_result(run, {"u": u + 0.1 * x}, {"u": u}, {"x": x}, "exact", {"x": "m", "u": "V"})
    return run


def write_result(
    run: Path,
    found: Field,
    known: Field,
    coordinates: Field,
    kind: str,
    units: dict[str, str] | None = None,
) -> None:
    """`result.nc` with u, u_exact or u_reference, u_error and units."""
    units, dims = units or {}, tuple(coordinates)
    arrays = dict(found)
    for name, values in known.items():
        arrays |= {f"{name}_{kind}": values, f"{name}_error": found[name] - values}
    data = xarray.Dataset(
        {n: (dims, v, {"units": units.get(n.split("_")[0], "1")}) for n, v in arrays.items()},
        {n: (n, v, {"units": units.get(n, "1")}) for n, v in coordinates.items()},
        {"Conventions": "CF-1.11"},
    )
    run.mkdir(parents=True, exist_ok=True)
    data.to_netcdf(run / "result.nc", engine="scipy")


def write_training(run: Path, terms: tuple[str, ...], errors: dict[str, float]) -> None:
    """`history.csv` of 4,000 Adam and 400 LM steps; `gradients.npz` of three hidden layers."""
    rng = np.random.default_rng(1)
    steps = [1, *range(20, 4401, 20)]
    rows = []
    for step in steps:
        decay, noise = np.exp(-step / 900) + 1e-5, np.exp(0.3 * rng.standard_normal(len(terms)))
        row: dict[str, object] = {
            "step": step,
            "phase": "adam" if step <= 4000 else "lm",
            "cpu_s": round(0.012 * step + 0.4 * max(0, step - 4000), 3),
            "wall_s": 0.013 * step,
            "lr": 1e-3,
        }
        for i, term in enumerate(terms):
            row[f"loss/{term}"] = 10.0 ** (2 - i) * decay * noise[i]
            row[f"weight/{term}"] = 1.0 if i == 0 else 60 * i * (1 - np.exp(-step / 500)) + 1
        row[f"cosine/{terms[0]}~{terms[1]}"] = rng.uniform(-1, 1)
        for name, value in errors.items():
            row[f"metric/{name}"] = value * (1 + 100 * decay) if step % 200 == 0 else ""
        rows.append(row)
    with (run / "history.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    write_gradients(run / "gradients.npz", terms, rng)


def write_gradients(path: Path, terms: tuple[str, ...], rng: np.random.Generator) -> None:
    """Normal gradients; each term's 20 times narrower than the one before, at the end 2 times."""
    shapes = {"hidden.0": 100, "hidden.1": 2500, "hidden.2": 2500, "output": 50}
    names = [f"network.{n}.{kind}" for n in shapes for kind in ("weight", "bias")]
    names.append("network.encoder_u.weight")
    stages = {"start": 0, "middle": 2199, "end": 4399}
    arrays: dict[str, np.ndarray] = {}
    for (stage, _), ratio in zip(stages.items(), (20, 5, 2), strict=True):
        for name in names:
            size = shapes.get(name.split(".", 1)[1].rsplit(".", 1)[0], 100)
            draws = {t: rng.standard_normal(size) * ratio**-i for i, t in enumerate(terms)}
            edge = max(np.abs(values).max() for values in draws.values())
            edges = np.linspace(-edge, edge, 102)
            arrays[f"edges_{stage}_{name}"] = edges
            for term, values in draws.items():
                arrays[f"counts_{stage}_{term}_{name}"] = np.histogram(values, edges)[0]
    index = {"stages": stages, "terms": list(terms), "parameters": names}
    np.savez_compressed(path, index=np.array(json.dumps(index)), **arrays)


def write_story(
    run: Path, case: str, metrics: dict[str, float], published: dict[str, float]
) -> None:
    """`config.yaml`, `provenance.json`, `metrics.json`."""
    lines = [f"case: {case}", "seed: 0", "network: {width: 50, depth: 3}"]
    lines += [f"published: {json.dumps(published)}"] if published else []
    (run / "config.yaml").write_text("\n".join(lines) + "\n")
    provenance = {
        "command": f"sciml run {case} seed=0",
        "started": "2026-11-22T08:00:00+00:00",
        "seed": 0,
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "git": {"commit": "0" * 40, "changed": False},
        "host": {"cores": 2},
    }
    (run / "provenance.json").write_text(json.dumps(provenance))
    facts = {"steps": 4400, "cpu_s": 212.8, "wall_s": 57.2, "parameters": 5551}
    (run / "metrics.json").write_text(json.dumps({**metrics, **facts}))
