"""Idempotency keys that many ask for at once are looked up together."""

import pytest
import trio
import trio.lowlevel

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_core import OutboxError
from gateway_core.testing.outbox_contract import Entries

PATIENCE = 60.0


@pytest.fixture
async def counted(server, schema):
    """An outbox, and how often it has looked into the database."""
    outbox, looks = PostgresOutbox(server.url(), PostgresSettings(schema=schema, lease=60)), []
    async with outbox:
        look = outbox._scopes._look

        async def count(do):
            looks.append(do)
            return await look(do)

        outbox._scopes._look = count
        yield outbox, looks


def scope(n):
    return ("bot", "room", "send", f"key {n}")


async def test_many_callers_share_a_look(counted):
    outbox, looks = counted
    entry = Entries()
    known = entry("known", room="room", key="key 7")
    await outbox.append(known, lambda: None)
    found = {}

    async def find(n):
        found[n] = await outbox.find(scope(n))

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            for n in range(100):
                nursery.start_soon(find, n)
    assert {7: known.id} == {n: it.envelope_id for n, it in found.items() if it is not None}
    assert 100 == len(found)
    assert len(looks) <= 2


async def test_those_who_share_a_look_share_a_batch(counted, monkeypatch):
    """Also whoever looked for all of them: a batch costs about as much as ten entries."""
    outbox, _ = counted
    sizes, write, entry = [], outbox._committer._write, Entries()

    async def count(batch):
        sizes.append(len(batch.entries))
        await write(batch)

    async def append(n):
        made = entry(f"{n}", room="room", key=f"key {n}")
        assert await outbox.find(scope(n)) is None
        await outbox.append(made, lambda: None)

    monkeypatch.setattr(outbox._committer, "_write", count)
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            for n in range(100):
                nursery.start_soon(append, n)
    assert [100] == [size for size in sizes if size]


async def test_one_that_gives_up_is_not_missed_by_those_beside_it(counted):
    """Not even the one whose call looks for all of them."""
    outbox, looks = counted
    answered, given_up = [], trio.CancelScope()

    async def give_up():
        with given_up:
            await outbox.find(scope(0))

    async def find(n):
        answered.append(await outbox.find(scope(n)))

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(give_up)
            while not outbox._scopes._next.scopes and not looks:
                await trio.lowlevel.checkpoint()
            nursery.start_soon(find, 1)
            nursery.start_soon(find, 2)
            given_up.cancel()
    assert [None, None] == answered


async def test_all_hear_of_a_look_that_fails(counted):
    outbox, _ = counted
    refused = []

    async def find(n):
        try:
            await outbox.find(scope(n))
        except OutboxError as error:
            refused.append(str(error))

    outbox._reader._options["dbname"] = "is not there"
    outbox._reader.sever()
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            for n in range(10):
                nursery.start_soon(find, n)
    assert 10 == len(refused)
    assert all("cannot be read" in each for each in refused)
