"""How stores of ours begin, the sizes of their pieces, and how a store is known again."""

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from sciml.contracts import UserError
from sciml.globe.archive import stores
from sciml.globe.archive.opening import INCOMPLETE, STATUS
from sciml.globe.schema import LEAD, NUMBER, TIME, Schema

#: Bytes of states that are held, and become one file for each variable of a Zarr store.
BLOCK = 64 * 2**20
#: Bytes of a variable that are compressed together: much less is slow, much more is read in vain.
CHUNK = 2**20
#: Attribute by which a store is known again.
LAYOUT = "layout"
_COUNTED = {TIME: "starts", NUMBER: "members", LEAD: "leads"}


class Ending:
    """How a writer's `with` ends: closed where all went well, left marked incomplete where not."""

    store: stores.Store

    def close(self) -> None:
        """Marks the store whole."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
            return
        with suppress(OSError, RuntimeError):  # what is told is what went wrong first
            self.store.close()


def block_length(schema: Schema, most: int = 2**30, members: int = 1) -> int:
    """How many states are held until they are written: a power of 2, and no more than needed.

    Args:
        most: that there will be.
        members: of an ensemble that are held side by side.
    """
    cells = int(np.prod(schema.grid.shape))
    return fitting(BLOCK, 4 * len(schema.channels) * cells * members, most)


def fitting(room: int, size: int, most: int) -> int:
    """The largest power of 2 of pieces of a size that fit, just above `most` where more do."""
    found = 1 << max(0, (room // size).bit_length() - 1)
    return min(found, 1 << (most - 1).bit_length())


def begun(path: Path) -> bool:
    """Whether a store that is not whole stands there."""
    if not path.exists():
        return False
    store = stores.reopen(path, "r")
    status = store.attributes.get(STATUS)
    store.close()
    return status == INCOMPLETE


def created(
    path: Path,
    schema: Schema,
    attributes: Mapping[str, Any] | None,
    leading: Sequence[np.ndarray],
    block: int,
) -> stores.Store:
    """A new store with its axes and variables; the layout is noted last."""
    store = stores.create(path)
    with stores.writing(path, begun=False), stores.undone(path):
        try:
            _lay_out(store, schema, attributes, leading, block)
        except BaseException:
            with suppress(OSError, RuntimeError):
                store.close()
            raise
    return store


def _lay_out(
    store: stores.Store,
    schema: Schema,
    attributes: Mapping[str, Any] | None,
    leading: Sequence[np.ndarray],
    block: int,
) -> None:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    title = "forecasts" if len(leading) > 1 else "states"
    standard = {"Conventions": "CF-1.11", "title": title}
    store.note({**standard, "history": f"{now}: written by sciml"})
    store.note(attributes or {})
    leads = [schema.along(*pair) for pair in zip(schema.leading, leading, strict=True)]
    for axis in (*leads, *schema.coordinates()):
        store.axis(axis.name, axis.dims, axis.values, axis.attributes)
    for field in schema.fields:
        extent = schema.extent(field)
        shape = (*map(len, leading), *extent)
        chunk = fitting(CHUNK, 4 * int(np.prod(extent)), block)
        single = (1,) * (len(leading) - 1)
        store.field(
            field.name, schema.dims(field), shape, (*single, chunk), (*single, block),
            field.attributes,
        )  # fmt: skip
    store.note({LAYOUT: layout(schema, leading[1:] and leading)})


def reopened(path: Path, schema: Schema, leading: Sequence[np.ndarray] = ()) -> stores.Store:
    """A store that was begun earlier.

    Raises:
        UserError: it holds other channels, another grid or other forecasts.
    """
    store, wanted = stores.reopen(path), layout(schema, leading)
    found = store.attributes.get(LAYOUT)
    if found != wanted:
        store.close()
        raise UserError(
            f"{path} is there already with other contents: expected {wanted!r}, got {found!r}; "
            "delete it, or give another name"
        )
    return store


def layout(schema: Schema, leading: Sequence[np.ndarray] = ()) -> str:
    """Channels, grid and, of forecasts, their axes in one line with a hash of them all."""
    channels = " ".join(f"{c.name}[{c.units}]" for c in schema.channels)
    text = f"{channels} on {'x'.join(map(str, schema.grid.shape))}"
    digest = hashlib.sha256(text.encode())
    for cells in schema.grid.cells:
        digest.update(np.round(cells, 4).tobytes())
    for name, axis in zip(schema.leading, leading, strict=False):
        text += f", {len(axis)} {_COUNTED[name]}"
        digest.update(axis.tobytes())
    return f"{text} #{digest.hexdigest()[:8]}"
