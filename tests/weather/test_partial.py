"""Weights by partial match: by channel name, across grids, honest about the rest."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sciml.calculus.sphere import Harmonics, gauss
from sciml.contracts import UserError
from sciml.weather import partial
from sciml.weather.columns import names_in
from sciml.weather.fastnet import FastNet
from sciml.weather.filter_network import FilterNetwork
from tests.weather import planets

SMALL, LARGE = gauss(8), gauss(12)


def fastnet(channels, grid=SMALL, seed=0, **settings):
    torch.manual_seed(seed)
    settings = {"width": 8, "layers": 2, "refinement": 1, "forcings": ["sun"]} | settings
    return FastNet(grid, planets.statistics(channels, grid), **settings)


def filters(channels, grid=SMALL, seed=0):
    torch.manual_seed(seed)
    harmonics = Harmonics(grid, 5, planets.RADIUS)
    statistics = planets.statistics(channels, grid)
    return FilterNetwork(grid, channels, statistics, harmonics, width=8, layers=1, refinement=1)


def saved(model: torch.nn.Module, path: Path) -> Path:
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)
    return path


@pytest.mark.parametrize("make", [fastnet, filters])
def test_the_same_channels_on_another_grid(make, tmp_path: Path) -> None:
    source, target = make(planets.SHALLOW_WATER), make(planets.SHALLOW_WATER, LARGE, seed=1)
    statistics = {n: b.clone() for n, b in target.named_buffers()}
    match = partial.load(target, saved(source, tmp_path / "w.safetensors"), may_stay=())
    assert not match.partly and not match.untouched and not match.unused
    for ours, theirs in zip(target.parameters(), source.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert all(torch.equal(b, statistics[n]) for n, b in target.named_buffers())
    assert target(torch.randn(1, 3, *LARGE.shape), torch.zeros(1, 1, *LARGE.shape)
                  if make is fastnet else None).isfinite().all()  # fmt: skip


def test_other_channels_are_matched_by_name(tmp_path: Path) -> None:
    old = fastnet(planets.Channels(["phi", "u", "v"]))
    new = fastnet(planets.Channels(["v", "t", "phi"]), seed=1, forcings=["clock", "sun"])
    born = {name: p.detach().clone() for name, p in new.named_parameters()}
    match = partial.load(new, saved(old, tmp_path / "w.safetensors"))
    name = "encoder.messages.first.weights.1"
    assert match.partly[name] == (("v", "phi", "sun"), ("t", "clock"))
    ours, theirs = new.encoder.messages.first.weights[1], old.encoder.messages.first.weights[1]
    for column, source in ((0, 2), (2, 0), (4, 3)):  # v, phi, sun
        assert torch.equal(ours[:, column], theirs[:, source])
    for column in (1, 3):  # t, clock
        assert torch.equal(ours[:, column], born[name][:, column])
    assert torch.equal(new.output[2].weight[0], old.output[2].weight[2])
    assert torch.equal(new.output[2].bias[1], born["output.2.bias"][1])
    assert torch.equal(new.processor.layers[1].update.rest[1].weight,
                       old.processor.layers[1].update.rest[1].weight)  # fmt: skip
    assert "t, clock" in str(match) and "taken v, phi, sun" in str(match)


def test_the_forecast_of_shared_channels_is_kept(tmp_path: Path) -> None:
    """A new channel whose columns are zero changes nothing in the old ones."""
    old = fastnet(planets.Channels(["phi", "u"]), forcings=0)
    new = fastnet(planets.Channels(["t", "u", "phi"]), seed=1, forcings=0)
    partial.load(new, saved(old, tmp_path / "w.safetensors"))
    for part in (new.encoder.messages, new.decoder.update):
        weight = part.first.weights[1 if part is new.encoder.messages else 0]
        weight.data[:, 0] = 0
    for name in ("mean", "std"):
        getattr(new.scaling, name)[1:] = getattr(old.scaling, name).flip(0)
    state = torch.randn(1, 3, *SMALL.shape)
    torch.testing.assert_close(new(state)[:, [2, 1]], old(state[:, [2, 1]]))


def test_a_deeper_processor_is_new_at_its_end(tmp_path: Path) -> None:
    old = fastnet(planets.SHALLOW_WATER)
    new = fastnet(planets.SHALLOW_WATER, seed=1, layers=3)
    path = saved(old, tmp_path / "w.safetensors")
    match = partial.load(new, path)
    assert all(name.startswith("processor.layers.2.") for name in match.untouched)
    assert set(match.untouched.values()) == {"not in the file"}
    back = partial.load(old, saved(new, tmp_path / "v.safetensors"))
    assert back.unused and all(name.startswith("processor.layers.2.") for name in back.unused)
    with pytest.raises(UserError, match=r"processor\.layers\.2.* was not taken.*not in the file"):
        partial.load(new, path, may_stay=("output.*",))
    partial.load(new, path, may_stay=("processor.layers.2.*",))


def test_what_does_not_fit_leaves_the_network_as_it_was(tmp_path: Path) -> None:
    wide, narrow = fastnet(planets.SHALLOW_WATER, width=12), fastnet(planets.SHALLOW_WATER)
    before = [p.clone() for p in narrow.parameters()]
    path = saved(wide, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="in the file, .* here; add its name to may_stay"):
        partial.load(narrow, path, may_stay=("output.*",))
    with pytest.raises(UserError, match="nothing in .* fits"):
        partial.load(filters(planets.SHALLOW_WATER), path)
    assert all(map(torch.equal, before, narrow.parameters()))
    match = partial.load(narrow, path)
    assert match.whole == ("output.2.bias",)  # one number a channel, whatever the width
    assert match.untouched["output.2.weight"] == "[3, 12] in the file, [3, 8] here"


def test_the_average_of_a_checkpoint_comes_first(tmp_path: Path) -> None:
    model, average = fastnet(planets.SHALLOW_WATER), fastnet(planets.SHALLOW_WATER, seed=1)
    state = {f"model.{n}": v for n, v in model.state_dict().items()}
    torch.save({"state_dict": state, "global_step": 3}, tmp_path / "last.ckpt")
    state |= {f"average.module.{n}": v for n, v in average.state_dict().items()}
    torch.save({"state_dict": state, "global_step": 3}, tmp_path / "averaged.ckpt")
    for file, source in (("last.ckpt", model), ("averaged.ckpt", average)):
        fresh = fastnet(planets.SHALLOW_WATER, seed=2)
        partial.load(fresh, tmp_path / file, may_stay=())
        assert all(map(torch.equal, fresh.parameters(), source.parameters()))


def test_names_survive_as_bytes() -> None:
    columns = fastnet(planets.TWO_LEVELS).columns
    found = names_in(columns.text)
    assert found == {"inputs": (*planets.TWO_LEVELS.names, "sun"), "outputs": columns.outputs}


class Trap:
    """What a pickle may do and a file of weights may not."""

    def __reduce__(self):
        return print, ("unpickled",)


def test_refused_files(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    net = fastnet(planets.SHALLOW_WATER)
    with pytest.raises(UserError, match="does not exist"):
        partial.load(net, tmp_path / "none.ckpt")
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    (tmp_path / "trap.ckpt").write_bytes(pickle.dumps(Trap()))
    torch.save({"state_dict": Trap()}, tmp_path / "trap.pt")
    torch.save({"note": "no tensors"}, tmp_path / "empty.ckpt")
    for name in ("broken.safetensors", "trap.ckpt", "trap.pt", "empty.ckpt"):
        with pytest.raises(UserError, match="^weights: "):
            partial.load(net, tmp_path / name)
    assert "unpickled" not in capsys.readouterr().out
