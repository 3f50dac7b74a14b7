"""Camera-based tactile sensors: markers, depth, normals, pressure, shear and forces by taxel."""

from sciml.tactile.sensor.camera import Camera, Fisheye, Lens, Pinhole, Pose, looking
from sciml.tactile.sensor.markers import Markers, fibonacci, grid, located
from sciml.tactile.sensor.optics import Lamps, Optics, PixelNetwork
from sciml.tactile.sensor.recording import Recording
from sciml.tactile.sensor.sensor import Sensor
from sciml.tactile.sensor.taxels import Taxels
from sciml.tactile.sensor.traction import Traction, consistent, lumped
from sciml.tactile.sensor.view import View
from sciml.tactile.surface import Places, Surface

__all__ = [
    "Camera",
    "Fisheye",
    "Lamps",
    "Lens",
    "Markers",
    "Optics",
    "Pinhole",
    "PixelNetwork",
    "Places",
    "Pose",
    "Recording",
    "Sensor",
    "Surface",
    "Taxels",
    "Traction",
    "View",
    "consistent",
    "fibonacci",
    "grid",
    "located",
    "looking",
    "lumped",
]
