"""Contact: rigid solids by their signed distance, pressure by penalty, friction with a memory."""

from sciml.tactile.contact.barrier import BarrierContact
from sciml.tactile.contact.mesh import MeshContact
from sciml.tactile.contact.penalty import RigidContact
from sciml.tactile.contact.pose import path, pose
from sciml.tactile.contact.rigid import Ball, Box, Capsule, HalfSpace, Punch, Rigid
from sciml.tactile.contact.sampled import Sampled, sampled
from sciml.tactile.contact.search import nearest
from sciml.tactile.contact.shell import Shell, shell

__all__ = [
    "Ball",
    "BarrierContact",
    "Box",
    "Capsule",
    "HalfSpace",
    "MeshContact",
    "Punch",
    "Rigid",
    "RigidContact",
    "Sampled",
    "Shell",
    "nearest",
    "path",
    "pose",
    "sampled",
    "shell",
]
