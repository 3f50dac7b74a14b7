"""Channels: names and indices, known quantities, the components of a vector."""

import pytest

from sciml.contracts import UserError
from sciml.globe.channels import Channel, Channels


def test_known_quantities_by_their_short_names() -> None:
    z500, t2m = Channels.named(["z500", "t2m"])
    assert (z500.variable, z500.level, z500.units) == ("geopotential", 500, "m2 s-2")
    assert (t2m.variable, t2m.level, t2m.standard_name) == (
        "2m_temperature",
        None,
        "air_temperature",
    )
    depth = Channel.named("thetao_0.5", axis="depth")
    assert (depth.level, depth.axis, depth.units) == (0.5, "depth", "degC")


def test_names_and_numbers_go_both_ways() -> None:
    channels = Channels.named(["z500", "u500", "v500"])
    assert [channels.index(name) for name in channels.names] == [0, 1, 2]
    assert channels.chosen(["v500", "z500"]).names == ("v500", "z500")
    assert Channels.from_dict(channels.to_dict()) == channels
    assert len(channels) == 3 and channels[1].name == "u500"


def test_components_of_vectors_are_found_level_by_level() -> None:
    names = ["v500", "z500", "u850", "v10", "u500", "u10", "v850", "ugos", "vgos"]
    channels = Channels.named(names)
    pairs = {(channels[u].name, channels[v].name) for u, v in channels.pairs()}
    assert pairs == {("u500", "v500"), ("u850", "v850"), ("u10", "v10"), ("ugos", "vgos")}
    sea = Channels.named(["uo_5", "vo_5", "uo_10"], axis="depth")
    assert sea.pairs() == ((0, 1),)
    assert Channels.named(["z500", "u500"]).pairs() == ()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "at least one"),
        (["z500", "z500"], "'z500' twice"),
        (["x500"], "known quantity"),
        (["msll"], "did you mean 'msl'"),
        (["z500", {"name": "phi", "variable": "geopotential", "level": 500,
                   "units": "m2 s-2"}], "geopotential at level 500"),
        (["z500", {"name": "phi", "variable": "geopotential", "units": "m2 s-2"}],
         "one vertical axis"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_state_is_refused(names: list, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Channels.named(names)


def test_an_unknown_channel_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'u500'"):
        Channels.named(["z500", "u500"]).index("u50")
