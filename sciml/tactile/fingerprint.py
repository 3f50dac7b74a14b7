"""A fingerprint of what makes a simulated recording, so that a file of another one is not used."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from sciml.tactile.materials import Material
from sciml.tactile.metric import Truth
from sciml.tactile.scene import Scene


def fingerprint(scene: Scene, law: Callable[..., Material], truth: Truth, every: int) -> str:
    """Of the scene and what is given besides; see `system.recorded`."""
    contact, elements = scene.contact, scene.sensor.elements
    given = [scene.path, elements.nodes, elements.cells, scene.sensor.pixels_at_rest]
    given += [contact.solid, contact.stiffness, contact.stick, contact.penetration]
    given += [scene.friction, scene.scheme, scene.newton, every, sorted(truth.items()), law]
    found = hashlib.sha256()
    for value in given:
        for part in _parts(value):
            found.update(part + b"\n")
    return found.hexdigest()[:16]


def _parts(value: Any) -> Iterator[bytes]:
    """All of a value, numbers of arrays to their last digit; no addresses in memory."""
    if isinstance(value, Tensor | np.ndarray):
        yield np.asarray(value.detach() if isinstance(value, Tensor) else value).tobytes()
    elif isinstance(value, partial):
        yield from _parts((value.func, value.args, sorted(value.keywords.items())))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _parts(part)
    elif is_dataclass(value):
        yield type(value).__qualname__.encode()
        for field in fields(value):
            yield from _parts(getattr(value, field.name))
    else:
        yield getattr(value, "__qualname__", repr(value)).encode()
