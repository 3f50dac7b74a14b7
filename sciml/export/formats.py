"""The file formats of a bundle: each writer puts one module and its JSON text into one file."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

Writer = Callable[[nn.Module, Tensor, str, Path], dict[str, Any]]


def pt2(module: nn.Module, sample: Tensor, text: str, path: Path) -> dict[str, Any]:
    """`torch.export`, dynamic batch; the example input is dropped, for torch would pickle it."""
    with _quiet():
        program = _program(module, sample)
        program.example_inputs = None
        torch.export.save(program, path, extra_files={"sciml.json": text})
    return {}


def onnx(module: nn.Module, sample: Tensor, text: str, path: Path) -> dict[str, Any]:
    """ONNX by way of `torch.export`, dynamic batch; the text is in `metadata_props`."""
    with _quiet():
        exported = torch.onnx.export(
            _program(module, sample),
            (sample,),
            dynamo=True,
            verbose=False,
            input_names=["input"],
            output_names=["output"],
        )
    for node in exported.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces: paths of this machine, most of the file
    exported.model.metadata_props["sciml.json"] = text
    exported.save(path)
    return {"opset": exported.model.opset_imports[""]}


def torchscript(module: nn.Module, sample: Tensor, text: str, path: Path) -> dict[str, Any]:
    """TorchScript by tracing, for older C++ hosts; superseded by pt2."""
    with _quiet():
        traced = torch.jit.trace(module, (sample,), check_trace=False)
        torch.jit.save(traced, path, _extra_files={"sciml.json": text})
    return {}


#: Writers by format; the file names are in `reader.FORMATS`.
WRITERS: dict[str, Writer] = {"onnx": onnx, "pt2": pt2, "torchscript": torchscript}


def _program(module: nn.Module, sample: Tensor) -> torch.export.ExportedProgram:
    with torch.no_grad():
        batch = torch.export.Dim("batch", min=1)
        program = torch.export.export(module, (sample,), dynamic_shapes=({0: batch},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine
    return program


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences notes on packages the exporters look for and on torch's own deprecations."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
