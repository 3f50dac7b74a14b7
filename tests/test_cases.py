"""One contract over every packaged case, and what the command says to a user who gets one wrong."""

import os
import re
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray
from torch import nn

import sciml
from sciml import catalogue, cli, compose, runs
from sciml.catalogue import SEARCH_VARIABLE
from sciml.contracts import System
from sciml.pinn.evaluate import solution
from sciml.pinn.fields import Fields
from sciml.pinn.objective import CollocationLoss
from sciml.pinn.points import Points
from sciml.pinn.problem import Problem
from sciml.pinn.regions import At, Boundary, Face, Initial, Interior
from sciml.training import checkpoint
from sciml.training.phases import hand_over, lay_out, trained
from sciml.training.run import train
from sciml.training.step import Step
from sciml.training.vectors import unflatten

ROOT = Path(__file__).resolve().parents[1]
EVERY = [name for name, case in catalogue.cases().items() if case.file.is_relative_to(ROOT)]


def is_forecast(case: str) -> bool:
    """Whether a case is one of fields on the globe (`test_globe_cases.py`), not of points."""
    return any("system: forecast" in text for text in texts_of(case.split("/")[0]))


def is_mechanics(case: str) -> bool:
    """Whether a case is one of a tactile sensor (`test_tactile_cases.py`)."""
    texts = texts_of(case.split("/")[0])
    kinds = ("simulation", "identification", "skill")
    return any(f"system: {kind}" in text for text in texts for kind in kinds)


def simulated(case: str) -> str | None:
    """The set that a case makes where it is not there, by the nearest file that names one."""
    texts = "\n".join(texts_of(case.split("/")[0]))
    found = re.search(r"sciml\.weather\.simulate\.make\.(\w+)", texts)
    return found and found[1]


@cache
def texts_of(folder: str) -> tuple[str, ...]:
    """The files of a folder of cases, and of the folders that they are built on."""
    own = [file.read_text() for file in sorted((ROOT / "cases" / folder).glob("*.yaml"))]
    others = {name for text in own for name in re.findall(r"- /cases/(\w+)/", text)} - {folder}
    return (*own, *(text for name in sorted(others) for text in texts_of(name)))


VARIANTS = [case for case in EVERY if not is_forecast(case) and not is_mechanics(case)]
#: What makes a few steps of a large network take seconds.
SMALLER = {"lid_driven_cavity/best": ["network.width=100", "sampling.points.residual=400"]}
FOLDERS = sorted({name.split("/")[0] for name in VARIANTS})


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs land in a temporary folder; what composing writes into the environment is undone."""
    monkeypatch.chdir(tmp_path)
    for variable in (SEARCH_VARIABLE, "HYDRA_FULL_ERROR", runs.VARIABLE):
        monkeypatch.setenv(variable, "")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@cache
def config_of(case: str):
    return compose.compose(case, ["derivatives=taylor"])


def parts_of(case: str):
    """The case's own network, data, objective and balancer; derivatives in eager code."""
    return compose.build(config_of(case))


@cache
def system_of(case: str) -> System:
    """For tests that only look."""
    return parts_of(case).system


def problem_of(case: str) -> Problem:
    return system_of(case).objective.problem


def first_batch(system: System, dtype: torch.dtype):
    return next(iter(system.data.train_dataloader(0, 0, 1))).to("cpu", dtype)


class Solution(nn.Module):
    """The exact solution, moved, in place of the network."""

    def __init__(self, problem: Problem, offset: float = 0.0) -> None:
        super().__init__()
        self.problem, self.offset = problem, offset

    def forward(self, x):
        truth = self.problem.truth(x)
        moved = self.offset * (1 + x.sum(dim=1))  # a constant alone may be a solution too
        return torch.stack([truth[name] + moved for name in self.problem.unknowns], dim=1)


@pytest.mark.parametrize("case", VARIANTS)
def test_a_case_composes_and_says_what_it_is(case):
    assert catalogue.cases()[case].title
    parts, problem = parts_of(case), problem_of(case)
    assert parts.system.objective.terms == problem.terms
    assert parts.system.metric is not None, "an error that a user can check"
    described = {*problem.unknowns, *problem.derived}
    assert described <= set(problem.long_names)


@pytest.mark.parametrize("case", VARIANTS)
def test_every_balancer_is_one_override_away(case):
    """One of the rules for each case, another for the next one; and the equations have a name."""
    rules = [name for name in catalogue.groups()["balancer"] if name != "fixed"]
    rule = rules[VARIANTS.index(case) % len(rules)]
    parts = compose.build(compose.compose(case, ["derivatives=taylor", f"balancer={rule}"]))
    terms, problem = parts.system.objective.terms, problem_of(case)
    named = config_of(case).equations
    of_conditions = {condition.term for condition in problem.conditions}
    assert ({named} if isinstance(named, str) else {*named}) == {*terms} - of_conditions


@pytest.mark.parametrize("folder", sorted({case.split("/")[0] for case in EVERY}))
def test_a_folder_has_a_default(folder):
    assert f"{folder}/default" in EVERY


@pytest.mark.parametrize("case", VARIANTS)
def test_the_exact_solution_makes_every_term_vanish(case):
    problem, system = problem_of(case), system_of(case)
    if problem.exact is None:
        assert problem.reference is not None
        return
    batch, loss = first_batch(system, torch.float64), CollocationLoss(problem)
    measured = {c.term for c in problem.conditions if isinstance(c.region, At)}  # with errors
    for name, term in loss(Solution(problem), batch).items():
        assert term.item() < 1e-12 or name in measured, name  # the sources reach 17π² = 168
    assert sum(loss(Solution(problem, 0.1), batch).values()).item() > 1e-3


@pytest.mark.parametrize("case", VARIANTS)
def test_the_committed_reference_meets_the_conditions(case):
    """u = ψ_y and v = −ψ_x are in the cavity's; its two corners below the lid have no value."""
    problem = problem_of(case)
    if problem.reference is None:
        assert problem.exact is not None
        return
    with xarray.open_dataset(problem.reference) as file:
        fields = [name for name in ("u", "v") if name in file]
        stacked = file[fields].stack(point=problem.coordinates).dropna("point").load()
    x = torch.tensor(np.column_stack([stacked[name] for name in problem.coordinates]))
    known = {name: torch.tensor(stacked[name].values.astype(float)) for name in fields}
    if "psi" in problem.unknowns:
        known |= {"psi_y": known["u"], "psi_x": -known["v"]}
    for condition in problem.conditions:
        if isinstance(condition.region, At):
            continue
        there = on(condition.region, problem, x)
        assert there.sum() >= 99
        values = {name: value[there] for name, value in known.items()}
        residual = condition.residual(Fields(problem.coordinates, Points(x[there]), values))
        assert residual.abs().max() < 1e-6, condition.name


def on(region: Face | Initial, problem: Problem, x: torch.Tensor) -> torch.Tensor:
    """Which of the points lie there."""
    if isinstance(region, Initial):
        return x[:, -1] == problem.domain.time[0]
    assert isinstance(region, Face)
    return x[:, problem.coordinates.index(region.axis)] == region.value


@pytest.mark.parametrize("case", VARIANTS)
def test_a_network_that_meets_the_conditions_itself_does(case):
    """Without conditions, the untrained network is right at the start and on the walls."""
    problem, system = problem_of(case), parts_of(case).system
    if problem.conditions or problem.coefficients:
        return
    truth = system.data.truth()
    lower, upper = (torch.tensor(ends) for ends in problem.domain.bounds)
    held = (truth.x == lower).any(1)
    if problem.domain.time is None:
        held |= (truth.x == upper).any(1)
    else:
        held = truth.x[:, -1] == lower[-1]
    found = solution(problem, system.model.double(), truth.x[held], truth.target)
    expected = {name: value[held] for name, value in truth.target.items()}
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", VARIANTS)
def test_points_lie_where_they_say(case):
    problem, system = problem_of(case), system_of(case)
    regions = {"residual": Interior()} | {c.name: c.region for c in problem.conditions}
    batch = first_batch(system, torch.float64)
    assert {name: len(points) for name, points in batch.points.items()} == dict(
        config_of(case).sampling.points
    )
    for name, region in regions.items():
        points = batch.points[name]
        x = points.x.numpy()
        assert problem.domain.contains(x).all()
        if isinstance(region, Face):
            column = problem.coordinates.index(region.axis)
            middle = problem.domain.bounds[:, column].mean()
            outward = np.zeros(x.shape)
            outward[:, column] = np.sign(region.value - middle)
            assert (x[:, column] == region.value).all()
            assert np.array_equal(points.normal.numpy(), outward)
        elif isinstance(region, Initial):
            assert (x[:, -1] == problem.domain.time[0]).all()
        elif isinstance(region, At):
            given = {tuple(point) for point in region.points}
            assert {tuple(point) for point in x} <= given
        elif isinstance(region, Boundary):
            assert problem.domain.on_boundary(x).all()
        else:
            assert isinstance(region, Interior)
            lower, upper = problem.domain.bounds
            assert (x > lower).all() and (x < upper).all()
            assert (np.ptp(x, axis=0) > 0.9 * (upper - lower)).all()


@pytest.mark.parametrize("case", VARIANTS)
def test_ten_steps_lower_the_loss(case):
    """The first phase's weighted sum, on one batch; weights are renewed at the first step."""
    parts = compose.build(compose.compose(case, ["derivatives=taylor", *SMALLER.get(case, [])]))
    phase = next(iter(parts.phases.values()))
    dtype = torch.float64 if phase.precision == "float64" else torch.float32
    model = parts.system.model.to(dtype)
    stretch = lay_out(parts.phases)[0]
    hand_over(phase.settings, (parts.system.objective, parts.system.data), stretch.name)
    batch, parameters = first_batch(parts.system, dtype), trained(model, stretch)
    optimizer = phase.optimizer(parameters.values())
    totals, weights = [], {}
    least_squares = getattr(optimizer, "asks_for_residuals", False)
    for index in range(3 if least_squares else 11):
        step = Step(parts.system.objective, model, [batch], index, parameters)
        if least_squares:
            optimizer.look(step)
        weights = weights or parts.balancer(step)
        totals.append(sum(weights[name].item() * loss.item() for name, loss in step.losses.items()))
        if least_squares:
            optimizer.step(step=step, weights=weights)
            continue
        for name, piece in unflatten(step.gradient(weights), parameters).items():
            parameters[name].grad = piece
        optimizer.step()
    assert totals[-1] < 0.997 * totals[0], totals  # least on Helmholtz: its source² is 7000


def weights_in(folder: Path) -> tuple[int, dict[str, torch.Tensor]]:
    content = checkpoint.load(folder / "checkpoints/last.ckpt")
    return content["global_step"], content["state_dict"]


def assert_same_weights(one: Path, other: Path, steps: int) -> None:
    (ours, a), (theirs, b) = weights_in(one), weights_in(other)
    assert ours == theirs == steps
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_case_resumes_bit_for_bit(folder, tmp_path):
    """Twelve steps; interrupted before step 8, after the save at 5 and before new weights at 10."""
    first, *later = config_of(f"{folder}/default").phases
    overrides = ["derivatives=taylor", "trainer.save_every=5", f"phases.{first}.steps=12"]
    overrides += [f"~phases.{phase}" for phase in later]
    config = compose.compose(f"{folder}/default", overrides)

    def attempt(run: Path, last: int | None = None) -> None:
        parts = compose.build(config)

        def interrupt(balancer: nn.Module, given: tuple[Step]) -> None:
            if given[0].index == last:
                raise RuntimeError("interrupted")

        parts.balancer.register_forward_pre_hook(interrupt)
        (run / "checkpoints").mkdir(parents=True, exist_ok=True)
        train(parts.system, parts.balancer, parts.phases, parts.settings, run)

    attempt(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="interrupted"):
        attempt(tmp_path / "parts", last=8)
    assert weights_in(tmp_path / "parts")[0] == 5
    attempt(tmp_path / "parts")
    assert_same_weights(tmp_path / "parts", tmp_path / "whole", 12)


@pytest.mark.parametrize(
    "derivatives", ["taylor", pytest.param("compiled", marks=pytest.mark.slow)]
)
def test_killed_for_good_and_started_again(derivatives, tmp_path):
    """kill -9 of the command itself; the rest, and the run to compare with, in this process."""
    steps = 400
    overrides = [
        f"derivatives={derivatives}",
        f"phases.adam.steps={steps}",
        *("network.width=6", "network.depth=1", "sampling.grid=[9,9]"),
        *(f"sampling.points.{name}=8" for name in ("residual", "left", "right", "bottom", "top")),
        "trainer.save_every=20",
    ]
    command = [sys.executable, "-m", "sciml", "run", "helmholtz_2d", *overrides, "run_dir=killed"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first = tmp_path / "killed/checkpoints/last.ckpt"
    deadline = time.monotonic() + 240
    while not first.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    assert 0 < weights_in(tmp_path / "killed")[0] < steps
    sciml.run("helmholtz_2d", *overrides, "run_dir=killed")
    sciml.run("helmholtz_2d", *overrides, "run_dir=whole")
    assert_same_weights(tmp_path / "killed", tmp_path / "whole", steps)


def answer(capsys, *words: str) -> tuple[int, str]:
    """Exit code and the one line on stderr of `sciml run`."""
    code = cli.main(["run", *words])
    said = capsys.readouterr().err
    lines = [line for line in said.splitlines() if line.startswith("sciml: ")]
    assert len(lines) == 1, said
    return code, lines[0]


LEAST_SQUARES = (
    "helmholtz_2d/m1 derivatives=taylor phases.adam.precision=float64 "
    "optimizer=levenberg_marquardt optimizer.solver=cholesky"
)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("helmholtz_2d network.width=-1", "gated network: expected width > 0, got -1"),
        ("helmholtz_2d network.width=2.5", "network.width: expected int, got 2.5"),
        ("helmholtz_2d sampling.points.residual=0", "points > 0 for 'residual', got 0; set"),
        ("helmholtz_2d sampling.points.lefft=3", "got 'lefft'; did you mean 'left'?"),
        ("helmholtz_2d +sampling.points.lefft=3", "got 'lefft'; did you mean 'left'?"),
        ("helmholtz_2d sampling.grid=[3]", "expected 2 numbers >= 2"),
        ("helmholtz_2d sampling.every=0", "expected every >= 1 or null, got 0"),
        ("helmholtz_2d problem.a1=abc", "problem.a1: expected float, got 'abc'"),
        ("helmholtz_2d problem.a3=1", "got 'a3'; it takes a1, a2"),
        ("helmholtz_2d problem=null", "problem: expected a problem, got None"),
        ("helmholtz_2d ~network", "network: expected a network, got .*network=mlp"),
        ("helmholtz_2d network._target_=torch.nn.Linea", "no 'Linea' in torch.nn"),
        ("helmholtz_2d balancer.params=weight", "one of weights, all, got .* mean 'weights'"),
        ("poisson_1d problem.C=0", "truth that is not zero everywhere, got zero for 'u'"),
        ("lid_driven_cavity problem.Re=0", "Reynolds number Re > 0, got 0"),
        ("lid_driven_cavity balancer.numerator=x", "follows equations; set equations=x instead"),
        (f"{LEAST_SQUARES} network.width=2000", r"640 residuals and 80\d+ parameters takes .* GiB"),
        ("lid_driven_cavity equations=momentum", "equations.*momentum'; did you mean 'momentum_"),
    ],
)
def test_a_mistake_is_one_line(words, said, capsys):
    code, line = answer(capsys, *words.split(), "run_dir=r")
    assert code == 2
    assert re.search(said, line), line
    assert not Path("r").exists()


CASE = """
import torch
from sciml.pinn import Face, Problem, dirichlet, disk, interval, rectangle


def problem():
    return Problem(
        name="mine",
        domain={domain},
        unknowns=("u",),
        equations=lambda f: {{"flame": {equation}}},
        conditions=(dirichlet("u", 0.0, on=Face("x", {wall}), name="left"),),
    )
"""
YAML = """# @package _global_
# A user's own case
defaults: [/system: pinn, /sampling: uniform, /derivatives: autograd, /network: mlp, _self_]
problem: {{_target_: sciml_cases.{name}.case.problem}}
sampling: {{points: {{residual: 8, left: 8}}}}
phases:
  adam: {{_target_: sciml.contracts.Phase, steps: 4, optimizer: '${{optimizer}}'}}
"""


@pytest.mark.parametrize(
    ("name", "code", "said", "changes"),
    [
        ("poisoned", 3, r"loss term 'flame' became nan at step 0; no checkpoint",
         {"equation": "torch.log(-1 - f.u_x**2)"}),
        ("hollow", 2, "expected an interior, got 0",
         {"domain": "disk((0, 0), 1) - disk((0, 0), 2)"}),
        ("beside", 2, "mine: condition 'left': .*x = 2",
         {"wall": 2.0}),
        ("column", 2, r"equation 'flame': expected a tensor of shape \[5\].*got \[5, 1\]",
         {"equation": "f.u_x[:, None]"}),
        ("unsteady", 2, "got 'u_t'; the domain is steady: give it time",
         {"equation": "f.u_t"}),
        ("idle", 2, "the term 'flame' depends on no trained parameter; drop it",
         {"equation": "f.x"}),
    ],
)  # fmt: skip
def test_mistakes_in_a_users_own_case(name, code, said, changes, tmp_path, monkeypatch, capsys):
    settings = {"domain": "rectangle((0, 0), (1, 1))", "equation": "f.u_x", "wall": 0.0}
    folder = tmp_path / "mine/cases" / name
    folder.mkdir(parents=True)
    (folder / "case.py").write_text(CASE.format(**settings | changes))
    (folder / "default.yaml").write_text(YAML.format(name=name))
    monkeypatch.setenv(SEARCH_VARIABLE, str(folder.parent))
    for words in ((), ("balancer=ntk",), ("balancer=pcgrad",)) if name == "idle" else ((),):
        found, line = answer(capsys, name, *words, "run_dir=r")
        assert found == code, line
        assert re.search(said, line), line
        assert Path("r").exists() == (code == 3)
