"""Properties that every balancing rule has, written once and applied to every member.

Where a rule lacks one by its definition, a table says why, and the test asserts that it does.
"""

import contextlib
import importlib
import io
import itertools
import sys
from dataclasses import replace

import pytest
import torch

from sciml.balance import conflict
from sciml.balance.fixed import Fixed
from sciml.balance.gcond import GCond
from sciml.balance.gradients import Annealing
from sciml.contracts import Direction, Phase, UserError
from sciml.training.run import Settings, train
from tests.balance.members import MEMBERS, ORDER, Given, Three, descend, gradient, network, step_of
from tests.training.sine import SineObjective, sine_system

#: Not indifferent to a common scale of all terms.
SCALE = {
    "uncertainty": "its weights go to 1/L, which is their purpose",
    "nashmtl": "|d| <= max_norm is a length",
    "samgs_alike": "the factor |m|/√v has the unit of a gradient, and is capped",
}
#: Weights may be negative.
NEGATIVE = {
    "imtlg": "equal projections may need a step against a gradient",
    "config": "equal angles may need one as well",
    "alignedmtl": "rows that are made orthogonal are differences of rows",
}
#: One term alone does not get weight 1: the factor on its gradient, None where it is another one.
ALONE = {
    "fixed": (3.0, "the weight given by hand"),
    "cagrad": (1.5, "1 + c"),
    "nashmtl": (None, "the length is at most max_norm"),
    "samgs": (None, "a factor for each parameter"),
    "samgs_alike": (None, "a factor for each parameter"),
    "samo": (None, "the gradient is taken elsewhere"),
    "samo_of_directions": (None, "the gradient is taken elsewhere"),
    "gcond_weights": (2.0, "the weight given by hand"),
}
#: Two ranks of half the points are not one process of all points.
HALVES = {"ntk": "random signs meet other products of rows; the mean over draws is the same"}
#: −d raises no term, whatever the gradients, as long as they are independent.
PEACEFUL = ("mgda", "config", "upgrad", "nashmtl", "imtlg")
#: The same for two terms.
PEACEFUL_FOR_TWO = (*PEACEFUL, "pcgrad")
#: Those that look at the columns of some layers where they are told to.
WITHIN = [
    "Annealing",
    "GradNorm",
    "PCGrad",
    "CAGrad",
    "MGDA",
    "IMTLG",
    "NashMTL",
    "AlignedMTL",
    "ConFIG",
    "UPGrad",
    "GCond",
]

every_balancer = pytest.mark.parametrize("name", MEMBERS)


@every_balancer
def test_one_finite_detached_weight_per_term_or_a_direction(name):
    for step, answer, row in descend(MEMBERS[name](), network(), Three(), range(4)):
        assert torch.isfinite(row).all()
        if isinstance(answer, Direction):
            assert answer.gradient.shape == row.shape and not answer.gradient.requires_grad
            continue
        assert list(answer) == list(ORDER)
        for term, weight in answer.items():
            assert weight.ndim == 0 and not weight.requires_grad
            assert weight.dtype == step.losses[term].dtype
            assert weight >= 0 or name in NEGATIVE


@pytest.mark.parametrize("name", NEGATIVE)
def test_weights_that_may_be_negative_are_at_times(name):
    # g_1 = (1, 0, 0), g_2 = (9, 1, 0), g_3 = (9, 2, 1): the long ones carry the short one along
    rows = torch.tensor([[1.0, 0, 0], [9, 1, 0], [9, 2, 1]], dtype=torch.float64)
    answer = MEMBERS[name]()(Given(rows))
    assert min(answer.values()) < 0


@every_balancer
def test_the_order_of_the_terms_does_not_matter(name):
    one = descend(MEMBERS[name](), network(), Three(), range(4))
    other = descend(MEMBERS[name](), network(), Three(order=ORDER[::-1]), range(4))
    for (_, answer, row), (_, answer2, row2) in zip(one, other, strict=True):
        torch.testing.assert_close(row, row2)
        if not isinstance(answer, Direction):
            torch.testing.assert_close({k: answer2[k] for k in answer}, answer)


@every_balancer
def test_a_common_scale_of_all_terms_does_not_matter(name):
    one = descend(MEMBERS[name](), network(), Three(), range(4))
    other = descend(MEMBERS[name](), network(), Three(scale=1e-6), range(4))
    same = all(
        torch.allclose(row, 1e6 * row2, rtol=1e-6, atol=1e-10)
        for (_, _, row), (_, _, row2) in zip(one, other, strict=True)
    )
    assert same == (name not in SCALE), SCALE.get(name, "scale")


@every_balancer
def test_two_ranks_agree_and_are_one_process(name):
    alone = descend(MEMBERS[name](), network(), Three(), range(2))
    together = on_two_ranks(
        lambda rank, average: descend(
            MEMBERS[name](), network(), Three(part=(rank, 2)), range(2), average=average
        )
    )
    for (_, _, whole), (_, _, first), (_, _, second) in zip(alone, *together, strict=True):
        assert torch.equal(first, second)
        if name not in HALVES:
            torch.testing.assert_close(first, whole, rtol=1e-7, atol=1e-9)


class Waiting(Exception):
    """A rank has handed in its share and waits for the other's."""


def on_two_ranks(run):
    """What two ranks find in one process: run again and again, one mean further each time."""
    means = []
    while True:
        handed, found = [], []
        for rank in range(2):
            known = iter(means)

            def average(tensor, known=known, handed=handed):
                for mean in known:
                    return mean
                handed.append(tensor)
                raise Waiting

            with contextlib.suppress(Waiting):
                found.append(run(rank, average))
        if len(found) == 2:
            return found
        means.append((handed[0] + handed[1]) / 2)


@every_balancer
def test_state_goes_on_after_save_and_load(name):
    model, first = network(), MEMBERS[name]()
    descend(first, model, Three(), range(3))
    file = io.BytesIO()
    torch.save([first.state_dict(), model.state_dict()], file)
    rest = descend(first, model, Three(), range(3, 7))
    file.seek(0)
    second, again = MEMBERS[name](), network()
    state, weights = torch.load(file, weights_only=True)
    second.load_state_dict(state)
    again.load_state_dict(weights)
    for (_, _, row), (_, _, row2) in zip(
        rest, descend(second, again, Three(), range(3, 7)), strict=True
    ):
        assert torch.equal(row, row2)


@every_balancer
def test_a_term_may_have_any_name(name):
    """Also one that a module of torch, or our own, has a use for."""

    new = dict(zip(ORDER, ("type", "walls", "get"), strict=True))

    class Renamed(Three):
        def residuals(self, model, batch):
            return {new[k]: r for k, r in super().residuals(model, batch).items()}

    def made():
        balancer = MEMBERS[name]()
        if isinstance(balancer, Annealing):
            balancer.numerator = ("type",)
        return balancer

    first = made()
    for _, _, row in descend(first, network(), Renamed(), range(3)):
        assert torch.isfinite(row).all()
    second = made()
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(second.state_dict(), first.state_dict(), rtol=0, atol=0)


@every_balancer
def test_state_of_before_buffers_had_a_prefix_still_loads(name):
    balancer, old = MEMBERS[name](), MEMBERS[name]()
    descend(balancer, network(), Three(), range(2))
    state = balancer.state_dict()
    old.load_state_dict({key.replace("term:", ""): value for key, value in state.items()})
    torch.testing.assert_close(old.state_dict(), state, rtol=0, atol=0)


@every_balancer
def test_the_global_generator_is_left_alone(name):
    before = torch.random.get_rng_state()
    descend(MEMBERS[name](), network(), Three(), range(2))
    assert torch.equal(before, torch.random.get_rng_state())


class Flat(Three):
    """Terms whose gradients vanish: of all, or of the walls alone."""

    def __init__(self, *flat: str) -> None:
        super().__init__()
        self.flat = flat

    def residuals(self, model, batch):
        rows = super().residuals(model, batch)
        return {name: 0 * r + 1 if name in self.flat else r for name, r in rows.items()}


@every_balancer
@pytest.mark.parametrize("flat", [("walls",), ORDER], ids=["one", "all"])
def test_finite_when_gradients_vanish(name, flat):
    for _, answer, row in descend(MEMBERS[name](), network(), Flat(*flat), range(3)):
        assert torch.isfinite(row).all()
        if not isinstance(answer, Direction):
            assert all(torch.isfinite(weight) for weight in answer.values())


@every_balancer
def test_finite_when_a_term_is_exactly_zero(name):
    class Solved(Three):
        def residuals(self, model, batch):
            rows = super().residuals(model, batch)
            return rows | {"walls": 0 * rows["walls"]}

    for _, _, row in descend(MEMBERS[name](), network(), Solved(), range(3)):
        assert torch.isfinite(row).all()


@every_balancer
def test_finite_when_two_gradients_cancel(name):
    # u − 1 and 3 − u have opposite gradients where u = 2, and nothing lowers both
    class Opposed(Three):
        def residuals(self, model, batch):
            bias = model[2].bias[0]
            return {"residual": (bias - 1).reshape(1), "walls": (3 - bias).reshape(1)}

    model = network()
    with torch.no_grad():
        model[2].bias.fill_(2.0)
    objective = Opposed(order=ORDER[:2])
    for index in range(2):
        step = step_of(model, objective, index)
        assert torch.isfinite(gradient(step, MEMBERS[name]()(step))).all()


@every_balancer
def test_one_term_alone(name):
    term = "walls" if "walls" in getattr(MEMBERS[name](), "weights", ()) else "residual"
    term = "walls" if name in ("fixed", "gcond_weights") else term
    step = step_of(network(), Three(order=(term,)))
    row = gradient(step, MEMBERS[name]()(step))
    factor, _ = ALONE.get(name, (1.0, "the plain gradient"))
    if factor is None:
        assert not torch.allclose(row, step.rows()[0])
    else:
        torch.testing.assert_close(row, factor * step.rows()[0])


@every_balancer
def test_a_new_term_may_join_in_a_later_phase_and_one_may_leave(name):
    model, balancer = network(), MEMBERS[name]()
    descend(balancer, model, Three(order=ORDER[:2]), range(3))
    for order, indices in ((ORDER, range(3, 6)), (ORDER[:2], range(6, 8))):
        for _, answer, row in descend(balancer, model, Three(order=order), indices):
            assert torch.isfinite(row).all()
            assert isinstance(answer, Direction) or list(answer) == list(order)


@every_balancer
def test_a_later_phase_may_train_other_parameters_in_another_precision(name):
    model, balancer = network(torch.float32), MEMBERS[name]()
    descend(balancer, model, Three(), range(2))
    for value in balancer.state_dict().values():
        assert value.dtype == torch.float32
    model.double()
    model[2].bias.requires_grad_(False)
    for step, _, row in descend(balancer, model, Three(), range(2, 5)):
        assert torch.isfinite(row).all() and row.dtype == torch.float64
        assert len(row) == sum(p.numel() for p in step.parameters.values())


@every_balancer
def test_what_it_needs_is_what_it_asks_for(name):
    balancer, seen = MEMBERS[name](), set()

    class Watched(Three):
        def residuals(self, model, batch):
            seen.add("residuals")
            return super().residuals(model, batch)

        def forward(self, model, batch):
            return {k: r.square().mean() for k, r in super().residuals(model, batch).items()}

    step = step_of(network(), Watched())
    balancer(step)
    asked = "rows" if step.has_rows else "residuals" if "residuals" in seen else "losses"
    assert balancer.needs == asked


def conflicting(terms: int, seed: int) -> torch.Tensor:
    """Rows of 12 columns, sizes from 1e-3 to 1e3, each against the sum of those before it."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(terms, 12, generator=generator, dtype=torch.float64)
    for k in range(1, terms):
        rows[k] -= 1.5 * rows[:k].sum(0)
    size = 10 ** (6 * torch.rand(terms, generator=generator, dtype=torch.float64) - 3)
    return size[:, None] * torch.nn.functional.normalize(rows, dim=1)


@pytest.mark.parametrize(
    ("name", "terms"),
    [*itertools.product(PEACEFUL_FOR_TWO, [2]), *itertools.product(PEACEFUL, [3, 5])],
)
def test_conflict_rules_raise_no_term(name, terms):
    for seed in range(10):
        rows = conflicting(terms, seed)
        answer = MEMBERS[name]()(Given(rows))
        d = torch.stack(list(answer.values())) @ rows
        cosines = rows @ d / (rows.norm(dim=1) * d.norm())
        assert cosines.min() > -1e-6


def rule_of(name):
    """The class of that name."""
    module = {"Annealing": "gradients", "GradNorm": "gradnorm", "GCond": "gcond"}
    room = f"sciml.balance.{module.get(name, 'conflict')}"
    return getattr(importlib.import_module(room), name)


@pytest.mark.parametrize("rule", WITHIN)
def test_rules_may_look_at_the_last_layer_alone(rule):
    make = rule_of(rule)
    extra = {"momentum": 0.0} if rule == "GCond" else {}
    one = descend(make(within="last", **extra), network(), Three(), range(1))
    same = descend(make(within=["2.*"], **extra), network(), Three(), range(1))
    (step, answer, row), (_, _, row2) = one[0], same[0]
    assert not step.has_rows and not isinstance(answer, Direction)
    assert torch.equal(row, row2)
    alone = step_of(network(), Three())
    alone.parameters = {k: v for k, v in alone.parameters.items() if k.startswith("2.")}
    torch.testing.assert_close(answer, make(**extra)(alone))


@pytest.mark.parametrize("rule", WITHIN)
def test_the_last_layer_alone_is_all_that_a_run_takes(rule, tmp_path):
    """Of an objective that would give whole rows in one call, which is for rules that want them."""

    class Whole(SineObjective):
        def rows(self, model, batch, parameters):
            raise AssertionError("whole rows")

    keys = {"momentum": 0.0} if rule == "GCond" else {"every": 1} if rule == "Annealing" else {}
    system = replace(sine_system(), objective=Whole())
    phases = {"one": Phase(1, torch.optim.Adam)}
    train(system, rule_of(rule)(within="last", **keys), phases, Settings(), tmp_path)


def test_a_pattern_that_picks_nothing_is_refused():
    with pytest.raises(UserError, match=r"within=head\.\* picks no trained parameter"):
        conflict.MGDA(within="head.*")(step_of(network(), Three()))


@pytest.mark.parametrize("rule", ["IMTLG", "ConFIG", "AlignedMTL", "UPGrad", "CAGrad"])
def test_a_missing_extra_is_one_line(rule, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchjd", None)
    with pytest.raises(UserError, match=r"pip install 'sciml-suite\[balance\]'") as refused:
        getattr(conflict, rule)()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("rule", [Fixed, GCond])
def test_given_weights_may_be_whole_numbers(rule):
    given = torch.stack(list(Fixed({"walls": 3})(step_of(network(), Three())).values()))
    assert given.tolist() == [1, 3, 1]
    assert rule({"walls": 3}) is not None


def test_fixed_weights_of_unknown_terms_are_refused():
    with pytest.raises(UserError, match="did you mean 'walls'"):
        Fixed({"wall": 1.0})(step_of(network(), Three()))
