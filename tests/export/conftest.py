"""A bundle in every format, written once for the session."""

from pathlib import Path

import pytest
from oracles.tanh_waves import make_surrogate

from sciml.export import export


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle in all three formats; tests that damage it take a copy."""
    folder = tmp_path_factory.mktemp("bundles") / "wave"
    export(make_surrogate(), {"case": "wave"}, folder, ("pt2", "onnx", "torchscript"))
    return folder
