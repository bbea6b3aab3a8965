"""Temporary folders of processes that were killed, and folders that nobody may delete."""

import fcntl
import os
import tempfile
from pathlib import Path

import pytest

from gateway_core.files import temporary
from gateway_core.files.temporary import MOST, PREFIX, TemporaryFolder, delete_unused_folders


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left(root, name="left", files=("one", "two")):
    """A folder as a killed process leaves it: with its files, and without its lock."""
    folder = root / f"{PREFIX}{name}"
    folder.mkdir(mode=0o700)
    for file in files:
        (folder / file).write_bytes(b"x")
    return folder


def test_a_folder_that_no_process_uses_is_deleted(root):
    left(root)
    left(root, "empty", files=())
    used = TemporaryFolder()
    (used.path / "used").write_bytes(b"x")
    assert 2 == delete_unused_folders()
    assert [used.path] == list(root.iterdir())
    used.close()
    assert [] == list(root.iterdir())


def test_whatever_else_is_there_stays(root, monkeypatch):
    """Other names, files, links to folders, folders with folders, and folders of other users."""
    elsewhere = root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_bytes(b"x")
    (root / f"{PREFIX}link").symlink_to(elsewhere)
    (root / f"{PREFIX}file").write_bytes(b"x")
    (left(root, "deep", files=()) / "folder").mkdir()
    before = sorted(root.rglob("*"))
    assert 0 == delete_unused_folders()
    left(root, "another user's")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert 0 == delete_unused_folders()
    assert {*before} < {*root.rglob("*")}


def test_so_many_at_once(root):
    for number in range(MOST + 3):
        left(root, number, files=())
    assert [MOST, 3, 0] == [delete_unused_folders() for _ in range(3)]


def test_a_folder_that_is_deleted_before_it_is_locked_is_made_anew(root, monkeypatch):
    """By another process that looks for unused folders at that moment."""
    flock, races = fcntl.flock, iter([True, False])

    def raced(descriptor, operation):
        if operation == fcntl.LOCK_EX and next(races):
            assert 1 == delete_unused_folders()
        flock(descriptor, operation)

    monkeypatch.setattr(temporary.fcntl, "flock", raced)
    folder = TemporaryFolder()
    assert [folder.path] == list(root.iterdir())
    assert 0 == delete_unused_folders()
    folder.close()


def test_without_locks_nothing_is_deleted(root, monkeypatch):
    def no_locks(*_):
        raise OSError(45, "Operation not supported")

    monkeypatch.setattr(temporary.fcntl, "flock", no_locks)
    folder = TemporaryFolder()
    left(root)
    assert 0 == delete_unused_folders()
    folder.close()
    assert 1 == len(list(Path(root).iterdir()))
