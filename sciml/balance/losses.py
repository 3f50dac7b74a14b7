"""Rules that read the values of the terms alone; they cost a few operations on K numbers.

Write L_k(t) for term k at step t and K for the number of terms. Weights begin at 1.
"""

import random
from typing import final

import torch
from torch import nn

from sciml.balance.base import NamedTensors, by_name, require, seed_of, vector
from sciml.balance.progress import Stretches, balanced, ratio, tiny
from sciml.contracts import Step, Weights


@final
class SoftAdapt(nn.Module):
    """More weight to the terms that fall slowest: w = K softmax(β s), s_k = L_k(t) − L_k(t − 1).

    Args:
        beta: β; negative values favour the terms that fall fastest.
        normalise: divide s by Σ|s_j|, so that a common scale of the terms does not matter.
        by_loss: also in proportion to the values, w ∝ L_k exp(β s_k).
        every: L(t) is the mean over stretches of so many steps, >= 1.

    Source: A. Heydari, C. Thompson, A. Mehmood, "SoftAdapt: Techniques for Adaptive Loss Weighting
    of Neural Networks with Multi-Part Loss Functions" (2019), whose weights sum to 1 instead of K.
    Cost: no backward pass.
    """

    needs = "losses"

    def __init__(
        self, beta: float = 0.1, normalise: bool = True, by_loss: bool = False, every: int = 1
    ) -> None:
        super().__init__()
        require("every", every, least=1)
        self.beta, self.normalise, self.by_loss, self.every = beta, normalise, by_loss, every
        self.means, self.weights = Stretches(every), NamedTensors()

    def forward(self, step: Step) -> Weights:
        names, losses = list(step.losses), vector(step.losses)
        if self.means.add(names, losses, step.index):
            new, old = self.means.last(names, losses)
            rate = new - old
            if self.normalise:
                rate = rate / rate.abs().sum().clamp_min(tiny(rate))
            exponent = self.beta * rate
            if self.by_loss:
                exponent = exponent + new.clamp_min(tiny(new)).log()
            self.weights.put_all(names, balanced(exponent))
        return by_name(names, self.weights.stacked(names, torch.ones_like(losses)), step.losses)


@final
class DWA(nn.Module):
    """Dynamic weight averaging: w = K softmax(r/T), r_k = L_k(t − 1)/L_k(t − 2).

    Args:
        temperature: T > 0; large values make the weights equal.
        every: L(t) is the mean over stretches of so many steps (the source's epoch), >= 1.

    Source: S. Liu, E. Johns, A. Davison, "End-to-End Multi-Task Learning with Attention",
    CVPR 2019.
    Cost: no backward pass.
    """

    needs = "losses"

    def __init__(self, temperature: float = 2.0, every: int = 100) -> None:
        super().__init__()
        require("temperature", temperature, above=0)
        require("every", every, least=1)
        self.temperature, self.every = temperature, every
        self.means, self.weights = Stretches(every), NamedTensors()

    def forward(self, step: Step) -> Weights:
        names, losses = list(step.losses), vector(step.losses)
        if self.means.add(names, losses, step.index):
            new, old = self.means.last(names, losses)
            self.weights.put_all(names, balanced(ratio(new, old) / self.temperature))
        return by_name(names, self.weights.stacked(names, torch.ones_like(losses)), step.losses)


@final
class ReLoBRaLo(nn.Module):
    """Relative loss balancing with random lookback.

        λ(t) = α [ρ λ(t − 1) + (1 − ρ) b(t, 0)] + (1 − α) b(t, t − 1)
        b_k(t, t') = K softmax_k( L_k(t) / (T L_k(t')) )

    with ρ drawn at each step: 1 with probability `rho`, else 0, which looks back to the start.

    Args:
        alpha: share of the past, in [0, 1].
        rho: mean of ρ, in [0, 1].
        temperature: T > 0; large values make the weights equal.

    Source: R. Bischof, M. Kraus, "Multi-Objective Loss Balancing for Physics-Informed Deep
    Learning" (2021); the defaults are those of the code released with it.
    Cost: no backward pass.
    """

    needs = "losses"

    def __init__(self, alpha: float = 0.999, rho: float = 0.9999, temperature: float = 1.0) -> None:
        super().__init__()
        require("alpha", alpha, least=0, most=1)
        require("rho", rho, least=0, most=1)
        require("temperature", temperature, above=0)
        self.alpha, self.rho, self.temperature = alpha, rho, temperature
        self.first, self.last, self.weights = NamedTensors(), NamedTensors(), NamedTensors()

    def forward(self, step: Step) -> Weights:
        names, losses = list(step.losses), vector(step.losses)
        first, last = self.first.stacked(names, losses), self.last.stacked(names, losses)
        past = self.weights.stacked(names, torch.ones_like(losses))
        if random.Random(seed_of("ReLoBRaLo", step.index)).random() >= self.rho:
            past = balanced(ratio(losses, first) / self.temperature)
        new = balanced(ratio(losses, last) / self.temperature)
        weights = self.alpha * past + (1 - self.alpha) * new
        for state, values in ((self.first, first), (self.last, losses), (self.weights, weights)):
            state.put_all(names, values)
        return by_name(names, weights, step.losses)


@final
class Uncertainty(nn.Module):
    """Weights e^{−s_k} with learned log-variances s_k, which descend Σ_k (e^{−s_k} L_k + s_k).

        s_k ← s_k − η (1 − e^{−s_k} L_k)        at rest: w_k = 1/L_k

    That is twice the source's ½ e^{−s} L + ½ s, so that weights begin at 1. A step is at most 1: a
    term of 1e6 would throw s_k so far that its weight is zero for the rest of the run.

    Args:
        lr: η > 0.

    Source: A. Kendall, Y. Gal, R. Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses
    for Scene Geometry and Semantics", CVPR 2018.
    Cost: no backward pass; the derivative by s is written out.
    """

    needs = "losses"

    def __init__(self, lr: float = 1e-3) -> None:
        super().__init__()
        require("lr", lr, above=0)
        self.lr = lr
        self.log_variances = NamedTensors()

    def forward(self, step: Step) -> Weights:
        names, losses = list(step.losses), vector(step.losses)
        s = self.log_variances.stacked(names, torch.zeros_like(losses))
        weights = torch.exp(-s)
        self.log_variances.put_all(names, s - (self.lr * (1 - weights * losses)).clamp(-1, 1))
        return by_name(names, weights, step.losses)
