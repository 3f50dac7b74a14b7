"""What a skill's YAML assembles: motion + what is wanted → `contracts.System`."""

import math
from collections.abc import Mapping

from sciml.contracts import System, UserError
from sciml.tactile.skills import figures
from sciml.tactile.skills.follow import Following, Force, ForceError
from sciml.tactile.skills.goal import Goals
from sciml.tactile.skills.predictor import Performed
from sciml.tactile.skills.reorient import AngleError, Tipping, Turn
from sciml.tactile.skills.touch import Touch
from sciml.tactile.skills.trajectory import Curve


def follow(
    motion: Following, wanted: Mapping[str, float], finer: Touch | None = None, seed: int = 0
) -> System:
    """Constant force along a curved surface.

    Args:
        motion: with its unknowns.
        wanted: arguments of `follow.Force`.
        finer: the same scene with a finer mesh, on which what was found is checked.
        seed: of the start (see `Curve.scatter`).
    """
    _scatter(motion.curves, seed)
    return System(
        model=motion,
        objective=Force(**wanted),
        data=Goals(),
        metric=ForceError(wanted["target"], finer),
        predictor=Performed(finer),
        figures=figures.Following(motion, wanted["target"]),
    )


def reorient(
    motion: Tipping, wanted: Mapping[str, float], finer: Touch | None = None, seed: int = 0
) -> System:
    """A rigid block tipped by an angle.

    Args:
        motion: with its unknowns.
        wanted: arguments of `reorient.Turn`.
        finer, seed: see `follow`.

    Raises:
        UserError: a target that the bounds of the angle do not reach.
    """
    highest = math.degrees(motion.angle.high - motion.angle.low)
    if wanted["target"] > highest:
        raise UserError(
            f"reorient: expected a target of at most {highest:.3g} degrees, got "
            f"{wanted['target']:g}: it is beyond its reach; raise system.motion.angle.high"
        )
    _scatter(motion.curves, seed)
    return System(
        model=motion,
        objective=Turn(**wanted),
        data=Goals(),
        metric=AngleError(wanted["target"], finer),
        predictor=Performed(finer),
        figures=figures.Tipping(motion, wanted["target"]),
    )


follow.objectives, reorient.objectives = (Force,), (Turn,)  # type: ignore[attr-defined]


def _scatter(curves: tuple[Curve, ...], seed: int) -> None:
    for number, curve in enumerate(curves):
        curve.scatter(1000 * seed + number)
