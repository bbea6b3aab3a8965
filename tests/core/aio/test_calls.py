"""Calls out of an asyncio loop: answers, errors, context variables, cancellation, other loops."""

import asyncio  # noqa: TID251 - what is tested
import contextvars
import threading
import time
import traceback
from contextlib import suppress
from functools import partial

import pytest
import trio
from bridged import SOON, Held, config, on_thread

from gateway_core import (
    Delivered,
    DeliveryError,
    Disposition,
    Edit,
    GatewayClosed,
    Instance,
    Invalid,
    KeyRef,
    Limit,
    Part,
    Send,
    UnknownInstance,
)
from gateway_core.aio import Ticket, open_gateway
from gateway_core.authors import hookimpl
from gateway_core.testing import FakeChannel, FakeSettings, MemoryOutbox


def opened(channel, **settings):
    plugins, outbox = settings.pop("plugins", []), settings.pop("outbox", None)
    return open_gateway(config(**settings), plugins=[*plugins, ("fake", channel)], outbox=outbox)


def run(main):
    """As a program does, within a bound."""
    return asyncio.run(asyncio.wait_for(main, 100))


def test_every_verb_answers_as_under_trio():
    channel = FakeChannel()

    async def main():
        async with opened(channel) as gateway:
            sent = await gateway.send("bot", "room", "one")
            assert isinstance(sent, Delivered)
            edited = await gateway.edit(sent.ref, "two")
            assert ["two"] == channel.texts("room")
            assert Disposition.DELIVERED == (await gateway.delete(edited.ref)).disposition
            assert [] == channel.texts("room")
            called = await gateway.call("bot", "room", "pin", {"n": 1})
            assert {"n": 1} == called.result
            ticket = await gateway.enqueue("bot", "room", "three", key="k")
            assert isinstance(ticket, Ticket)
            receipt = await ticket.receipt()
            assert (ticket.id, True) == (receipt.envelope_id, ticket.ended)
            assert "delivered" in repr(ticket)
            await gateway.edit(ticket, "four")
            assert (await gateway.react(ticket, "👍", key="once")).delivered
            await gateway.pin(ticket.ref, silent=True)
            assert [["👍"], ["2"]] == [*channel.reactions.values(), channel.pins["room"]]
            await gateway.unreact(ticket, "👍")
            await gateway.unpin(ticket, raises=False)
            assert [{}, []] == [channel.reactions, channel.pins["room"]]
            envelope = Edit(
                instance_id="bot", external_room_id="room", target=ticket.ref, text="five"
            )
            await (await gateway.submit(envelope, wait=False)).receipt()
            assert ["five"] == channel.texts("room")
            assert "ended" == (await gateway.status(ticket)).state
            ref = KeyRef(instance_id="bot", external_room_id="room", key="k")
            assert "ended" == (await gateway.status(ref)).state
            assert not await gateway.cancel(ticket)
            assert not await gateway.cancel(ticket.id)
            await gateway.delete(ticket)

    run(main())


def test_a_preview_of_a_long_text_is_planned_beside_the_gateways_thread():
    planned_on = []

    class Planning(FakeChannel):
        @hookimpl
        def chunk(self, envelope):
            planned_on.append(threading.current_thread().name)
            return [Part(payload={"text": "plan"}, span=(0, len(envelope.text)))]

    async def main():
        text = "word " * 2001
        async with opened(Planning()) as gateway:
            envelope = Send(instance_id="bot", external_room_id="room", text=text)
            assert () == gateway.preview(envelope).problems
        assert 1 == len(planned_on)
        assert "gateway" not in planned_on

    run(main())


def test_what_answers_at_once_under_trio_does_so_here():
    async def main():
        async with opened(FakeChannel()) as gateway:
            assert 0 == gateway.statistics().accepted
            assert {} == gateway.statistics(waiting=True).waiting
            hello = Send(instance_id="bot", external_room_id="room", text="hello")
            assert () == tuple(gateway.preview(hello).problems)
            assert gateway.address("bot", {}) is None
            gateway.add_instance(Instance("other", "fake", FakeSettings()))
            gateway.suspend("other")
            assert [False, True] == [
                one.suspended is not None for one in gateway.statistics().instances
            ]
            gateway.resume("other")
            gateway.replace_instance(Instance("other", "fake", FakeSettings(name="new")))
            assert "other" == (await gateway.probe("other")).name
            assert [] == await gateway.remove_instance("other")
            reloaded = await gateway.reload(gateway.config)
            assert () == reloaded.added
            with pytest.raises(UnknownInstance):
                gateway.suspend("nobody")
            assert [] == await gateway.drain()
            gateway.quiet()
            with pytest.raises(GatewayClosed):
                await gateway.send("bot", "room", "late")

    run(main())


def test_endings_are_told_in_order_and_a_cancelled_reader_loses_none():
    told = []

    async def main():
        async with opened(FakeChannel()) as gateway:
            endings = gateway.endings()
            for n in range(30):
                reader = asyncio.ensure_future(anext(endings))
                await gateway.send("bot", "room", str(n))
                await asyncio.sleep(n * 0.002)  # it is looked for 50 ms after an ending
                reader.cancel()
                await asyncio.wait([reader])
                told.extend([] if reader.cancelled() else [reader.result()])
        told.extend([ending async for ending in endings])

    run(main())
    assert [str(n) for n in range(1, 31)] == [one.receipt.parts[0].message_id for one in told]


def test_errors_arrive_unwrapped_with_the_frames_of_both_sides():
    async def main():
        async with opened(FakeChannel()) as gateway:
            with pytest.raises(Invalid) as caught:
                await gateway.send("bot", "room", "")
            frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
            assert frames[0] == "main"
            assert {"send", "perform"} <= set(frames)
            with pytest.raises(DeliveryError) as late:
                await gateway.send("bot", "room", "soon gone", not_before=4e9, ttl=0.001)
            assert Disposition.EXPIRED == late.value.receipt.disposition
            receipt = await gateway.send(
                "bot", "room", "again", not_before=4e9, ttl=0.001, raises=False
            )
            assert Disposition.EXPIRED == receipt.disposition

    run(main())


def test_context_variables_of_the_caller_are_the_call_s():
    user = contextvars.ContextVar("user", default="nobody")
    seen = []

    class Policy:
        @hookimpl
        def validate(self, envelope):
            seen.append((envelope.text, user.get(), threading.current_thread().name))

    async def caller(gateway, name):
        user.set(name)
        await gateway.send("bot", "room", name)
        assert user.get() == name

    async def main():
        async with opened(FakeChannel(), plugins=[Policy()]) as gateway:
            await asyncio.gather(*(caller(gateway, name) for name in "ab"))

    run(main())
    assert {("a", "a", "gateway"), ("b", "b", "gateway")} == set(seen)


def test_a_cancelled_caller_withdraws_what_has_not_started_and_only_that():
    channel = Held()

    async def main():
        async with opened(channel) as gateway:
            first = asyncio.ensure_future(gateway.send("bot", "room", "started"))
            await asyncio.to_thread(channel.begun.wait, SOON)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await gateway.send("bot", "room", "not started")
            # It is withdrawn by now, and not some time later.
            assert 1 == gateway.statistics().unfinished
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            kept = asyncio.ensure_future(gateway.send("bot", "room", "kept", on_cancel="detach"))
            while gateway.statistics().unfinished < 2:  # noqa: ASYNC110 - of another task
                await asyncio.sleep(0.001)
            kept.cancel()
            await asyncio.wait([kept])
            channel.let_go()

    run(main())
    assert ["started", "kept"] == channel.texts("room")


def test_a_caller_who_is_cancelled_again_and_again_still_withdraws():
    channel = Held()

    async def main():
        async with opened(channel) as gateway:
            await gateway.enqueue("bot", "room", "started")
            await asyncio.to_thread(channel.begun.wait, SOON)
            call = asyncio.ensure_future(gateway.send("bot", "room", "not started"))
            while gateway.statistics().unfinished < 2:  # noqa: ASYNC110 - of another task
                await asyncio.sleep(0.001)
            while not call.done():
                call.cancel()
                await asyncio.sleep(0)
            assert 1 == gateway.statistics().unfinished
            channel.let_go()

    run(main())
    assert ["started"] == channel.texts("room")


def test_a_ticket_that_nobody_waits_for_any_more_goes_on():
    channel = Held()

    async def main():
        async with opened(channel) as gateway:
            ticket = await gateway.enqueue("bot", "room", "hello")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ticket.receipt(), 0.01)
            channel.let_go()
            assert (await ticket.receipt()).delivered
            other = await gateway.enqueue("bot", "room", "hello", not_before=4e9)
            assert await gateway.cancel(other)

    run(main())


def test_a_loop_that_is_blocked_delays_no_message():
    channel = FakeChannel(limits=lambda _r, _o: [Limit("all", 1, 0.05)])

    async def main():
        async with opened(channel) as gateway:
            tickets = [await gateway.enqueue("bot", "room", str(n)) for n in range(5)]
            end = time.monotonic() + SOON
            while len(channel.made) < 5:
                assert time.monotonic() < end
                time.sleep(0.01)  # noqa: ASYNC251, TID251 - what programs do by mistake
            for ticket in tickets:
                assert (await ticket.receipt()).delivered

    run(main())


def test_another_loop_is_told_what_to_do():
    found = []

    async def elsewhere(gateway):
        for method in (
            partial(gateway.send, "bot", "room", "hello"),
            partial(asyncio.to_thread, gateway.statistics),
        ):
            with pytest.raises(RuntimeError, match="run_coroutine_threadsafe") as caught:
                await method()
            found.append(caught.value)

    async def main():
        async with opened(FakeChannel()) as gateway:
            await asyncio.to_thread(asyncio.run, elsewhere(gateway))
            assert (await gateway.send("bot", "room", "hello")).delivered

    run(main())
    assert 2 == len(found)


def test_gateways_open_one_after_the_other_and_beside_each_other():
    threads = set()

    async def one(text):
        channel = FakeChannel()
        async with opened(channel) as gateway, opened(FakeChannel()) as other:
            await gateway.send("bot", "room", text)
            await other.send("bot", "room", "other")
            threads.add(on_thread(threading.get_ident))
        return channel.texts("room")

    async def main():
        return await asyncio.gather(one("a"), one("b"))

    assert [["a"], ["b"]] == run(main())
    assert [["a"], ["b"]] == run(main())
    assert 1 == len(threads)


def test_calls_after_the_end_say_that_the_gateway_has_closed():
    async def main():
        async with opened(FakeChannel()) as gateway:
            pass
        with pytest.raises(GatewayClosed):
            await gateway.send("bot", "room", "late")
        with pytest.raises(GatewayClosed):
            gateway.statistics()

    run(main())


def test_a_call_where_no_loop_runs_says_so():
    async def main():
        async with opened(FakeChannel()) as gateway:
            return gateway

    with pytest.raises(RuntimeError, match="no event loop is running here"):
        run(main()).statistics()


def test_calls_that_begin_one_after_the_other_are_accepted_in_that_order():
    """trio itself starts tasks in any order."""
    channel = FakeChannel()

    async def main():
        async with opened(channel) as gateway:
            for turn in range(20):
                texts = [f"{turn}.{n}" for n in range(30)]
                await asyncio.gather(*(gateway.send("bot", "room", text) for text in texts))
                assert texts == channel.texts("room")[-30:]

    run(main())


@pytest.mark.parametrize("ends", ["raises", "too late"])
def test_what_is_sent_after_a_broken_stream_comes_after_it(ends):
    channel, outbox = FakeChannel(), MemoryOutbox()
    append = outbox.append

    async def stored_later(entry, on_stored):
        await trio.sleep(0.05)
        await append(entry, on_stored)

    outbox.append = stored_later

    async def words():
        yield "The answer"
        await asyncio.sleep(0.02)
        if ends == "raises":
            raise KeyError
        await asyncio.sleep(20)

    async def main():
        async with opened(channel, outbox=outbox) as gateway:

            async def answer(room):
                with suppress(KeyError, TimeoutError):
                    async with asyncio.timeout(0.1):
                        await gateway.stream(("bot", room), words(), key=room)
                await gateway.send("bot", room, "Sorry.")

            rooms = [f"room {n}" for n in range(5)]
            await asyncio.gather(*map(answer, rooms))
            assert [["The answer […]", "Sorry."]] * 5 == [channel.texts(room) for room in rooms]

    run(main())


def test_the_first_of_two_streams_with_one_key_is_the_one_that_is_shown():
    async def main():
        async with opened(channel := FakeChannel()) as gateway:
            for turn in range(30):

                async def words(text):
                    yield text

                first, second = [
                    gateway.stream(("bot", "room"), words(text), key=f"{turn}")
                    for text in (f"first {turn}", "second")
                ]
                await asyncio.gather(first, second)
            assert [f"first {turn}" for turn in range(30)] == channel.texts("room")

    run(main())


def test_a_call_begins_in_the_context_of_its_caller_and_stays_in_it():
    user = contextvars.ContextVar("user", default="nobody")

    async def asked(wait):
        seen = [user.get()]
        for _ in range(3):
            await trio.sleep(wait)
            seen.append(user.get())
        user.set("another")
        return seen

    async def caller(gateway, name):
        user.set(name)
        for wait in (0, 0.001):
            assert [name] * 4 == await gateway._home.call(asked, wait)
        assert name == user.get()

    async def main():
        async with opened(FakeChannel()) as gateway:
            for _ in range(3):
                await asyncio.gather(*(caller(gateway, str(n)) for n in range(30)))
            assert ["nobody"] * 4 == await gateway._home.call(asked, 0)

    run(main())
