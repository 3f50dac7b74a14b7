"""Case and overrides → one checked configuration; Hydra's complaints in one line."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError

from sciml import catalogue, checks, diagnosis, runs, tables
from sciml.contracts import UserError

catalogue.install_namespace()
logging.getLogger("hydra").addHandler(logging.NullHandler())  # its exceptions say the same

CONFIG = "run"
VERSION_BASE = "1.3"


def see_cases() -> None:
    catalogue.export_search_path()
    catalogue.install_namespace()


def compose(case: str, overrides: Sequence[str]) -> DictConfig:
    """The composed configuration of one run, without the `hydra` node."""
    with _initialized(), translated(case, overrides):
        return hydra.compose(CONFIG, hydra_arguments(case, overrides))


def prepared(case: str, overrides: Sequence[str]) -> Sequence[str]:
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


def frozen(case: str, overrides: Sequence[str]) -> dict[str, Any]:
    """The checked configuration of a run that another process will carry out, references kept."""
    see_cases()
    overrides = prepared(case, overrides)
    return checked(compose(case, overrides), case)


def checked(config: DictConfig, case: str) -> dict[str, Any]:
    """The configuration with the name of its case, plain and sound; interpolations kept."""
    with open_dict(config):
        config.case = case
    plain, resolved = unwrapped(config)
    checks.check_run(resolved, plain)
    return plain


def unwrapped(config: DictConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration as plain dicts and lists: interpolations kept, and resolved."""
    try:
        kept: Any = OmegaConf.to_container(config, resolve=False)
        resolved: Any = OmegaConf.to_container(config, resolve=True)
        return kept, resolved
    except OmegaConfBaseException as error:
        raise UserError(f"configuration: {diagnosis.one_line(error)}") from error


def show(case: str, overrides: Sequence[str]) -> str:
    """The configuration as YAML, with the file that each value came from as a comment."""
    see_cases()
    overrides = prepared(case, overrides)
    with _initialized(), translated(case, overrides):
        arguments = hydra_arguments(case, overrides)
        config = hydra.compose(CONFIG, arguments)
        origins = _origins(arguments)
    config.case = case
    plain, resolved = unwrapped(config)
    return tables.annotated(plain, resolved, origins)


def _origins(arguments: Sequence[str]) -> dict[str, str]:
    """Key → the file that set it last, or the command line; by way of Hydra's private loader."""
    loader: Any = GlobalHydra.instance().config_loader()
    overrides, files = loader._parse_overrides_and_create_caching_repo(CONFIG, list(arguments))
    found: dict[str, str] = {}
    for default in loader.compute_defaults_list(CONFIG, list(arguments), RunMode.RUN).defaults:
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


def sweep(cases: Sequence[str], overrides: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The runs of a sweep, each a case and its overrides, as Hydra's own sweeper splits them."""
    see_cases()
    overrides = diagnosis.freed(overrides)
    with translated(cases[0], overrides):
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        swept = [override for override in parsed if override.is_sweep_override()]
        (jobs,) = BasicSweeper.split_arguments(swept, None)
    fixed = [o.input_line for o in parsed if o.input_line and not o.is_sweep_override()]
    return [(case, [*fixed, *job]) for case in cases for job in jobs]


def hydra_arguments(case: str, overrides: Sequence[str]) -> list[str]:
    """Hydra's overrides for a case: it is a choice of the group `cases` in the search path."""
    diagnosis.check_form(overrides)
    overrides = diagnosis.freed(overrides)
    others = catalogue.conf_folders()[1:]
    folders = [*others, *catalogue.roots()]
    paths = ",".join("'file://" + str(f).replace("'", "\\'") + "'" for f in folders)
    return [f"hydra.searchpath=[{paths}]", f"cases={case}", *overrides]


@contextmanager
def _initialized() -> Iterator[None]:
    GlobalHydra.instance().clear()
    folder = str(catalogue.home() / "conf")
    with hydra.initialize_config_dir(folder, version_base=VERSION_BASE):
        yield


@contextmanager
def translated(case: str, overrides: Sequence[str]) -> Iterator[None]:
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
            config = hydra.compose(CONFIG, hydra_arguments(case, choices))
        except HydraException:
            return UserError(diagnosis.one_line(error))
    _, resolved = unwrapped(config)
    diagnosis.check_keys(resolved, overrides)
    diagnosis.check_entries(overrides)
    return UserError(diagnosis.one_line(error))
