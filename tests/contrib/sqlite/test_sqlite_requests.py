"""What operators asked for is in the file until the write that has its effect."""

from __future__ import annotations

import shutil
from contextlib import suppress

import pytest
import trio
from sealed import FIRST

from gateway_contrib.durable.operators.looking import Which
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_contrib.sqlite.operators.operating import Operator
from gateway_core import Disposition, Send
from gateway_core.testing import FakeChannel, open_test_gateway, virtual_wall
from gateway_core.testing.outbox_contract import Entries, receipt_of

INLINE = SqliteSettings(in_thread=False)


def outbox_at(path):
    return SqliteOutbox(path, INLINE, wall_clock=virtual_wall)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


async def hang(_):
    await trio.sleep_forever()


def gateway_on(outbox, **settings):
    """A gateway whose platform never answers."""
    settings = {"drain_timeout": 0.0, "attempt_timeout": 3600.0} | settings
    return open_test_gateway(FakeChannel(script=hang), outbox=outbox, **settings)


async def leave_two(path):
    """The first of two in a room has started, the second waits: their ids."""
    async with gateway_on(outbox_at(path)) as gateway:
        tickets = [
            await gateway.submit(Send(instance_id="bot", external_room_id="room", text=text))
            for text in ("started", "waits")
        ]
        await trio.sleep(1)
    return [ticket.id for ticket in tickets]


def ask(path, *names):
    with Operator(path) as operator:
        return [operator.ask("discard", 0.0, envelope_id=name) for name in names]


def answers(path, numbers):
    with Operator(path) as operator:
        return [operator.answer(number) for number in numbers]


def waiting(path):
    with Operator(path) as operator:
        return [row["id"] for row in operator.waiting(Which(), 100)]


async def test_a_block_that_is_left_at_once_loses_no_request(path, autojump_clock):
    """As after SIGTERM right after the opening, or a check that opens and closes."""
    _, name = await leave_two(path)
    asked = ask(path, name)
    for _ in range(3):
        async with gateway_on(outbox_at(path)):
            pass
    left = waiting(path)
    if answers(path, asked) == [None]:  # nobody has come to it
        assert name in left
    async with gateway_on(outbox_at(path)):
        await trio.sleep(2)
    assert ["ended"] == answers(path, asked)
    assert name not in waiting(path)


async def test_a_request_whose_gateway_dies_before_it_does_it_is_the_next_ones(
    path, autojump_clock
):
    _, name = await leave_two(path)
    asked = ask(path, name)
    taken = []
    async with outbox_at(path) as outbox:  # it hears of the request, and gets no further
        outbox.requested = taken.append
        await trio.sleep(3)
    assert ["discard"] == [request.kind for request in taken]
    assert [None] == answers(path, asked)
    async with gateway_on(outbox_at(path)):
        await trio.sleep(2)
    assert ["ended"] == answers(path, asked)


async def test_wherever_a_process_is_killed_the_request_is_done_by_it_or_by_the_next(
    path, autojump_clock, monkeypatch
):
    """At every state that the file goes through: answered means done, and else it is done later."""
    _, name = await leave_two(path)
    asked = ask(path, name)
    copies = []

    def keep_copy():
        folder = path.parent / str(len(copies))
        folder.mkdir()
        for file in path.parent.glob(f"{path.name}*"):
            shutil.copy(file, folder / file.name)
        copies.append(folder / path.name)

    real = SqliteOutbox._in_thread

    async def watched(self, do, limiter):
        result = await real(self, do, limiter)
        keep_copy()
        return result

    with monkeypatch.context() as patched:
        patched.setattr(SqliteOutbox, "_in_thread", watched)
        async with gateway_on(outbox_at(path)):
            await trio.sleep(3)
    states = set()
    for copy in copies:
        answered = answers(copy, asked) == ["ended"]
        assert answered == (name not in waiting(copy))
        states.add(answered)
        async with gateway_on(outbox_at(copy)):
            await trio.sleep(2)
        assert ["ended"] == answers(copy, asked)
        assert name not in waiting(copy)
    assert {False, True} == states


NO_END = """CREATE TRIGGER no_end BEFORE INSERT ON history
    BEGIN SELECT RAISE(ABORT, 'no room'); END"""


async def test_an_end_that_the_disk_refuses_is_not_answered_for(path, autojump_clock):
    _, name = await leave_two(path)
    async with gateway_on(outbox := outbox_at(path)):
        outbox._writer._db.execute(NO_END)
        asked = ask(path, name)
        await trio.sleep(5)
        assert [None] == answers(path, asked)
        outbox._writer._db.execute("DROP TRIGGER no_end")
        await trio.sleep(5)
        assert ["ended"] == answers(path, asked)


async def test_what_has_started_or_ended_meanwhile_is_answered_so(path, autojump_clock):
    async with gateway_on(outbox_at(path)) as gateway:
        started, second = [
            await gateway.submit(Send(instance_id="bot", external_room_id="room", text=text))
            for text in ("started", "waits")
        ]
        await trio.sleep(1)
        asked = ask(path, started.id, second.id, second.id)
        await trio.sleep(2)
        expected = [
            "an attempt is under way: the envelope continues",
            "ended",
            "had ended already",
        ]
        assert expected == answers(path, asked)
        with suppress(trio.TooSlowError), trio.fail_after(0):
            await started.receipt()
        assert [started.id] == waiting(path)


async def test_the_key_of_one_that_is_tried_again_stands_until_it_ends_again(path, autojump_clock):
    """Its time had begun with the first end; a second message of that key would be a copy."""
    entry = Entries()("one", key="a")
    settings = SqliteSettings(in_thread=False, key_window=100.0)
    async with SqliteOutbox(path, settings, wall_clock=virtual_wall) as outbox:
        outbox.requested = lambda _: None
        await outbox.append(entry, lambda: None)
        outbox.finished(receipt_of(entry, Disposition.REJECTED, ended_at=virtual_wall()))
        await outbox.flush()
        with Operator(path) as operator:
            asked = operator.ask("retry", 0.0, envelope_id=entry.id)
            await trio.sleep(5)
            assert "goes on" == operator.answer(asked)
        await trio.sleep(200)
        found = await outbox.find(entry.scope)
        assert found is not None
        assert (entry.id, None) == (found.envelope_id, found.receipt)
        outbox.finished(receipt_of(entry, ended_at=virtual_wall()))
        await outbox.flush()
        await trio.sleep(200)
        assert await outbox.find(entry.scope) is None


@pytest.mark.parametrize("damage", ["substr(entry, 1, 20) || 'AAAA' || substr(entry, 25)", "'{'"])
async def test_what_is_damaged_is_not_tried_again_and_stays_among_those_that_failed(
    path, damage, autojump_clock
):
    entries, keys = Entries(), [FIRST]
    damaged, whole = entries("damaged"), entries("whole")
    outbox = SqliteOutbox(path, INLINE, wall_clock=virtual_wall, keys=keys)
    async with outbox:
        outbox.requested = lambda _: None
        for entry in (damaged, whole):
            await outbox.append(entry, lambda: None)
            outbox.finished(receipt_of(entry, Disposition.REJECTED, ended_at=virtual_wall()))
        await outbox.flush()
        with Operator(path, keys) as operator:
            outbox._writer._db.execute(
                f"UPDATE history SET entry = {damage} WHERE id = ?",  # noqa: S608 - constants
                (damaged.id,),
            )
            asked = [operator.ask("retry", 0.0, envelope_id=each.id) for each in (damaged, whole)]
            await trio.sleep(5)
            assert ["cannot be read", "goes on"] == [operator.answer(number) for number in asked]
            assert [damaged.id] == [row["id"] for row in operator.failed(Which(), 9)]
