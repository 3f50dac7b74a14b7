"""Case and overrides → configuration → objects → outcome. The only room that imports Hydra."""

from sciml.compose.command import main
from sciml.compose.configuration import compose, frozen, show, sweep
from sciml.compose.execution import (
    evaluate,
    execute,
    export,
    forecast,
    restore,
    resume,
    run,
)
from sciml.compose.parts import build, rehearse
from sciml.evaluation import Parts, Result

__all__ = [
    "Parts",
    "Result",
    "build",
    "compose",
    "evaluate",
    "execute",
    "export",
    "forecast",
    "frozen",
    "main",
    "rehearse",
    "restore",
    "resume",
    "run",
    "show",
    "sweep",
]
