"""A configuration → the objects that it names, made by Hydra."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from sciml import diagnosis
from sciml.compose.configuration import unwrapped
from sciml.evaluation import Parts


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
        published=unwrapped(config)[1].get("published") or {},
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
    given = unwrapped(rehearsed)[1]["system"]
    light(given, partial(_instantiate, rehearsed.system), ranks)


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
