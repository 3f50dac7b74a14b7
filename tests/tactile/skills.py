"""Small scenes of skills for tests: a dome of 72 linear tetrahedra, a few increments."""

from sciml.tactile import materials
from sciml.tactile.sensor import Camera, Fisheye, Sensor, fibonacci, looking
from sciml.tactile.shapes import dome
from sciml.tactile.skills.follow import Following, Wavy
from sciml.tactile.skills.reorient import Standing, Tipping
from sciml.tactile.skills.touch import Touch
from sciml.tactile.skills.trajectory import Curve

#: Radius of the dome, m.
LENGTH = 0.015


def dome_sensor(degree: int = 1) -> Sensor:
    camera = Camera(
        Fisheye(150.0, 159.5, 119.5), 320, 240, looking((0.0, 0.0, 0.0), (0.0, 0.0, LENGTH))
    )
    return Sensor(
        dome(0.0075, LENGTH, 2, 1, 35.0),
        materials.neo_hookean(8e4, 0.45),
        camera,
        fibonacci(8, LENGTH, 15.0),
        front="outer",
        held=["inner"],
        degree=degree,
    )


def block(mass: float = 0.19) -> Standing:
    return Standing([0.03, 0.04, 0.06], 0.002, mass)


def followed(**settings: float) -> Following:
    touch = Touch(dome_sensor(), Wavy(4e-4, 0.02), 0.3, 5e8)
    height = Curve([9e-4, 8e-4], -5e-4, 1.8e-3, 3, 4e-5)
    pitch = Curve([0.02, -0.01], -0.3, 0.3, 3, 0.04)
    words = {"start": -0.003, "end": 0.003, "increments": 3, "clear": 2.5e-3, "approach": 1}
    return Following(touch, height, pitch, **(words | settings))


def tipped(**settings: float) -> Tipping:
    touch = Touch(dome_sensor(), block(), 0.6, 5e8)
    curves = (
        Curve([0.001, 0.1], -0.05, 0.5, 3, 0.02),
        Curve(1.0e-3, -5e-4, 2e-3, 3, 1e-4),
        Curve([0.045, 0.0455], 0.035, 0.055, 3, 1e-3),
        Curve([0.0, 0.02], -0.3, 0.3, 3, 0.02),
    )
    return Tipping(touch, *curves, **({"increments": 3, "clear": 2e-3, "approach": 1} | settings))
