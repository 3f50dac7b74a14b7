"""The named loss terms of a forecast, and of an ensemble of forecasts: what `Fit` minimises.

A rollout of K steps from a window's first state is compared with the window's other states by every
active term. A phase's settings choose K and the terms:

    phases: {pretrain: {settings: {rollout: 1, terms: [mse]}},
             spectral: {settings: {rollout: 7, terms: [msh, gradient]}}}
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, final

import torch
from torch import Generator, Tensor, nn

from sciml.contracts import LossTerms, UserError
from sciml.globe.rollout import After, require_length
from sciml.globe.rollout import rollout as forecast

#: `(state [B, C, *grid], generator | None) -> state`, such as `noise.InputNoise`.
Noise = Callable[..., Tensor]
#: `window -> After`: what holds a limited area's boundary, say, to the window's truth.
Boundary = Callable[[Any], After]


@final
class NamedTerms(nn.Module):
    """Losses by name, of which a phase may choose some.

    Args:
        terms: name → loss `(prediction, target) -> scalar`.

    Raises:
        UserError: no term, or a name with a dot.
    """

    def __init__(self, terms: Mapping[str, nn.Module]) -> None:
        super().__init__()
        if not terms:
            raise UserError("terms: expected at least one loss term, got none; set terms.mse")
        for name in terms:
            if "." in name or hasattr(nn.ModuleDict, name):
                raise UserError(f"terms: {name!r} cannot be the name of a term; take another")
        self.losses = nn.ModuleDict(dict(terms))
        self.names: tuple[str, ...] = tuple(terms)

    def choose(self, names: Sequence[str] | None) -> None:
        """Make these the active terms, in this order; all of them where None."""
        known = tuple(self.losses)
        chosen = known if names is None else tuple([names] if isinstance(names, str) else names)
        for name in chosen:
            if name not in known:
                close = get_close_matches(name, known, n=1)
                ending = f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(known)
                raise UserError(f"terms: there is no loss term {name!r}; {ending}")
        if not chosen or len(set(chosen)) < len(chosen):
            raise UserError(f"terms: expected different names of loss terms, got {list(chosen)}")
        self.names = chosen

    def forward(self, prediction: Tensor, target: Tensor) -> LossTerms:
        return {name: self.losses[name](prediction, target) for name in self.names}


@final
class ForecastLoss(nn.Module):
    """`contracts.Objective` of a forecast, on `globe.data.Window`.

    Args:
        terms: name → loss of `[B, K, C, *grid]`, as those of `globe.losses`.
        rollout: K, steps of the forecast, where a phase does not say otherwise.
        noise: put on the first state in training, and only there.
        boundary: gives what is applied to every new state, where the window says more than a model
            may know.
        checkpoint: hold the activations of one step only.
        every: noise is put on the input of every step of the rollout.
    """

    def __init__(
        self,
        terms: Mapping[str, nn.Module],
        rollout: int = 1,
        noise: Noise | None = None,
        boundary: Boundary | None = None,
        checkpoint: bool = True,
        every: bool = False,
    ) -> None:
        super().__init__()
        self.named = NamedTerms(terms)
        self.steps = self.stated = _positive(rollout)
        self.noise, self.boundary, self.checkpoint = noise, boundary, checkpoint
        self.every = every

    @property
    def terms(self) -> tuple[str, ...]:
        """The active terms."""
        return self.named.names

    def configure(self, rollout: int | None = None, terms: Sequence[str] | None = None) -> None:
        """A phase's rollout and terms; as stated where it names none."""
        self.steps = self.stated if rollout is None else _positive(rollout)
        self.named.choose(terms)

    def forward(self, model: nn.Module, window: Any) -> LossTerms:
        noise = own(self.noise, window) if self.training and self.noise is not None else None
        after = None if self.boundary is None else self.boundary(window)
        found = forecast(model, window, self.steps, self.checkpoint, noise, after, self.every)
        return _counted(self.named(found, _target(found, window, self.steps)), window)


@final
class EnsembleLoss(nn.Module):
    """`contracts.Objective` of an ensemble: M forecasts from one state, each with its own noise.

    In validation the noise is that of `judged`.

    Args:
        terms: name → loss `(ensemble [B, M, K, C, *grid], target [B, K, C, *grid]) -> scalar`.
        noise: `(state, generator) -> state`.
        members: M >= 2.
        rollout: K, steps of the forecast, where a phase does not say otherwise.
        boundary, checkpoint: as for `ForecastLoss`.
    """

    def __init__(
        self,
        terms: Mapping[str, nn.Module],
        noise: Noise,
        members: int = 2,
        rollout: int = 1,
        boundary: Boundary | None = None,
        checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if members < 2:
            raise UserError(f"members: expected an ensemble of at least 2, got {members}")
        self.named = NamedTerms(terms)
        self.steps = self.stated = _positive(rollout)
        self.members, self.noise = members, noise
        self.boundary, self.checkpoint = boundary, checkpoint

    @property
    def terms(self) -> tuple[str, ...]:
        """The active terms."""
        return self.named.names

    def configure(self, rollout: int | None = None, terms: Sequence[str] | None = None) -> None:
        """A phase's rollout and terms; as stated where it names none."""
        self.steps = self.stated if rollout is None else _positive(rollout)
        self.named.choose(terms)

    def forward(self, model: nn.Module, window: Any) -> LossTerms:
        require_length(window, self.steps)
        many = repeated(window, self.members)
        after = None if self.boundary is None else self.boundary(many)
        judging = lambda _: judged(window, self.members, self.noise)  # noqa: E731
        noise = own(self.noise, window) if self.training else judging
        found = forecast(model, many, self.steps, self.checkpoint, noise, after)
        found = found.unflatten(0, (-1, self.members))
        return _counted(self.named(found, _target(found[:, 0], window, self.steps)), window)


def own(noise: Noise, window: Any) -> Callable[[Tensor], Tensor]:
    """Noise that is a sample's own, or of all its members; asked again, it goes on.

    So that the same samples meet the same noise on one rank or many, in one batch or several.
    """
    if window.seeds is None:
        return noise
    generators = [of_seed(seed, window.state.device) for seed in window.seeds]

    def noisy(state: Tensor) -> Tensor:
        each = state.unflatten(0, (len(generators), -1))
        return torch.cat([noise(one, g) for one, g in zip(each, generators, strict=True)])

    return noisy


def _counted(terms: LossTerms, window: Any) -> LossTerms:
    """What the terms of a share count for in the mean over ranks."""
    if window.counts == 1:
        return terms
    return {name: window.counts * term for name, term in terms.items()}


def judged(window: Any, members: int, noise: Noise) -> Tensor:
    """First states `[B · members, C, *grid]` with noise that is a sample's own, by its time.

    So that validation says the same every time, however samples are batched.
    """
    device = window.state.device
    return torch.cat(
        [
            noise(state.expand(members, *state.shape), of_seed(time, device))
            for state, time in zip(window.state[:, 0], window.time[:, 0].tolist(), strict=True)
        ]
    )


def of_seed(seed: int, device: torch.device) -> Generator:
    """Random numbers of a CUDA device where that is meant, else of the processor."""
    return Generator(device if device.type == "cuda" else "cpu").manual_seed(seed)


def repeated(window: Any, members: int) -> Any:
    """A window with every sample `members` times, one after the other."""
    forcing = window.forcing
    return replace(
        window,
        state=window.state.repeat_interleave(members, dim=0),
        forcing=None if forcing is None else forcing.repeat_interleave(members, dim=0),
        time=window.time.repeat_interleave(members, dim=0),
    )


def _target(forecast: Tensor, window: Any, steps: int) -> Tensor:
    target = window.state[:, 1 : steps + 1]
    if forecast.shape != target.shape:
        raise UserError(
            f"model: expected states of shape {list(target.shape[2:])}, channels first, "
            f"got {list(forecast.shape[2:])}"
        )
    return target


def _positive(rollout: int) -> int:
    if isinstance(rollout, bool) or not isinstance(rollout, int) or rollout < 1:
        raise UserError(f"rollout: expected a number of steps >= 1, got {rollout!r}")
    return rollout
