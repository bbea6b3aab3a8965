"""Long texts that are planned after acceptance hold nobody up, and keep their place in the room."""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial

import attrs
import pytest
import trio
import trio.testing

from gateway_core import (
    DeliveryError,
    Disposition,
    Edit,
    ErrorClass,
    File,
    Instance,
    Part,
    Reason,
    Send,
    Verdict,
)
from gateway_core.authors import hookimpl
from gateway_core.engine.long_texts import LONG, LongTexts
from gateway_core.plugins.front import PLANNED_AT_ONCE
from gateway_core.testing import (
    Failure,
    FakeChannel,
    FakeSettings,
    MemoryOutbox,
    event,
    failing,
    open_test_gateway,
)
from gateway_core.text import Excerpt

TEXT = "word " * (LONG // 5) + "word"
REFUSED = Verdict(
    error_class=ErrorClass.NON_RETRYABLE, reason=Reason.BAD_REQUEST, transform="stricter"
)
BUSY = Verdict(error_class=ErrorClass.RETRYABLE, reason=Reason.UNREACHABLE, retry_after=0.01)
WAITS = 10
"""Seconds after which a test fails that waits for a thread in vain."""


class Gated(FakeChannel):
    """Shows of a text how long it is; each plan of a long one waits for a turn while `held`.

    loop   long texts that were planned on the event loop
    plans  how long each long text was, and how it was planned
    """

    def __init__(self, **given):
        super().__init__(**given)
        self.home = threading.get_ident()
        self.loop, self.plans = [], []
        self.held = False
        self.begun, self.turns = threading.Semaphore(0), threading.Semaphore(0)
        self.broken = False

    @hookimpl
    def chunk(self, envelope, mode):
        text = envelope.text
        length = len(text.whole if isinstance(text, Excerpt) else text)
        if length > LONG:
            self._wait(length, mode)
        files = tuple(range(len(envelope.files or ())))
        shown = text if length <= LONG else f"{length} {mode}"
        return [Part(payload={"text": shown}, span=(0, len(text)), files=files)]

    def _wait(self, length, mode):
        if threading.get_ident() == self.home:
            self.loop.append(length)
            return
        self.plans.append((length, mode))
        self.begun.release()
        if self.held:
            assert self.turns.acquire(timeout=WAITS)
        if self.broken:
            raise KeyError("broken")

    async def begins(self):
        """A plan of a long text has begun."""
        assert await trio.to_thread.run_sync(partial(self.begun.acquire, timeout=WAITS))

    def hold(self):
        """The next plans wait, each for a turn."""
        self.held = True

    def let_go(self):
        """No plan waits any more."""
        self.held = False
        self.turns.release(100)

    async def shows(self, *texts, room="r"):
        """The room shows these."""
        with trio.fail_after(WAITS):
            while list(texts) != self.texts(room):  # noqa: ASYNC110 - a platform tells nobody
                await trio.sleep(0.01)


class AnswersEdited(Gated):
    """Takes edits of its answers to interactions, by their reply tokens."""

    @hookimpl
    def address(self, event):
        address = super().address(event)
        return attrs.evolve(address, interaction=attrs.evolve(address.interaction, edits=True))


async def with_a_file(gateway):
    """A message with a file, which an edit of its text keeps."""
    return await gateway.send("bot", "r", "caption", files=[File(b"one", name="1")])


async def ended(gateway, ticket):
    """How an envelope of a previous process run ended."""
    with trio.fail_after(WAITS):
        while (status := await gateway.status(ticket.id)) is None or status.receipt is None:  # noqa: ASYNC110 - of another run nobody hears
            await trio.sleep(0.01)
        return status.receipt


# -- streams


async def test_each_state_of_a_long_stream_is_planned_in_a_worker_thread():
    channel = Gated()
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "r")) as out:
        out.write(TEXT)
        await channel.shows(f"{len(TEXT)} as_asked")
        out.write("more")
        receipt = await out.finish()
    assert receipt.delivered
    assert [f"{len(TEXT) + 4} as_asked"] == channel.texts("r")
    assert [] == channel.loop
    assert len(channel.plans) >= 3


async def test_an_answer_by_its_reply_token_grows_long_while_an_edit_of_it_is_due():
    refused = trio.Event()

    async def refuse_the_first_edit(attempt):
        if attempt.operation == "revise" and not refused.is_set():
            refused.set()
            raise Failure(BUSY)

    channel = AnswersEdited(script=refuse_the_first_edit)
    asked = event(room="r", asked="command")
    async with open_test_gateway(channel) as gateway, gateway.stream(asked) as out:
        out.write("short")
        await channel.shows("short")
        out.write(" text")
        await refused.wait()
        receipt = await out.finish(TEXT)
    assert receipt.delivered
    assert [f"{len(TEXT)} as_asked"] == channel.texts("r")


async def test_others_go_on_while_a_state_of_a_stream_is_planned():
    channel = Gated()
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "r")) as out:
        out.write("short")
        await channel.shows("short")
        channel.hold()
        out.write(TEXT)
        await channel.begins()
        assert (await gateway.send("bot", "other", "beside")).delivered
        assert ["short"] == channel.texts("r")
        channel.let_go()
        await out.finish()
    assert [f"{len(TEXT) + 5} as_asked"] == channel.texts("r")
    assert [] == channel.loop


async def test_a_stream_that_never_stops_growing_is_seen_to_grow():
    """What is planned is shown, although more was written while it was planned."""
    channel = Gated()
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "r")) as out:
        out.write("short")
        await channel.shows("short")
        channel.hold()
        out.write(TEXT)
        length = len(TEXT) + 5
        for _ in range(3):
            await channel.begins()
            out.write("more")
            channel.turns.release()
            await channel.shows(f"{length} as_asked")
            length += 4
        await channel.begins()
        channel.let_go()
        await out.finish()
    assert [f"{length} as_asked"] == channel.texts("r")
    assert [] == channel.loop


async def test_a_text_that_is_whole_by_the_time_its_state_is_planned_is_shown_whole():
    channel = Gated()
    async with (
        open_test_gateway(channel) as gateway,
        trio.open_nursery() as nursery,
        gateway.stream(("bot", "r")) as out,
    ):
        out.write("short")
        await channel.shows("short")
        channel.hold()
        out.write(TEXT)
        await channel.begins()
        nursery.start_soon(partial(out.finish, TEXT + "whole"))
        await trio.testing.wait_all_tasks_blocked()
        channel.let_go()
    shown = [made.attempt.part.payload["text"] for made in channel.made]
    assert ["short", f"{len(TEXT) + 5} as_asked"] == shown
    assert [len(TEXT) + 5] * 2 == [length for length, _ in channel.plans]


async def broken_off(gateway, channel):
    """A stream whose block ends by an exception while its newest state is planned."""
    with suppress(KeyError):
        async with gateway.stream(("bot", "r"), on_error="delete") as out:
            out.write("short")
            await channel.shows("short")
            channel.hold()
            out.write(TEXT)
            await channel.begins()
            raise KeyError


async def test_a_stream_that_is_taken_back_while_it_is_planned_shows_nothing_more():
    channel = Gated()
    async with open_test_gateway(channel) as gateway:
        await broken_off(gateway, channel)
        channel.let_go()
        await channel.shows()
        assert (await gateway.send("bot", "r", "next")).delivered
    operations = [made.attempt.operation for made in channel.made]
    assert ["send", "delete", "send"] == operations


async def test_a_message_after_the_first_state_of_a_stream_waits_for_its_plan():
    """Its first text has its place in the room before it is planned once more."""
    channel = Gated()
    channel.hold()
    async with (
        open_test_gateway(channel) as gateway,
        trio.open_nursery() as nursery,
        gateway.stream(("bot", "r")) as out,
    ):
        out.write(TEXT)
        await channel.begins()  # as it is accepted
        channel.turns.release()
        await channel.begins()  # as it is shown
        second = await gateway.enqueue("bot", "r", "second")
        await gateway.send("bot", "other", "beside")
        assert [] == channel.texts("r")
        nursery.start_soon(second.receipt)
        channel.let_go()
        await out.finish()
    assert [f"{len(TEXT)} as_asked", "second"] == channel.texts("r")


async def test_a_plan_that_fails_in_its_thread_ends_the_stream_crashed():
    channel = Gated()
    async with open_test_gateway(channel) as gateway:
        out = gateway.stream(("bot", "r"))
        async with out as stream:
            stream.write("short")
            await channel.shows("short")
            channel.broken = True
            stream.write(TEXT)
            with pytest.raises(DeliveryError, match="Gated: hook chunk: raised KeyError") as failed:
                await stream.finish()
        assert Disposition.CRASHED is failed.value.receipt.disposition
        assert (await gateway.send("bot", "r", "next")).delivered


async def test_two_texts_are_planned_at_a_time_and_the_others_wait_for_a_thread():
    channel = Gated()
    channel.hold()
    async with open_test_gateway(channel) as gateway, trio.open_nursery() as nursery:
        for n in range(4):
            nursery.start_soon(gateway.send, "bot", f"r{n}", TEXT)
        await channel.begins()
        await channel.begins()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert PLANNED_AT_ONCE == len(channel.plans) == 2
        channel.turns.release()
        await channel.begins()
        assert len(channel.plans) == 3
        channel.let_go()
    assert 4 == len(channel.made)


# -- edits that keep the files of their messages


async def test_an_edit_beside_files_is_planned_in_a_worker_thread():
    channel = Gated()
    async with open_test_gateway(channel) as gateway:
        sent = await with_a_file(gateway)
        edited = await gateway.edit(sent.ref, TEXT)
        assert ("file-1",) == channel.files[edited.ref.parts[0].message_id]
    assert [f"{len(TEXT)} as_asked"] == channel.texts("r")
    assert [] == channel.loop
    assert 2 == len(channel.plans)


async def held_after_acceptance(gateway, channel, envelope):
    """The ticket of an accepted envelope whose text is being planned for the second time."""
    accepted = []

    async def submit():
        accepted.append(await gateway.submit(envelope))

    channel.hold()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(submit)
        await channel.begins()
        channel.turns.release()
    await channel.begins()
    return accepted[0]


async def held_edit(gateway, channel, **fields):
    """An edit that is being planned beside the files of its message."""
    target = (await with_a_file(gateway)).ref
    place = {"instance_id": "bot", "external_room_id": "r"}
    edit = Edit(**place, target=target, text=TEXT, **fields)
    return await held_after_acceptance(gateway, channel, edit)


async def test_what_follows_in_the_room_waits_for_the_plan_and_others_do_not():
    channel = Gated()
    async with open_test_gateway(channel) as gateway:
        ticket = await held_edit(gateway, channel)
        second = await gateway.enqueue("bot", "r", "second")
        assert (await gateway.send("bot", "other", "beside")).delivered
        assert ["caption"] == channel.texts("r")
        channel.let_go()
        assert (await ticket.receipt()).delivered
        assert (await second.receipt()).delivered
    assert [f"{len(TEXT)} as_asked", "second"] == channel.texts("r")


async def test_an_edit_that_is_cancelled_while_it_is_planned_lets_its_room_go_on():
    channel = Gated()
    async with open_test_gateway(channel) as gateway:
        ticket = await held_edit(gateway, channel)
        second = await gateway.enqueue("bot", "r", "second")
        assert await gateway.cancel(ticket)
        channel.let_go()
        assert (await second.receipt()).delivered
    assert ["caption", "second"] == channel.texts("r")


async def test_an_edit_whose_time_passes_while_it_is_planned_expires():
    channel = Gated()
    async with open_test_gateway(channel) as gateway:
        ticket = await held_edit(gateway, channel, ttl=1)
        await trio.sleep(1.1)
        channel.let_go()
        assert Disposition.EXPIRED is (await ticket.receipt()).disposition
    assert ["caption"] == channel.texts("r")


async def test_a_plan_for_settings_of_before_is_made_again():
    channel = Gated()
    async with open_test_gateway(channel) as gateway:
        ticket = await held_edit(gateway, channel)
        gateway.replace_instance(Instance("bot", "fake", FakeSettings("new")))
        channel.let_go()
        assert (await ticket.receipt()).delivered
    assert 3 == len(channel.plans)
    assert [] == channel.loop


async def test_an_account_that_is_removed_while_a_text_is_planned_leaves_nothing_behind():
    channel = Gated()
    async with open_test_gateway(channel) as gateway:
        ticket = await held_edit(gateway, channel)
        left = await gateway.remove_instance("bot")
        channel.let_go()
        assert [Disposition.CANCELLED] == [each.receipt.disposition for each in left]
        assert Disposition.CANCELLED is (await ticket.receipt()).disposition
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert 0 == gateway.statistics().unfinished
    assert ["caption"] == channel.texts("r")


async def test_a_partition_that_dies_while_a_text_is_planned_plans_it_again():
    channel = Gated()
    async with open_test_gateway(channel, partition_count=1) as gateway:
        ticket = await held_edit(gateway, channel)

        async def die():
            raise RuntimeError("it dies")

        gateway._partitions[0].workers.nursery.start_soon(die)
        await channel.begins()
        channel.let_go()
        assert (await ticket.receipt()).delivered
        assert 1 == gateway.statistics().partitions[0].restarts
    assert [f"{len(TEXT)} as_asked"] == channel.texts("r")
    assert 1 == [made.attempt.operation for made in channel.made].count("edit")


async def test_an_outbox_keeps_what_is_being_planned_as_the_gateway_closes():
    """Nobody waits for the thread; the next process run plans it again."""
    channel, outbox = Gated(), MemoryOutbox()
    with trio.fail_after(WAITS / 2):
        async with open_test_gateway(channel, outbox=outbox) as gateway:
            ticket = await held_edit(gateway, channel)
    channel.let_go()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        assert (await ended(gateway, ticket)).delivered
    assert [f"{len(TEXT)} as_asked"] == channel.texts("r")
    assert [] == channel.loop


async def test_an_error_of_ours_beside_the_loop_ends_its_envelope_alone(monkeypatch):
    async def breaks(*_):
        raise RuntimeError("ours")

    channel = Gated()
    async with open_test_gateway(channel) as gateway:
        sent = await with_a_file(gateway)
        monkeypatch.setattr(LongTexts, "_planned", breaks)
        edited = await gateway.edit(sent.ref, TEXT, raises=False)
        assert Disposition.CRASHED is edited.disposition
        assert (await gateway.send("bot", "r", "next")).delivered
        assert 0 == sum(p.restarts for p in gateway.statistics().partitions)


# -- refused parts


async def test_a_refused_part_of_a_long_text_is_planned_again_in_a_worker_thread():
    channel = Gated(script=failing(REFUSED))
    async with open_test_gateway(channel) as gateway:
        receipt = await gateway.send("bot", "r", TEXT)
    assert ("stricter",) == receipt.degradations
    assert [f"{len(TEXT)} stricter"] == channel.texts("r")
    assert [] == channel.loop
    assert ["as_asked", "stricter"] == [mode for _, mode in channel.plans]


class Refusing(Gated):
    """Refuses the formatting of what was planned as asked."""

    def __init__(self):
        async def script(attempt):
            if "as_asked" in attempt.part.payload["text"]:
                raise Failure(REFUSED)

        super().__init__(script=script)


async def held_refused(gateway, channel):
    """A message whose refused part is being planned again."""
    send = Send(instance_id="bot", external_room_id="r", text=TEXT)
    return await held_after_acceptance(gateway, channel, send)


async def test_the_room_of_a_refused_part_waits_for_its_plan_and_others_do_not():
    channel = Refusing()
    async with open_test_gateway(channel) as gateway:
        ticket = await held_refused(gateway, channel)
        second = await gateway.enqueue("bot", "r", "second")
        assert (await gateway.send("bot", "other", "beside")).delivered
        assert [] == channel.texts("r")
        channel.let_go()
        assert (await ticket.receipt()).delivered
        assert (await second.receipt()).delivered
    assert [f"{len(TEXT)} stricter", "second"] == channel.texts("r")


async def test_one_that_ended_while_its_refused_part_was_planned_stays_as_it_ended():
    channel = Refusing()
    async with open_test_gateway(channel) as gateway:
        ticket = await held_refused(gateway, channel)
        await gateway.remove_instance("bot")
        ended = await ticket.receipt()
        channel.let_go()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert Disposition.CANCELLED is ended.disposition
        assert 0 == gateway.statistics().unfinished
    assert [] == channel.texts("r")


async def test_a_refused_part_whose_new_plan_fails_in_its_thread_ends_crashed():
    channel = Refusing()
    async with open_test_gateway(channel) as gateway:
        ticket = await held_refused(gateway, channel)
        second = await gateway.enqueue("bot", "r", "second")
        channel.broken = True
        channel.let_go()
        assert Disposition.CRASHED is (await ticket.receipt()).disposition
        assert (await second.receipt()).delivered
    assert ["second"] == channel.texts("r")


async def test_a_refused_part_is_planned_again_by_the_next_process_run():
    """The outbox knows the plan of before, whose part is refused once more."""
    channel, outbox = Refusing(), MemoryOutbox()
    with trio.fail_after(WAITS / 2):
        async with open_test_gateway(channel, outbox=outbox) as gateway:
            ticket = await held_refused(gateway, channel)
    channel.let_go()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        assert (await ended(gateway, ticket)).delivered
    assert [f"{len(TEXT)} stricter"] == channel.texts("r")
    assert [] == channel.loop
