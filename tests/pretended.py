"""A device that is not there: it computes on the processor and refuses what an accelerator would.

Tensors of the device "pretended" hold an ordinary tensor and give every operation to it, so that
results are the processor's, bit for bit. Refused is an operation on tensors of both, as by CUDA,
which lets a scalar of the processor take part and indices of the processor choose; and `numpy()`.
What it cannot find: an operation that an accelerator lacks, other rounding, memory, speed. It has
no random generators of its own.

PyTorch keeps a device once registered: only for processes of their own.
"""

from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _DummyBackendModule as BackendModule
from torch.utils.backend_registration import (
    _setup_privateuseone_for_python_backend as register_python_backend,
)

NAME = "pretended"
#: Operations that take tensors of two devices: copies, and those whose indices may be elsewhere.
CROSSING = {"aten::_to_copy", "aten::copy_", "aten::_copy_from"}
#: Operations beside the pointwise ones to which a number on the processor may be given.
NUMBERED = {"aten::fill_", "aten::masked_fill", "aten::masked_fill_"}
INDEXED = {"aten::index", "aten::index_put_", "aten::index_put", "aten::_index_put_impl_"}
#: Operations that were done on the device so far.
done = 0


class Pretended(torch.Tensor):
    """A tensor of the device; `held` is its content."""

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "Pretended":
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(),
            dtype=held.dtype, device=torch.device(NAME, 0),
        )  # fmt: skip
        made.held = held
        return made

    def __repr__(self) -> str:
        return f"Pretended({self.held})"

    def __tensor_flatten__(self):
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(inner, _, size, stride):
        return Pretended(inner["held"])

    def numpy(self, *args, **keys):
        raise TypeError(f"can't convert {NAME} device type tensor to numpy")

    __array__ = numpy

    def tolist(self):
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return dispatched(operation, args, kwargs or {})


class Device(TorchDispatchMode):
    """Gives tensors that are made on the device, or copied to it, their content."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return dispatched(operation, args, kwargs or {})


def dispatched(operation, args, kwargs):
    global done
    name = operation._schema.name
    flat, _ = tree_flatten((args, kwargs))
    tensors = [x for x in flat if isinstance(x, torch.Tensor)]
    here = [x for x in tensors if isinstance(x, Pretended)]
    wanted = kwargs.get("device")
    there = wanted is not None and torch.device(wanted).type == NAME
    if not here and not there:
        return operation(*args, **kwargs)
    done += 1
    if here and name not in CROSSING:
        require_one_device(operation, args, kwargs, name)
    given = {**kwargs, "device": "cpu"} if wanted is not None else kwargs
    given.pop("pin_memory", None)
    inner_args, inner_kwargs = tree_map(held, (args, given))
    with torch.utils._python_dispatch._disable_current_modes():
        found = operation(*inner_args, **inner_kwargs)
    back = {id(x.held): x for x in here}  # what was changed in place is the tensor that was given
    if name == "aten::copy_" and not isinstance(args[0], Pretended):
        return args[0]
    if wanted is not None and not there:
        return found  # a copy for the processor
    return tree_map(lambda x: wrapped(x, back), found)


def require_one_device(operation, args, kwargs, name):
    """Refuses tensors of the processor among those of the device."""
    looked_at = args[:1] + args[2:] if name in INDEXED else args
    scalars = torch.Tag.pointwise in operation.tags or name in NUMBERED | INDEXED
    for x in tree_flatten((looked_at, kwargs))[0]:
        if (
            isinstance(x, torch.Tensor)
            and not isinstance(x, Pretended)
            and not (scalars and x.ndim == 0)
        ):
            raise RuntimeError(
                f"{operation}: expected all tensors on {NAME}, got one of {list(x.shape)} on "
                f"{x.device.type}"
            )


def held(x):
    return x.held if isinstance(x, Pretended) else x


def wrapped(x, back):
    if not isinstance(x, torch.Tensor):
        return x
    return back[id(x)] if id(x) in back else Pretended(x)


class Backend(BackendModule):
    """What `torch.autocast` and seeding ask a device for."""

    def get_amp_supported_dtype(self):
        return [torch.bfloat16, torch.float16]


@contextmanager
def device():
    """The device, registered; tensors reach it while this is open."""
    register_python_backend(NAME, backend_module=Backend())
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(…, device=…) by way of a copy
    try:
        with Device():
            yield torch.device(NAME, 0)
    finally:
        torch._C._set_only_lift_cpu_tensors(False)
