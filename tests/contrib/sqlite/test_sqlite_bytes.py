"""Where stored bytes are, that they are on the disk in time, and what becomes of damaged ones."""

from __future__ import annotations

import os
import shutil

import apsw
import attrs
import pytest
import trio
from sealed import FIRST, SECOND, on_disk, words_in

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_contrib.sqlite.beside import copying
from gateway_contrib.sqlite.files.backup import back_up
from gateway_contrib.sqlite.operators.operating import Operator
from gateway_contrib.sqlite.schema import number
from gateway_contrib.sqlite.sealing import anew
from gateway_contrib.sqlite.sealing.alone import reseal_alone
from gateway_core import Disposition, OutboxError
from gateway_core.outboxes import BytesDigest, BytesLost
from gateway_core.testing.outbox_contract import START, Entries, receipt_of
from gateway_core.testing.records_contract.making import (
    Stored,
    chunks,
    group_of,
    member_of,
    rooms,
)

SMALL, LARGE = Stored(Stored.SMALL), Stored(Stored.LARGE)
BOTH = (SMALL, LARGE)
SEGMENT = 65_536


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


@pytest.fixture(params=[(), (FIRST,)], ids=["plain", "sealed"])
def keys(request):
    return request.param


def kept_at(path, *keys, **settings):
    fields = {"in_thread": False} | settings
    return SqliteOutbox(path, SqliteSettings(**fields), wall_clock=lambda: START, keys=keys)


def folder_of(path):
    return path.with_name(f"{path.name}.bytes")


def names(path):
    return sorted(file.name for file in folder_of(path).glob("*"))


def nothing():
    pass


async def store(outbox, *stored):
    for one in stored:
        await outbox.store_bytes(one.digest, one.pieces())


def using(entry, *stored, **fields):
    return attrs.evolve(entry("with bytes", **fields), files=tuple(s.digest for s in stored))


async def whole(outbox, stored):
    return stored.whole == await outbox.read_bytes(stored.digest, 0, 1 << 20)


def rows(path, table):
    database = apsw.Connection(str(path))
    count = number(database, f"SELECT count(*) FROM {table}")  # noqa: S608 - constants
    database.close()
    return count


async def test_small_ones_are_in_the_database_large_ones_in_a_folder(path, keys):
    """Which are the user's alone, and are made at first use."""
    entry = Entries()
    async with kept_at(path, *keys) as outbox:
        await store(outbox, SMALL)
        assert not folder_of(path).exists()
        await store(outbox, LARGE, LARGE)
        await outbox.append(using(entry, *BOTH), nothing)
        assert [LARGE.digest] == names(path)
        assert 0o600 == (folder_of(path) / LARGE.digest).stat().st_mode & 0o777
        assert 0o700 == folder_of(path).stat().st_mode & 0o777
        assert 2 == rows(path, "bytes")


async def test_a_file_is_on_the_disk_before_it_has_its_name(path, monkeypatch):
    """And its name before the caller hears of it."""
    did = []
    fsync, replace = os.fsync, os.replace

    def synced(handle):
        did.append(os.path.basename(os.readlink(f"/proc/self/fd/{handle}")))  # noqa: PTH119, PTH115 - names alone
        fsync(handle)

    def replaced(old, new):
        did.append("named")
        replace(old, new)

    async with kept_at(path) as outbox:
        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(os, "replace", replaced)
        await store(outbox, LARGE)
    made, content, named, folder, *_ = did
    assert (path.parent.name, "named", folder_of(path).name) == (made, named, folder)
    assert content.startswith(LARGE.digest)
    assert content.endswith(".new")


async def test_what_a_kill_left_half_done_is_gone_at_the_next_opening(path, keys):
    """A file that was being written, one that has its name and no row, bytes that nobody uses."""
    entry = Entries()
    async with kept_at(path, *keys) as outbox:
        await store(outbox, *BOTH)
        await outbox.append(using(entry, LARGE), nothing)
        before = names(path)
    for left in (f"{SMALL.digest}.0a1b2c3d.new", SMALL.digest, "somebody's notes"):
        (folder_of(path) / left).write_bytes(b"x")
    async with kept_at(path, *keys) as outbox:
        assert [*before, "somebody's notes"] == names(path)
        assert await whole(outbox, LARGE)
        with pytest.raises(OutboxError, match="are not there"):
            await outbox.read_bytes(SMALL.digest, 0, 1)
        assert 1 == rows(path, "bytes")


async def test_bytes_that_did_not_come_leave_no_file(path, keys):
    """Neither where their giver fails, nor where the caller is cancelled, nor of another digest."""

    async def until(step):
        async for piece in LARGE.slowly():
            yield piece
        await step()

    async def fail():
        raise LookupError

    async with kept_at(path, *keys) as outbox:
        with pytest.raises(LookupError):
            await outbox.store_bytes(LARGE.digest, until(fail))
        with trio.move_on_after(0.01) as scope:
            await outbox.store_bytes(LARGE.digest, until(trio.sleep_forever))
        assert scope.cancelled_caught
        with pytest.raises(ValueError, match="digest"):
            await outbox.store_bytes(SMALL.digest, LARGE.pieces())
        assert [] == names(path)


@pytest.mark.parametrize("disposition", [Disposition.DELIVERED, Disposition.EXPIRED])
async def test_a_file_goes_when_the_history_forgets_its_last_use(path, disposition, autojump_clock):
    """At once where it was delivered."""
    entry = Entries()
    one = using(entry, *BOTH)
    wall = START
    settings = SqliteSettings(in_thread=False, history_for=100.0)
    outbox = SqliteOutbox(path, settings, wall_clock=lambda: wall + trio.current_time())
    async with outbox:
        outbox.requested = lambda _request: None
        outbox.keys_for = 10.0
        await store(outbox, *BOTH)
        await outbox.append(one, nothing)
        outbox.finished(receipt_of(one, disposition))
        await trio.sleep(5)
        assert ([] if disposition == "delivered" else [LARGE.digest]) == names(path)
        await trio.sleep(300)
        assert ([], 0, 0) == (names(path), rows(path, "bytes"), rows(path, "uses"))


async def test_a_discarded_one_uses_nothing(path, autojump_clock):
    entry = Entries()
    one = using(entry, *BOTH)
    async with kept_at(path) as outbox:
        outbox.requested = lambda _request: None
        await store(outbox, *BOTH)
        await outbox.append(one, nothing)
        outbox.finished(receipt_of(one, Disposition.FATAL))
        await outbox.flush()
        assert await whole(outbox, LARGE)
        with Operator(path) as operator:
            operator.ask("discard", START, envelope_id=one.id)
        await trio.sleep(5)
        assert ([], 0) == (names(path), rows(path, "bytes"))


async def test_a_file_that_takes_no_more_takes_neither_bytes_nor_groups(path):
    async with kept_at(path) as outbox:
        await store(outbox, SMALL)
        path.rename(path.with_name("taken away"))
        outbox._presence.look()
        with pytest.raises(OutboxError, match="takes no more"):
            await store(outbox, LARGE)
        with pytest.raises(OutboxError, match="takes no more"):
            await outbox.append_group(group_of(Entries(), 0), [], nothing)
        path.with_name("taken away").rename(path)


async def test_a_write_that_fails_takes_no_use_and_no_pin(path, monkeypatch, autojump_clock):
    """Whoever stored the bytes may try again, though all others have ended."""
    entry = Entries()
    one, other, before = (using(entry, LARGE) for _ in range(3))
    async with kept_at(path) as outbox:
        await store(outbox, LARGE, LARGE)
        await outbox.append(before, nothing)
        write, fails = outbox._writer._write, [True, True]

        def failing(batch, wall):
            write(batch, wall)
            if fails and fails.pop():
                raise apsw.FullError("database or disk is full")

        monkeypatch.setattr(outbox._writer, "_write", failing)
        for _ in range(2):
            with pytest.raises(OutboxError, match="full"):
                await outbox.append(one, nothing)
        outbox.finished(receipt_of(before))
        await outbox.flush()
        assert await whole(outbox, LARGE)
        await outbox.append(other, nothing)
        outbox.finished(receipt_of(other))
        await outbox.flush()
        assert [] == names(path)


def damage_by(change):
    def damage(path):
        file = folder_of(path) / LARGE.digest
        file.write_bytes(change(file.read_bytes()))

    return damage


DAMAGES = {
    "gone": lambda path: (folder_of(path) / LARGE.digest).unlink(),
    "shorter": damage_by(lambda content: content[:-1]),
    "cut at a segment": damage_by(lambda content: content[: 16 + SEGMENT + 28]),
    "empty": damage_by(lambda _: b""),
    "of something else": damage_by(lambda content: b"x" + content[1:]),
}
SEALED_DAMAGES = DAMAGES | {
    "changed": damage_by(lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]),
    "in another order": damage_by(
        lambda c: (
            c[:16]
            + c[16 + SEGMENT + 28 : 16 + 2 * (SEGMENT + 28)]
            + c[16 : 16 + SEGMENT + 28]
            + c[16 + 2 * (SEGMENT + 28) :]
        )
    ),
    "of another key": damage_by(lambda content: content[:8] + b"00000000" + content[16:]),
}


@pytest.mark.parametrize("name", DAMAGES)
async def test_a_damaged_file_is_said_and_the_outbox_goes_on(path, name):
    await damaged(path, DAMAGES[name])


@pytest.mark.parametrize("name", SEALED_DAMAGES)
async def test_a_damaged_sealed_file_is_said_and_the_outbox_goes_on(path, name):
    await damaged(path, SEALED_DAMAGES[name], FIRST)


async def damaged(path, damage, *keys):
    entry = Entries()
    async with kept_at(path, *keys) as outbox:
        await store(outbox, *BOTH)
        await outbox.append(using(entry, *BOTH), nothing)
        damage(path)
        with pytest.raises(BytesLost):
            await outbox.read_bytes(LARGE.digest, 0, 1 << 20)
        assert await whole(outbox, SMALL)
        await outbox.append(entry("goes on"), nothing)


@pytest.mark.parametrize("name", ["gone", "shorter", "cut at a segment", "empty"])
async def test_bytes_of_another_size_are_stored_anew(path, keys, name):
    """So that messages that wait have them again, and the next ones."""
    entry = Entries()
    async with kept_at(path, *keys) as outbox:
        await store(outbox, LARGE)
        await outbox.append(using(entry, LARGE), nothing)
        DAMAGES[name](path)
        await store(outbox, LARGE)
        assert await whole(outbox, LARGE)
        one = using(entry, LARGE)
        await outbox.append(one, nothing)
        outbox.finished(receipt_of(one))
        await outbox.flush()
    async with kept_at(path, *keys) as outbox:
        assert await whole(outbox, LARGE)
        assert ([LARGE.digest], 1) == (names(path), rows(path, "bytes"))


def change(path, stored):
    """Change one byte of them, in their file or in the database."""
    if stored is LARGE:
        SEALED_DAMAGES["changed"](path)
        return
    database = apsw.Connection(str(path))
    content = database.execute("SELECT content FROM bytes").get
    database.execute("UPDATE bytes SET content = ?", (b"x" + content[1:],))
    database.close()


@pytest.fixture(params=BOTH, ids=["small", "large"])
async def changed(request, path):
    """Bytes that a former run stored, and that changed on the disk since then."""
    async with kept_at(path) as outbox:
        await store(outbox, request.param)
        await outbox.append(using(Entries(), request.param), nothing)
    change(path, request.param)
    return request.param


async def test_bytes_that_changed_since_the_last_run_are_lost(path, changed):
    async with kept_at(path) as outbox:
        for offset in (0, 7):
            with pytest.raises(BytesLost):
                await outbox.read_bytes(changed.digest, offset, 1)


async def test_who_has_the_bytes_again_stores_them_in_place_of_damaged_ones(path, changed):
    async with kept_at(path) as outbox:
        await store(outbox, changed)
        assert await whole(outbox, changed)


async def test_bytes_of_a_former_run_are_compared_once(path, monkeypatch):
    entry, compared = Entries(), []
    async with kept_at(path) as outbox:
        await store(outbox, LARGE)
        await outbox.append(using(entry, LARGE), nothing)
        assert await whole(outbox, LARGE)
    hexdigest = BytesDigest.hexdigest
    monkeypatch.setattr(
        BytesDigest, "hexdigest", lambda self: compared.append(1) or hexdigest(self)
    )
    async with kept_at(path) as outbox, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(whole, outbox, LARGE)
    assert [1] == compared


async def test_small_bytes_of_another_size_are_stored_anew(path, keys):
    entry = Entries()
    async with kept_at(path, *keys) as outbox:
        await store(outbox, SMALL)
        await outbox.append(using(entry, SMALL), nothing)
    database = apsw.Connection(str(path))
    database.execute("UPDATE bytes SET content = substr(content, 1, 7)")
    database.close()
    async with kept_at(path, *keys) as outbox:
        await store(outbox, SMALL)
        assert await whole(outbox, SMALL)


async def test_who_cannot_replace_damaged_bytes_leaves_them_missing(path, keys):
    """Its file goes with the next opening."""
    entry = Entries()
    async with kept_at(path, *keys) as outbox:
        await store(outbox, LARGE)
        await outbox.append(using(entry, LARGE), nothing)
        DAMAGES["shorter"](path)
        with pytest.raises(ValueError, match="digest"):
            await outbox.store_bytes(LARGE.digest, [b"of another digest"])
        with pytest.raises(BytesLost, match="are not there"):
            await outbox.read_bytes(LARGE.digest, 0, 1)
    async with kept_at(path, *keys) as outbox:
        assert [] == names(path)
        await store(outbox, LARGE)
        assert await whole(outbox, LARGE)


async def test_a_backup_has_the_files_of_its_moment(path, tmp_path, keys, monkeypatch):
    """What goes or comes while its files are copied is of another, copied or not."""
    entry, later = Entries(), Stored(Stored.LARGE + b"later")
    some = [Stored(Stored.LARGE + bytes([number_])) for number_ in range(256)]
    first, *_ = (one for one in some if one.digest < LARGE.digest)
    last, *_ = (one for one in some if one.digest > LARGE.digest)
    copyfile, copied = shutil.copyfile, []
    async with kept_at(path, *keys) as outbox:
        await store(outbox, *BOTH, first, last)
        await outbox.append(using(entry, *BOTH), nothing)
        await outbox.append(using(entry, first, last), nothing)

        def slowly(source, to):
            copyfile(source, to)
            copied.append(to.name)
            database = apsw.Connection(str(path))
            for one in (first, last):
                database.execute("DELETE FROM bytes WHERE digest = ?", (one.digest,))
                (folder_of(path) / one.digest).unlink(missing_ok=True)
            database.close()

        monkeypatch.setattr(copying.shutil, "copyfile", slowly)
        made = back_up(path, tmp_path / "copy.db")
        await store(outbox, later)
        await outbox.append(using(entry, later), nothing)
    copy = tmp_path / "copy.db"
    assert [first.digest, LARGE.digest] == copied
    assert [LARGE.digest] == names(copy)
    assert 0o600 == (folder_of(copy) / LARGE.digest).stat().st_mode & 0o777
    assert made.size == copy.stat().st_size + (folder_of(copy) / LARGE.digest).stat().st_size
    async with kept_at(copy, *keys) as outbox:
        assert [True, True] == [await whole(outbox, stored) for stored in BOTH]


async def test_a_backup_of_which_a_file_is_missing_is_none(path, tmp_path):
    """It says which, and leaves nothing."""
    async with kept_at(path) as outbox:
        await store(outbox, LARGE)
        await outbox.append(using(Entries(), LARGE), nothing)
    (folder_of(path) / LARGE.digest).unlink()
    with pytest.raises(OutboxError, match=f"{LARGE.digest} are not in"):
        back_up(path, tmp_path / "copy.db")
    assert [] == list(tmp_path.glob("copy*"))
    (tmp_path / "copy.db.bytes").mkdir()
    with pytest.raises(OutboxError, match=r"copy.db.bytes exists already"):
        back_up(path, tmp_path / "copy.db")


WORDS = ("Zebra-striped", "zebra-room")


def said(text):
    """Bytes that have the word throughout, in the database and in a file."""
    return Stored(text.encode() * 40), Stored(text.encode() * 20_000)


async def fill(outbox, entry):
    """Groups, bytes of either size, and a text that grows; each with the words."""
    small, large = said("Zebra-striped ")
    await store(outbox, small, large)
    files = (small.digest, large.digest)
    group = group_of(entry, 4, "Zebra-striped news", key="Zebra-striped", files=files)
    members = [attrs.evolve(member, room=f"zebra-{member.room}") for member in rooms(4)]
    members[2] = attrs.evolve(members[2], envelope=entry("Zebra-striped own").envelope)
    await outbox.append_group(group, chunks(members, 2), nothing)
    one = attrs.evolve(member_of(entry, group, 0, room="other"), files=files)
    await outbox.append(one, nothing)
    outbox.grew(one.id, "Zebra-striped grown", 1)
    await outbox.flush()
    return group, one, members, (small, large)


async def as_it_was(outbox, filled):
    group, one, members, contents = filled
    assert [group] == [state.group for state in await outbox.groups("bot")]
    assert list(enumerate(members))[1:] == list(await outbox.members(group.id))
    assert (await outbox.find(group.scope)).group.taken == 1
    (stored,) = await outbox.page("bot")
    assert (one, (1, "Zebra-striped grown")) == (stored.entry, stored.grown)
    assert [True, True] == [await whole(outbox, content) for content in contents]


async def test_no_word_of_groups_bytes_and_texts_is_in_the_bytes_of_the_file(path, tmp_path):
    async with kept_at(path, FIRST) as outbox:
        filled = await fill(outbox, Entries())
        assert [] == words_in(on_disk(path), *WORDS)
        back_up(path, tmp_path / "copy.db")
        assert [] == words_in(on_disk(tmp_path / "copy.db"), *WORDS)
        await as_it_was(outbox, filled)
    assert [] == words_in(on_disk(path), *WORDS)
    async with kept_at(tmp_path / "copy.db", FIRST) as outbox:
        await as_it_was(outbox, filled)


async def test_what_cannot_be_sealed_anew_stays_and_is_said(path):
    async with kept_at(path, FIRST) as outbox:
        await store(outbox, *BOTH)
        await outbox.append(using(Entries(), *BOTH), nothing)
    SEALED_DAMAGES["changed"](path)
    before = (folder_of(path) / LARGE.digest).read_bytes()
    assert "; 1 cannot be opened and stay" in reseal_alone(path, [SECOND, FIRST])
    assert before == (folder_of(path) / LARGE.digest).read_bytes()
    assert [LARGE.digest] == names(path)
    async with kept_at(path, SECOND) as outbox:
        assert await whole(outbox, SMALL)


@pytest.mark.parametrize("before", [(), (FIRST,)], ids=["plain", "sealed"])
async def test_all_of_it_is_sealed_anew_without_a_gateway(path, before):
    async with kept_at(path, *before) as outbox:
        filled = await fill(outbox, Entries())
    assert bool(words_in(on_disk(path), *WORDS)) == (not before)
    unfinished = folder_of(path) / f"{'0' * 64}.0123abcd.new"  # a run was killed as it wrote them
    unfinished.write_bytes(WORDS[0].encode())
    assert words_in(on_disk(path), *WORDS)
    told = reseal_alone(path, [SECOND, *before])
    count = 7 if before else 8  # an entry, a group, two rows of members, a text, bytes; and a key
    assert told.startswith(f"{count} rows sealed anew")
    assert "cannot be opened" not in told
    assert [] == words_in(on_disk(path), *WORDS)
    assert "0 rows sealed anew" in reseal_alone(path, [SECOND])
    async with kept_at(path, SECOND) as outbox:
        await as_it_was(outbox, filled)


async def test_all_of_it_is_sealed_anew_beside_a_gateway(path, monkeypatch, autojump_clock):
    """While bytes come and go."""
    monkeypatch.setattr(anew, "STEP", 1)
    entry = Entries()
    come, go = said("Zebra-striped, too")[1], said("Zebra-striped, but not for long")[1]
    leaving = using(entry, go, room="other")
    async with kept_at(path, FIRST) as outbox:
        filled = await fill(outbox, entry)
        await store(outbox, go)
        await outbox.append(leaving, nothing)
    async with kept_at(path, SECOND, FIRST) as outbox:
        outbox.requested = lambda _request: None
        with Operator(path, [SECOND, FIRST]) as operator:
            asked = operator.ask("reseal", START)
            await trio.sleep(1.5)
            outbox.finished(receipt_of(leaving))
            await store(outbox, come)
            await outbox.append(using(entry, come), nothing)
            with trio.fail_after(600):
                while (answer := operator.answer(asked)) is None:  # noqa: ASYNC110 - a file
                    await trio.sleep(0.5)
        assert "cannot be opened" not in answer
    async with kept_at(path, SECOND) as outbox:
        stored, _ = await outbox.page("bot")
        assert filled[1] == stored.entry
        assert await whole(outbox, come)
        assert [True, True] == [await whole(outbox, content) for content in filled[3]]
        assert [filled[0]] == [state.group for state in await outbox.groups("bot")]
        assert sorted((come.digest, filled[3][1].digest)) == names(path)
