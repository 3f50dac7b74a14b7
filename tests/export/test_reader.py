"""The reader on its own, and what it says about damaged bundles and unfit inputs."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sciml.export import BundleError, load

WITHOUT_SCIML = """
import sys

for name in ("sciml", {also}):
    sys.modules[name] = None  # as if not installed

import numpy as np
from reader import load

model = load(sys.argv[1], format=sys.argv[2])
sample = np.load(sys.argv[1] + "/sample.npz")
print(np.abs(model(sample["input"])["u"] - sample["output"][:, 0]).max())
"""


@pytest.mark.parametrize(("name", "also"), [("onnx", "torch"), ("pt2", "onnxruntime")])
def test_the_reader_alone_needs_one_runtime_and_no_sciml(
    bundle: Path, tmp_path: Path, name: str, also: str
) -> None:
    shutil.copy(bundle / "reader.py", tmp_path)
    (tmp_path / "use.py").write_text(WITHOUT_SCIML.format(also=repr(also)))
    command = [sys.executable, "use.py", str(bundle), name]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 1e-13


def test_the_reader_in_the_bundle_is_ours(bundle: Path) -> None:
    from sciml.export import reader

    source = Path(reader.__file__).read_text()
    assert (bundle / "reader.py").read_text() == source
    assert "sciml." not in [line.split()[1] for line in source.splitlines() if "import " in line]


@pytest.fixture
def copied(bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(bundle, tmp_path / "copy")


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2", "weights.safetensors", "sample.npz"])
def test_a_truncated_or_changed_file_is_named(copied: Path, name: str) -> None:
    content = (copied / name).read_bytes()
    (copied / name).write_bytes(content[:-9])
    with pytest.raises(BundleError, match=rf"{name} is not the exported file"):
        load(copied)
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 1
    (copied / name).write_bytes(bytes(changed))
    with pytest.raises(BundleError, match=rf"{name} is not the exported file"):
        load(copied)
    (copied / name).unlink()
    with pytest.raises(BundleError, match=rf"{name} is missing"):
        load(copied)


def edit(folder: Path, change: str, value: object) -> None:
    path = folder / "sciml.json"
    document = json.loads(path.read_text())
    document[change] = value
    path.write_text(json.dumps(document))


def test_a_changed_description_is_noticed(copied: Path) -> None:
    edit(copied, "outputs", [{"name": "u", "units": "km"}, {"name": "u_x"}])
    for name in ("onnx", "pt2", "torchscript"):
        with pytest.raises(BundleError, match="sciml.json differs"):
            load(copied, format=name, verify=False)


def test_other_folders_and_versions_are_refused(copied: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no sciml.json"):
        load(tmp_path)
    edit(copied, "version", 2)
    with pytest.raises(BundleError, match="expected sciml-bundle 1, got sciml-bundle 2"):
        load(copied)
    (copied / "sciml.json").write_text('{"format": "sciml')
    with pytest.raises(BundleError, match="damaged"):
        load(copied)


def test_a_damaged_file_with_a_matching_sum_still_ends_in_one_line(copied: Path) -> None:
    from sciml.export.reader import digest

    document = json.loads((copied / "sciml.json").read_text())
    for name, file in (("onnx", "model.onnx"), ("pt2", "model.pt2"), ("torchscript", "model.ts")):
        (copied / file).write_bytes((copied / file).read_bytes()[:1000])
        document["files"][file]["sha256"] = digest(copied / file)
        (copied / "sciml.json").write_text(json.dumps(document))
        with pytest.raises(BundleError, match=rf"{file} cannot be opened"):
            load(copied, format=name)


@pytest.mark.parametrize(
    "part", ["data/weights/model_weights_config.json", "data/constants/opaque_obj_0",
             "data/sample_inputs/model.pt", "data/aotinductor/model/a.so"]
)  # fmt: skip
def test_a_pt2_file_that_would_run_foreign_code_is_refused(copied: Path, part: str) -> None:
    """torch unpickles weights marked so, opaque constants, example inputs; it loads libraries."""
    from sciml.export.reader import digest

    path = copied / "model.pt2"
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = f"{next(iter(parts)).split('/')[0]}/{part}"
    plain, marked = b'"use_pickle": false', b'"use_pickle": true'
    parts[name] = parts[name].replace(plain, marked) if part.endswith(".json") else b"cos"
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in parts.items():
            archive.writestr(each, content)
    document = json.loads((copied / "sciml.json").read_text())
    document["files"]["model.pt2"]["sha256"] = digest(path)
    (copied / "sciml.json").write_text(json.dumps(document))
    with pytest.raises(BundleError, match="is pickled or a library"):
        load(copied, format="pt2")


def test_parity_on_the_stored_sample_is_repeated(copied: Path) -> None:
    from sciml.export.reader import digest

    sample = dict(np.load(copied / "sample.npz"))
    sample["output"][3, 0] += 1e-3
    np.savez(copied / "sample.npz", **sample)
    document = json.loads((copied / "sciml.json").read_text())
    document["files"]["sample.npz"]["sha256"] = digest(copied / "sample.npz")
    (copied / "sciml.json").write_text(json.dumps(document))
    assert load(copied, verify=False).outputs[0]["name"] == "u"
    with pytest.raises(BundleError, match=r"differs from the trained model by .*e-04"):
        load(copied)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            np.zeros((3, 3)),
            r"expected real numbers \[n, 2\] with columns x, t, got float64 \[3, 3\]",
        ),
        (np.zeros(2), r"got float64 \[2\]"),
        (np.zeros((0, 2)), r"got float64 \[0, 2\]"),
        (np.zeros((3, 2), complex), "got complex128"),
        (np.full((3, 2), np.nan), "expected finite inputs"),
        (np.array([[0.5, 1.5]]), r"expected t in \[0, 1\] s, got \[1.5, 1.5\]"),
    ],
)
def test_an_unfit_input_is_refused_in_one_line(bundle: Path, x: np.ndarray, message: str) -> None:
    with pytest.raises(BundleError, match=message) as caught:
        load(bundle, verify=False)(x)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_inputs_outside_the_range_pass_when_asked_for(bundle: Path) -> None:
    outputs = load(bundle, verify=False)(np.array([[1, 2]]), extrapolate=True)
    assert outputs["u"].shape == (1,)


def test_a_format_that_is_not_there_is_named(copied: Path) -> None:
    with pytest.raises(BundleError, match="has onnx, pt2, torchscript, not 'tflite'"):
        load(copied, format="tflite")


def test_reading_onnx_loads_no_torch(bundle: Path) -> None:
    code = (
        f"import sciml, sys; sciml.load_surrogate({str(bundle)!r}); "
        "print([n for n in ('torch', 'lightning', 'xarray') if n in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr
