"""Real processes: one that hands over is killed, and owners are killed while others wait."""

import json
from functools import partial

import pytest
import trio
from postgres_processes import LEASE, child

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_core import KeyRef
from gateway_core.testing import FakeChannel, open_test_gateway

PATIENCE = 120.0
"""Seconds that nothing takes unless it hangs."""


@pytest.fixture
def producer(server, emptied_schema):
    settings = PostgresSettings(schema=emptied_schema, lease=LEASE)
    outbox = PostgresOutbox(server.url(), settings)
    return partial(open_test_gateway, FakeChannel(), outbox=outbox, serve=False)


async def test_what_was_accepted_outlives_the_process_that_handed_it_over(
    server, emptied_schema, producer
):
    """It is found by its key, and by its id, before an owner comes and after."""
    key = KeyRef(instance_id="bot", external_room_id="room", key="k")
    with trio.fail_after(PATIENCE), child(server, emptied_schema, "hand over") as first:
        assert "open" == await first.ask()
        name = await first.ask("enqueue k")
        first.kill()
        async with producer() as other:
            for what in (name, key):
                assert (name, "handed") == (
                    (status := await other.status(what)).envelope_id, status.cause
                )  # fmt: skip
            with child(server, emptied_schema, "own") as owner:
                assert "open" == await owner.ask()
                receipt = await other.send("bot", "room", "k", key="k")
                assert name == receipt.envelope_id
                for what in (name, key):
                    assert receipt.ref == (await other.status(what)).receipt.ref
                assert ["k"] == json.loads(await owner.ask("texts"))


async def test_an_owner_that_is_killed_before_it_sends_leaves_the_ticket_to_the_next(
    server, emptied_schema, producer
):
    """Accepted by the one, and sent by the other once its lease is over."""
    with trio.fail_after(PATIENCE), child(server, emptied_schema, "own") as first:
        assert "open" == await first.ask()
        assert "held" == await first.ask("hold")
        with child(server, emptied_schema, "own") as second:
            await sends_what_is_left(producer, first, second)


async def sends_what_is_left(producer, first, second):
    async with producer() as other:
        tickets = [await other.enqueue("bot", "room", f"{n}") for n in range(3)]
        while "handed" == (await other.status(tickets[-1])).cause:  # noqa: ASYNC110 - a row
            await trio.sleep(0.05)
        first.kill()
        late = await other.enqueue("bot", "room", "3")
        assert "open" == await second.ask()
        assert "goes on" == await second.ask("resume")  # what holds is stored, for the next one too
        for ticket in (*tickets, late):
            receipt = await ticket.receipt()
            assert (True, ticket.id) == (receipt.delivered, receipt.envelope_id)
        assert ["0", "1", "2", "3"] == json.loads(await second.ask("texts"))
