"""Groups in the file: stored in pieces, seen as a whole, tried again, forgotten."""

from __future__ import annotations

import shutil
import threading
import tracemalloc

import apsw
import pytest
import trio

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_contrib.sqlite.operators.operating import Operator
from gateway_contrib.sqlite.schema import number
from gateway_core import Disposition, OutboxError
from gateway_core.outboxes import Member, Request
from gateway_core.testing.outbox_contract import START, Entries, receipt_of
from gateway_core.testing.records_contract.making import chunks, group_of, member_of, rooms

TABLES = ("groups", "members", "turns", "counts")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


def kept_at(path, **settings):
    fields = {"in_thread": False} | settings
    return SqliteOutbox(path, SqliteSettings(**fields), wall_clock=lambda: START)


def nothing():
    pass


def rows(path, *tables):
    database = apsw.Connection(str(path))
    counts = {
        table: number(database, f"SELECT count(*) FROM {table}")  # noqa: S608 - constants
        for table in tables or TABLES
    }
    database.close()
    return counts


async def state_of(outbox, group):
    return (await outbox.find(group.id)).group


async def test_of_a_group_that_a_kill_cut_short_nothing_is_there(path, tmp_path):
    """While it comes, nobody sees it; the next opening forgets what had come."""
    entry = Entries()
    group, seen = group_of(entry, 9, key="k"), []
    killed = tmp_path / "killed.db"

    def members():
        for number_, chunk in enumerate(chunks(rooms(9))):
            if number_ == 2:
                for part in ("", "-wal"):
                    shutil.copy(f"{path}{part}", f"{killed}{part}")
                seen.append(rows(path))
            yield chunk

    async with kept_at(path) as outbox:
        await outbox.append_group(group, members(), nothing)
        assert [(n, member) for n, member in enumerate(rooms(9))] == await outbox.members(group.id)
    assert [{"groups": 1, "members": 2, "turns": 0, "counts": 0}] == seen
    async with kept_at(killed) as outbox:
        assert [] == await outbox.groups("bot")
        assert await outbox.find(group.scope) is None
        assert dict.fromkeys(TABLES, 0) == rows(killed)


async def test_a_group_cancelled_as_it_is_written_leaves_nothing(path, monkeypatch):
    """Its caller gave up in the middle of the write, which could not be stopped any more."""
    entry, begun, goes_on = Entries(), trio.Event(), threading.Event()
    group = group_of(entry, 3, key="k")
    async with kept_at(path, in_thread=True) as outbox:
        write = outbox._writer._write

        def slowly(batch, wall):
            if batch.beside:
                trio.from_thread.run_sync(begun.set)
                goes_on.wait(10)
            write(batch, wall)

        monkeypatch.setattr(outbox._writer, "_write", slowly)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.append_group, group, chunks(rooms(3)), pytest.fail)
            await begun.wait()
            nursery.cancel_scope.cancel()
        goes_on.set()
        assert [] == await outbox.groups("bot")
        assert dict.fromkeys([*TABLES, "keys"], 0) == rows(path, *TABLES, "keys")


async def test_others_append_while_a_group_comes(path):
    """Its members are written in many small transactions."""
    entry, done = Entries(), trio.Event()
    group, before = group_of(entry, 3_000), 0
    async with kept_at(path, in_thread=True) as outbox, trio.open_nursery() as nursery:
        nursery.start_soon(outbox.append_group, group, chunks(rooms(3_000), 100), done.set)
        while not done.is_set():
            await outbox.append(entry("between"), nothing)
            before += not done.is_set()
        assert before > 3


async def test_a_group_of_many_takes_little_memory(path):
    """Members come and go chunk by chunk; a room of theirs takes some bytes of the file."""
    entry, count = Entries(), 50_000
    group = group_of(entry, count)
    members = (
        [Member(room=f"a room with a name {start + n}") for n in range(500)]
        for start in range(0, count, 500)
    )
    async with kept_at(path) as outbox:
        tracemalloc.start()
        await outbox.append_group(group, members, nothing)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        last = -1
        while page := await outbox.members(group.id, after=last, limit=500):
            last = page[-1][0]
        _, reading = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert count - 1 == last
    assert max(peak, reading) < 4 << 20
    assert path.stat().st_size < 100 * count


async def test_a_retry_takes_the_count_back(path, autojump_clock):
    """The group goes on, ends again, and its key stays as long."""
    entry = Entries()
    group = group_of(entry, 2, key="k")
    one, two = (member_of(entry, group, number_) for number_ in range(2))
    async with kept_at(path) as outbox:
        asked = []
        outbox.requested = asked.append
        await outbox.append_group(group, chunks(rooms(2)), nothing)
        for each, disposition in ((one, Disposition.DELIVERED), (two, Disposition.EXPIRED)):
            await outbox.append(each, nothing)
            outbox.finished(receipt_of(each, disposition))
        assert (await state_of(outbox, group)).ended
        with Operator(path) as operator:
            operator.ask("retry", START, envelope_id=two.id)
            await trio.sleep(3)
        assert ["retry"] == [request.kind for request in asked]
        assert asked[0].stored.entry.member == (group.id, 1)
        state = await state_of(outbox, group)
        assert ({"delivered": 1}, 2, False) == (dict(state.counts), state.taken, state.ended)
        assert [] == await outbox.failed(group.id)
        outbox.finished(receipt_of(two, Disposition.UNKNOWN))
        state = await state_of(outbox, group)
        assert ({"delivered": 1, "unknown": 1}, True) == (dict(state.counts), state.ended)
        (receipt,) = await outbox.failed(group.id)
        assert (two.id, "unknown") == (receipt.envelope_id, receipt.disposition)
        assert (await outbox.find(group.scope)).envelope_id == group.id


async def test_a_retry_in_a_file_that_a_kill_left_is_counted(path, tmp_path, autojump_clock):
    """It is taken back in the same write in which the envelope is unfinished again."""
    entry = Entries()
    group = group_of(entry, 1)
    one, killed = member_of(entry, group, 0), tmp_path / "killed.db"
    async with kept_at(path) as outbox:

        def asked(_request):
            for part in ("", "-wal"):
                shutil.copy(f"{path}{part}", f"{killed}{part}")

        outbox.requested = asked
        await outbox.append_group(group, chunks(rooms(1)), nothing)
        await outbox.append(one, nothing)
        outbox.finished(receipt_of(one, Disposition.EXPIRED))
        await outbox.flush()
        with Operator(path) as operator:
            operator.ask("retry", START, envelope_id=one.id)
            await trio.sleep(3)
    async with kept_at(killed) as outbox:
        state = await state_of(outbox, group)
        assert ({}, 1) == (dict(state.counts), state.taken)
        assert [one.id] == [stored.entry.id for stored in await outbox.page("bot")]


async def test_a_group_that_ended_is_forgotten_with_the_history(path, autojump_clock):
    """One that has not is not; of the members of one that has, no row is left before."""
    entry = Entries()
    ended, waiting = group_of(entry, 2, key="k"), group_of(entry, 1)
    settings = SqliteSettings(in_thread=False, history_for=100.0)
    outbox = SqliteOutbox(path, settings, wall_clock=lambda: START + trio.current_time())
    async with outbox:
        outbox.requested = lambda _request: None
        outbox.keys_for = 1000.0
        for group in (ended, waiting, group_of(entry, 0)):
            await outbox.append_group(group, chunks(rooms(group.size)), nothing)
        for number_, disposition in ((0, Disposition.DELIVERED), (1, Disposition.EXPIRED)):
            one = member_of(entry, ended, number_)
            await outbox.append(one, nothing)
            outbox.finished(receipt_of(one, disposition, ended_at=START))
        await outbox.flush()
        assert {"groups": 3, "members": 1, "turns": 1, "counts": 2} == rows(path)
        await trio.sleep(300)
        assert [waiting.id] == [state.group.id for state in await outbox.groups("bot")]
        assert {"groups": 1, "members": 1, "turns": 0, "counts": 0} == rows(path)


async def test_a_turn_of_a_write_that_failed_is_not_taken(path, monkeypatch):
    """Nor is one that another took in the same write."""
    entry = Entries()
    group = group_of(entry, 3)
    async with kept_at(path) as outbox:
        await outbox.append_group(group, chunks(rooms(3)), nothing)
        await outbox.append(member_of(entry, group, 0), nothing)
        write, fails = outbox._writer._write, [True]

        def failing(batch, wall):
            write(batch, wall)
            if fails and fails.pop():
                raise apsw.FullError("database or disk is full")

        monkeypatch.setattr(outbox._writer, "_write", failing)
        async with trio.open_nursery() as nursery:

            async def take(number_):
                with pytest.raises(OutboxError, match=r"full|the next turn is 1"):
                    await outbox.append(member_of(entry, group, number_), nothing)

            for number_ in (1, 2):
                nursery.start_soon(take, number_)
                await trio.testing.wait_all_tasks_blocked()
        assert [1, 2] == [number_ for number_, _ in await outbox.members(group.id)]
        for number_ in (1, 2):
            await outbox.append(member_of(entry, group, number_), nothing)
        assert (await state_of(outbox, group)).taken == 3


async def test_a_pause_that_was_told_outlives_a_write_that_failed(
    path, monkeypatch, autojump_clock
):
    entry = Entries()
    group = group_of(entry, 2)
    async with kept_at(path) as outbox:
        await outbox.append_group(group, chunks(rooms(2)), nothing)
        write, fails = outbox._writer._write, [True]

        def failing(batch, wall):
            write(batch, wall)
            if fails and fails.pop():
                raise apsw.FullError("database or disk is full")

        monkeypatch.setattr(outbox._writer, "_write", failing)
        outbox.paused(group.id, True)
        outbox.cancelled(group.id)
        await trio.sleep(5)
        state = await state_of(outbox, group)
        assert (True, True, {"cancelled": 2}) == (state.paused, state.cancelled, dict(state.counts))


async def test_a_damaged_group_stays_where_it_is_and_the_others_go_on(path, capsys):
    entry = Entries()
    damaged, group = group_of(entry, 2), group_of(entry, 2)
    async with kept_at(path) as outbox:
        for each in (damaged, group):
            await outbox.append_group(each, chunks(rooms(2)), nothing)
    database = apsw.Connection(str(path))
    database.execute("UPDATE groups SET content = '{' WHERE id = ?", (damaged.id,))
    database.execute("UPDATE members SET members = '{' WHERE grp = (SELECT min(seq) FROM groups)")
    database.close()
    async with kept_at(path) as outbox:
        assert [group] == [state.group for state in await outbox.groups("bot")]
        assert f"outbox_unreadable      envelope={damaged.id}" in capsys.readouterr().out
        assert [group] == [state.group for state in await outbox.groups("bot", limit=1)]
        assert await outbox.find(damaged.id) is None
        with pytest.raises(OutboxError, match="members of a group cannot be read"):
            await outbox.members(damaged.id)
        await outbox.append(member_of(entry, group, 0), nothing)
        assert [1] == [number_ for number_, _ in await outbox.members(group.id)]


async def test_an_erasure_leaves_a_group_alone_that_is_still_coming(path):
    """It is accepted after that, with all of its members, and can end."""
    entry = Entries()
    group = group_of(entry, 2)
    request = Request(kind="erase", number=1, instance_id="bot", room="room0")
    async with kept_at(path, in_thread=True) as outbox:

        def members():
            yield [Member(room="room0")]
            trio.lowlevel.spawn_system_task(erase)
            yield []
            yield [Member(room="room1")]

        done = trio.Event()

        async def erase():
            await outbox.erase(request, 0)
            done.set()

        await outbox.append_group(group, members(), nothing)
        await done.wait()
        for number_ in range(2):
            one = member_of(entry, group, number_)
            if number_ in dict(await outbox.members(group.id)):
                await outbox.append(one, nothing)
                outbox.finished(receipt_of(one))
        assert (await state_of(outbox, group)).ended


async def test_operators_see_members_that_wait_and_may_erase_their_rooms(path, autojump_clock):
    """They have no row each, so that nothing else tells of them."""
    entry = Entries()
    group = group_of(entry, 3)
    async with kept_at(path) as outbox:
        await outbox.append_group(group, chunks(rooms(3)), nothing)
        with Operator(path) as operator:
            assert ({}, {"bot": 3}) == (operator.stats()["unfinished"], operator.stats()["members"])
            assert "" == operator.lacks("bot")
            operator.check_place("bot", "room1")
            with pytest.raises(OutboxError, match="nothing of instance 'other'; it has: bot"):
                operator.check_place("other", "room1")
        outbox.cancelled(group.id)
        await outbox.flush()
        with Operator(path) as operator:
            assert {} == operator.stats()["members"]


async def test_what_is_written_while_it_is_looked_up_was_told_before_and_is_seen(
    path, autojump_clock
):
    """A look-up that takes its time reads the file before a commit, and returns after it."""

    class Slow(SqliteOutbox):
        async def _in_thread(self, do, limiter):
            answer = await super()._in_thread(do, limiter)
            if limiter is self._reading:
                await trio.sleep(1)
            return answer

    settings = SqliteSettings(in_thread=False, linger=0.5)
    async with Slow(path, settings, wall_clock=lambda: START) as outbox:
        group = group_of(Entries(), 3)
        await outbox.append_group(group, chunks(rooms(3)), nothing)
        outbox.paused(group.id, True)
        assert (await state_of(outbox, group)).paused
