"""An application follows what ended, keeps its place, and misses nothing over restarts."""

import pytest
import trio
from structlog.testing import capture_logs

from gateway_core import Disposition, EndingsForgotten, Invalid, OutboxError
from gateway_core.outboxes import OutboxForbidden
from gateway_core.testing import FakeChannel, MemoryOutbox, open_test_gateway, virtual_wall


def texts(ended):
    return [one.receipt.envelope_id for one in ended]


async def take(gateway, number, after=None):
    """So many of the next endings."""
    found = []
    if number:
        with trio.fail_after(60):
            async for ended in gateway.endings(after):
                found.append(ended)
                if len(found) == number:
                    break
    return found


@pytest.fixture(params=[None, MemoryOutbox], ids=["memory", "outbox"])
def outbox(request):
    return request.param and request.param()


async def test_everything_that_ended_is_told_in_its_order(outbox, autojump_clock):
    async with open_test_gateway(FakeChannel(), outbox=outbox) as gateway:
        before = [await gateway.send("bot", "r", str(n)) for n in range(3)]
        assert texts(await take(gateway, 3)) == [receipt.envelope_id for receipt in before]
        (late,) = [await gateway.enqueue("bot", "r", "late", not_before=virtual_wall() + 10)]
        assert await gateway.cancel(late)
        found = await take(gateway, 4)
        assert (Disposition.CANCELLED, late.id) == (
            found[-1].receipt.disposition,
            found[-1].receipt.envelope_id,
        )


async def test_who_follows_hears_of_each_as_it_ends(outbox, autojump_clock):
    heard = []

    async def follow(gateway):
        async for ended in gateway.endings():
            heard.extend([(ended.receipt.envelope_id, trio.current_time())])

    async with open_test_gateway(FakeChannel(), outbox=outbox) as gateway, trio.open_nursery() as n:
        n.start_soon(follow, gateway)
        n.start_soon(follow, gateway)
        for _ in range(5):
            await trio.sleep(10)
            receipt = await gateway.send("bot", "r", "x")
            now = trio.current_time()
            await trio.sleep(1)
            assert [receipt.envelope_id] * 2 == [name for name, _ in heard[-2:]]
            assert all(at - now < 0.2 for _, at in heard[-2:])
        n.cancel_scope.cancel()
    assert 10 == len(heard)


async def test_it_goes_on_from_the_cursor_that_was_kept(outbox, autojump_clock):
    async with open_test_gateway(FakeChannel(), outbox=outbox) as gateway:
        for n in range(5):
            await gateway.send("bot", "r", str(n))
        every = await take(gateway, 5)
        for n, ended in enumerate(every):
            assert every[n + 1 :] == await take(gateway, 4 - n, after=ended.cursor)


async def test_it_ends_with_the_gateway_and_what_ended_last_is_told(outbox, autojump_clock):
    heard = []

    async def follow(gateway):
        heard.extend([ended.receipt.disposition async for ended in gateway.endings()])

    slow = FakeChannel(latency=5)
    async with trio.open_nursery() as nursery, open_test_gateway(slow, outbox=outbox) as gateway:
        nursery.start_soon(follow, gateway)
        await gateway.enqueue("bot", "r", "x")
        await trio.sleep(1)
    assert [Disposition.DELIVERED] == heard


async def test_the_next_run_tells_those_of_the_last(autojump_clock):
    outbox, told, cursor = MemoryOutbox(), [], None
    for run in range(4):
        async with open_test_gateway(FakeChannel(), outbox=outbox) as gateway:
            found = await take(gateway, run and 3, after=cursor)
            told += found
            cursor = found[-1].cursor if found else None
            for _ in range(3):
                told.append(await gateway.send("bot", "r", "x"))
    names = [one.receipt.envelope_id for one in told if hasattr(one, "cursor")]
    assert names == [one.envelope_id for one in told if not hasattr(one, "cursor")][:9]


async def test_who_is_too_late_is_told_so(autojump_clock):
    async with open_test_gateway(FakeChannel(), history=10, partition_count=1) as gateway:
        await gateway.send("bot", "r", "first")
        (first,) = await take(gateway, 1)
        for _ in range(10):
            await gateway.send("bot", "r", "x")
        assert 10 == len(await take(gateway, 10, after=first.cursor))
        await gateway.send("bot", "r", "x")
        with pytest.raises(EndingsForgotten, match="the history does not reach back that far"):
            await take(gateway, 1, after=first.cursor)
        assert 10 == len(await take(gateway, 10))


async def test_who_is_overtaken_as_it_follows_is_told_so_as_well(autojump_clock):
    async with open_test_gateway(FakeChannel(), history=10, partition_count=1) as gateway:
        await gateway.send("bot", "r", "x")
        endings = gateway.endings()
        await anext(endings)
        for _ in range(20):
            await gateway.send("bot", "r", "x")
        with pytest.raises(EndingsForgotten, match="too many envelopes have ended meanwhile"):
            await anext(endings)


async def test_a_cursor_of_another_outbox_or_none_is_refused(outbox, autojump_clock):
    async with open_test_gateway(FakeChannel(), outbox=outbox) as gateway:
        await gateway.send("bot", "r", "x")
        (one,) = await take(gateway, 1)
        number = one.cursor.rpartition(".")[2]
        with pytest.raises(EndingsForgotten, match="from another outbox"):
            await take(gateway, 1, after=f"other.{number}")
        with pytest.raises(EndingsForgotten, match="restored from a copy"):
            await take(gateway, 1, after=one.cursor + "0")
        for wrong in ("", "x", "x.", ".1", "x.-1", "x.1.5x", 7, b"x.1"):
            with pytest.raises(Invalid, match="after: must be the cursor"):
                await take(gateway, 1, after=wrong)


async def test_an_outbox_that_cannot_be_read_for_a_while_stops_nobody(autojump_clock):
    class Shut(MemoryOutbox):
        async def endings(self, *, after, limit=1000):
            if trio.current_time() < 30:
                raise OutboxError("shut")
            return await super().endings(after=after, limit=limit)

    async with open_test_gateway(FakeChannel(), outbox=Shut()) as gateway:
        receipt = await gateway.send("bot", "r", "x")
        assert [receipt.envelope_id] == texts(await take(gateway, 1))
        assert 30 <= trio.current_time() < 32


async def test_why_an_outbox_cannot_be_read_is_logged_and_not_each_time(autojump_clock):
    class Shut(MemoryOutbox):
        async def endings(self, *, after, limit=1000):
            if trio.current_time() < 8:
                raise OutboxError("shut")
            return await super().endings(after=after, limit=limit)

    with capture_logs() as lines:
        async with open_test_gateway(FakeChannel(), outbox=Shut()) as gateway:
            await gateway.send("bot", "r", "x")
            await take(gateway, 1)
    assert ["shut"] == [line["error"] for line in lines if "outbox_failed" in line["event"]]


async def test_who_may_not_read_them_is_told_so_at_once(autojump_clock):
    class Closed(MemoryOutbox):
        async def endings(self, *, after, limit=1000):
            raise OutboxForbidden("the role lacks a privilege")

    async with open_test_gateway(FakeChannel(), outbox=Closed()) as gateway:
        with pytest.raises(OutboxError, match="lacks a privilege"):
            await anext(gateway.endings())
        assert 1 > trio.current_time()
