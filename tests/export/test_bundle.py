"""The bundle's promises: parity or refusal, all or nothing, described well enough to be used."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles.tanh_waves import Wave, make_surrogate
from safetensors.numpy import load_file
from torch import Tensor, nn

from sciml.contracts import UserError
from sciml.export import export, load, reader

FORMATS = ("onnx", "pt2", "torchscript")


def test_every_format_agrees_with_the_trained_model_on_new_points(bundle: Path) -> None:
    x = torch.rand(41, 2, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    expected = Wave().double()(x).detach().numpy()
    for name in FORMATS:
        outputs = load(bundle, format=name)(x.numpy())
        np.testing.assert_allclose(outputs["u"], expected[:, 0], rtol=0, atol=1e-13)
        np.testing.assert_allclose(outputs["u_x"], expected[:, 1], rtol=0, atol=1e-13)


def test_the_document_names_files_units_and_versions(bundle: Path) -> None:
    document = json.loads((bundle / "sciml.json").read_text())
    assert {path.name for path in bundle.iterdir()} == {"sciml.json", *document["files"]}
    for name, entry in document["files"].items():
        assert hashlib.sha256((bundle / name).read_bytes()).hexdigest() == entry["sha256"]
    assert document["inputs"][1] == {
        "name": "t",
        "units": "s",
        "long_name": "time",
        "range": [0.0, 1.0],
    }
    assert document["shape"] == {"input": [None, 2], "output": [None, 2]}
    assert document["dtype"] == document["files"]["model.onnx"]["dtype"] == "float64"
    assert document["files"]["model.onnx"]["opset"] >= 18
    assert document["versions"]["torch"] == torch.__version__
    assert document["metadata"] == {"case": "wave"}


def test_weights_are_those_of_the_model(bundle: Path) -> None:
    weights = load_file(bundle / "weights.safetensors")
    for name, value in Wave().double().state_dict().items():
        assert np.array_equal(weights[name], value.numpy())


def test_every_file_has_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        export(make_surrogate(), {}, tmp_path / "wave", FORMATS)
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "wave").iterdir()}
    assert modes == dict.fromkeys(modes, "0o640")


def test_nothing_in_the_bundle_is_pickled(bundle: Path) -> None:
    import zipfile

    names = zipfile.ZipFile(bundle / "model.pt2").infolist()
    assert not [item.filename for item in names if item.filename.endswith(".pkl")]
    assert not [
        item.filename for item in names if "sample_inputs" in item.filename and item.file_size
    ]


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2"])
def test_no_path_of_this_machine_is_carried_away(bundle: Path, name: str) -> None:
    content = (bundle / name).read_bytes()
    assert str(Path(__file__).parents[1]).encode() not in content
    assert b"site-packages" not in content
    assert len(content) < 40_000


def test_a_single_precision_model_stays_single(tmp_path: Path) -> None:
    document = export(make_surrogate(Wave()), {}, tmp_path / "b", ("pt2",))
    assert document["dtype"] == document["files"]["model.pt2"]["dtype"] == "float32"
    assert load(tmp_path / "b").dtype == np.float32


class Softplus(nn.Module):
    """An operation that onnxruntime has in single precision only."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 2, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.softplus(x @ self.weight)


def test_an_operation_without_double_precision_is_exported_single_and_says_so(
    tmp_path: Path,
) -> None:
    document = export(make_surrogate(Softplus()), {}, tmp_path / "b", ("onnx",))
    entry = document["files"]["model.onnx"]
    assert entry["dtype"] == "float32"
    assert "Softplus" in entry["note"]
    assert 0 < entry["difference"] < 1e-6
    assert load(tmp_path / "b", format="onnx").verify() == pytest.approx(0, abs=1e-6)


class ForgetsTheBatch(nn.Module):
    """Agrees with itself on the sample only: the number of rows enters the result."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight * int(x.shape[0])


def test_disagreement_on_another_batch_size_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "b"
    with pytest.raises(UserError, match=r"torchscript refused: .*within 1.0e-05.*got"):
        export(make_surrogate(ForgetsTheBatch()), {}, target, ("torchscript",))
    assert list(target.parent.iterdir()) == []


def test_wrong_numbers_are_refused_with_both_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = reader.RUN["pt2"]

    def off(path: Path) -> tuple[reader.Run, str]:
        run, text = honest(path)
        return lambda x: run(x) * (1 + 3e-4), text

    monkeypatch.setitem(reader.RUN, "pt2", off)
    with pytest.raises(UserError, match=r"within 1.0e-05 .* got 3.0e-04"):
        export(make_surrogate(), {}, tmp_path / "b", ("pt2",))
    assert list(tmp_path.iterdir()) == []


def test_only_our_own_older_bundle_is_replaced_and_only_by_force(tmp_path: Path) -> None:
    target = tmp_path / "b"
    target.mkdir()
    export(make_surrogate(), {"n": 1}, target, ("torchscript",))
    with pytest.raises(UserError, match="older bundle"):
        export(make_surrogate(), {"n": 2}, target, ("torchscript",))
    export(make_surrogate(), {"n": 2}, target, ("torchscript",), force=True)
    assert load(target).document["metadata"] == {"n": 2}
    (target / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="not a bundle of ours"):
        export(make_surrogate(), {}, target, ("torchscript",), force=True)
    assert (target / "thesis.tex").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample": torch.rand(16, 3)}, "expected the input as"),
        ({"sample": torch.rand(1, 2)}, "n >= 2"),
        ({"outputs": {"u": {}}}, "expected the output as"),
        ({"inputs": {"x": {"range": torch.ones(2)}, "t": {}}}, "JSON can hold"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    from dataclasses import replace

    with pytest.raises(UserError, match=message):
        export(replace(make_surrogate(), **change), {}, tmp_path / "b", ("torchscript",))


def test_unknown_formats_and_untrained_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="formats out of"):
        export(make_surrogate(), {}, tmp_path / "b", ("pickle",))
    module = Wave()
    module.scale.data[0] = torch.nan
    with pytest.raises(UserError, match="not finite"):
        export(make_surrogate(module), {}, tmp_path / "b", ("pt2",))


def test_the_model_given_is_left_as_it_was(tmp_path: Path) -> None:
    module = Wave().double().train()
    export(make_surrogate(module), {}, tmp_path / "b", ("torchscript",))
    assert module.training
    assert module.scale.requires_grad
    assert module.scale.dtype == torch.float64
