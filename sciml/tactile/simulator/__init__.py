"""The simulator: quasi-static increments or time steps, differentiable by one solve a step."""

from sciml.tactile.simulator.external import DeadLoad, External, Moving, Remembering
from sciml.tactile.simulator.march import Simulator
from sciml.tactile.simulator.newton import Newton
from sciml.tactile.simulator.schemes import BDF2, BackwardEuler, QuasiStatic, Scheme, State, at_rest
from sciml.tactile.simulator.solver import superlu
from sciml.tactile.simulator.trajectory import Moment, StepRefused, Trajectory

__all__ = [
    "BDF2",
    "BackwardEuler",
    "DeadLoad",
    "External",
    "Moment",
    "Moving",
    "Newton",
    "QuasiStatic",
    "Remembering",
    "Scheme",
    "Simulator",
    "State",
    "StepRefused",
    "Trajectory",
    "at_rest",
    "superlu",
]
