"""How the loop follows what a balancer answers: directions, clipping, accumulation, L-BFGS."""

from dataclasses import replace
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from sciml.balance.fixed import Fixed
from sciml.balance.gradients import Annealing
from sciml.contracts import Direction, Phase, UserError
from sciml.training import checkpoint
from sciml.training.callbacks import Average
from sciml.training.run import Settings, train
from sciml.training.step import Step
from tests.balance.members import MEMBERS, Three, gradient, network, points
from tests.training.sine import Abscissae, sine_system

SETTINGS = Settings(save_every=10, validate_every=4, log_every=5)
descent = partial(torch.optim.SGD, lr=0.1)
lbfgs = partial(torch.optim.LBFGS, lr=0.5, max_iter=5)


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def run(folder, balancer, optimizer=descent, steps=6, settings=SETTINGS, **keys):
    phases = {"only": Phase(steps=steps, optimizer=optimizer, precision="float64", **keys)}
    return train(sine_system(), balancer, phases, settings, folder)


class Sum(nn.Module):
    """The gradient of the plain sum, given as a direction."""

    def forward(self, step):
        self.given = Direction(step.rows().sum(0))
        self.before = self.given.gradient.clone()
        return self.given


def test_a_direction_is_followed(tmp_path):
    one = run(tmp_path / "a", Sum()).model
    other = run(tmp_path / "b", Fixed()).model
    torch.testing.assert_close(weights(one), weights(other), rtol=1e-12, atol=1e-14)


def test_a_direction_sees_every_accumulated_batch(tmp_path):
    one = run(tmp_path / "a", Sum(), accumulate=3).model
    other = run(tmp_path / "b", Fixed(), accumulate=3).model
    torch.testing.assert_close(weights(one), weights(other), rtol=1e-12, atol=1e-14)


def test_clipping_does_not_touch_what_the_balancer_holds(tmp_path):
    balancer = Sum()
    run(tmp_path, balancer, clip=1e-4)
    assert torch.equal(balancer.given.gradient, balancer.before)
    assert float(balancer.before.norm()) > 1e-4


class Squares(nn.Module):
    """The objective of the sine with residuals, so that every rule can be tried on it."""

    terms = ("residual", "walls")

    def residuals(self, model, batch):
        x = batch.x[:, 0]
        wall = model(0 * batch.x)[:, 0] + x / 1000
        return {"residual": model(batch.x)[:, 0] - torch.sin(3 * x), "walls": wall}

    def forward(self, model, batch):
        return {name: r.square().mean() for name, r in self.residuals(model, batch).items()}


class Taken(pl.Callback):
    """Norms of the gradients that the optimiser was given."""

    def __init__(self):
        self.norms = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
        gradients = [p.grad.flatten() for p in module.model.parameters()]
        self.norms.append(float(torch.cat(gradients).norm()))


@pytest.mark.parametrize("name", MEMBERS)
def test_clipping_and_accumulation_with_every_balancer(tmp_path, name):
    system, taken = replace(sine_system(), objective=Squares()), Taken()
    phase = Phase(steps=4, optimizer=descent, precision="float64", clip=1e-2, accumulate=2)
    settings = Settings(save_every=10, validate_every=4, log_every=5, callbacks=[taken])
    before = weights(system.model)
    outcome = train(system, MEMBERS[name](), {"only": phase}, settings, tmp_path)
    assert max(taken.norms) <= 1e-2 * (1 + 1e-9) and min(taken.norms) > 0
    # descent of rate 0.1 along gradients that were shortened
    assert 0 < float((weights(outcome.model) - before).norm()) <= 4 * 0.1 * 1e-2 * (1 + 1e-9)


@pytest.mark.parametrize("name", sorted(set(MEMBERS) - {"ntk"}))
def test_accumulated_batches_are_one_batch_to_every_balancer(name):
    # equal batches: the mean of their terms is the terms of all their points; NTK draws its signs
    # for all rows of a term, so it sees other products of them
    model, answers = network(), []
    drawn = [points(n) for n in range(2)]
    for batches in (drawn, [torch.cat(drawn)]):
        step = Step(Mean(), model, batches, 0, dict(model.named_parameters()))
        answers.append(gradient(step, MEMBERS[name]()(step)))
    torch.testing.assert_close(*answers)


class Mean(Three):
    """Every term a mean over all points, whatever their order."""

    def residuals(self, model, batch):
        u = model(batch)[:, 0]
        return {"residual": u - 1, "walls": u**2 + u / 3, "initial": 3 * (u - 2)}


def test_an_optimiser_that_evaluates_again_cannot_follow_a_direction(tmp_path):
    with pytest.raises(UserError, match="answers with a direction.*use adam"):
        run(tmp_path, Sum(), lbfgs)


def test_an_optimiser_that_infers_curvature_refuses_clipping(tmp_path):
    # torch's own L-BFGS on clipped gradients takes this network to weights of 1e41 in four steps
    with pytest.raises(UserError, match="expected clip=null"):
        run(tmp_path, Fixed(), lbfgs, clip=0.01)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_quasi_newton_steps_are_torchs_own(tmp_path, accumulate):
    model = run(tmp_path, Fixed({"walls": 3.0}), lbfgs, 4, accumulate=accumulate).model
    system = sine_system()
    reference = system.model.double()
    optimizer = lbfgs(reference.parameters())
    batches = iter(system.data.train_dataloader(0, 0, 1))
    for _ in range(4):
        # equal batches: the mean of their terms is the terms of all their points
        batch = Abscissae(torch.cat([next(batches).x for _ in range(accumulate)]))

        def closure(batch=batch):
            optimizer.zero_grad()
            terms = system.objective(reference, batch)
            loss = terms["residual"] + 3 * terms["walls"]
            loss.backward()
            return loss

        optimizer.step(closure)
    torch.testing.assert_close(weights(model), weights(reference), rtol=1e-9, atol=1e-11)


def test_the_schedule_goes_by_optimiser_steps_not_batches(tmp_path):
    seen = []

    def schedule(step: int) -> float:
        seen.append(step)
        return 1.0

    run(tmp_path, Fixed(), accumulate=3, schedule=schedule)
    assert seen == list(range(6))


def test_averages_and_validations_come_once_a_step_whatever_is_accumulated(tmp_path):
    settings = Settings(save_every=10, validate_every=4, log_every=5, callbacks=[Average(None)])
    run(tmp_path, Fixed(), accumulate=3, settings=settings)
    state = checkpoint.load(tmp_path / "checkpoints/last.ckpt")["state_dict"]
    assert int(state["average.n_averaged"]) == 6
    assert checkpoint.load(tmp_path / "checkpoints/best.ckpt")["global_step"] == 4


def test_a_balancer_is_asked_once_a_step(tmp_path):
    class Asked(nn.Module):
        seen = ()

        def forward(self, step):
            self.seen = (*self.seen, step.index)
            return Fixed()(step)

    balancer = Asked()
    run(tmp_path, balancer, lbfgs, 4, accumulate=2)
    assert balancer.seen == (0, 1, 2, 3)


def test_bf16_trains_single_precision_parameters(tmp_path):
    phases = {
        "only": Phase(
            steps=150, optimizer=partial(torch.optim.Adam, lr=1e-2), precision="bf16-mixed"
        )
    }
    seen = set()
    system = sine_system()
    system.model[0].register_forward_hook(lambda module, args, out: seen.add(out.dtype))
    outcome = train(system, Annealing(), phases, Settings(log_every=10), tmp_path)
    assert torch.bfloat16 in seen and weights(outcome.model).dtype == torch.float32
    history = (tmp_path / "history.csv").read_text().splitlines()
    column = history[0].split(",").index("loss/residual")
    losses = [float(row.split(",")[column]) for row in history[1:]]
    assert losses[-1] < 0.2 * losses[0]
