"""Keys of what ended before the newest: in memory packed, beside a durable outbox an id."""

from __future__ import annotations

import pytest
import trio

from gateway_core import Edit, IdempotencyConflict, KeyRef
from gateway_core.authors import Traits
from gateway_core.testing import FakeChannel, MemoryOutbox


@pytest.fixture(params=["in memory", "durable"])
def outbox(request):
    return MemoryOutbox() if request.param == "durable" else None


@pytest.fixture
def opened(engine, outbox):
    """A gateway that remembers two receipts as they are."""

    def with_channel(channel, **settings):
        return engine(channel, outbox=outbox, history=2, partition_count=1, **settings)

    return with_channel


def key_of(n):
    return KeyRef(instance_id="bot", external_room_id=f"r{n % 3}", key=f"k{n}")


async def send(gateway, n, text=None, **fields):
    return await gateway.send("bot", f"r{n % 3}", text or f"text {n}", key=f"k{n}", **fields)


async def test_every_key_answers_with_its_receipt(opened, autojump_clock):
    channel = FakeChannel()
    async with opened(channel) as gateway:
        first = [await send(gateway, n) for n in range(40)]
        again = [await send(gateway, n) for n in range(40)]
    assert [r.ref for r in first] == [r.ref for r in again]
    assert all(receipt.replayed for receipt in again)
    assert 40 == len(channel.made)


async def test_another_payload_is_a_conflict(opened, autojump_clock):
    async with opened(FakeChannel()) as gateway:
        for n in range(20):
            await send(gateway, n)
        with pytest.raises(IdempotencyConflict):
            await send(gateway, 1, "another text")


async def test_a_message_is_edited_and_deleted_by_its_key(opened, autojump_clock):
    channel = FakeChannel()
    async with opened(channel) as gateway:
        for n in range(20):
            await send(gateway, n)
        for n in range(20):
            edited = await gateway.edit(key_of(n), f"edited {n}")
            assert (True, 1) == (edited.delivered, edited.ref.revision)
            assert (await gateway.edit(key_of(n), f"again {n}")).ref.revision == 2
        assert {f"again {n}" for n in range(20)} == {
            text for room in ("r0", "r1", "r2") for text in channel.texts(room)
        }
        assert (await gateway.delete(key_of(0))).delivered
        assert "again 0" not in channel.texts("r0")


async def test_an_edit_by_key_waits_in_the_thread_of_its_message(opened, autojump_clock):
    channel = FakeChannel(latency=1, traits=Traits(edit=True, independent_threads=True))
    async with opened(channel) as gateway:
        await send(gateway, 0, thread="t")
        for n in range(1, 20):
            await send(gateway, n)
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, gateway, 30)  # the room itself is busy
            nursery.start_soon(gateway.edit, key_of(0), "edited")
        assert 1 == trio.current_time() - begun


async def test_an_edit_by_key_finds_its_message_however_many_end_before_its_turn(
    opened, autojump_clock
):
    channel = FakeChannel(latency=1)
    async with opened(channel) as gateway:
        await send(gateway, 0)
        ahead = [await gateway.enqueue("bot", "r0", f"{n}") for n in range(10)]
        edit = await gateway.submit(edit_of(key_of(0), "edited"))
        for n in range(1, 30):
            if n % 3:
                await send(gateway, n)
        assert (await edit.receipt()).delivered
        assert all([(await ticket.receipt()).delivered for ticket in ahead])
        assert "edited" in channel.texts("r0")


def edit_of(target, text):
    room = target.external_room_id
    return Edit(instance_id="bot", external_room_id=room, target=target, text=text)


async def test_a_key_is_free_after_its_window(opened, autojump_clock):
    channel = FakeChannel()
    async with opened(channel, idempotency_window=100.0) as gateway:
        for n in range(10):
            await send(gateway, n)
        await trio.sleep(101)
        outbox = gateway._parts.outbox
        if outbox is not None:
            outbox._keys.clear()  # an engine forgets by its own clock
        assert not (await send(gateway, 0)).replayed
