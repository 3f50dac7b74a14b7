"""Physics-informed networks: domains, problems, points, networks and the residual objective.

A case author finds here, loaded on first use, the words a problem is written in.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "problem": ("Problem",),
    "coefficients": ("Coefficient",),
    "domain": (
        *("ball", "box", "disk", "from_deepxde", "interval", "mesh", "point_cloud", "polygon"),
        "rectangle",
    ),
    "conditions": (
        *("Condition", "dirichlet", "initial_value", "initial_velocity", "neumann", "periodic"),
        *("point_data", "robin"),
    ),
    "regions": ("At", "Boundary", "Face", "Initial", "Interior"),
    "fields": ("Fields",),
    "sampling": ("Sampling",),
}

__all__ = sorted(word for words in _HOME.values() for word in words)


def __getattr__(name: str) -> Any:
    for module, words in _HOME.items():
        if name in words:
            return getattr(import_module(f"sciml.pinn.{module}"), name)
    raise AttributeError(f"module 'sciml.pinn' has no attribute {name!r}")
