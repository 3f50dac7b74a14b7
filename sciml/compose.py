"""Case and overrides → configuration → objects → outcome. The only file that imports Hydra.

The front end hands `CASE key=value …` to a real `hydra.main`, so multirun, sweepers, launchers and
`--cfg` are Hydra's own. Its complaints are said again in one line, with the nearest name.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError

from sciml import catalogue, checks, diagnosis, evaluation, runs, tables, withdrawal
from sciml.contracts import Forecaster, UserError
from sciml.evaluation import Parts, Result
from sciml.launch import signals

if TYPE_CHECKING:
    from sciml.training.run import Signals

catalogue.install_namespace()
logging.getLogger("hydra").addHandler(logging.NullHandler())  # its exceptions say the same

_CONFIG = "run"
_VERSION_BASE = "1.3"


def main(cases: Sequence[str], overrides: Sequence[str], flags: Sequence[str] = ()) -> None:
    """`sciml run` behind the front end: one run, or a sweep with `-m` among the flags.

    Raises:
        UserError: unknown key, choice or keyword, wrong type, unusable run folder.
    """
    _see_cases()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands exceptions on instead of printing them
    sweeping = any(flag in ("-m", "--multirun") for flag in flags)
    sweeping = sweeping or "hydra.mode=MULTIRUN" in overrides
    raised: list[Exception] = []
    task = _task if sweeping else _catching(raised)
    entry = hydra.main(str(catalogue.home() / "conf"), _CONFIG, _VERSION_BASE)(task)
    overrides = diagnosis.freed(overrides)
    for case in cases:
        overrides = _prepared(case, overrides)
    if len(cases) > 1:
        overrides = _over_several(cases, overrides)
    arguments = [*flags, *_arguments(",".join(cases), overrides)]
    with _command_line([sys.argv[0], *arguments]), _translated(cases[0], overrides):
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
        diagnosis.check_keys(_plain(compose(case, choices))[1], overrides)
    return [_for_jobs(override) for override in overrides]


def _for_jobs(override: str) -> str:
    if override[0] in "+~" or diagnosis.key_of(override).startswith("hydra"):
        return override
    if not diagnosis.is_choice(override):
        return f"++{override}"
    key, _, value = override.partition("=")
    return f"{key}=choice({value})" if diagnosis.is_name(value) else override


def _prepared(case: str, overrides: Sequence[str]) -> Sequence[str]:
    """The overrides with `++` for new keys of an empty mapping, against Hydra's struct mode.

    Refuses `system.seed=5` where the configuration has `system.seed: ${seed}`.
    """
    inner = [o for o in overrides if diagnosis.may_be_reference(o)]
    if not inner:
        return overrides
    choices = [o.split(",")[0] for o in overrides if diagnosis.is_choice(o)]
    try:
        config = compose(case, choices)
    except (UserError, HydraException):
        return overrides  # said better where all overrides are composed
    raw = OmegaConf.to_container(config, resolve=False)
    diagnosis.check_references(raw, inner)
    diagnosis.check_followed(raw, overrides)
    return [f"++{o}" if o in inner and diagnosis.is_new(o, raw) else o for o in overrides]


def run(case: str, *overrides: str) -> Result:
    """Runs a case: `sciml.run("helmholtz_2d/m4", "balancer=fixed", "seed=1")`.

    Args:
        case: `folder/variant`, or `folder` for its default variant.
        overrides: `key=value`, as on the command line.

    Returns: an object with `metrics` (dict), `path` (the run folder) and `model`.
    """
    _see_cases()
    name = catalogue.find_case(case).name
    overrides = tuple(_prepared(name, overrides))
    return execute(compose(name, overrides), name, ["sciml", "run", name, *overrides])


def evaluate(folder: str | Path) -> dict[str, Any]:
    """Computes metrics, `result.nc`, figures and report of a run again, from its checkpoint."""
    return evaluation.evaluate_again(_reopened(folder), Path(folder))


def restore(folder: str | Path) -> tuple[Parts, Any]:
    """The parts of a run folder and its trained model."""
    from sciml.training.run import restore as trained

    parts = _reopened(folder)
    return parts, trained(parts.system, parts.balancer, parts.phases, Path(folder))


def _reopened(folder: str | Path) -> Parts:
    """The parts of a run folder, on the CPU: it may have been trained on another machine."""
    _see_cases()
    config = OmegaConf.create(runs.load_config(folder))
    checks.check_run(*reversed(_plain(config)))
    if "accelerator" in config.trainer:
        config.trainer.accelerator = "cpu"
    return build(config)


def export(folder: str | Path, target: str, formats: Sequence[str], force: bool = False) -> None:
    """Writes the bundle of a run's trained model; `force` replaces an older bundle."""
    parts, model = restore(folder)
    evaluation.export(parts, model, Path(folder), target, formats, force)


def forecast(
    folder: str | Path,
    starts: Sequence[str],
    steps: int,
    out: str,
    data: str | None = None,
    ensemble: Mapping[str, Any] | None = None,
) -> Path:
    """Runs a trained model ahead from each of the times `starts` and writes the forecasts.

    Args:
        ensemble: what `sciml forecast` says of its members, such as `{"members": 8}`.
    """
    if steps < 1:
        raise UserError(f"forecast: expected steps >= 1, got {steps}")
    parts, model = restore(folder)
    if not isinstance(parts.system.predictor, Forecaster):
        raise UserError(f"forecast: {parts.case} has no time step that could be repeated")
    from sciml.training.team import joined

    with joined() as team:
        predictor = parts.system.predictor
        return predictor.forecast(model, starts, steps, Path(out), data, ensemble, team)


def frozen(case: str, overrides: Sequence[str]) -> dict[str, Any]:
    """The checked configuration of a run that another process will carry out, references kept."""
    _see_cases()
    overrides = _prepared(case, overrides)
    return _checked(compose(case, overrides), case)


def sweep(cases: Sequence[str], overrides: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The runs of a sweep, each a case and its overrides, as Hydra's own sweeper splits them."""
    _see_cases()
    overrides = diagnosis.freed(overrides)
    with _translated(cases[0], overrides):
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        swept = [override for override in parsed if override.is_sweep_override()]
        (jobs,) = BasicSweeper.split_arguments(swept, None)
    fixed = [o.input_line for o in parsed if o.input_line and not o.is_sweep_override()]
    return [(case, [*fixed, *job]) for case in cases for job in jobs]


def rehearse(config: Mapping[str, Any], ranks: int) -> None:
    """Makes the parts of a run on the CPU and asks for a rank's share of its data.

    Of a system whose data are large, or have to be made, only what it can say without them
    (`rehearse` beside its constructor).

    Raises:
        UserError: what a job would find out only when its turn has come.
    """
    rehearsed = OmegaConf.create(dict(config))
    if "accelerator" in rehearsed.trainer:
        rehearsed.trainer.accelerator = "cpu"
    from sciml.training import refusals

    light = getattr(_target(rehearsed.system), "rehearse", None)
    if light is None:
        build(rehearsed).system.data.train_dataloader(0, ranks - 1, ranks)
        return
    settings, phases = _matched(rehearsed)
    balancer = _instantiate(rehearsed, "balancer")
    if settings.strategy == "fsdp":
        objectives = getattr(_target(rehearsed.system), "objectives", ())
        refusals.require_sharding(objectives, balancer, phases)
    given = _plain(rehearsed)[1]["system"]
    light(given, partial(_instantiate, rehearsed.system), ranks)


def resume(folder: str | Path) -> Result:
    """Carries out the run that the `config.yaml` of a folder describes, or goes on with it."""
    _see_cases()
    config = OmegaConf.create(runs.load_config(folder))
    config.run_dir = str(folder)
    command = ["sciml", "resume", str(folder)]
    return execute(config, str(config.get("case")), command, (signals.received, signals.install))


def compose(case: str, overrides: Sequence[str]) -> DictConfig:
    """The composed configuration of one run, without the `hydra` node."""
    with _initialized(), _translated(case, overrides):
        return hydra.compose(_CONFIG, _arguments(case, overrides))


def show(case: str, overrides: Sequence[str]) -> str:
    """The configuration as YAML, with the file that each value came from as a comment."""
    _see_cases()
    overrides = _prepared(case, overrides)
    with _initialized(), _translated(case, overrides):
        arguments = _arguments(case, overrides)
        config = hydra.compose(_CONFIG, arguments)
        origins = _origins(arguments)
    config.case = case
    plain, resolved = _plain(config)
    return tables.annotated(plain, resolved, origins)


def _origins(arguments: Sequence[str]) -> dict[str, str]:
    """Key → the file that set it last, or the command line; by way of Hydra's private loader."""
    loader: Any = GlobalHydra.instance().config_loader()
    overrides, files = loader._parse_overrides_and_create_caching_repo(_CONFIG, list(arguments))
    found: dict[str, str] = {}
    for default in loader.compute_defaults_list(_CONFIG, list(arguments), RunMode.RUN).defaults:
        if not default.config_path.startswith("hydra/"):
            loaded = loader._load_single_config(default, files).config
            folder = "" if default.config_path.startswith("cases/") else "conf/"
            for key in runs.flat(OmegaConf.to_container(loaded, resolve=False)):
                found[key] = f"{folder}{default.config_path}.yaml"
    for override in overrides:
        if not override.is_delete():
            for key in runs.flat(override.value(), override.key_or_group):
                found[key] = "command line"
    return {**found, "case": "command line"}


def _checked(config: DictConfig, case: str) -> dict[str, Any]:
    """The configuration with the name of its case, plain and sound; interpolations kept."""
    with open_dict(config):
        config.case = case
    plain, resolved = _plain(config)
    checks.check_run(resolved, plain)
    return plain


def execute(
    config: DictConfig, case: str, command: Sequence[str], signals: "Signals | None" = None
) -> Result:
    """Checks, trains, evaluates, writes; refuses mistakes before anything heavy loads if it can."""
    plain = _checked(config, case)
    run_dir = None if config.run_dir is None else str(config.run_dir)  # run_dir=2026 is a number
    runs.check_run(run_dir, plain)
    parts = build(config)

    from sciml.training.run import train

    with withdrawal.opened(run_dir, plain, command) as folder, _processes():
        outcome = train(parts.system, parts.balancer, parts.phases, parts.settings, folder, signals)
    if runs.rank() > 0:
        return Result(folder, {}, outcome.model)
    costs: dict[str, Any] = {"steps": outcome.steps}
    if parts.phases:  # nobody clocks what is not trained
        costs |= {"cpu_s": outcome.cpu_s, "wall_s": outcome.wall_s}
    return evaluation.finish(parts, outcome.model, folder, costs)


@contextmanager
def _processes() -> Iterator[None]:
    """Leaves no process group and no rank in the environment behind, so that a sweep may go on."""
    import torch.distributed as dist

    before = dict(os.environ)
    try:
        yield
    finally:
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()
        if runs.rank() == 0:
            os.environ.clear()
            os.environ.update(before)


def build(config: DictConfig) -> Parts:
    """Instantiates system, balancer, phases and trainer settings."""
    import torch

    from sciml.training import refusals

    torch.manual_seed(config.seed)
    settings, phases = _matched(config)
    torch.set_num_threads(settings.threads)
    parts = Parts(
        system=_instantiate(config, "system"),
        balancer=_instantiate(config, "balancer"),
        phases=phases,
        settings=settings,
        published=_plain(config)[1].get("published") or {},
        case=config.get("case") or "unnamed",
    )
    if not _is_untrained(config):
        processes = settings.devices * settings.nodes
        refusals.require_matches(phases, [parts.system.objective], processes)
        if settings.strategy == "fsdp":
            refusals.require_sharding([parts.system.objective], parts.balancer, phases)
        if processes > 1:  # what cannot be shared is refused before other processes are started
            parts.system.data.train_dataloader(0, processes - 1, processes)
    return parts


def _matched(config: DictConfig) -> tuple[Any, dict[str, Any]]:
    """Trainer settings and phases, which suit each other and the objectives that are to come."""
    from sciml.training.refusals import require_matches

    settings, phases = _instantiate(config, "trainer"), _instantiate(config, "phases")
    if not _is_untrained(config):
        objectives = getattr(_target(config.system), "objectives", ())
        require_matches(phases, objectives, settings.devices * settings.nodes)
    return settings, phases


def _is_untrained(config: DictConfig) -> bool:
    return getattr(_target(config.system), "untrained", False)


def _target(config: DictConfig) -> Any:
    """What a configuration names; None where it names nothing that is there."""
    try:
        return hydra.utils.get_object(config._target_)
    except Exception:
        return None  # `_instantiate` says what is wrong


def _instantiate(config: DictConfig, name: str) -> Any:
    try:
        return hydra.utils.instantiate(config[name], _convert_="all")
    except HydraException as error:
        found = diagnosis.unfound(name, error) or diagnosis.located(error)
        raise (found or error) from error.__cause__


def _plain(config: DictConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration as plain dicts and lists: interpolations kept, and resolved."""
    try:
        kept: Any = OmegaConf.to_container(config, resolve=False)
        resolved: Any = OmegaConf.to_container(config, resolve=True)
        return kept, resolved
    except OmegaConfBaseException as error:
        raise UserError(f"configuration: {diagnosis.one_line(error)}") from error


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


def _see_cases() -> None:
    catalogue.export_search_path()
    catalogue.install_namespace()


def _arguments(case: str, overrides: Sequence[str]) -> list[str]:
    """Hydra's overrides for a case: it is a choice of the group `cases` in the search path."""
    diagnosis.check_form(overrides)
    overrides = diagnosis.freed(overrides)
    others = catalogue.conf_folders()[1:]
    folders = [*others, *catalogue.roots()]
    paths = ",".join("'file://" + str(f).replace("'", "\\'") + "'" for f in folders)
    return [f"hydra.searchpath=[{paths}]", f"cases={case}", *overrides]


@contextmanager
def _command_line(arguments: list[str]) -> Iterator[None]:
    before, sys.argv = sys.argv, arguments
    try:
        yield
    finally:
        sys.argv = before


@contextmanager
def _initialized() -> Iterator[None]:
    GlobalHydra.instance().clear()
    folder = str(catalogue.home() / "conf")
    with hydra.initialize_config_dir(folder, version_base=_VERSION_BASE):
        yield


@contextmanager
def _translated(case: str, overrides: Sequence[str]) -> Iterator[None]:
    """Hydra's complaints about the configuration become `UserError`s of one line."""
    try:
        yield
    except HydraException as error:
        kinds = (ConfigCompositionException, OverrideParseException)
        if isinstance(error, kinds) and diagnosis.mistake(error) is None:
            raise _explained(error, case, overrides) from error
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{mark.name}, line {mark.line + 1}" if mark else case
        raise UserError(f"{where}: not YAML, {error.problem}") from error


def _explained(error: Exception, case: str, overrides: Sequence[str]) -> UserError:
    diagnosis.check_choices(overrides)
    ambiguous = diagnosis.sweep_without_m(error)
    if ambiguous:
        return ambiguous
    GlobalHydra.instance().clear()
    with _initialized():
        choices = [o for o in overrides if diagnosis.is_choice(o)]
        try:
            config = hydra.compose(_CONFIG, _arguments(case, choices))
        except HydraException:
            return UserError(diagnosis.one_line(error))
    _, resolved = _plain(config)
    diagnosis.check_keys(resolved, overrides)
    diagnosis.check_entries(overrides)
    return UserError(diagnosis.one_line(error))
