"""A part that costs several tokens: an album, each item of which may count against the limits."""

from __future__ import annotations

import pytest
import trio

from gateway_core import File, Limit
from gateway_core.authors import Part, hookimpl
from gateway_core.testing import FakeChannel, MemoryOutbox, open_test_gateway

CHAT = Limit("chat", count=1, per=1.0, of="room")
BOT = Limit("bot", count=10, per=1.0, most=10)
SHARED = Limit("shared", count=20, per=60.0, pace="window")


class Albums(FakeChannel):
    """Each file of a message costs a token."""

    @hookimpl
    def chunk(self, envelope):
        files = tuple(range(len(envelope.files)))
        text = {"text": envelope.text}
        return [Part(payload=text, span=(0, len(envelope.text)), files=files, cost=len(files))]


def album(count):
    return [File(str(n).encode(), name=str(n)) for n in range(count)]


async def starts(limits, *sizes, rooms="a", outbox=None):
    """When each of these messages began, one after the other in a room."""
    channel = Albums(limits=lambda _room, _operation: limits)
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        tickets = [
            await gateway.enqueue("bot", rooms[n % len(rooms)], str(n), files=album(size))
            for n, size in enumerate(sizes)
        ]
        began = trio.current_time()
        for ticket in tickets:
            assert (await ticket.receipt()).delivered
    times = {made.attempt.payload["text"]: made.at - began for made in channel.made}
    return [times[str(n)] for n in range(len(sizes))]


@pytest.mark.parametrize(
    ("limit", "sizes", "wanted"),
    [
        (CHAT, (4, 0, 0), [0, 4, 5]),
        (CHAT, (0, 4, 1, 1), [0, 1, 5, 6]),
        (SHARED, (10, 10, 1), [0, 0, 60]),
        (SHARED, (1,) * 15 + (10, 1), [0.0] * 15 + [60, 60]),
        (SHARED, (15, 10, 10), [0, 60, 60]),
        (BOT, (10, 1, 1), [0, 1, 1.1]),
    ],
)
async def test_an_album_takes_a_token_for_each_item(limit, sizes, wanted, autojump_clock):
    assert wanted == pytest.approx(await starts([limit], *sizes), abs=0.05)


async def test_more_than_a_window_holds_goes_as_it_is_empty_and_pays_later(autojump_clock):
    small = Limit("small", count=3, per=10.0, pace="window", of="room")
    assert [0, 10, 20] == pytest.approx(await starts([small], 1, 5, 1), abs=0.05)


async def test_an_album_is_not_starved_by_single_messages(autojump_clock):
    """Those that came later wait for it, however few tokens they need."""
    sizes = [15, 10, *[1] * 40]
    times = await starts([SHARED], *sizes, rooms=[f"room{n}" for n in range(42)])
    assert 60 == pytest.approx(times[1], abs=0.1)
    assert all(sum(s for t, s in zip(times, sizes, strict=True) if at <= t < at + 59) <= 20
               for at in times)  # fmt: skip


@pytest.mark.parametrize("how", ["expires", "is withdrawn"])
async def test_those_behind_an_album_that_ends_go_on(how, autojump_clock):
    """They wait for what it needed no longer than it does."""
    channel = Albums(limits=lambda _room, _operation: [SHARED])
    async with open_test_gateway(channel) as gateway:
        for room, size, ttl in (("a", 15, None), ("b", 10, 5.0 if how == "expires" else None)):
            last = await gateway.enqueue("bot", room, room, files=album(size), ttl=ttl)
            await trio.sleep(0.1)
        behind = await gateway.enqueue("bot", "c", "c", files=album(1))
        await trio.sleep(4.8)
        if how == "is withdrawn":
            assert await gateway.cancel(last)
        await trio.sleep(1)
        assert ["a", "c"] == [made.attempt.room for made in channel.made]
        assert (await behind.receipt()).delivered


async def test_what_a_restart_finds_costs_as_much(autojump_clock):
    outbox = MemoryOutbox()
    channel = Albums(limits=lambda _room, _operation: [CHAT])
    with trio.move_on_after(0.5):
        async with open_test_gateway(channel, outbox=outbox) as gateway:
            for n in range(3):
                ticket = await gateway.enqueue("bot", "a", str(n), files=album(5))
            await ticket.receipt()
    async with open_test_gateway(channel, outbox=outbox):
        await trio.sleep(60)
    first, second, third = channel.times
    assert 5 <= second - first
    assert 5 == pytest.approx(third - second, abs=0.05)
