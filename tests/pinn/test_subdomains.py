"""Windows that overlap: a partition of unity, local sight, frozen neighbours, jets, refusals."""

import pytest
import torch

from sciml.calculus.pointwise import autograd, taylor
from sciml.contracts import UserError
from sciml.pinn.subdomains import Subdomains


def windows(**changes) -> Subdomains:
    settings = {"width": 5, "depth": 2, "windows": 4, "overlap": 0.5}
    generator = torch.Generator().manual_seed(0)
    return Subdomains(2, 1, generator=generator, **{**settings, **changes}).double()


X = 2 * torch.rand(200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) - 1


@pytest.mark.parametrize("count", [1, 2, 5])
def test_shares_are_a_partition_of_unity(count):
    shares = torch.cat(windows(windows=count).shares(X), dim=1)
    assert shares.shape == (200, count)
    torch.testing.assert_close(shares.sum(1), torch.ones(200, dtype=torch.float64))
    assert shares.min() > -1e-15


def test_a_window_counts_only_where_it_lies():
    """Windows of length 0.5 that share 0.25: the second lies within -0.5 ± 0.125 and 0 ± 0.125."""
    network, s = windows(), X[:, 1]
    share = network.shares(X)[1][:, 0]
    outside = (s < -0.625) | (s > 0.125)
    own = (s > -0.375) & (s < -0.125)
    assert outside.any() and own.any()
    assert share[outside].max() < 1e-8
    assert (1 - share[own]).max() < 1e-8
    assert share[(s - 0.0).abs().argmin()].item() == pytest.approx(0.5, abs=0.1)


def test_each_network_sees_its_window_as_minus_one_to_one():
    network = windows()
    ends = torch.tensor([[0.3, -0.625], [0.3, 0.125]], dtype=torch.float64)
    seen = (ends - network.centres[1]) / network.halves[1]
    torch.testing.assert_close(seen, torch.tensor([[0.3, -1.0], [0.3, 1.0]], dtype=torch.float64))
    first = (torch.tensor([[0.25, -1.0]]).double() - network.centres[0]) / network.halves[0]
    assert first.tolist() == [[0.25, -1.0]]


def test_later_windows_leave_earlier_ones_alone():
    network = windows()
    early = X[X[:, 1] < -0.125]  # the third window begins at 0 - 0.125
    before = network(early)
    with torch.no_grad():
        for parameter in network.windows[2].parameters():
            parameter += 1.0
    assert (network(early) - before).abs().max() < 1e-7
    late = X[X[:, 1] > 0.125]
    assert (network(late) - windows()(late)).abs().max() > 0.1


def test_jets_go_through():
    network, names = windows(), {"u", "u_t", "u_tt", "u_xt", "u_xx"}
    nested, streams = (
        engine.derivatives(network, X, ("u",), ("x", "t"), names) for engine in (autograd, taylor)
    )
    for name in names:
        torch.testing.assert_close(streams[name], nested[name], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"windows": 0}, "expected windows > 0, got 0"),
        ({"windows": 2.5}, "whole number of windows"),
        ({"overlap": 0.0}, "expected overlap > 0"),
        ({"overlap": 1.5}, "overlap <= 1.*overlap=1.5"),
        ({"axis": 2}, "a column axis of 2, got .*axis=2"),
    ],
)
def test_mistakes(changes, message):
    with pytest.raises(UserError, match=message):
        windows(**changes)
