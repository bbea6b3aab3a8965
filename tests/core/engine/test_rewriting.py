"""Policies that change an envelope: once, at the door, before anything else looks at it."""

from __future__ import annotations

import attrs
import pytest
import trio

from gateway_core import (
    Call,
    Edit,
    ErrorClass,
    HookContractError,
    IdempotencyConflict,
    Interaction,
    Invalid,
    KeyRef,
    Reason,
    Scope,
    Secret,
    Send,
    Verdict,
)
from gateway_core.authors import Part, Problem, hookimpl
from gateway_core.outboxes import Request
from gateway_core.testing import (
    EPOCH,
    Failure,
    FakeChannel,
    MemoryOutbox,
    event,
    open_test_gateway,
)

NOTE = "\n\nsent by a robot"


class Rewriting:
    """A policy of one function, which may be another one later."""

    def __init__(self, change):
        self.change = change
        self.asked = []

    @hookimpl
    def rewrite(self, envelope):
        self.asked.append(envelope)
        return self.change(envelope)


def footer(envelope, note=NOTE):
    if isinstance(envelope, Call) or envelope.text.endswith(note):
        return None
    return attrs.evolve(envelope, text=envelope.text + note)


def to_sandbox(envelope):
    return attrs.evolve(envelope, external_room_id="sandbox")


def fails(_envelope):
    raise LookupError("no table")


@pytest.fixture
def noted():
    return Rewriting(footer)


@pytest.fixture
def moved():
    return Rewriting(to_sandbox)


async def test_what_is_sent_is_what_policies_made_of_it_one_after_the_other(engine, autojump_clock):
    first, second = Rewriting(footer), Rewriting(lambda e: attrs.evolve(e, text=e.text.upper()))
    channel = FakeChannel()
    async with engine(channel, plugins=[first, second]) as gateway:
        await gateway.send("bot", "r", "hello")
        assert ["HELLO" + NOTE.upper()] == channel.texts("r")
        assert [1, 1] == [len(first.asked), len(second.asked)]


async def test_none_leaves_it_as_it_is(engine, autojump_clock):
    channel = FakeChannel()
    async with engine(channel, plugins=[Rewriting(lambda _envelope: None)]) as gateway:
        await gateway.send("bot", "r", "hello")
        assert ["hello"] == channel.texts("r")


async def test_a_footer_on_a_text_whose_formatting_is_refused_appears_exactly_once(
    engine, noted, autojump_clock
):
    """Its parts are planned anew as plain text; the hook is asked once for all that."""
    refused = Verdict(
        error_class=ErrorClass.RETRYABLE,
        reason=Reason.BAD_REQUEST,
        scope=Scope.MESSAGE,
        dispatched="no",
        transform="plain",
        raw="can't parse entities",
    )

    async def script(attempt):
        if attempt.mode == "as_asked":
            raise Failure(refused)

    channel = FakeChannel(script=script)
    async with engine(channel, plugins=[noted]) as gateway:
        receipt = await gateway.send("bot", "r", "**hello")
        assert ("plain",) == receipt.transforms
        assert ["**hello" + NOTE] == channel.texts("r")
        assert 1 == len(noted.asked)


@pytest.mark.parametrize("refused", ["first", "third"])
async def test_of_a_text_in_parts_the_last_one_has_the_footer_alone(
    engine, noted, refused, autojump_clock
):
    """Whichever part is refused as it is formatted: that one is planned anew."""
    bad = Verdict(
        error_class=ErrorClass.RETRYABLE,
        reason=Reason.BAD_FORMAT,
        scope=Scope.MESSAGE,
        dispatched="no",
        transform="plain",
    )

    class Lines(FakeChannel):
        @hookimpl
        def chunk(self, envelope):
            parts, at = [], 0
            for line in envelope.text.splitlines(keepends=True):
                if line.strip():
                    parts.append(Part(payload={"text": line.strip()}, span=(at, at + len(line))))
                at += len(line)
            return parts

    async def script(attempt):
        if refused in attempt.payload["text"] and attempt.mode == "as_asked":
            raise Failure(bad)

    channel = Lines(script=script)
    async with engine(channel, plugins=[noted]) as gateway:
        receipt = await gateway.send("bot", "r", "first\nsecond\nthird")
        assert receipt.delivered
    assert ["first", "second", "third", NOTE.strip()] == channel.texts("r")


async def test_validation_and_votes_are_of_what_is_sent(engine, noted, autojump_clock):
    class Looking:
        seen = ()

        @hookimpl
        def validate(self, envelope):
            self.seen += (envelope.text,)

        @hookimpl
        def admit(self, envelope):
            self.seen += (envelope.text,)

    looking = Looking()
    async with engine(plugins=[looking, noted]) as gateway:
        await gateway.send("bot", "r", "hello")
        assert ("hello" + NOTE,) * 2 == looking.seen


async def test_the_key_stands_for_what_was_handed_in(engine, noted, autojump_clock):
    """A webhook that is delivered again after the footer has changed is no conflict."""
    channel = FakeChannel()
    async with engine(channel, plugins=[noted]) as gateway:
        await gateway.send("bot", "r", "hello", key="k")
        noted.change = lambda envelope: footer(envelope, "\n\nanother")
        assert (await gateway.send("bot", "r", "hello", key="k")).replayed
        with pytest.raises(IdempotencyConflict):
            await gateway.send("bot", "r", "hello" + NOTE, key="k")
        assert ["hello" + NOTE] == channel.texts("r")


async def test_keys_of_two_rooms_stay_two_in_the_one_that_they_are_moved_to(
    engine, moved, autojump_clock
):
    channel = FakeChannel()
    async with engine(channel, plugins=[moved], partition_count=8) as gateway:
        for _ in range(2):
            for room in "abc":
                receipt = await gateway.send("bot", room, f"to {room}", key="k")
                assert "sandbox" == receipt.external_room_id == receipt.ref.external_room_id
        assert ["to a", "to b", "to c"] == channel.texts("sandbox")
        assert {"sandbox"} == set(channel.rooms)


@pytest.mark.parametrize("room", ["a", "b", "c", "d"])
async def test_a_key_finds_by_the_room_that_was_asked_for(engine, moved, room, autojump_clock):
    """Also once nothing is moved any more: the change goes to where the message is."""
    key = KeyRef(instance_id="bot", external_room_id=room, key="k")
    channel = FakeChannel()
    async with engine(channel, plugins=[moved], partition_count=8) as gateway:
        ticket = await gateway.enqueue("bot", room, "one", key="k")
        assert ticket.id == (await gateway.status(key)).envelope_id
        await gateway.edit(key, "two")
        assert ["two"] == channel.texts("sandbox")
        moved.change = lambda _envelope: None
        assert (await gateway.send("bot", room, "one", key="k")).replayed
        await gateway.edit(key, "three")
        await gateway.edit(ticket, "four")
        assert ["four"] == channel.texts("sandbox")
        await gateway.delete(key)
        assert {"sandbox": {}} == channel.rooms


async def test_what_belongs_to_the_former_room_stays_there(engine, moved, autojump_clock):
    """Its thread, the message it answers, and the interaction, by whose token it would go there."""
    asked = Interaction(token=Secret("t"), ends=2e9)
    channel = FakeChannel()
    async with engine(channel, plugins=[moved]) as gateway:
        ticket = await gateway.submit(
            Send(
                instance_id="bot",
                external_room_id="r",
                text="hello",
                thread_id="7",
                reply_to="9",
                interaction=asked,
                ephemeral=True,
            )
        )
        await ticket.receipt()
    attempt = channel.made[0].attempt
    assert ("send", "sandbox") == (attempt.operation, attempt.room)
    assert (None, None, None) == (attempt.thread, attempt.reply, attempt.interaction)


async def test_a_policy_may_name_a_thread_of_the_new_room(engine, autojump_clock):
    policy = Rewriting(lambda e: attrs.evolve(e, external_room_id="sandbox", thread_id="1"))
    channel = FakeChannel()
    async with engine(channel, plugins=[policy]) as gateway:
        await gateway.send("bot", "r", "hello", thread="7")
    assert "1" == channel.made[0].attempt.thread


async def test_bounds_are_those_of_the_room_that_it_goes_to(engine, moved, autojump_clock):
    channel = FakeChannel(latency=1)
    async with engine(channel, plugins=[moved], room_bound=2) as gateway:
        for room in "ab":
            await gateway.enqueue("bot", room, "x")
        with trio.move_on_after(0.5) as waiting:
            await gateway.enqueue("bot", "c", "x")
        assert waiting.cancelled_caught


async def test_an_edit_has_the_footer_too(engine, noted, autojump_clock):
    channel = FakeChannel()
    async with engine(channel, plugins=[noted]) as gateway:
        receipt = await gateway.send("bot", "r", "one")
        await gateway.edit(receipt.ref, "two")
        assert ["two" + NOTE] == channel.texts("r")


async def test_an_edit_stays_with_its_message(engine, moved, autojump_clock):
    """One that was sent before goes on in its room: an id there names another message here."""
    moved.change = lambda _envelope: None
    channel = FakeChannel()
    key = KeyRef(instance_id="bot", external_room_id="r", key="k")
    async with engine(channel, plugins=[moved]) as gateway:
        receipt = await gateway.send("bot", "r", "one", key="k")
        moved.change = to_sandbox
        for target in (receipt.ref, key):
            with pytest.raises(Invalid) as caught:
                await gateway.edit(target, "two")
            text = "a policy chose 'sandbox', but the message to change is in 'r'"
            assert [Problem("external_room_id", text)] == [*caught.value.problems]
        assert ["one"] == channel.texts("r")


async def test_a_reaction_goes_to_where_its_message_is(engine, moved, autojump_clock):
    """Like an edit: by the key of the room that was asked for, and to no other room."""
    channel = FakeChannel()
    key = KeyRef(instance_id="bot", external_room_id="r", key="k")
    async with engine(channel, plugins=[moved], partition_count=8) as gateway:
        sent = await gateway.send("bot", "r", "one", key="k")
        for target in (key, sent.ref):
            await gateway.react(target, "👍")
            made = channel.made[-1].attempt
            assert ("sandbox", sent.ref.parts[0].message_id) == (made.room, made.message_id)


async def test_a_reaction_is_not_moved_away_from_its_message(engine, moved, autojump_clock):
    moved.change = lambda _envelope: None
    key = KeyRef(instance_id="bot", external_room_id="r", key="k")
    async with engine(FakeChannel(), plugins=[moved]) as gateway:
        sent = await gateway.send("bot", "r", "one", key="k")
        moved.change = to_sandbox
        for target in (sent.ref, key):
            with pytest.raises(Invalid, match="a policy chose 'sandbox', but the message"):
                await gateway.react(target, "👍")


async def test_a_call_may_have_other_arguments_and_another_room(engine, autojump_clock):
    def change(call):
        return attrs.evolve(call, external_room_id="sandbox", arguments={"to": "nobody"})

    channel = FakeChannel()
    async with engine(channel, plugins=[Rewriting(change)]) as gateway:
        await gateway.call("bot", "r", "invite", {"to": "all"})
    attempt = channel.made[0].attempt
    assert ("sandbox", {"to": "nobody"}) == (attempt.room, attempt.arguments)


async def test_a_reply_and_a_message_that_is_enqueued_have_the_footer(
    engine, noted, autojump_clock
):
    channel = FakeChannel()
    async with engine(channel, plugins=[noted]) as gateway:
        await gateway.reply(event(room="r"), "one")
        await (await gateway.enqueue("bot", "r", "two")).receipt()
        assert ["one" + NOTE, "two" + NOTE] == channel.texts("r")


async def test_a_deletion_is_not_asked_about(engine, noted, autojump_clock):
    async with engine(plugins=[noted]) as gateway:
        receipt = await gateway.send("bot", "r", "one")
        await gateway.delete(receipt.ref)
        assert [Send] == [type(envelope) for envelope in noted.asked]


async def test_one_that_raises_refuses_the_envelope(engine, autojump_clock):
    """Nothing goes out that it would have hidden, and observers see no more of it."""

    class Hearing:
        heard = ()

        @hookimpl
        def after_refusal(self, envelope, error):
            self.heard += ((envelope.text, type(error)),)

    hearing, channel = Hearing(), FakeChannel()
    async with engine(channel, plugins=[hearing, Rewriting(fails)]) as gateway:
        with pytest.raises(HookContractError) as caught:
            await gateway.send("bot", "r", "hello", key="k")
        assert ("rewrite", "raised LookupError: no table") == (
            caught.value.hook,
            caught.value.text,
        )
        assert (("hello", HookContractError),) == hearing.heard
        assert ({}, 0, 1) == (
            channel.rooms,
            gateway.statistics().accepted,
            gateway.statistics().refused,
        )


async def test_observers_of_a_refusal_see_what_policies_made_of_it(engine, noted, autojump_clock):
    class Hearing:
        heard = ()

        @hookimpl
        def validate(self):
            return [Problem("text", "not today")]

        @hookimpl
        def after_refusal(self, envelope):
            self.heard += (envelope.text,)

    hearing = Hearing()
    async with engine(plugins=[hearing, noted]) as gateway:
        with pytest.raises(Invalid):
            await gateway.send("bot", "r", "hello")
        assert ("hello" + NOTE,) == hearing.heard


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"instance_id": "other"}, "Send of the same instance_id"),
        ({"key": "other"}, "Send of the same key"),
        ({"priority": "urgent"}, "Send of the same priority"),
        ({"ttl": 5.0}, "Send of the same ttl"),
        ({"mentions": True}, "Send of the same mentions"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "-",
)
async def test_nothing_else_may_be_changed(engine, change, text, autojump_clock):
    async with engine(plugins=[Rewriting(lambda e: attrs.evolve(e, **change))]) as gateway:
        with pytest.raises(HookContractError, match=f"answered with Send, expected {text}"):
            await gateway.send("bot", "r", "hello", key="k")


@pytest.mark.parametrize(
    "answer",
    [
        "hello",
        Edit(
            instance_id="bot",
            external_room_id="r",
            text="x",
            target=KeyRef(instance_id="bot", external_room_id="r", key="k"),
        ),
    ],
    ids=["text", "edit"],
)
async def test_an_answer_of_another_kind_refuses_it(engine, answer, autojump_clock):
    async with engine(plugins=[Rewriting(lambda _envelope: answer)]) as gateway:
        with pytest.raises(HookContractError, match="expected Send"):
            await gateway.send("bot", "r", "hello")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"text": " "}, "text"),
        ({"external_room_id": ""}, "external_room_id"),
        ({"text": 5}, "text"),
    ],
    ids=["empty", "nowhere", "number"],
)
async def test_what_cannot_be_sent_is_named_with_its_field(engine, change, place, autojump_clock):
    async with engine(plugins=[Rewriting(lambda e: attrs.evolve(e, **change))]) as gateway:
        with pytest.raises(Invalid) as caught:
            await gateway.send("bot", "r", "hello")
        assert [place] == [problem.place for problem in caught.value.problems]


async def test_an_envelope_that_is_wrong_in_itself_is_not_asked_about(engine, autojump_clock):
    policy = Rewriting(fails)
    async with engine(plugins=[policy]) as gateway:
        with pytest.raises(Invalid):
            await gateway.send("bot", "r", "")
        assert [] == policy.asked


# -- with an outbox


@pytest.mark.parametrize("ends", [True, False], ids=["ended", "unfinished"])
async def test_the_next_run_finds_by_the_room_that_was_asked_for(moved, ends, autojump_clock):
    """With another policy, too: what is stored is not asked about again."""
    outbox, channel = MemoryOutbox(), FakeChannel()
    key = KeyRef(instance_id="bot", external_room_id="r", key="k")
    due = None if ends else EPOCH + 60
    async with open_test_gateway(
        channel, plugins=[moved], outbox=outbox, partition_count=8
    ) as gateway:
        ticket = await gateway.enqueue("bot", "r", "one", key="k", not_before=due)
        if ends:
            await ticket.receipt()
    (policy := Rewriting(fails)).asked.clear()
    async with open_test_gateway(
        channel, plugins=[policy], outbox=outbox, partition_count=8
    ) as gateway:
        assert ticket.id == (await gateway.status(key)).envelope_id
        policy.change = lambda _envelope: None
        again = await gateway.enqueue("bot", "r", "one", key="k", not_before=due)
        assert ticket.id == again.id
        receipt = await gateway.edit(key, "two")
        assert "sandbox" == receipt.external_room_id
        assert ["two"] == channel.texts("sandbox")
        await gateway.delete(key)
    assert {"sandbox": {}} == channel.rooms
    assert [Send, Edit] == [type(envelope) for envelope in policy.asked]


async def test_an_entry_has_both_rooms_and_what_is_sent(moved, noted, autojump_clock):
    outbox = MemoryOutbox()
    async with open_test_gateway(plugins=[moved, noted], outbox=outbox) as gateway:
        ticket = await gateway.enqueue("bot", "r", "one", not_before=EPOCH + 60)
        entry = outbox.look_up(ticket.id).stored.entry
    assert ("r", "sandbox") == (entry.asked_room, entry.envelope.external_room_id)
    assert "one" + NOTE == entry.envelope.text == entry.plan[0].payload["text"]


async def test_what_is_erased_of_a_room_takes_the_keys_of_what_was_moved_there(
    moved, autojump_clock
):
    outbox, channel = MemoryOutbox(), FakeChannel()
    async with open_test_gateway(
        channel, plugins=[moved], outbox=outbox, partition_count=8
    ) as gateway:
        await gateway.send("bot", "r", "one", key="k")
        outbox.requested(Request(kind="erase", number=1, instance_id="bot", room="sandbox"))
        await trio.sleep(5)
        assert not (await gateway.send("bot", "r", "one", key="k")).replayed
