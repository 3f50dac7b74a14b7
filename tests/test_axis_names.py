"""Axis names in annotations are checked in test sessions: `[n, 1]` for `[n]` is refused."""

import importlib
import sys
from pathlib import Path

import jaxtyping
import pytest
import torch

NAMED = '''"""A residual whose axes are named."""

from jaxtyping import Float
from torch import Tensor


def residual(u: Float[Tensor, " n"], f: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    return u - f
'''


@pytest.fixture
def conftest(request: pytest.FixtureRequest) -> object:
    path = Path(__file__).with_name("conftest.py")
    return request.config.pluginmanager.get_plugin(str(path))


def test_modules_that_name_axes_are_chosen(conftest, tmp_path: Path) -> None:
    (tmp_path / "house" / "room").mkdir(parents=True)
    (tmp_path / "house" / "room" / "named.py").write_text(NAMED)
    (tmp_path / "house" / "plain.py").write_text("import torch\n")
    assert conftest.checked_modules(tmp_path / "house") == ["house.room.named"]


def test_a_column_for_a_row_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "named_axes.py").write_text(NAMED)
    monkeypatch.syspath_prepend(tmp_path)
    with jaxtyping.install_import_hook("named_axes", "beartype.beartype"):
        module = importlib.import_module("named_axes")
    u = torch.ones(5)
    assert module.residual(u, u).shape == (5,)
    with pytest.raises(jaxtyping.TypeCheckError, match="'u'|'f'"):
        module.residual(u, u[:, None])
    del sys.modules["named_axes"]
