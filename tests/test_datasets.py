"""Sets are listed, made with checked arguments, and downloaded whole or not at all."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from sciml import cli, compose, datasets
from sciml.contracts import UserError
from sciml.weather.simulate import make

CONTENT = b"a data set of one line\n" * 1000


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(datasets.VARIABLE, raising=False)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch):
    """A registry with one set, served on the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    entry = {
        "url": f"http://127.0.0.1:{server.server_port}/set.nc",
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "bytes": len(CONTENT),
        "licence": "none",
    }
    monkeypatch.setattr(datasets, "registry", lambda: {"set": entry})
    yield entry
    server.shutdown()
    server.server_close()


def test_every_entry_says_how_to_get_it_and_its_licence():
    for name, entry in datasets.registry().items():
        assert entry["title"] and entry["licence"], name
        assert {"made_by", "url"} & entry.keys(), name
        if "file" in entry or "url" in entry:
            assert len(entry["sha256"]) == 64 and entry["bytes"] > 0, name
        if "file" in entry:
            assert datasets.checksum(datasets.place(name)) == entry["sha256"], name


def test_the_functions_of_made_sets_take_the_arguments_of_the_registry():
    for name, entry in datasets.registry().items():
        if "made_by" in entry:
            function = datasets._function(entry["made_by"])
            words = [f"{key}={value}" for key, value in entry.get("arguments", {}).items()]
            assert (
                datasets._given(name, function, words).keys() == entry.get("arguments", {}).keys()
            )


SIMULATED = [
    name
    for name, entry in datasets.registry().items()
    if entry.get("made_by", "").startswith("sciml.weather")
]


@pytest.mark.parametrize("name", SIMULATED)
def test_the_command_and_the_case_make_the_same_set(name, monkeypatch):
    """So that neither refuses, or makes again, what the other has left: same place, same recipe."""
    from hydra.utils import instantiate

    recipes = []
    monkeypatch.setattr(make, "write", lambda path, *_: recipes.append((path, _[-1])) or path)
    datasets.make(name, None, [])
    archive = compose.compose(f"weather_{name}/default", []).archive
    instantiate(archive.make, _convert_="all")(Path(archive.path))
    assert recipes[0] == recipes[1]
    assert recipes[0][0] == datasets.place(name)


def test_sets_are_listed_with_how_to_get_them(capsys):
    assert cli.main(["data", "list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    for name in ("shallow_water", "shallow_water_climate", "held_suarez"):
        assert " make " in lines[name] and "every six hours" in lines[name]


def test_a_download_is_checked_and_not_repeated(published):
    path = datasets.get("set")
    assert path == Path("runs/data/set.nc") and path.read_bytes() == CONTENT
    published["url"] = "http://127.0.0.1:9/gone"
    assert datasets.get("set") == path


def test_another_checksum_leaves_nothing_behind(published):
    published["sha256"] = "0" * 64
    with pytest.raises(UserError, match="expected SHA-256 0000"):
        datasets.get("set")
    assert list(Path("runs/data").iterdir()) == []


def test_a_longer_file_than_promised_is_not_taken(published):
    published["bytes"] = 100
    with pytest.raises(UserError, match="expected SHA-256"):
        datasets.get("set")


def test_no_network_says_where_the_file_belongs(published):
    published["url"] = "http://127.0.0.1:9/set.nc"
    with pytest.raises(UserError, match="could not be reached.*download it elsewhere to"):
        datasets.get("set")


def test_other_addresses_are_refused(published):
    published["url"] = "file:///etc/hostname"
    with pytest.raises(UserError, match="begins with https"):
        datasets.get("set")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data", "make", "allen_chan"], "did you mean 'allen_cahn'"),
        (["data", "make", "allen_cahn", "nods=3"], "got 'nods=3'; did you mean 'nodes'"),
        (["data", "make", "eraint_uvz"], "downloaded, not made"),
        (["data", "get", "allen_cahn"], "nothing to download"),
        (["data", "take", "allen_cahn"], "invalid choice: 'take'"),
    ],
)
def test_a_mistake_is_one_line(words, said, capsys):
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_what_is_there_is_not_made_again(capsys):
    Path("mine.nc").touch()
    assert cli.main(["data", "make", "allen_cahn", "--out", "mine.nc"]) == 2
    assert "mine.nc is there already" in capsys.readouterr().err


def test_a_set_is_made(capsys):
    words = ["nodes=64", "steps=40", "x=9", "t=3", "--out", "small.nc"]
    assert cli.main(["data", "make", "allen_cahn", *words]) == 0
    assert capsys.readouterr().out.strip() == "small.nc"
    assert Path("small.nc").stat().st_size > 0
