"""Weights of one forecast network for another: other channels, another grid, a deeper processor.

A parameter of the same name and shape is taken whole. One whose rows or columns are channels is
taken by the channels' names; channels that are new keep the weights the network was born with.
What depends on the grid or on the data (indices, statistics, units) is no parameter and stays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sciml.contracts import UserError
from sciml.weather.columns import names_in

#: Name of the bytes that hold the names of a network's columns.
TEXT = "columns.text"


class Named(Protocol):
    """A network that says which axis of which parameter counts channels.

    `channel_axes()` maps the parameter's name to (axis, "inputs" or "outputs").
    """

    def channel_axes(self) -> Mapping[str, tuple[int, str]]: ...


@dataclass(frozen=True)
class Match:
    """What was loaded, by name of the parameter.

    Args:
        whole: taken as they were.
        partly: name → (channels taken, channels left as they were born).
        untouched: name → why nothing was taken.
        unused: in the file, and no parameter of the network.
    """

    whole: tuple[str, ...]
    partly: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    untouched: Mapping[str, str]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{len(self.whole)} parameters taken whole"]
        lines += [
            f"{name}: taken {', '.join(taken)}; new {', '.join(new) or 'none'}"
            for name, (taken, new) in self.partly.items()
        ]
        lines += [f"{name}: not taken, {why}" for name, why in self.untouched.items()]
        lines += [f"{name}: in the file only" for name in self.unused]
        return "\n".join(lines)


def load(model: nn.Module, path: str | Path, may_stay: Sequence[str] = ("*",)) -> Match:
    """Take from a file what fits a network, and say what did not.

    Args:
        model: changed in place.
        path: a checkpoint of a run (its running average, where it kept one) or `.safetensors`.
        may_stay: patterns of the parameters that need not be in the file.

    Raises:
        UserError: the file holds no weights, none of them fits, or a parameter outside `may_stay`
            was not taken; the network is then unchanged.
    """
    weights = read(Path(path))
    own = dict(model.named_parameters())
    axes = model.channel_axes() if hasattr(model, "channel_axes") else {}
    ours = names_in(model.state_dict()[TEXT]) if TEXT in model.state_dict() else {}
    theirs = names_in(weights[TEXT]) if TEXT in weights else {}
    whole, partly, untouched, values = [], {}, {}, {}
    for name, parameter in own.items():
        found, axis = weights.get(name), axes.get(name)
        if found is None:
            untouched[name] = "not in the file"
        elif axis is not None and axis[1] in ours and axis[1] in theirs:
            taken = _by_name(parameter, found, axis[0], ours[axis[1]], theirs[axis[1]])
            if taken is None:
                untouched[name] = _shapes(parameter, found)
            elif not taken[1]:
                untouched[name] = "no channel in common"
            else:
                values[name], *partly[name] = taken
        elif found.shape == parameter.shape:
            values[name] = found
            whole.append(name)
        else:
            untouched[name] = _shapes(parameter, found)
    buffers = {name for name, _ in model.named_buffers()}
    unused = tuple(sorted(weights.keys() - own.keys() - buffers))
    whole += [name for name, (_, new) in partly.items() if not new]
    some = {name: tuple(parts) for name, parts in partly.items() if parts[1]}
    match = Match(tuple(whole), some, untouched, unused)
    _require(match, path, may_stay)
    with torch.no_grad():
        for name, value in values.items():
            own[name].copy_(value)
    return match


def read(path: Path) -> dict[str, Tensor]:
    """The weights in a file, by the parameter's name within the model; nothing is unpickled.

    Raises:
        UserError: the file is missing, unreadable, or holds no weights.
    """
    if not path.is_file():
        raise UserError(f"weights: {path} does not exist")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, OSError, ValueError, KeyError, EOFError) as error:
        raise UserError(
            f"weights: {path} cannot be read ({str(error).splitlines()[0][:120]}); "
            "give a checkpoint of a run or a .safetensors file"
        ) from error
    except Exception as error:  # an unpickling error: more than tensors and containers
        raise UserError(
            f"weights: {path} holds more than tensors, which is not read; "
            "save its state_dict as .safetensors"
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    state = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    for prefix in ("average.module.", "model.", ""):
        found = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
        if found:
            return found
    raise UserError(f"weights: {path} holds no tensors; give a checkpoint of a run")


def _by_name(
    parameter: Tensor, found: Tensor, axis: int, ours: Sequence[str], theirs: Sequence[str]
) -> tuple[Tensor, tuple[str, ...], tuple[str, ...]] | None:
    """(value, names taken, names new), or None where the other axes differ."""
    rest = [[n for i, n in enumerate(t.shape) if i != axis] for t in (parameter, found)]
    if parameter.ndim != found.ndim or rest[0] != rest[1] or found.shape[axis] != len(theirs):
        return None
    taken = [name for name in ours if name in theirs]
    value = parameter.detach().clone()
    into = torch.tensor([ours.index(name) for name in taken], dtype=torch.int64)
    source = torch.tensor([theirs.index(name) for name in taken], dtype=torch.int64)
    value.index_copy_(axis, into.to(value.device), found.index_select(axis, source).to(value))
    return value, tuple(taken), tuple(name for name in ours if name not in theirs)


def _shapes(parameter: Tensor, found: Tensor) -> str:
    return f"{list(found.shape)} in the file, {list(parameter.shape)} here"


def _require(match: Match, path: str | Path, may_stay: Sequence[str]) -> None:
    if not match.whole and not match.partly:
        raise UserError(f"weights: nothing in {path} fits this network; its parameters differ")
    for name, why in match.untouched.items():
        if not any(fnmatch(name, pattern) for pattern in may_stay):
            raise UserError(
                f"weights: {name} was not taken from {path}: {why}; "
                "add its name to may_stay, or make the network alike"
            )
