"""Sites: every file loads, values are typed, mistakes are one line."""

from pathlib import Path

import pytest

from sciml import catalogue
from sciml.contracts import UserError
from sciml.launch import site

ROOT = Path(__file__).resolve().parents[2]
SITES = sorted(file.stem for file in (ROOT / "hpc/sites").glob("*.yaml"))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    monkeypatch.setenv("PSCRATCH", "/scratch/me")


@pytest.mark.parametrize("name", SITES)
def test_every_site_loads_and_says_where_its_figures_are_from(name: str) -> None:
    found = site.load(name, {"account": "mine"})
    assert found.account == "mine"
    text = (ROOT / f"hpc/sites/{name}.yaml").read_text()
    assert name in ("local", "cpu", "gpu") or ("Figures from" in text and "Not run by us" in text)


def test_the_list_of_sites_comes_from_the_files() -> None:
    assert list(catalogue.kinds()["sites"]) == SITES
    assert all(catalogue.kinds()["sites"].values())


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("30", 1800),
        ("10:30", 630),
        ("10:00:00", 36000),
        ("2-00", 172800),
        ("1-12:30:05", 86400 + 12 * 3600 + 30 * 60 + 5),
    ],
)
def test_time_limits_as_sbatch_reads_them(time: str, expected: int) -> None:
    assert site.seconds(time) == expected


def test_values_have_their_types_and_yaml_does_not_count_in_sixties(tmp_path: Path) -> None:
    Path("mine.yaml").write_text(
        "time: 10:00:00\nnodes: 2\ndevices: 4\nqos: null\nmodules: [python, cuda/12]\n"
        "scratch: $SCRATCH/runs\nenvironment: {A: 1, B: no}\n"
    )
    found = site.load("mine.yaml", {"environment.A": "x y", "cpus_per_task": "3"})
    assert (found.time, found.seconds, found.ranks, found.qos) == ("10:00:00", 36000, 8, None)
    assert found.modules == ["python", "cuda/12"] and found.scratch == "/scratch/me/runs"
    assert found.environment == {"A": "x y", "B": "no"} and found.cpus_per_task == 3
    assert found.trainer == {"accelerator": "cpu", "devices": 4, "nodes": 2}


def test_the_users_own_site_comes_before_ours(tmp_path: Path) -> None:
    (tmp_path / "hpc/sites").mkdir(parents=True)
    (tmp_path / "hpc/sites/cpu.yaml").write_text("# Ours\npartition: mine\n")
    assert site.load("cpu", {}).partition == "mine"


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("loca", {}, "hpc: expected the name of a site .*got 'loca'; did you mean 'local'"),
        ("gone.yaml", {}, "'gone.yaml', which is not there"),
        ("local", {"tme": "3"}, "hpc.tme: expected a key of a site, got 'tme'; did you mean 'time"),
        ("lumi_g", {}, "hpc.account: lumi_g has to be told yours; give hpc.account="),
        ("local", {"nodes": "two"}, "hpc.nodes: expected a whole number, got 'two'"),
        ("local", {"nodes": "0"}, "hpc.nodes: expected >= 1, got 0"),
        ("local", {"nodes": "null"}, "hpc.nodes: expected a value, got none"),
        ("local", {"time": "soon"}, "hpc.time: expected HH:MM:SS or D-HH:MM:SS, got 'soon'"),
        ("local", {"time": "00:04:00"}, "more than twice the 120 s .*; set a longer hpc.time"),
        ("local", {"partition": "a b"}, "hpc.partition: expected a name without spaces"),
        ("local", {"partition": "$(date)"}, "hpc.partition: expected a name without spaces"),
        ("local", {"sbatch": "[exclusive]"}, "hpc.sbatch: expected options such as --exclusive"),
        ("local", {"modules": "a"}, r"hpc.modules: expected a list, got 'a'"),
        ("local", {"environment.a-b": "1"}, "hpc.environment: expected names of variables"),
        ("local", {"accelerator": "tpu"}, "hpc.accelerator: expected cpu or gpu, got 'tpu'"),
        ("local", {"node_disk": "tmp"}, "hpc.node_disk: expected a whole path or one that begins"),
        ("local", {"node_disk": "/a b"}, "hpc.node_disk: expected a whole path .*got '/a b'"),
        ("local", {"scratch": "$NOWHERE/x"}, r"a variable of \$NOWHERE/x is not set here"),
    ],
)
def test_mistakes_are_one_line(name: str, changes: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        site.load(name, changes)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_site_is_named(tmp_path: Path) -> None:
    Path("bad.yaml").write_text("- a\n")
    with pytest.raises(UserError, match=r"bad.yaml: expected keys and values"):
        site.load("bad.yaml", {})
    Path("bad.yaml").write_text("a: [\n")
    with pytest.raises(UserError, match=r"bad.yaml is not YAML"):
        site.load("bad.yaml", {})
