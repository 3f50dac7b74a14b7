"""Checkpoints: the same states and gradients, computed twice, for the root of the memory."""

import gc
import weakref
from dataclasses import dataclass
from functools import partial

import pytest
import torch

from sciml.contracts import UserError
from sciml.tactile import materials
from sciml.tactile.contact import Ball, MeshContact, RigidContact, path, pose
from sciml.tactile.elements import Elements
from sciml.tactile.parts import moved, united
from sciml.tactile.shapes import block
from sciml.tactile.simulator import (
    BDF2,
    BackwardEuler,
    Moment,
    Newton,
    QuasiStatic,
    Simulator,
    StepRefused,
)

SIZE = (0.02, 0.02, 0.01)
LAW = materials.neo_hookean


class Press:
    """A ball pressed into a slab, slid and turned."""

    def __init__(self, scheme=None, law=LAW, degree=1, cells=(3, 3, 2), down=8e-4) -> None:
        elements = Elements(block(SIZE, cells), degree)
        self.contact = RigidContact(elements, "top", Ball(0.006), 1e9)
        self.simulator = Simulator(elements, ["bottom"], scheme, [self.contact], Newton(1e-13))
        self.law, self.down = law, down

    def __call__(self, steps: int, observe=None, **options):
        """Inputs that ask for gradients, and what comes out."""
        E, nu, mu = (torch.tensor(v).double().requires_grad_() for v in (2e5, 0.42, 0.4))
        stations = (
            pose((0.0102, 0.0097, 0.0161)),
            pose((0.0102, 0.0097, 0.0161 - self.down)),
            pose((0.0106, 0.0099, 0.0161 - self.down), (0.0, 0.0, 0.1)),
        )
        poses = path(*stations, steps=(steps // 2, steps - steps // 2)).requires_grad_()
        found = self.simulator(
            self.law(E, nu),
            steps,
            None,
            [(poses, mu.expand(steps + 1))],
            observe=observe,
            **options,
        )
        return (E, nu, mu, poses), found

    def wrench(self, moment: Moment) -> torch.Tensor:
        return self.contact.wrench(*moment.acting[0])


def of_all(wrenches) -> torch.Tensor:
    """Of every step something."""
    scale = torch.tensor([1.0, 1.0, 1.0, 100.0, 100.0, 100.0]).double()
    return (scale * torch.stack(list(wrenches))).square().sum()


def relaxing(E, nu, **options):
    return materials.viscoelastic(LAW(E, nu, **options), beta=[0.4, 0.2], tau=[0.003, 0.05])


@pytest.mark.parametrize(
    ("scheme", "law", "degree"),
    [
        (None, LAW, 1),
        (BackwardEuler(5e-3), LAW, 2),
        (BDF2(2e-3), relaxing, 1),
        (QuasiStatic(2e-3), partial(relaxing, pressure=True), 2),
    ],
)
def test_gradients_are_those_without_checkpoints(scheme, law, degree) -> None:
    """All that a state remembers (slip, branches, earlier steps) crosses a segment's end."""
    press = Press(scheme, law, degree, (3, 3, 1) if degree == 1 else (2, 2, 1))
    plain, found = press(7)
    expected = torch.autograd.grad(of_all(map(press.wrench, found.moments)), plain)
    given, found = press(7, press.wrench, checkpoints=3)
    slopes = torch.autograd.grad(of_all(found.observed), given)
    for slope, wanted in zip(slopes, expected, strict=True):
        assert (slope - wanted).norm() <= 1e-9 * wanted.norm()


def test_steps_come_out_the_same_again() -> None:
    """To the last digit; segments from the last to the first."""
    press, seen = Press(), []

    def observe(moment: Moment) -> torch.Tensor:
        seen.append(moment.u.detach().clone())
        return press.wrench(moment)

    given, found = press(6, observe, checkpoints=3)
    torch.autograd.grad(of_all(found.observed), given)
    assert len(seen) == 12
    for step, again in zip(range(6), (4, 5, 2, 3, 0, 1), strict=True):
        assert torch.equal(seen[6 + step], seen[again])


def test_all_moments_may_be_kept() -> None:
    press = Press(BackwardEuler(5e-3))
    plain, one = press(5)
    given, other = press(5, checkpoints=True)
    assert len(one.u) == len(other.u) == len(other.v) == 6
    sums = [sum((u * u).sum() for u in (*t.u, *t.v, *t.holding)) for t in (one, other)]
    expected, slopes = (
        torch.autograd.grad(s, i) for s, i in zip(sums, (plain, given), strict=True)
    )
    for slope, wanted in zip(slopes, expected, strict=True):
        assert (slope - wanted).norm() <= 1e-9 * wanted.norm()


def test_two_elastic_bodies() -> None:
    """Their contact couples other nodes as it goes, so that matrices are laid out anew."""
    parts = {
        "gel": block((0.02, 0.02, 0.01), (3, 3, 2)),
        "object": moved(block((0.01, 0.01, 0.005), (2, 2, 1)), (0.0052, 0.0047, 0.01001)),
    }
    elements = Elements(united(parts), 1)
    contact = MeshContact(elements, "object.bottom", "gel.top", stiffness=1e8)
    held = ["gel.bottom", "object.top"]
    simulator = Simulator(elements, held, None, [contact], Newton(1e-13))
    above = torch.from_numpy(elements.nodes[simulator.held, 2] > 0.01)
    motion = torch.zeros(5, len(simulator.held), 3).double()
    ramp = torch.linspace(0, 1, 5).double()[:, None, None]
    motion[:, above] = ramp * torch.tensor([2e-3, 1e-3, -6e-4]).double()
    slopes = []
    for checkpoints in (0, 2):
        E, mu = (torch.tensor(v).double().requires_grad_() for v in (1e5, 0.5))
        friction = [(mu.expand(5),)]
        found = simulator(LAW(E, 0.4), 4, motion, friction, checkpoints=checkpoints)
        loss = sum(forces[above].sum(0).square().sum() for forces in found.holding)
        slopes.append(torch.stack(torch.autograd.grad(loss, [E, mu])))
    assert slopes[1] == pytest.approx(slopes[0], rel=1e-9)


def test_the_last_good_state_is_kept() -> None:
    press = Press(down=0.03)
    press.simulator.newton = Newton(1e-13, iterations=2)
    with pytest.raises(StepRefused, match=r"step \d of 8") as plain:
        press(8)
    with pytest.raises(StepRefused, match=r"step \d of 8") as cut:
        press(8, checkpoints=8)
    kept, wanted = cut.value.trajectory, plain.value.trajectory
    assert len(kept.u) == len(wanted.u) and torch.equal(kept.end.u, kept.u[-1])


def test_bad_input() -> None:
    with pytest.raises(UserError, match="checkpoints: expected a number ≥ 0 or True, got -1"):
        Press()(2, checkpoints=-1)


# ---- memory -------------------------------------------------------------------------------------


@dataclass(eq=False)
class Kept:
    """What torch holds for a gradient."""

    tensor: torch.Tensor


def stored(press: Press, steps: int, **options) -> int:
    """Bytes that a trajectory and its graph hold."""
    alive: weakref.WeakSet[Kept] = weakref.WeakSet()

    def pack(tensor: torch.Tensor) -> Kept:
        kept = Kept(tensor.detach())
        alive.add(kept)
        return kept

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept.tensor):
        _, found = press(steps, **options)
    gc.collect()
    tensors = [kept.tensor for kept in alive]
    for moment in found.moments:
        tensors += [moment.u, moment.holding, *(t for own in moment.acting for t in own)]
    storages = [tensor.untyped_storage() for tensor in tensors]
    return sum({s.data_ptr(): s.nbytes() for s in storages}.values())


@pytest.mark.parametrize("scheme", [None, BackwardEuler(5e-3), BDF2(5e-3)])
def test_a_step_stores_little(scheme) -> None:
    """u of every step, and what the contact remembers: at most 48 B a node, in all schemes."""
    press = Press(scheme, cells=(5, 5, 4))
    few, many = stored(press, 8), stored(press, 16)
    assert (many - few) / 8 / press.simulator.elements.n <= 48


def test_memory_grows_with_the_root_of_the_steps() -> None:
    press = Press(BackwardEuler(2e-3))
    few, many = (stored(press, n, observe=press.wrench, checkpoints=True) for n in (4, 36))
    assert many <= 4 * few  # of nine times the steps
