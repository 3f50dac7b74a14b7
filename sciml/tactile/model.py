"""A simulation as a module: `() -> Observed`, with the unknown constants as its parameters."""

from collections.abc import Callable, Mapping
from typing import final

from torch import Tensor, nn

from sciml.contracts import UserError
from sciml.tactile.materials import Material
from sciml.tactile.scene import Observed, Scene


@final
class Simulation(nn.Module):
    """Simulates a scene with the current values of what is unknown.

    Args:
        scene: what happens.
        law: material from its constants, the known ones already given; unused without unknowns
            of the material.
        unknowns: name → module that answers with the value: constants of the law by their names,
            and `friction`.
    """

    def __init__(
        self,
        scene: Scene,
        law: Callable[..., Material] | None = None,
        unknowns: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.scene, self.law = scene, law
        self.unknowns = nn.ModuleDict(dict(unknowns or {}))
        if law is None and set(self.unknowns) - {"friction"}:
            raise UserError(
                f"unknowns: expected a law for {', '.join(self.unknowns)}, got none; set law"
            )

    def values(self) -> dict[str, Tensor]:
        """Name → value of every unknown, in its own unit."""
        return {name: unknown() for name, unknown in self.unknowns.items()}

    def forward(self) -> Observed:
        return self.simulate(self.values())

    def simulate(self, values: Mapping[str, Tensor], path: Tensor | None = None) -> Observed:
        """The same with values given, and another path than the scene's if not None.

        On the processor, where its sparse factorisations are, whatever device the values are on;
        gradients find their way back.
        """
        friction = values.get("friction")
        friction = None if friction is None else friction.double().cpu()
        return self.scene(self.material(values), friction, path)

    def material(self, values: Mapping[str, Tensor]) -> Material:
        """The gel's, with values given; the sensor's own where nothing of it is unknown."""
        if self.law is None:
            return self.scene.sensor.material
        return self.law(**{k: v.double().cpu() for k, v in values.items() if k != "friction"})
