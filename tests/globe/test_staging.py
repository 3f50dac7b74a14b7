"""Staging: the same numbers, once, whole or not at all."""

import errno
import multiprocessing
import os
import platform
import shutil
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from globe.archive import sets

from sciml.contracts import UserError
from sciml.globe import staging
from sciml.globe.archive import Archive, open_archive
from sciml.globe.staging import Staged, stage

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return open_archive(
        sets.written(tmp_path / "set.zarr", sets.times_of(9), sets.states(9)), sets.NAMES
    )


def folders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir())


def test_disk_and_memory_hold_the_archive(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "PIECE", 3 * 4 * 5 * 6 * 12)
    disk, memory = stage(archive, tmp_path / "staged"), stage(archive, memory=True)
    assert np.array_equal(disk.fields, sets.states(9)) and isinstance(disk.fields, np.memmap)
    assert np.array_equal(memory.fields, sets.states(9)) and memory.folder is None
    assert disk.runs == ((0, 9),) and disk.mask.all()


def test_what_is_staged_is_not_read_again(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage(archive, tmp_path / "staged")
    monkeypatch.setattr(Archive, "read", None)
    assert np.array_equal(stage(archive, tmp_path / "staged").fields, sets.states(9))


def test_another_choice_has_another_name(archive: Archive, tmp_path: Path) -> None:
    path = tmp_path / "set.zarr"
    others = [
        open_archive(path, sets.NAMES[::-1]),
        open_archive(path, sets.NAMES, period=["1970-01-01", "1970-01-02"]),
        open_archive(path, sets.NAMES, missing=["t2m"]),
        open_archive(path, sets.NAMES, described={"units": {"u500": "km h-1"}}),
    ]
    assert len({staging.key(one) for one in (archive, *others)}) == 5
    assert staging.key(open_archive(path, sets.NAMES)) == staging.key(archive)


def test_an_archive_that_changed_is_staged_anew_and_the_old_one_deleted(
    archive: Archive, tmp_path: Path
) -> None:
    root, path = tmp_path / "staged", tmp_path / "set.zarr"
    stage(archive, root)
    other = stage(open_archive(sets.written(tmp_path / "b.nc", sets.times_of(2), sets.states(2)),
                               sets.NAMES), root)  # fmt: skip
    shutil.rmtree(path)
    sets.written(path, sets.times_of(7), sets.states(7))
    frames = stage(open_archive(path, sets.NAMES), root)
    assert len(frames) == 7 and folders(root) == sorted([frames.folder.name, other.folder.name])


def test_what_was_cut_short_is_not_taken_for_whole(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "staged"
    here, nobody = platform.node().partition(".")[0], 2**22 + 1  # above any process's number
    mine, other = staging.key(archive), "0123456789abcdef"
    dead = [f".{name}.{here}.{nobody}.part" for name in (mine, other)]
    alive = [f".{mine}.{here}.{os.getpid()}.part", f".{mine}.elsewhere.7.part"]
    old = f".{other}.elsewhere.7.part"
    for name in (*dead, *alive, old):
        (root / name).mkdir(parents=True)
        (root / name / "fields.npy").write_bytes(b"half")
    os.utime(root / old, (0, 0))
    monkeypatch.setattr(os, "getpid", lambda: 12)
    frames = stage(archive, root)
    assert np.array_equal(frames.fields, sets.states(9))
    assert folders(root) == sorted([*alive, frames.folder.name])


def test_without_locks_two_may_write_and_one_is_taken(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a parallel file system whose nodes do not hear of each other's locks."""
    fill, frames = staging._fill, []

    def slow(fields: np.ndarray, read: Archive) -> None:
        monkeypatch.setattr(staging, "_fill", fill)
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(staging, "_node", lambda: "elsewhere")
            frames.append(stage(archive, tmp_path / "staged"))
        fill(fields, read)

    monkeypatch.setattr("fcntl.flock", unavailable)
    monkeypatch.setattr(staging, "_fill", slow)
    frames.append(stage(archive, tmp_path / "staged"))
    assert all(np.array_equal(one.fields, sets.states(9)) for one in frames)
    assert folders(tmp_path / "staged") == [frames[0].folder.name]


def unavailable(*_: object) -> None:
    raise OSError(errno.ENOSYS, "Function not implemented")


def test_arrays_of_earlier_layouts_are_deleted(archive: Archive, tmp_path: Path) -> None:
    earlier = tmp_path / "0123456789abcdef"
    earlier.mkdir()
    (earlier / "meta.json").write_text('{"seen": [], "shape": [1]}')
    frames = stage(archive, tmp_path)
    assert folders(tmp_path) == sorted(["set.zarr", frames.folder.name])


def test_the_copy_on_the_nodes_own_disk_is_mapped(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCIML_NODE_DISK", str(tmp_path / "node"))
    frames = stage(archive, tmp_path / "staged")
    assert Path(frames.fields.filename).parent == tmp_path / "node"
    assert frames.folder.parent == tmp_path / "staged"  # where statistics are kept
    assert np.array_equal(frames.fields, sets.states(9))
    damaged = frames.folder / "fields.npy"
    Path(frames.fields.filename).unlink()
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match="fields.npy: expected a content of SHA-256"):
        stage(archive, tmp_path / "staged")


def test_an_archive_that_changes_while_it_is_staged_leaves_nothing(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Archive.read

    def changing(self: Archive, indices: slice) -> np.ndarray:
        fields = read(self, indices)
        (tmp_path / "set.zarr" / "zarr.json").touch()
        return fields

    monkeypatch.setattr(Archive, "read", changing)
    with pytest.raises(UserError, match=r"set\.zarr has changed since it was opened"):
        stage(archive, tmp_path / "staged")
    assert folders(tmp_path / "staged") == []


def test_too_little_room_is_said_with_numbers(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"expected 0\.0 GiB of room for 9 states of 5 channels"):
        stage(archive, tmp_path / "staged")
    monkeypatch.setattr(os, "sysconf", lambda name: 1)
    with pytest.raises(UserError, match="GiB of memory for 9 states.*memory=false"):
        stage(archive, memory=True)


def test_a_folder_that_cannot_be(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="staged data cannot be kept there.*set SCIML_STAGE"):
        stage(archive, tmp_path / "file")


def staged_once(path: Path, root: Path, sums: Connection, monkeypatch: Any) -> None:
    write = staging._write

    def counted(archive: Archive, target: Path) -> None:
        (root / f"wrote{os.getpid()}").touch()
        time.sleep(0.3)
        write(archive, target)

    monkeypatch.setattr(staging, "_write", counted)
    sums.send(stage(open_archive(path, ["z500", "t2m"]), root).fields.sum(dtype="f8"))


def test_of_two_processes_one_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sets.written(tmp_path / "set.nc", sets.times_of(40), sets.states(40))
    root = tmp_path / "staged"
    root.mkdir()
    here, there = FORK.Pipe(duplex=False)
    arguments = (path, root, there, monkeypatch)
    running = [FORK.Process(target=staged_once, args=arguments) for _ in range(2)]
    for process in running:
        process.start()
    assert here.poll(60)
    sums = {here.recv(), here.recv()}
    for process in running:
        process.join()
    assert sums == {sets.states(40)[:, [0, 4]].sum(dtype="f8")}
    assert len(list(root.glob("wrote*"))) == 1 and len(folders(root)) == 1


def test_shapes_that_do_not_belong_together() -> None:
    with pytest.raises(UserError, match=r"\[3, 5, 6, 12\], got \[3, 4, 6, 12\]"):
        Staged(sets.states(3)[:, :4], sets.times_of(3), sets.CHANNELS, sets.GRID)
