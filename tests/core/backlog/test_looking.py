"""An operator who looks at the outbox is told what envelopes of the room named there wait for."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import pytest
import trio

from gateway_core import Limit, Send
from gateway_core.authors import TransportError
from gateway_core.backlog.looking import MOST
from gateway_core.outboxes.records import Request
from gateway_core.testing import FakeChannel, MemoryOutbox, open_test_gateway


class AskedOutbox(MemoryOutbox):
    """Passes an operator's request on, and keeps the answer."""

    def answered(self, request, answer):
        self.answer = json.loads(answer)

    async def told(self, **asked):
        """What those that it is told of wait for, by id."""
        self.requested(Request(kind="look", number=1, **asked))
        await trio.sleep(1)
        return self.answer["envelopes"]


@pytest.fixture
def outbox():
    return AskedOutbox()


@asynccontextmanager
async def limited(outbox, rooms, **settings):
    """A gateway whose accounts have had their message of this hour; those to the rooms wait."""
    channel = FakeChannel(limits=lambda *_: [Limit("account", 1, 3600.0)])
    async with open_test_gateway(
        channel, instances=("bot", "other"), outbox=outbox, drain_timeout=0, **settings
    ) as gateway:
        for instance in ("bot", "other"):
            await gateway.send(instance, "first", "x")
        envelopes = [
            Send(instance_id=instance, external_room_id=room, text="x") for instance, room in rooms
        ]
        yield [(await gateway.submit(envelope)).id for envelope in envelopes]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, "abcd"),
        ({"instance_id": "bot"}, "ab"),
        ({"instance_id": "bot", "room": "1"}, "a"),
        ({"room": "1"}, "ac"),
        ({"instance_id": "bot", "room": "3"}, ""),
        ({"instance_id": "nobody"}, ""),
    ],
)
async def test_of_the_room_that_is_named_and_of_no_other(outbox, autojump_clock, asked, found):
    rooms = [("bot", "1"), ("bot", "2"), ("other", "1"), ("other", "2")]
    async with limited(outbox, rooms) as names:
        expected = {names["abcd".index(each)]: "account limit" for each in found}
        assert expected == await outbox.told(**asked)


async def test_of_so_many_of_a_partition_those_accepted_first(outbox, autojump_clock):
    """The answer is bounded, however many wait."""
    rooms = [("bot", f"{n}") for n in range(MOST + 3)]
    async with limited(outbox, rooms, partition_count=1) as names:
        assert names[:MOST] == list(await outbox.told())


async def test_an_account_that_fails_too_seldom_for_an_outage_is_named(autojump_clock):
    """Three rooms wait, so that no more attempts fail, and the probes fail as well."""

    async def down(_):
        raise TransportError("HTTP 500", dispatched="unknown")

    channel, outbox = FakeChannel(script=down), AskedOutbox()
    channel.probe_error = TransportError("HTTP 500", dispatched="no")
    async with open_test_gateway(channel, outbox=outbox, drain_timeout=0) as gateway:
        for room in "abc":
            await gateway.enqueue("bot", room, "text", ttl=3600)
        await trio.sleep(60)
        assert not gateway.statistics().instances[0].circuit_open
        await outbox.told()
        assert {"bot": "failing"} == outbox.answer["accounts"]
        assert "HTTP 500" in outbox.answer["why"]["bot"]
        channel.script = channel.probe_error = None
        await trio.sleep(60)
        await outbox.told()
        assert ({"bot": ""}, {}) == (outbox.answer["accounts"], outbox.answer["why"])
