"""One graph of a function and its vector-Jacobian product, in which nested derivatives survive.

Recording the gradient together with the function matters: a graph of the function alone detaches
the tensors saved by its inner `autograd.grad`, and differentiating it afterwards gives wrong
gradients without any message.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from sciml.contracts import UserError

Function = Callable[..., Tensor]


@dataclass(frozen=True)
class Joint:
    """The recorded graph: (inputs, constants, cotangent) ↦ (value, gradients).

    Args:
        graph: in the primitive operations of the compiler, on fake tensors of `mode`.
        constants: tensors that the function holds on to, read at every call.
        cotangent: an example, of the shape of the function's value.
        differentiated: places of the inputs that have a gradient.
    """

    graph: fx.GraphModule
    mode: FakeTensorMode
    constants: tuple[Tensor, ...]
    cotangent: Tensor
    differentiated: tuple[int, ...]


def record(
    function: Function, inputs: Sequence[Tensor], decompositions: dict[Any, Callable[..., Any]]
) -> Joint:
    """Run the function and its gradient once on the inputs and write down what happens.

    Raises:
        UserError: no input requires a gradient, or the function holds a trained tensor of its own.
    """
    inputs, differentiated = _examples(inputs)
    cotangent = torch.ones_like(function(*inputs))

    def both(primals: list[Tensor], tangents: list[Tensor]) -> tuple[Tensor, ...]:
        value = function(*primals)
        trained = [primals[i] for i in differentiated]
        gradients = torch.autograd.grad(value, trained, tangents[0], materialize_grads=True)
        return value, *gradients

    return _recorded(both, inputs, cotangent, differentiated, decompositions)


def record_rows(
    function: Callable[..., Sequence[Tensor]],
    inputs: Sequence[Tensor],
    decompositions: dict[Any, Callable[..., Any]],
) -> Joint:
    """Write down K scalars `[K]` and all their gradients `[K, P]`; the cotangent is not used.

    Each gradient is recorded by itself, so it holds nothing of what the other scalars are made of.

    Raises:
        UserError: no input requires a gradient, or the function holds a trained tensor of its own.
    """
    inputs, differentiated = _examples(inputs)

    def each(primals: list[Tensor], tangents: list[Tensor]) -> tuple[Tensor, Tensor]:
        values = function(*primals)
        trained = [primals[i] for i in differentiated]
        rows = [
            torch.autograd.grad(
                value, trained, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            for value in values
        ]
        flat = [torch.cat([gradient.reshape(-1) for gradient in row]) for row in rows]
        return torch.stack(tuple(values)), torch.stack(flat)

    return _recorded(each, inputs, inputs[0].detach().new_ones(()), differentiated, decompositions)


def _examples(inputs: Sequence[Tensor]) -> tuple[list[Tensor], tuple[int, ...]]:
    """Copies of the inputs, and the places of those that have a gradient."""
    inputs = [tensor.detach().clone().requires_grad_(tensor.requires_grad) for tensor in inputs]
    differentiated = tuple(i for i, tensor in enumerate(inputs) if tensor.requires_grad)
    if not differentiated:
        raise UserError(
            "compiled derivatives: expected at least one input that requires a gradient, got none; "
            "pass the parameters as inputs, or choose derivatives=taylor"
        )
    return inputs, differentiated


def _recorded(
    call: Callable[[list[Tensor], list[Tensor]], tuple[Tensor, ...]],
    inputs: list[Tensor],
    cotangent: Tensor,
    differentiated: tuple[int, ...],
    decompositions: dict[Any, Callable[..., Any]],
) -> Joint:
    recorded = make_fx(call)(inputs, [cotangent])
    names = sorted({node.target for node in recorded.graph.nodes if node.op == "get_attr"})
    constants = tuple(_constant(recorded, name) for name in names)
    mode = FakeTensorMode(shape_env=ShapeEnv())  # inductor's cache asks for one
    *fakes, tangent = (_fake(mode, tensor) for tensor in (*inputs, *constants, cotangent))
    lifted = _lift(recorded, names, len(inputs))
    with mode:
        graph = make_fx(
            torch.func.functionalize(lifted, remove="mutations"),
            decomposition_table=decompositions,
        )(fakes, [tangent])
    graph.graph.set_codegen(fx.graph.CodeGen())
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return Joint(graph, mode, constants, cotangent, differentiated)


def _fake(mode: FakeTensorMode, tensor: Tensor) -> Tensor:
    return mode.from_tensor(tensor.detach(), static_shapes=True)


def _constant(recorded: fx.GraphModule, name: str) -> Tensor:
    constant = getattr(recorded, name)
    if constant.requires_grad:
        raise UserError(
            f"compiled derivatives: expected every trained tensor among the inputs, got one of "
            f"shape {tuple(constant.shape)} inside the function; pass it as an input"
        )
    return constant.detach()


def _lift(recorded: fx.GraphModule, names: list[str], count: int) -> Callable[..., Any]:
    """The same graph with its constants as further inputs."""
    for name in names:
        delattr(recorded, name)

    def call(primals: list[Tensor], tangents: list[Tensor]) -> Any:
        for name, constant in zip(names, primals[count:], strict=True):
            setattr(recorded, name, constant)
        return recorded(primals[:count], tangents)

    return call


def points_last(joint: Joint) -> None:
    """Store tall matrices with the long axis innermost: A B becomes (Bᵀ Aᵀ)ᵀ.

    Points are many and a layer is narrow. With the points innermost every elementwise loop fills
    whole vector registers, where rows of 50 leave a remainder each, and the product is faster.
    """
    aten = torch.ops.aten
    for node in list(joint.graph.graph.nodes):
        if node.target not in (aten.mm.default, aten.addmm.default):
            continue
        rows, columns = node.meta["val"].shape
        if rows <= columns:
            continue
        with joint.graph.graph.inserting_before(node):
            left, right = (_call(joint, aten.permute.default, a, [1, 0]) for a in node.args[-2:])
            product = _call(joint, aten.mm.default, right, left)
            result = _call(joint, aten.permute.default, product, [1, 0])
            if node.target is aten.addmm.default:
                result = _call(joint, aten.add.Tensor, result, node.args[0])
        node.replace_all_uses_with(result)
        joint.graph.graph.erase_node(node)
    joint.graph.recompile()


def _call(joint: Joint, operation: Callable[..., Any], *args: Any) -> fx.Node:
    """A new node with the fake value that the compiler reads shapes from."""
    node = joint.graph.graph.call_function(operation, args)
    values = [a.meta["val"] if isinstance(a, fx.Node) else a for a in args]
    with joint.mode:
        node.meta["val"] = operation(*values)
    return node
