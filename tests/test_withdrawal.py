"""What a refused run leaves: nothing of its own, and everything of others."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from sciml import atomic, catalogue, compose, runs, withdrawal
from sciml.catalogue import SEARCH_VARIABLE
from sciml.contracts import Diverged, UserError

CASES = Path(__file__).parent / "cases"
#: A weight of no term, which the first step refuses.
REFUSED = ("weights.misfid=3",)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "LOCAL_RANK", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(SEARCH_VARIABLE, str(CASES))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "")
    monkeypatch.setenv(runs.VARIABLE, "")
    catalogue.install_namespace()


def contents(folder: Path = Path()) -> dict[str, bytes]:
    """All files below a folder, and its folders with a slash."""
    return {
        f"{path}/" if path.is_dir() else str(path): b"" if path.is_dir() else path.read_bytes()
        for path in folder.rglob("*")
    }


def refuse(*overrides: str, said: str = "no loss term is called") -> None:
    with pytest.raises(UserError, match=said):
        compose.run("toy", *overrides)


@pytest.mark.parametrize("where", [(), ("run_dir=deep/in/r",)])
def test_a_refused_run_leaves_nothing_and_the_corrected_one_takes_its_place(where) -> None:
    refuse(*REFUSED, *where)
    assert not contents()
    assert compose.run("toy", "phases.adam.steps=2", *where).metrics["steps"] == 2


def test_what_others_put_there_stays() -> None:
    for name in ("r/notes.txt", "r/checkpoints/notes.txt"):
        atomic.write(Path(name), "mine")
    before = contents()
    refuse(*REFUSED, "run_dir=r")
    assert contents() == before
    Path("empty").mkdir()
    refuse(*REFUSED, "run_dir=empty")
    assert contents() == before | {"empty/": b""}


def test_an_earlier_run_stays_as_it_was() -> None:
    """It is to go on, with more steps, from a checkpoint that is truncated."""
    compose.run("toy", "run_dir=r", "phases.adam.steps=2")
    Path("r/checkpoints/last.ckpt").write_bytes(b"half")
    before = contents()
    refuse("run_dir=r", "phases.adam.steps=4", said="is truncated")
    assert contents() == before
    Path("r/checkpoints/last.ckpt").unlink()
    assert compose.run("toy", "run_dir=r", "phases.adam.steps=4").metrics["steps"] == 4


def test_terms_that_change_within_a_phase_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from sciml_cases.toy.case import Misfit

    fitted = Misfit.forward

    def forward(self, model, batch):
        self.calls = getattr(self, "calls", 0) + 1
        return fitted(self, model, batch) | ({"more": model.bias.sum()} if self.calls > 3 else {})

    monkeypatch.setattr(Misfit, "forward", forward)
    said = (
        r"phases.adam: expected the loss terms \('misfit',\) throughout, got .*'more'.* at step 3"
    )
    refuse("+system.bias=true", said=said)
    assert not contents()


def end(error: Exception, before: Callable[[Path], object] = id) -> None:
    """A run that ends with an error, after what `before` does in its folder."""

    def trained() -> None:
        with withdrawal.opened("r", {"case": "toy/default", "seed": 1}, ["sciml"]) as folder:
            before(folder)
            raise error

    with pytest.raises(type(error)):
        trained()


@pytest.mark.parametrize("error", [Diverged("loss"), ZeroDivisionError("a bug"), KeyError("x")])
def test_what_is_no_refusal_keeps_its_folder(error: Exception) -> None:
    end(error)
    assert {"r/config.yaml", "r/provenance.json"} <= set(contents())


def test_no_memory_is_a_refusal() -> None:
    end(RuntimeError("[enforce fail] Tried to allocate 40.00 GiB"))
    assert not contents()


def test_a_run_with_a_checkpoint_keeps_its_folder() -> None:
    end(UserError("a disk"), lambda folder: atomic.write(folder / "checkpoints/last.ckpt", "w"))
    assert {"r/config.yaml", "r/checkpoints/last.ckpt"} <= set(contents())


def test_only_the_first_process_takes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    end(UserError("no"), lambda folder: monkeypatch.setenv("LOCAL_RANK", "1"))
    assert "r/config.yaml" in contents()


def test_a_folder_that_another_process_trains_in_is_left_alone() -> None:
    with ExitStack() as other:
        end(UserError("held"), lambda folder: other.enter_context(atomic.held(folder)))
        assert "r/config.yaml" in contents()
