"""What the tests do with jobs: submit, wait, look; every wait has an end."""

from contextlib import suppress
from pathlib import Path

import torch

from sciml import cli, runs
from sciml.launch import record, status
from sciml.training import checkpoint
from tests.slurm.cluster import until

STARTS_WITHIN = 240  # s, of a job on a busy machine: imports alone take ten on an idle one


def sciml(*words: str) -> None:
    assert cli.main([str(word) for word in words]) == 0


def submit(run: str, *words: str, case: str = "paced") -> None:
    sciml("submit", case, "hpc=local", f"run_dir={run}", *words)


def state(run: str) -> str:
    entries = record.find(run).entries()
    return next(iter(entries.values())).state if entries else ""


def ended(run: str, as_: str = "COMPLETED") -> None:
    one = record.find(run)
    until(lambda: status.is_over(one), STARTS_WITHIN)
    assert {entry.state for entry in one.entries().values()} == {as_}, log(run)


def log(run: str) -> str:
    return "\n".join(file.read_text() for file in record.find(run).logs() if file.is_file())


def steps(run: str) -> int:
    """The last step that the run has written down."""
    return runs.state(Path(run)).done


def training(run: str) -> None:
    """Waits until it is in the midst of its steps."""
    until(lambda: steps(run) >= 10, STARTS_WITHIN)


def weights(run: str | Path) -> dict[str, torch.Tensor]:
    content = checkpoint.load(Path(run) / "checkpoints/last.ckpt")
    assert content["global_step"] == 100
    (moments,) = content["optimizer_states"]
    flat = {f"{i}.{k}": v for i, state in moments["state"].items() for k, v in state.items()}
    return content["state_dict"] | flat


def same(run: str, whole: dict[str, torch.Tensor]) -> bool:
    ours = weights(run)
    return ours.keys() == whole.keys() and all(torch.equal(ours[k], whole[k]) for k in whole)


def importing(run: str) -> bool:
    """Whether the run's process has mapped torch's library: seconds before it trains."""
    with suppress(OSError):  # it has just ended
        return any("libtorch_cpu" in (folder / "maps").read_text() for folder in processes(run))
    return False


def processes(run: str) -> list[Path]:
    """The folders under /proc of the Python processes that carry a run out."""
    wanted = ["-m", "sciml", "resume", str(Path(run).absolute()), ""]
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if words[1:] == wanted:
                found.append(folder)
    return found
