"""A simulation as a module: `() -> Observed`, with the unknown constants as its parameters."""

from collections.abc import Callable, Mapping, Sequence
from typing import final

from torch import Tensor, nn

from sciml.contracts import UserError
from sciml.tactile.materials import Material
from sciml.tactile.scene import Observed, Scene


@final
class Simulation(nn.Module):
    """Simulates a scene with the current values of what is unknown.

    Args:
        scene: what happens; or several that the same unknowns belong to, as presses of one sensor.
        law: material from its constants, the known ones already given; unused without unknowns
            of the material.
        unknowns: name → module that answers with the value: constants of the law by their names,
            and `friction`.
    """

    def __init__(
        self,
        scene: Scene | Sequence[Scene],
        law: Callable[..., Material] | None = None,
        unknowns: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.scenes = (scene,) if isinstance(scene, Scene) else tuple(scene)
        self.scene, self.law = self.scenes[0], law
        self.unknowns = nn.ModuleDict(dict(unknowns or {}))
        if law is None and set(self.unknowns) - {"friction"}:
            raise UserError(
                f"unknowns: expected a law for {', '.join(self.unknowns)}, got none; set law"
            )

    def values(self) -> dict[str, Tensor]:
        """Name → value of every unknown, in its own unit."""
        return {name: unknown() for name, unknown in self.unknowns.items()}

    def forward(self, number: int = 0) -> Observed:
        return self.simulate(self.values(), number)

    def simulate(
        self, values: Mapping[str, Tensor], number: int = 0, path: Tensor | None = None
    ) -> Observed:
        """The same with values given, of the scene of that number; another path if not None.

        On the processor, where its sparse factorisations are, whatever device the values are on;
        gradients find their way back.
        """
        friction = values.get("friction")
        friction = None if friction is None else friction.double().cpu()
        return self.scenes[number](self.material(values), friction, path)

    def material(self, values: Mapping[str, Tensor]) -> Material:
        """The gel's, with values given; the sensor's own where nothing of it is unknown."""
        if self.law is None:
            return self.scene.sensor.material
        return self.law(**{k: v.double().cpu() for k, v in values.items() if k != "friction"})
