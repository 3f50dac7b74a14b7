"""Writes a trained surrogate as a folder that can be carried away, all of it or nothing.

    model.pt2  model.onnx  weights.safetensors  sciml.json  sample.npz  reader.py

`sciml.json` names inputs and outputs with units and ranges, tolerance, versions, provenance and
the SHA-256 of each file; the same text without the files travels inside the model files.
"""

import contextlib
import copy
import hashlib
import importlib.metadata
import importlib.util
import json
import platform
import shutil
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from sciml.contracts import Surrogate, UserError
from sciml.export import reader
from sciml.export.formats import WRITERS
from sciml.export.parity import Reference, reference

PACKAGES = (
    "sciml-suite",
    "torch",
    "numpy",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "safetensors",
)


def export(
    surrogate: Surrogate,
    metadata: Mapping[str, Any],
    folder: str | Path,
    formats: Sequence[str] = ("pt2", "onnx"),
    force: bool = False,
) -> dict[str, Any]:
    """Writes a bundle whose every format has been run again beside the trained model.

    Args:
        surrogate: module in physical units, sample `[n, …]` with n >= 2, names, tolerance.
        metadata: provenance, as JSON can hold it (case, commit, licence …).
        folder: must not exist, or be empty, or, with `force`, be an older bundle and nothing else.
        formats: of "pt2", "onnx", "torchscript".

    Returns: the document in `sciml.json`; `files[...]["difference"]` is the largest difference
        found, per output and relative to its largest magnitude in the sample.

    Raises:
        UserError: a format disagrees by more than the tolerance, or cannot express the model.
    """
    folder = Path(folder).absolute()
    _check_formats(formats)
    _check_target(folder, force)
    trained = reference(surrogate)
    document = _description(surrogate, trained, metadata)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")
    part.mkdir()
    try:
        _write(part, document, trained, formats)
        _replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return document


def _write(
    part: Path, document: dict[str, Any], trained: Reference, formats: Sequence[str]
) -> None:
    text = json.dumps(document, sort_keys=True)
    np.savez(part / "sample.npz", input=trained.sample.numpy(), output=trained.output.numpy())
    shutil.copyfile(reader.__file__, part / "reader.py")
    _write_weights(part, trained.module)
    facts = {reader.FORMATS[f][0]: _write_format(part, f, text, trained) for f in formats}
    document["files"] = {
        path.name: _entry(path) | facts.get(path.name, {}) for path in sorted(part.iterdir())
    }
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False)
    (part / "sciml.json").write_text(text + "\n", encoding="utf-8")


def _write_format(part: Path, name: str, text: str, trained: Reference) -> dict[str, Any]:
    """Writes in the model's dtype; in float32, and says so, where the runtime lacks float64."""
    path, dtype = part / reader.FORMATS[name][0], trained.sample.numpy().dtype
    facts = _convert(path, name, text, trained.module, trained.sample)
    run = _open(path, name)
    if isinstance(run, Exception) and dtype == np.float64:
        facts = {"note": f"float32, for {name} has no float64: {_first_line(run)}"}
        path.unlink()
        dtype, single = np.dtype(np.float32), copy.deepcopy(trained.module).float()
        facts |= _convert(path, name, text, single, trained.sample.float())
        run = _open(path, name)
    if isinstance(run, Exception):
        raise UserError(f"{name} cannot be run: {_first_line(run)}; leave it out") from run
    found = trained.difference(run, dtype)
    if not found <= trained.tolerance:
        raise UserError(
            f"{name} refused: expected agreement with the trained model within "
            f"{trained.tolerance:.1e} of each output's magnitude, got {found:.1e}; "
            "leave the format out, or raise the surrogate's tolerance"
        )
    return facts | {"dtype": str(dtype), "difference": found}


def _convert(path: Path, name: str, text: str, module: nn.Module, sample: Tensor) -> dict[str, Any]:
    try:
        return WRITERS[name](module, sample, text, path)
    except Exception as error:  # the exporters raise many kinds for a model they cannot express
        reason = _first_line(error)
        raise UserError(f"{name} cannot express this model: {reason}; leave it out") from error


def _open(path: Path, name: str) -> reader.Run | Exception:
    try:
        return reader.RUN[name](path)[0]
    except Exception as error:  # onnxruntime's NotImplemented, among others
        return error


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]


def _description(
    surrogate: Surrogate, trained: Reference, metadata: Mapping[str, Any]
) -> dict[str, Any]:
    sample, output = trained.sample.numpy(), trained.output.numpy()
    document = {
        "format": "sciml-bundle",
        "version": 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": [{"name": name, **facts} for name, facts in surrogate.inputs.items()],
        "outputs": [{"name": name, **facts} for name, facts in surrogate.outputs.items()],
        "shape": {"input": [None, *sample.shape[1:]], "output": [None, *output.shape[1:]]},
        "dtype": str(sample.dtype),
        "tolerance": surrogate.tolerance,
        "sample_sha256": hashlib.sha256(sample.tobytes() + output.tobytes()).hexdigest(),
        "versions": _versions(),
        "metadata": dict(metadata),
    }
    try:
        return json.loads(json.dumps(document, allow_nan=False))  # tuples become lists, once
    except (TypeError, ValueError) as error:
        raise UserError(f"export: expected metadata that JSON can hold, got {error}") from error


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def _write_weights(part: Path, module: nn.Module) -> None:
    if importlib.util.find_spec("safetensors") is None:
        return
    from safetensors.torch import save

    # `save_file` goes through a temporary file of mode 0600; written here, the umask holds
    state = {name: value.clone().contiguous() for name, value in module.state_dict().items()}
    (part / "weights.safetensors").write_bytes(save(state))


def _entry(path: Path) -> dict[str, Any]:
    return {"sha256": reader.digest(path), "bytes": path.stat().st_size}


def _check_formats(formats: Sequence[str]) -> None:
    if isinstance(formats, str) or not formats or not set(formats) <= set(WRITERS):
        raise UserError(f"export: expected formats out of {', '.join(WRITERS)}, got {formats!r}")


def _check_target(folder: Path, force: bool) -> None:
    """Nothing but our own older bundle is ever replaced."""
    if folder.is_file():
        raise UserError(f"expected a folder, got the file {folder}; give another path")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not _is_bundle(folder):
        raise UserError(f"{folder} is not empty and not a bundle of ours; give another folder")
    if not force:
        raise UserError(f"{folder} holds an older bundle; give another folder, or force it")


def _is_bundle(folder: Path) -> bool:
    try:
        document = json.loads((folder / "sciml.json").read_text(encoding="utf-8"))
        ours = {"sciml.json", *document["files"]} if document["format"] == "sciml-bundle" else set()
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return {path.name for path in folder.iterdir()} <= ours


def _replace(part: Path, folder: Path) -> None:
    old = part.with_suffix(".old")
    if folder.exists():
        folder.rename(old)
    try:
        part.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
