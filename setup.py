"""Carries `conf/`, `cases/`, `hpc/` and `data/` into the wheel, where they lie inside the package.

They are no Python packages and stay outside `sciml/` in a checkout; everything else is in
`pyproject.toml`. `sciml.catalogue` finds them in both places.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CARRIED = ("conf", "cases", "hpc", "data")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.py[co]", ".*", "runs", "multirun", "*.ckpt")
HERE = Path(__file__).parent


class BuildWithFolders(build_py):
    """Copies the carried folders beside the modules; an editable install reads them in place."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for name in CARRIED:
            target = Path(self.build_lib) / "sciml" / name
            shutil.rmtree(target, ignore_errors=True)
            if (HERE / name).is_dir():
                shutil.copytree(HERE / name, target, ignore=LEFT_OUT)


setup(cmdclass={"build_py": BuildWithFolders})
