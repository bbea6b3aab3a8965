"""Where no outbox can be, the opening says so: with the path, the cause, and what to do."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_contrib.sqlite.failing import words
from gateway_contrib.sqlite.operators.operating import Operator
from gateway_core import OutboxError
from gateway_core.testing.outbox_contract import Entries
from gateway_core.testing.records_contract.making import Stored

NOBODY = 65534


@pytest.fixture
def path(tmp_path):
    """In a folder that others may look into."""
    folder = Path("/tmp") / f"place-{os.getpid()}-{tmp_path.name}"  # noqa: S108 - made anew
    folder.mkdir()
    yield folder / "outbox.db"
    folder.chmod(0o700)
    shutil.rmtree(folder)


@contextmanager
def without_rights():
    """Who may do everything is somebody else meanwhile."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


@contextmanager
def files_of_at_most(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def opened(path):
    return SqliteOutbox(path, SqliteSettings(in_thread=False))


async def refused(path):
    """What is said; the folder is as before."""
    folder = path.parent
    before = sorted(folder.iterdir()) if folder.is_dir() else None
    with pytest.raises(OutboxError) as caught:
        async with opened(path):
            pass
    assert before == (sorted(folder.iterdir()) if folder.is_dir() else None)
    said = str(caught.value)
    assert str(path) in said
    assert "Error:" not in said
    return said


async def made(path):
    async with opened(path):
        pass
    path.with_name("outbox.db.owner").unlink()


async def test_a_folder_that_is_not_there(path):
    said = await refused(path.parent / "nowhere" / "outbox.db")
    assert "its folder is not there; make it, or correct the path" in said


async def test_a_folder_that_is_a_file(path):
    path.write_text("a file")
    assert "is a file; correct the path" in await refused(path / "outbox.db")


async def test_a_path_that_is_a_folder(path):
    path.mkdir()
    assert "it is not a regular file" in await refused(path)


@pytest.mark.parametrize("there", [True, False])
async def test_a_folder_that_may_not_be_written_to(path, there):
    if there:
        await made(path)
        path.chmod(0o666)
    path.parent.chmod(0o555)
    with without_rights():
        said = await refused(path)
    assert f"cannot be written to by user {NOBODY if os.getuid() == 0 else os.getuid()} (" in said
    assert f"is of user {os.getuid()}, mode dr-xr-xr-x" in said


@pytest.mark.parametrize("mode", [0o444, 0o000])
async def test_a_file_that_may_not_be_written_to_is_refused_at_the_opening(path, mode):
    """Another user's, or one that was made read-only."""
    await made(path)
    path.chmod(mode)
    path.parent.chmod(0o777)
    with without_rights():
        said = await refused(path)
    assert "the file is read-only for user" in said
    assert f"is of user {os.getuid()}, mode -r" in said or "mode ----------" in said


@pytest.mark.skipif(os.getuid() != 0, reason="somebody else's file needs somebody else")
@pytest.mark.parametrize("part", [".owner", "-wal", "-shm"])
async def test_what_belongs_to_the_file_and_is_another_users_is_named(path, part):
    """As after `sudo cp`: the database may be everybody's, and its log is not."""
    async with opened(path):
        pass
    beside = path.with_name(path.name + part)
    beside.write_bytes(b"")
    beside.chmod(0o600)
    path.chmod(0o666)
    path.parent.chmod(0o777)
    with without_rights():
        said = await refused(path)
    assert f"what belongs to it is read-only for user {NOBODY} ({beside} is of user 0" in said


@pytest.mark.skipif(os.getuid() != 0, reason="somebody else's file needs somebody else")
async def test_all_that_may_not_be_written_to_is_named_at_once(path):
    """An operator who looked at a file that was read-only left a log and an index like it."""
    await made(path)
    beside = [path.with_name(path.name + part) for part in ("", "-wal", "-shm")]
    for each in beside:
        each.touch()
        each.chmod(0o400)
    path.parent.chmod(0o777)
    with without_rights():
        said = await refused(path)
    assert all(f"({each} is of user 0, mode -r--------)" in said for each in beside)


@pytest.mark.skipif(os.getuid() != 0, reason="somebody else's folder needs somebody else")
async def test_a_folder_of_bytes_that_is_another_users_is_named(path):
    await made(path)
    beside = path.with_name(f"{path.name}.bytes")
    beside.mkdir(mode=0o700)
    path.chmod(0o666)
    path.parent.chmod(0o777)
    with without_rights():
        said = await refused(path)
    assert f"what belongs to it is read-only for user {NOBODY} ({beside} is of user 0" in said


async def test_another_programs_database_by_its_path(path):
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE theirs (a)")
    other.close()
    with pytest.raises(OutboxError, match=rf"{path} cannot be opened: .*not an outbox of this"):
        async with opened(path):
            pass


async def test_a_process_that_may_write_no_more(path):
    """At the first opening and at a later one, with the cause and its name."""
    with files_of_at_most(8192), pytest.raises(OutboxError, match=r"outbox\.db.*\(ulimit -f\)"):
        async with opened(path):
            pass
    await made(path)
    with files_of_at_most(8192), pytest.raises(OutboxError, match=r"outbox\.db.*\(ulimit -f\)"):
        async with opened(path):
            pass
    entries = Entries()
    async with opened(path) as outbox:
        with files_of_at_most(8192), pytest.raises(OutboxError, match=r"outbox\.db.*\(ulimit -f\)"):
            await outbox.append(entries("x" * 50_000), lambda: None)
        large = Stored(Stored.LARGE)
        with files_of_at_most(8192), pytest.raises(OutboxError, match=r"outbox\.db.*\(ulimit -f\)"):
            await outbox.store_bytes(large.digest, large.pieces())
        assert [] == list(path.with_name(f"{path.name}.bytes").iterdir())
        await outbox.store_bytes(large.digest, large.pieces())


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a file system without room")
def test_what_fails_where_there_is_no_room_fails_for_want_of_room():
    """SQLite says of its log's index only that writing failed."""
    error = apsw.IOError("disk I/O error")
    assert "the disk is full; make room on it (disk I/O error)" == words(error, Path("/proc/o.db"))
    assert "reading or writing failed (disk I/O error)" == words(error, Path("/tmp/o.db"))  # noqa: S108 - not touched


@pytest.fixture
def few_files(path):
    """A path in a file system that has room for much, in six files."""
    options = ["-o", "size=30m,nr_inodes=7", "gateway-test"]  # the folder itself is one as well
    mounting = ["mount", "-t", "tmpfs", *options, str(path.parent)]
    if subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("not tried: this user may not mount a disk in memory")
    yield path
    subprocess.run(["umount", "-l", str(path.parent)], check=True)


def take(path, number):
    """Make so many files beside it."""
    for n in range(number):
        path.with_name(f"other{n}").touch()


@pytest.mark.parametrize(("there", "others"), [(False, 5), (False, 6), (True, 4), (True, 5)])
async def test_a_file_system_without_inodes_is_not_said_to_lack_room(few_files, there, others):
    """Its files can have as many bytes as they like, and making room in them would not help."""
    if there:
        await made(few_files)
    take(few_files, others)
    with pytest.raises(OutboxError, match=r"outbox\.db.* no free inodes; delete files on it"):
        async with opened(few_files):
            pass


async def test_bytes_that_get_no_inode_are_refused_for_that(few_files):
    large = Stored(Stored.LARGE)
    async with opened(few_files) as outbox:
        take(few_files, 2)
        with pytest.raises(OutboxError, match=r"cannot store bytes: .* no free inodes"):
            await outbox.store_bytes(large.digest, large.pieces())


async def test_operators_are_told_likewise(path):
    with pytest.raises(OutboxError, match=f"there is no outbox at {path}"):
        Operator(path)
    path.write_text("not a database at all " * 1000)
    with pytest.raises(OutboxError, match=f"{path} cannot be opened: the file is damaged"):
        Operator(path)


@pytest.mark.parametrize(
    ("of_file", "of_folder", "cause"),
    [
        (0o666, 0o555, "its folder, where its log stands, cannot be written to by user"),
        (0o000, 0o777, "the file is read-only for user"),
        (0o666, 0o000, "this user lacks the permission; see who owns the file and its folder"),
    ],
)
async def test_operators_are_told_whose_it_is(path, of_file, of_folder, cause):
    """As a gateway's start says it, since SQLite's words name neither a user nor a mode."""
    await made(path)
    path.chmod(of_file)
    path.parent.chmod(of_folder)
    with without_rights(), pytest.raises(OutboxError, match=rf"{path} cannot be opened: {cause}"):
        Operator(path)


async def test_operators_are_told_whose_the_owners_file_is(path):
    async with opened(path):
        path.chmod(0o666)
        path.parent.chmod(0o777)
        path.with_name("outbox.db.owner").chmod(0o000)
        with without_rights(), pytest.raises(OutboxError, match=r"outbox\.db\.owner is of user"):
            Operator(path)
