"""Objects that the sensor touches: the seam they share, rigid bodies, and marching with them."""

from sciml.tactile.objects.rigid import Driven, RigidBody, weighed
from sciml.tactile.objects.seam import Object
from sciml.tactile.objects.together import Coupled, together

__all__ = ["Coupled", "Driven", "Object", "RigidBody", "together", "weighed"]
