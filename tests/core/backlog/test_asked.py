"""What another process asks a running gateway to accept or to cancel."""

from __future__ import annotations

import json

import attrs
import trio

from gateway_core import OutboxError, Send
from gateway_core.outboxes.records import ALL, Request, RequestWithdrawn
from gateway_core.testing import FakeChannel, MemoryOutbox, open_test_gateway

ASKED = Send(instance_id="bot", external_room_id="room", text="asked", key="k")


class AskedOutbox(MemoryOutbox):
    """Keeps the answers, by the numbers of the requests."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = {}

    def answered(self, request, answer):
        self.answers[request.number] = answer

    def ask(self, kind, number=1, **fields):
        self.requested(Request(kind=kind, number=number, **fields))


async def test_an_envelope_is_accepted_and_its_id_told(autojump_clock):
    outbox, channel = AskedOutbox(), FakeChannel()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        outbox.ask("submit", envelope=ASKED)
        await trio.sleep(5)
        name = json.loads(outbox.answers[1])["accepted"]
        assert (await gateway.status(name)).receipt.delivered
        outbox.ask("submit", 2, envelope=ASKED)  # as a run does whose answer was not written
        await trio.sleep(5)
        assert {"accepted": name} == json.loads(outbox.answers[2])
    assert ["asked"] == channel.texts("room")


async def test_why_it_is_refused_is_told(autojump_clock):
    outbox = AskedOutbox()
    async with open_test_gateway(outbox=outbox):
        outbox.ask("submit", envelope=attrs.evolve(ASKED, instance_id="nobody"))
        outbox.ask("submit", 2, envelope=attrs.evolve(ASKED, text=""))
        await trio.sleep(1)
    assert "UnknownInstance: " in json.loads(outbox.answers[1])["refused"]
    assert "Invalid: " in json.loads(outbox.answers[2])["refused"]


async def test_what_is_handed_over_has_the_id_that_it_came_with(autojump_clock):
    """Its order is that in which it came; nobody here counts as waiting for it, until one joins."""
    outbox, channel = AskedOutbox(), FakeChannel(latency=1.0)
    names = [f"{n}" + "f" * 29 for n in (7, 3)]
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        for number, name in enumerate(names, 1):
            envelope = attrs.evolve(ASKED, text=f"{number}", key=name)
            outbox.ask("submit", number, envelope=envelope, envelope_id=name, claims=True)
        await trio.sleep(0.5)
        assert "attempt" == (await gateway.status(names[0])).cause
        outbox.ask("leave", 3, envelope_id=names[1], instance_id="another")
        outbox.ask("leave", 4, envelope_id=names[1], instance_id="bot")
        outbox.ask("cancel", 5, envelope_id=names[0], instance_id="bot")
        await trio.sleep(5)
    assert [{"accepted": name} for name in names] == [json.loads(outbox.answers[n]) for n in (1, 2)]
    assert [False, True, False] == [outbox.answers[n] == "cancelled" for n in (3, 4, 5)]
    assert ["1"] == channel.texts("room")


async def test_a_request_that_is_withdrawn_meanwhile_is_answered_and_never_repeated(autojump_clock):
    """The next one of its room has its turn."""
    outbox, channel, append = AskedOutbox(), FakeChannel(), MemoryOutbox.append
    asked = []

    async def refuse(entry, on_stored):
        asked.append(entry.request)
        if entry.request == 1:
            await trio.lowlevel.checkpoint()
            raise RequestWithdrawn("it was withdrawn")
        await append(outbox, entry, on_stored)

    outbox.append = refuse
    async with open_test_gateway(channel, outbox=outbox):
        for number in (1, 2):
            envelope = attrs.evolve(ASKED, text=f"{number}", key=f"{number}")
            name = f"{number}" + "f" * 29
            outbox.ask("submit", number, envelope=envelope, envelope_id=name, claims=True)
        await trio.sleep(10)
    assert [1, 2] == asked
    assert "RequestWithdrawn" in json.loads(outbox.answers[1])["refused"]
    assert ["2"] == channel.texts("room")


async def test_one_that_waits_for_a_slot_keeps_no_other_request_waiting(autojump_clock):
    outbox = AskedOutbox()
    settings = {"outbox_capacity": 1, "drain_timeout": 0.0}
    async with open_test_gateway(FakeChannel(latency=50.0), outbox=outbox, **settings) as gateway:
        await gateway.enqueue("bot", "room", "first")
        outbox.ask("submit", envelope=ASKED)
        outbox.ask("accounts", 2)
        await trio.sleep(1)
        assert [2] == list(outbox.answers)
        await trio.sleep(100)
        assert {1, 2} == set(outbox.answers)


async def test_a_gateway_that_closes_leaves_what_it_has_not_accepted_to_the_next(autojump_clock):
    outbox = AskedOutbox()
    settings = {"outbox_capacity": 1, "drain_timeout": 0.0}
    async with open_test_gateway(FakeChannel(latency=50.0), outbox=outbox, **settings) as gateway:
        await gateway.enqueue("bot", "room", "first")
        outbox.ask("submit", envelope=ASKED)
        await trio.sleep(1)
    assert {} == outbox.answers


async def test_what_was_asked_before_the_account_was_lost_is_done_only_if_it_is_asked_again(
    autojump_clock,
):
    """Meanwhile another process may have done it: neither what waits nor what is under way."""
    outbox, channel, append = AskedOutbox(), FakeChannel(latency=10.0), MemoryOutbox.append
    asked = []

    async def counted(entry, on_stored):
        if entry.request is not None:
            asked.append(entry.request)
        await append(outbox, entry, on_stored)

    def ask(first):
        for number in (first, first + 1):
            envelope = attrs.evolve(ASKED, text=f"{number % 2}", key=f"{number % 2}")
            name = f"{number % 2}" + "f" * 29
            of = {"instance_id": "bot", "room": "room"}
            outbox.ask("submit", number, envelope=envelope, envelope_id=name, claims=True, **of)

    outbox.append = counted
    async with open_test_gateway(channel, outbox=outbox, outbox_capacity=1) as gateway:
        await gateway.enqueue("bot", "room", "first")
        ask(10)
        await trio.sleep(1)
        outbox.lost("bot")  # and it is owned again a second later
        await trio.sleep(60)
        assert ([], {}) == (asked, outbox.answers)
        ask(20)
        await trio.sleep(60)
    assert ([20, 21], {20, 21}) == (asked, set(outbox.answers))
    assert ["0", "1"] == channel.texts("room")[-2:]


async def test_what_was_asked_while_the_outbox_was_taken_back_is_forgotten_once_that_failed(
    autojump_clock,
):
    """The outbox gives each request anew, and another owner may have done it meanwhile."""
    outbox, channel, recover, append = (
        AskedOutbox(),
        FakeChannel(),
        MemoryOutbox.recover,
        MemoryOutbox.append,
    )
    fails, asked = [], []

    async def taken_back(instance_id):
        if fails:
            raise OutboxError("another process owns the outbox")
        return await recover(outbox, instance_id)

    async def counted(entry, on_stored):
        if fails:
            raise OutboxError("another process owns the outbox")
        asked.append(entry.request)
        await append(outbox, entry, on_stored)

    def ask(number):
        name = f"{number}" + "f" * 28
        of = {"instance_id": "bot", "room": "room", "envelope_id": name, "claims": True}
        outbox.ask("submit", number, envelope=attrs.evolve(ASKED, key=name), **of)

    outbox.recover, outbox.append = taken_back, counted
    async with open_test_gateway(channel, outbox=outbox):
        fails.append(True)
        outbox.lost("bot")
        await trio.sleep(5)
        ask(10)  # the outbox is owned again, but not its account yet
        await trio.sleep(5)
        fails.clear()
        outbox.lost(ALL)
        ask(20)
        await trio.sleep(60)
    assert ([20], [20]) == (asked, list(outbox.answers))
    assert ["asked"] == channel.texts("room")


async def test_what_another_owner_stored_is_sent_though_it_could_not_be_stored_here(autojump_clock):
    outbox, channel, append = AskedOutbox(), FakeChannel(), MemoryOutbox.append

    async def elsewhere(entry, on_stored):
        await append(outbox, entry, lambda: None)
        outbox.lost("bot")  # and it is owned again a second later
        raise OutboxError("another process owns the account")

    outbox.append = elsewhere
    async with open_test_gateway(channel, outbox=outbox):
        of = {"instance_id": "bot", "room": "room", "envelope_id": "1" + "f" * 29}
        outbox.ask("submit", envelope=ASKED, claims=True, **of)
        await trio.sleep(60)
        assert ["asked"] == channel.texts("room")
    assert {} == outbox.answers


async def test_what_has_not_started_is_cancelled(autojump_clock):
    outbox = AskedOutbox()
    async with open_test_gateway(outbox=outbox) as gateway:
        done = await gateway.send("bot", "room", "done")
        gateway.suspend("bot")
        waits = await gateway.enqueue("bot", "room", "waits")
        asked = (waits.id, done.envelope_id, "0" * 30, "nonsense", "")
        for number, name in enumerate(asked):
            outbox.ask("cancel", number, envelope_id=name)
        await trio.sleep(1)
        assert "cancelled" == (await waits.receipt()).disposition
        gateway.resume("bot")
        assert (await gateway.send("bot", "room", "still")).delivered
    refused = "not cancelled: the envelope has started, or is not known"
    assert {0: "cancelled"} | dict.fromkeys(range(1, 5), refused) == outbox.answers


async def test_what_is_asked_for_a_room_is_accepted_in_its_order(autojump_clock):
    """Many at once, as a gateway finds them that was stopped for a while; two rooms in turn."""
    outbox, channel = AskedOutbox(), FakeChannel()
    async with open_test_gateway(channel, outbox=outbox):
        for number in range(20):
            room = f"room{number % 2}"
            asked = attrs.evolve(ASKED, external_room_id=room, text=f"{number}", key=f"{number}")
            outbox.ask("submit", number, instance_id="bot", room=room, envelope=asked)
        await trio.sleep(60)
    for first in (0, 1):
        assert [f"{n}" for n in range(first, 20, 2)] == channel.texts(f"room{first}")
