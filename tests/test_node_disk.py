"""Copies on a node's disk: made once, checked, kept while somebody uses them."""

import errno
import hashlib
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from sciml import node_disk
from sciml.contracts import UserError
from sciml.node_disk import copied
from tests.small_disk import small_disk

FORK = multiprocessing.get_context("fork")


def written(folder: Path, content: bytes, name: str = "fields.npy") -> tuple[Path, str]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name, hashlib.sha256(content).hexdigest()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def aged(copy: node_disk.Copy, seconds: float) -> Path:
    """The path of a copy that nobody uses any more, last used so long ago."""
    at = time.time() - seconds
    os.utime(copy.path, (at, at))
    copy.file.close()
    return copy.path


def test_a_copy_is_made_once_and_named_by_its_content(tmp_path: Path) -> None:
    content = os.urandom(100_000)
    first = copied(*written(tmp_path / "a", content), tmp_path / "node")
    stamp = first.path.stat()
    assert first.path.read_bytes() == content and not stamp.st_mode & 0o222
    again = copied(*written(tmp_path / "b", content), tmp_path / "node")
    assert again.path == first.path and again.path.stat().st_ino == stamp.st_ino
    assert names(tmp_path / "node") == [hashlib.sha256(content).hexdigest()[:32] + ".npy"]


def test_another_content_than_was_said_is_refused(tmp_path: Path) -> None:
    source, _ = written(tmp_path, b"changed since")
    with pytest.raises(UserError, match=f"{source}: expected a content of SHA-256 {'0' * 16}…, re"):
        copied(source, "0" * 64, tmp_path / "node")
    assert names(tmp_path / "node") == []


def one_of_many(source: Path, sha256: str, folder: Path) -> None:
    copy = node_disk._copy

    def counted(*arguments: object) -> None:
        (folder / f"copied{os.getpid()}").touch()
        time.sleep(0.3)
        copy(*arguments)

    node_disk._copy = counted
    content = copied(source, sha256, folder / "node").path.read_bytes()
    os._exit(0 if hashlib.sha256(content).hexdigest() == sha256 else 1)


def test_one_process_copies_while_the_others_wait(tmp_path: Path) -> None:
    arguments = (*written(tmp_path, os.urandom(1000)), tmp_path)
    running = [FORK.Process(target=one_of_many, args=arguments) for _ in range(4)]
    for process in running:
        process.start()
    for process in running:
        process.join(30)
    assert [process.exitcode for process in running] == [0] * 4
    assert len(list(tmp_path.glob("copied*"))) == 1


def test_of_a_process_that_is_killed_in_the_middle_the_next_one_takes_over(tmp_path: Path) -> None:
    """The one that waited at its lock copies, and what was half-written is gone."""
    source, sha256 = written(tmp_path, os.urandom(1000))
    killed = os.fork()
    if killed == 0:
        node_disk._write = lambda *_: time.sleep(60)
        copied(source, sha256, tmp_path / "node")
        os._exit(1)
    while not list((tmp_path / "node").glob(".*.part")):
        time.sleep(0.01)
    waiting = FORK.Process(target=one_of_many, args=(source, sha256, tmp_path))
    waiting.start()
    time.sleep(0.2)
    assert waiting.is_alive()
    os.kill(killed, signal.SIGKILL)
    os.waitpid(killed, 0)
    waiting.join(30)
    assert waiting.exitcode == 0
    assert len(names(tmp_path / "node")) == 1 and not list((tmp_path / "node").glob(".*.part"))


def test_a_copy_that_was_deleted_while_it_is_used_is_made_again(tmp_path: Path) -> None:
    """As by a service that clears /tmp of what is old."""
    given = written(tmp_path, b"content")
    first = copied(*given, tmp_path / "node")
    first.path.unlink()
    assert copied(*given, tmp_path / "node").path.read_bytes() == b"content"


def test_what_was_left_half_written_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    for suffix in (".part", ".lock"):
        (tmp_path / f"node/.abc.npy{suffix}").write_bytes(b"half")
    copied(*written(tmp_path, b"whole"), tmp_path / "node")
    assert not list((tmp_path / "node").glob(".*.part"))


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on a disk of 1000 bytes, as far as `shutil` tells."""
    folder = tmp_path / "node"

    def usage(_: object) -> object:
        used = sum(path.stat().st_size for path in folder.iterdir())
        return shutil._ntuple_diskusage(1000, used, 1000 - used)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    return folder


def test_the_copy_that_was_not_used_for_longest_goes_first(disk: Path, tmp_path: Path) -> None:
    """At most half of the disk is kept: three of 150 bytes, and a fourth in place of the oldest."""
    copies = [copied(*written(tmp_path, bytes([n]) * 150), disk) for n in range(3)]
    a, b, c = (aged(copy, ago) for copy, ago in zip(copies, (10, 30, 20), strict=True))
    last = copied(*written(tmp_path, b"x" * 150), disk)
    assert names(disk) == sorted(path.name for path in (a, c, last.path)) and not b.exists()


def test_a_copy_in_use_is_never_deleted(disk: Path, tmp_path: Path) -> None:
    used = copied(*written(tmp_path, b"a" * 300), disk)
    free = aged(copied(*written(tmp_path, b"b" * 150), disk), 10)
    other = copied(*written(tmp_path, b"c" * 600), disk)
    assert other.path.exists() and used.path.exists() and not free.exists()
    with pytest.raises(UserError) as error:
        copied(*written(tmp_path, b"d" * 700), disk)
    assert "expected 700 bytes of room for a copy of" in str(error.value)
    assert "hpc.node_disk=PATH" in str(error.value) and "\n" not in str(error.value)
    assert used.path.exists()


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as folder:
        first = copied(*written(tmp_path, os.urandom(200_000)), folder)
        source, sha256 = written(tmp_path, os.urandom(100_000))
        free = shutil.disk_usage(folder).free
        with pytest.raises(UserError, match=f"100000 bytes of room .* got {free} available"):
            copied(source, sha256, folder)
        old = aged(first, 10)
        assert copied(source, sha256, folder).path.read_bytes() == source.read_bytes()
        assert len(names(folder)) == 1 and not old.exists()


def test_folders_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = written(tmp_path, b"x", "file")
    with pytest.raises(UserError, match=r"file/node: copies cannot be kept there: Not a directory"):
        copied(*given, tmp_path / "file/node")
    with monkeypatch.context() as patch:
        patch.setattr(os, "getuid", lambda: os.geteuid() + 1)
        with pytest.raises(UserError, match="belongs to another user"):
            copied(*given, tmp_path / "node")

    def unavailable(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", unavailable)
    with pytest.raises(UserError, match="has no locks, so it is no disk of a node"):
        copied(*given, tmp_path / "node")


def test_the_folder_may_name_variables_of_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCIML_NODE_DISK", raising=False)
    assert node_disk.root() is None
    monkeypatch.setenv("SCIML_NODE_DISK", "$JOB_DISK/sciml")
    monkeypatch.setenv("JOB_DISK", "/local/7")
    assert node_disk.root() == Path("/local/7/sciml")
    monkeypatch.delenv("JOB_DISK")
    with pytest.raises(UserError, match=r"a variable of \$JOB_DISK/sciml is not set on "):
        node_disk.root()
