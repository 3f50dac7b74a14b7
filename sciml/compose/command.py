"""`sciml run` behind the front end, which hands `CASE key=value …` to a real `hydra.main`, so that
multirun, sweepers, launchers and `--cfg` are Hydra's own.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from sciml import catalogue, diagnosis
from sciml.compose.configuration import (
    CONFIG,
    VERSION_BASE,
    compose,
    hydra_arguments,
    prepared,
    see_cases,
    translated,
    unwrapped,
)
from sciml.compose.execution import execute


def main(cases: Sequence[str], overrides: Sequence[str], flags: Sequence[str] = ()) -> None:
    """`sciml run` behind the front end: one run, or a sweep with `-m` among the flags.

    Raises:
        UserError: unknown key, choice or keyword, wrong type, unusable run folder.
    """
    see_cases()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands exceptions on instead of printing them
    sweeping = any(flag in ("-m", "--multirun") for flag in flags)
    sweeping = sweeping or "hydra.mode=MULTIRUN" in overrides
    raised: list[Exception] = []
    task = _task if sweeping else _catching(raised)
    entry = hydra.main(str(catalogue.home() / "conf"), CONFIG, VERSION_BASE)(task)
    overrides = diagnosis.freed(overrides)
    for case in cases:
        overrides = prepared(case, overrides)
    if len(cases) > 1:
        overrides = _over_several(cases, overrides)
    arguments = [*flags, *hydra_arguments(",".join(cases), overrides)]
    with _command_line([sys.argv[0], *arguments]), translated(cases[0], overrides):
        entry()
    for error in raised:
        raise error


def _over_several(cases: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """Overrides for a sweep over cases.

    Hydra first composes without any case, and there a case's own keys and groups do not exist: so
    the keys are checked here, case by case, and then set by force; a choice becomes a sweep over
    this one choice, which Hydra hands to the jobs only.
    """
    choices = [o.split(",")[0] for o in overrides if diagnosis.is_choice(o)]
    for case in cases:
        diagnosis.check_keys(unwrapped(compose(case, choices))[1], overrides)
    return [_for_jobs(override) for override in overrides]


def _for_jobs(override: str) -> str:
    if override[0] in "+~" or diagnosis.key_of(override).startswith("hydra"):
        return override
    if not diagnosis.is_choice(override):
        return f"++{override}"
    key, _, value = override.partition("=")
    return f"{key}=choice({value})" if diagnosis.is_name(value) else override


def _task(config: DictConfig) -> float | None:
    """What Hydra runs for each job; importable by name, so that launchers can send it elsewhere."""
    details = HydraConfig.get()
    case = details.runtime.choices["cases"]
    given: Any = OmegaConf.to_container(details.overrides.task, resolve=False)
    overrides = [o for o in given if diagnosis.key_of(o) not in ("cases", "run_dir")]
    if config.run_dir and details.mode == RunMode.MULTIRUN and not _is_reference(config, "run_dir"):
        config.run_dir = str(Path(str(config.run_dir)) / str(details.job.num))
    if config.run_dir:
        overrides.append(f"run_dir={config.run_dir}")
    if details.mode == RunMode.MULTIRUN:
        own = " ".join(override.lstrip("+") for override in overrides)
        print(f"job {details.job.num}: {case} {own}", flush=True)
    # Lightning starts further processes with the command it finds: it has to be this job's own.
    with _command_line([sys.argv[0], "run", case, *overrides]):
        result = execute(config, case, ["sciml", "run", case, *overrides])
    return result.objective


def _is_reference(config: DictConfig, key: str) -> bool:
    return OmegaConf.is_interpolation(config, key)


def _catching(raised: list[Exception]) -> Callable[[DictConfig], float | None]:
    """A single run's task: its exception passes by Hydra, which would print a line of its own."""

    def task(config: DictConfig) -> float | None:
        try:
            return _task(config)
        except Exception as error:
            raised.append(error)
            return None

    return task


@contextmanager
def _command_line(arguments: list[str]) -> Iterator[None]:
    before, sys.argv = sys.argv, arguments
    try:
        yield
    finally:
        sys.argv = before
