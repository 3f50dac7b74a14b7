"""Reads a surrogate bundle with numpy and onnxruntime (or torch); this file works on its own.

    model = load("bundle")
    model(x)["u"]

where x is an array `[n, …]` in the columns and units that `model.inputs` names.
"""

import hashlib
import importlib.util
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

#: Formats in order of preference: file, and the package that runs it.
FORMATS = {
    "onnx": ("model.onnx", "onnxruntime"),
    "pt2": ("model.pt2", "torch"),
    "torchscript": ("model.ts", "torch"),
}

Run = Callable[[np.ndarray], np.ndarray]


class BundleError(Exception):
    """The bundle is damaged, or the input is not what the surrogate was made for (exit code 2)."""

    exit_code = 2


class Loaded:
    """A surrogate read from a bundle: called with an array, it returns a dictionary of outputs.

    `inputs` and `outputs` list name, units, long_name, range; `document` is all of `sciml.json`.
    """

    def __init__(self, folder: Path, document: dict[str, Any], format: str) -> None:
        name = FORMATS[format][0]
        self.folder, self.document, self.format = folder, document, format
        self.inputs, self.outputs = document["inputs"], document["outputs"]
        self.dtype = np.dtype(document["files"][name]["dtype"])
        try:
            self._run, text = RUN[format](folder / name)
        except Exception as error:  # each runtime has errors of its own for a damaged file
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            raise BundleError(
                f"{folder / name} cannot be opened ({reason}); export again"
            ) from error
        if json.loads(text) != {key: v for key, v in document.items() if key != "files"}:
            raise BundleError(
                f"{folder}: sciml.json differs from what {name} carries; export again"
            )

    def __call__(self, x: np.ndarray, extrapolate: bool = False) -> dict[str, np.ndarray]:
        """Outputs by name, each `[n, …]`; `extrapolate` allows inputs outside the trained range."""
        x = np.asarray(x)
        self._check_shape(x)
        for column, item in enumerate(self.inputs):
            if item.get("range") is not None and not extrapolate:
                _check_range(x[:, column], item)
        y = self._run(np.ascontiguousarray(x, self.dtype))
        return {output["name"]: y[:, column] for column, output in enumerate(self.outputs)}

    def verify(self) -> float:
        """Checks every file's SHA-256 and the stored sample; returns the relative difference."""
        for name in self.document["files"]:
            _check_file(self.folder, name, self.document)
        with np.load(self.folder / "sample.npz", allow_pickle=False) as sample:
            x, expected = sample["input"], sample["output"]
        found = difference(self._run(x.astype(self.dtype)), expected)
        tolerance = self.document["tolerance"]
        if not found <= tolerance:
            raise BundleError(
                f"{self.format} differs from the trained model by {found:.2e} on the stored sample"
                f", tolerance {tolerance:.0e}; export again, or change the runtime's version"
            )
        return found

    def _check_shape(self, x: np.ndarray) -> None:
        shape = self.document["shape"]["input"][1:]
        if x.dtype.kind not in "fiu" or list(x.shape[1:]) != shape or x.size == 0:
            names = ", ".join(item["name"] for item in self.inputs)
            raise BundleError(
                f"expected real numbers [n, {str(shape)[1:]} with columns {names}, "
                f"got {x.dtype} {list(x.shape)}; stack the columns along axis 1"
            )
        if not np.isfinite(x).all():
            raise BundleError("expected finite inputs, got NaN or infinity; remove those rows")


def load(folder: str | Path, format: str | None = None, verify: bool = True) -> Loaded:
    """Opens a bundle; `verify` checks every SHA-256 and repeats the stored sample.

    Args:
        folder: written by `sciml export`.
        format: "onnx", "pt2" or "torchscript"; by default the first there whose package is.
    """
    folder = Path(folder)
    document = _document(folder)
    there = [name for name, (file, _) in FORMATS.items() if file in document["files"]]
    usable = [name for name in there if importlib.util.find_spec(FORMATS[name][1])]
    if format is not None and format not in there:
        raise BundleError(f"{folder} has {', '.join(there)}, not {format!r}; export that format")
    if (format or next(iter(usable), None)) not in usable:
        packages = " or ".join(FORMATS[name][1] for name in there)
        raise BundleError(f"{folder} needs {packages}, which is not installed; install it")
    chosen = format or usable[0]
    _check_file(folder, FORMATS[chosen][0], document)
    model = Loaded(folder, document, chosen)
    if verify:
        model.verify()
    return model


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def difference(got: np.ndarray, expected: np.ndarray, magnitude: np.ndarray | None = None) -> float:
    """Largest |got - expected| over outputs (axis 1), each relative to its largest |magnitude|."""
    if got.shape != expected.shape or not np.isfinite(got).all():
        return float("inf")
    magnitude = expected if magnitude is None else magnitude
    axes = tuple(axis for axis in range(expected.ndim) if axis != 1)
    scale = np.abs(magnitude).max(axis=axes)
    return float((np.abs(got - expected).max(axis=axes) / np.where(scale > 0, scale, 1)).max())


def run_onnx(path: Path) -> tuple[Run, str]:
    """A function from array to array, and the JSON text that the file carries."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name, metadata = session.get_inputs()[0].name, session.get_modelmeta().custom_metadata_map
    return lambda x: session.run(None, {name: x})[0], metadata["sciml.json"]


def run_pt2(path: Path) -> tuple[Run, str]:
    """As `run_onnx`; a file with anything that torch would unpickle or run is refused."""
    import torch

    with zipfile.ZipFile(path) as archive:
        unsafe = _unsafe(archive)
    if unsafe:
        raise ValueError(f"{unsafe} is pickled or a library, which our exporter never writes")
    text = {"sciml.json": ""}
    module = torch.export.load(path, extra_files=text).module()
    return lambda x: module(torch.from_numpy(x)).detach().numpy(), text["sciml.json"]


def _unsafe(archive: zipfile.ZipFile) -> str | None:
    """The first part of a pt2 file whose reading would run code of whoever wrote it."""
    for item in archive.infolist():
        name = item.filename.rpartition("/")[2]
        pickled = name.endswith((".pt", ".pkl")) or name.startswith(("custom_obj_", "opaque_obj_"))
        if (pickled and item.file_size) or "aotinductor/" in item.filename:
            return item.filename
        if name.endswith("_config.json"):
            for tensor, entry in json.loads(archive.read(item))["config"].items():
                if entry["use_pickle"]:
                    return tensor
    return None


def run_torchscript(path: Path) -> tuple[Run, str]:
    """As `run_onnx`, for a traced TorchScript file."""
    import torch

    text = {"sciml.json": ""}
    module = torch.jit.load(path, map_location="cpu", _extra_files=text)
    return lambda x: module(torch.from_numpy(x)).detach().numpy(), text["sciml.json"]


RUN = {"onnx": run_onnx, "pt2": run_pt2, "torchscript": run_torchscript}


def _document(folder: Path) -> dict[str, Any]:
    path = folder / "sciml.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        kind, version, _ = document["format"], document["version"], document["files"]
    except FileNotFoundError:
        raise BundleError(f"no sciml.json in {folder}; give an exported folder") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path} is damaged ({error!r}); export again") from error
    if (kind, version) != ("sciml-bundle", 1):
        raise BundleError(f"expected sciml-bundle 1, got {kind} {version}; take a newer reader")
    return document


def _check_file(folder: Path, name: str, document: dict[str, Any]) -> None:
    path, entry = folder / name, document["files"][name]
    if not path.is_file():
        raise BundleError(f"{path} is missing; copy the whole bundle again")
    if digest(path) != entry["sha256"]:
        raise BundleError(
            f"{path} is not the exported file (SHA-256 differs; {path.stat().st_size} bytes, "
            f"expected {entry['bytes']}); copy the bundle again"
        )


def _check_range(values: np.ndarray, item: dict[str, Any]) -> None:
    (low, high), (least, most) = item["range"], (values.min(), values.max())
    room = 1e-6 * (high - low)  # coordinates rounded to float32 lie this far outside
    if least < low - room or most > high + room:
        raise BundleError(
            f"expected {item['name']} in [{low:g}, {high:g}] {item.get('units', '')}, got "
            f"[{least:g}, {most:g}]; stay inside, or pass extrapolate=True"
        )
