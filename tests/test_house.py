"""The house rules hold: who imports whom, one door per dependency, and a light command line."""

import subprocess
import sys
from pathlib import Path

import house
import pytest

ROOT = Path(__file__).resolve().parents[1]
PURPOSE = '"""A purpose."""\n'


def test_house_rules_hold() -> None:
    found = house.violations(ROOT)
    assert not found, "\n" + "\n".join(found)


def test_the_whole_house_is_read() -> None:
    files = {source.file for source in house.read(ROOT)}
    assert {"sciml/contracts.py", "sciml/balance/base.py"} <= files


def build(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if text.startswith('"""') or not text else PURPOSE + text)
    return root


CLEAN = {
    "sciml/__init__.py": "def run():\n    from sciml import compose\n",
    "sciml/contracts.py": "import enum\n",
    "sciml/calculus/__init__.py": "import torch\n",
    "sciml/calculus/sphere.py": "from . import simplex\nfrom sciml.contracts import UserError\n",
    "sciml/calculus/simplex.py": "import numpy\n",
    "sciml/compose/__init__.py": "import hydra, omegaconf.nodes\nimport sciml.training.fit\n",
    "sciml/training/fit.py": "import pytorch_lightning as pl\n",
    "sciml/balance/base.py": "from torchjd import aggregation\n",
    "sciml/pinn/domain.py": "import deepxde, trimesh\nfrom sciml.calculus import sphere\n",
    "sciml/pinn/figures.py": "import matplotlib.pyplot, xarray\nxarray.open_dataset('result.nc')\n",
    "sciml/globe/archive.py": "import xarray, zarr\nxarray.open_zarr('x')\n",
    "sciml/weather/mesh.py": "from sciml.globe import archive\n",
    "sciml/references/fem.py": "import skfem\nimport scipy.sparse.linalg\n",
    "sciml/export/bundle.py": "import onnx\n",
    "cases/burgers/case.py": (
        "from sciml.pinn import domain\nfrom sciml_cases.burgers import tables\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import hydra\n"
        "    from sciml.training import fit\n"
    ),
    "cases/burgers/tables.py": "import numpy\n",
}


def test_a_clean_house_is_left_in_peace(tmp_path: Path) -> None:
    assert house.violations(build(tmp_path, CLEAN)) == []


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("sciml/pinn/a.py", "from sciml.physics import burgers\n", "pinn may not import sciml.phy"),
        ("sciml/globe/a.py", "import sciml.physics\n", "globe may not import sciml.physics"),
        ("sciml/physics/a.py", "from ..pinn import domain\n", "physics may not import sciml.pinn"),
        ("sciml/calculus/a.py", "import sciml.pinn.domain\n", "calculus may not import sciml.pinn"),
        ("sciml/weather/a.py", "from sciml import ocean\n", "weather may not import sciml"),
        ("sciml/weather/a.py", "from sciml.ocean import x\n", "weather may not import sciml.ocean"),
        ("sciml/training/a.py", "from sciml.balance import base\n", "training may not import"),
        ("sciml/balance/a.py", "def f():\n    import sciml.pinn\n", "balance may not import"),
        ("sciml/references/a.py", "import sciml.physics.x\n", "references may not import"),
        ("sciml/pinn/a.py", "from sciml import compose\n", "pinn may not import sciml.compose"),
        ("sciml/globe/a.py", "from sciml.training import x\n", "globe may not import"),
        ("sciml/compose/a.py", "import sciml_cases.burgers.case\n", "compose may not import"),
        ("sciml/launch/a.py", "from cases.burgers import case\n", "launch may not import"),
        ("cases/heat/case.py", "import sciml.training.fit\n", "cases may not import"),
        ("cases/heat/case.py", "import sciml_cases.burgers.case\n", "cases may not import"),
        ("sciml/attic/a.py", "", "stands on no floor"),
        ("sciml/calculus/simplex.py", "import sciml.calculus.sphere\n", "circle: sciml.calculus"),
        ("sciml/cli.py", "from hydra import main\n", "hydra is imported in sciml/compose/* only"),
        ("sciml/cli.py", "import importlib as i\ni.import_module('hydra')\n", "hydra is imported"),
        ("sciml/cli.py", "import rich\n", "cli may not import rich"),
        ("sciml/runs.py", "import omegaconf\n", "omegaconf is imported in"),
        ("sciml/pinn/a.py", "import pytorch_lightning\n", "pytorch_lightning is imported in"),
        ("sciml/training/a.py", "import lightning.pytorch\n", "lightning is imported in no file"),
        ("sciml/pinn/data.py", "import deepxde.geometry\n", "deepxde is imported in"),
        ("sciml/globe/a.py", "import xarray\nxarray.open_dataset('a')\n", "globe/archive.py only"),
        ("sciml/ocean/a.py", "from xarray import open_zarr\n", "globe/archive.py only"),
        ("sciml/pinn/a.py", "import trimesh\n", "trimesh is imported in"),
        ("sciml/tactile/a.py", "import pytetwild, ipctk\n", "ipctk is imported in"),
        ("sciml/tactile/a.py", "from scipy.sparse import linalg\n", "scipy.sparse.linalg is"),
        ("sciml/training/a.py", "import torchjd\n", "torchjd is imported in"),
        ("sciml/pinn/a.py", "import onnx\n", "onnx is imported in"),
        ("cases/heat/case.py", "import skfem\n", "skfem is imported in"),
        ("sciml/pinn/evaluate.py", "import matplotlib\n", "matplotlib is imported in"),
        ("sciml/contracts.py", "import torch\n", "contracts may not import torch"),
        ("sciml/calculus/a.py", "import scipy\n", "calculus may not import scipy"),
        ("sciml/pinn/utils.py", "", "'utils' is a concept without a name"),
        ("sciml/pinn/base/a.py", "", "'base' is a concept without a name"),
        ("sciml/pinn/a.py", "", "opens without a docstring"),
        ("cases/heat/case.py", "", "opens without a docstring"),
    ],
)
def test_a_breach_is_named(tmp_path: Path, file: str, text: str, said: str) -> None:
    found = house.violations(build(tmp_path, CLEAN | {file: text}))
    assert any(said in line and (file in line or "circle" in line) for line in found), found


def test_the_command_line_stays_light() -> None:
    heavy = ["torch", "hydra", "omegaconf", "deepxde", "pytorch_lightning", "numpy", "xarray"]
    program = f"import sys, sciml, sciml.cli; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stdout + answer.stderr
