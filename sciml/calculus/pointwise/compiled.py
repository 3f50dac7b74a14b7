"""A differentiable function of fixed shapes as machine code, value and gradient, by inductor.

The function may contain derivatives itself, nested or Taylor. Forward and backward are cut from one
recorded graph, so that a step costs two calls. On the processor two things are done that inductor
leaves: points innermost (`joint.points_last`), and the transcendental functions taken from the
vendor's vector library, which is several times faster than inductor's own.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx

from sciml.calculus.pointwise.joint import Function, Joint, points_last, record, record_rows
from sciml.contracts import UserError

#: Whole-array kernels of the vector library beat inductor's loops by about 5 times on one core.
TRANSCENDENTAL = tuple(
    getattr(torch.ops.aten, name).default for name in ("tanh", "sin", "cos", "exp", "erf", "log")
)

_LOCK = threading.Lock()


def compile(function: Function, example_inputs: Sequence[Tensor]) -> Function:
    """Compile `function(*inputs) -> Tensor` for the shapes and types of the example inputs.

    The result is differentiable once with respect to the inputs whose example requires a gradient,
    also several times over with `retain_graph=True`. Tensors that the function holds on to are read
    at every call; its Python values are frozen.

    Args:
        function: of tensors only, without side effects and without choices that depend on values.
        example_inputs: tensors on one device; those that require a gradient get one.

    Returns:
        The compiled function, of inputs of the same shapes, types and device.

    Raises:
        UserError: nothing to differentiate, no working C++ compiler; at a call: another shape.

    Example:
        >>> terms = compile(lambda x, w: ((x @ w) ** 2).mean()[None], (x, w))  # doctest: +SKIP
        >>> terms(x, w)[0].backward()  # doctest: +SKIP
    """
    from torch._inductor.decomposition import select_decomp_table

    joint = record(function, example_inputs, select_decomp_table())
    forward, backward = _built(_machine_code, joint, example_inputs)
    return _differentiable(forward, backward, joint, example_inputs)


def compile_rows(
    function: Callable[..., Sequence[Tensor]], example_inputs: Sequence[Tensor]
) -> Callable[..., tuple[Tensor, Tensor]]:
    """Compile `function(*inputs) -> K scalars` to one call that returns them with all gradients.

    A scalar's gradient goes through nothing that the others are made of, so where they share no
    part all K gradients cost what the gradient of their sum does. The result is detached.

    Args:
        function: as for `compile`; returns K scalars, not stacked.
        example_inputs: as for `compile`.

    Returns:
        inputs of the same shapes, types and device → values `[K]`, and rows `[K, P]` by the inputs
        whose example requires a gradient, in their order.

    Raises:
        UserError: as `compile`.
    """
    from torch._inductor.decomposition import select_decomp_table

    joint = record_rows(function, example_inputs, select_decomp_table())
    program = _built(_whole_code, joint, example_inputs)
    expected = [(tensor.shape, tensor.dtype) for tensor in example_inputs]

    def call(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        if [(tensor.shape, tensor.dtype) for tensor in inputs] != expected:
            raise UserError(_mismatch(expected, inputs))
        detached = [tensor.detach().contiguous() for tensor in inputs]
        values, rows = program([*detached, *joint.constants, joint.cotangent])
        return values, rows

    return call


def _built(build: Callable[..., Any], joint: Joint, example_inputs: Sequence[Tensor]) -> Any:
    """What `build(joint, example_inputs, on_processor)` makes of the graph."""
    from torch._inductor.exc import InvalidCxxCompiler

    on_processor = joint.cotangent.device.type == "cpu"
    if on_processor:
        points_last(joint)
    try:
        with _LOCK, _vector_library(on_processor):
            return build(joint, example_inputs, on_processor)
    except InvalidCxxCompiler as error:
        raise UserError(
            "compiled derivatives: expected a working C++ compiler such as g++, got none; "
            "install one, or choose derivatives=taylor"
        ) from error


def _whole_code(
    joint: Joint, example_inputs: Sequence[Tensor], on_processor: bool
) -> Callable[..., Any]:
    """Compile the graph in one piece: nothing is kept for a later derivative."""
    from torch._guards import TracingContext, tracing
    from torch._inductor.compile_fx import compile_fx_inner
    from torch._inductor.fx_passes.joint_graph import joint_graph_passes
    from torch._inductor.virtualized import V

    joint_graph_passes(joint.graph)
    places = [node.meta["val"] for node in joint.graph.graph.nodes if node.op == "placeholder"]
    with tracing(TracingContext(joint.mode)), V.set_fake_mode(joint.mode):
        return compile_fx_inner(joint.graph, places, is_backward=False)


def _machine_code(
    joint: Joint, example_inputs: Sequence[Tensor], on_processor: bool
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Cut the joint graph in two and compile both, the second for what the first really saves."""
    from torch._functorch.partitioners import min_cut_rematerialization_partition
    from torch._guards import TracingContext, tracing
    from torch._inductor.compile_fx import compile_fx_inner
    from torch._inductor.fx_passes.joint_graph import joint_graph_passes
    from torch._inductor.virtualized import V

    joint_graph_passes(joint.graph)
    if on_processor:
        _save_transcendental(joint.graph)
    places = [node.meta["val"] for node in joint.graph.graph.nodes if node.op == "placeholder"]
    forward_graph, backward_graph = min_cut_rematerialization_partition(
        joint.graph, places, num_fwd_outputs=1, static_lifetime_input_indices=[]
    )
    with tracing(TracingContext(joint.mode)), V.set_fake_mode(joint.mode):
        forward = compile_fx_inner(forward_graph, places[:-1], is_backward=False)
        inputs = [tensor.detach().contiguous() for tensor in example_inputs]
        saved = forward([*inputs, *joint.constants])[1:]
        seen = _restrided(joint, backward_graph, (*saved, joint.cotangent))
        backward = compile_fx_inner(backward_graph, seen, is_backward=True)
    return forward, backward


def _save_transcendental(graph: fx.GraphModule) -> None:
    """Keep their values for the backward graph: computing them twice costs more than memory."""
    from torch.utils.checkpoint import CheckpointPolicy

    for node in graph.graph.nodes:
        if node.target in TRANSCENDENTAL:
            node.meta["recompute"] = CheckpointPolicy.MUST_SAVE
            node.meta["ac_graph_id"] = 0


def _restrided(joint: Joint, graph: fx.GraphModule, real: Sequence[Tensor]) -> list[Tensor]:
    """Fake inputs of a graph in the memory layout of the real ones: the compiler may choose it."""
    places = [node.meta["val"] for node in graph.graph.nodes if node.op == "placeholder"]
    with joint.mode:
        return [
            place.as_strided(place.size(), tensor.stride())
            for place, tensor in zip(places, real, strict=True)
        ]


def _differentiable(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    joint: Joint,
    example_inputs: Sequence[Tensor],
) -> Function:
    """The two compiled graphs as one function that autograd knows."""
    count, constants = len(example_inputs), joint.constants
    expected = [(tensor.shape, tensor.dtype) for tensor in example_inputs]

    class Compiled(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, *inputs: Tensor) -> Tensor:
            value, *saved = forward([*(tensor.contiguous() for tensor in inputs), *constants])
            context.save_for_backward(*saved)
            return value

        @staticmethod
        def backward(context: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
            if torch.is_grad_enabled():
                raise RuntimeError(
                    "compiled function: expected one derivative, got create_graph=True; "
                    "differentiate inside the function before it is compiled"
                )
            gradients: list[Tensor | None] = [None] * count
            found = backward([*context.saved_tensors, cotangent.contiguous()])
            for place, gradient in zip(joint.differentiated, found, strict=True):
                gradients[place] = gradient
            return tuple(gradients)

    def call(*inputs: Tensor) -> Tensor:
        if [(tensor.shape, tensor.dtype) for tensor in inputs] != expected:
            raise UserError(_mismatch(expected, inputs))
        return Compiled.apply(*inputs)

    return call


def _mismatch(expected: list[tuple[torch.Size, torch.dtype]], inputs: Sequence[Tensor]) -> str:
    if len(expected) != len(inputs):
        return (
            f"compiled function: expected {len(expected)} inputs, got {len(inputs)}; compile again"
        )
    for place, ((shape, dtype), tensor) in enumerate(zip(expected, inputs, strict=True)):
        if (tensor.shape, tensor.dtype) != (shape, dtype):
            return (
                f"compiled function: expected input {place} of shape {tuple(shape)} and {dtype}, "
                f"got {tuple(tensor.shape)} and {tensor.dtype}; compile again for the new shape"
            )
    return "compiled function: inputs differ from the examples; compile again"


@contextmanager
def _vector_library(wanted: bool) -> Iterator[None]:
    """Let inductor call torch's kernels for transcendental functions, not loops of its own."""
    from torch._inductor import lowering

    usual = {operation: lowering.lowerings[operation] for operation in TRANSCENDENTAL}
    if wanted:
        for operation in TRANSCENDENTAL:
            lowering.lowerings[operation] = lowering.fallback_handler(
                operation, add_to_fallback_set=False
            )
    try:
        yield
    finally:
        lowering.lowerings.update(usual)
