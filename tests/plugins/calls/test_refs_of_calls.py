"""A call that the platform answers with a message has a ref: by it the message is changed."""

from __future__ import annotations

import pytest
import trio

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core import Call, Delivered, Disposition, MessageRef, from_json, to_json
from gateway_core.testing import MemoryOutbox, virtual_wall

POSTS = {
    "telegram": ("sendMessage", {"text": "by a call"}),
    "slack": ("chat.postMessage", {"text": "by a call"}),
    "discord": ("POST /channels/{channel}/messages", {"content": "by a call"}),
}


@pytest.fixture
def posting(world):
    """Method and arguments of a call that makes a message."""
    return POSTS[world.name]


OUTBOXES = {
    "none": lambda _: None,
    "memory": lambda _: MemoryOutbox(),
    "sqlite": lambda path: SqliteOutbox(
        path / "o.db", SqliteSettings(in_thread=False), wall_clock=virtual_wall
    ),
}


@pytest.fixture(params=OUTBOXES)
def outbox(request, tmp_path):
    return OUTBOXES[request.param](tmp_path)


async def test_its_message_is_edited_and_deleted(world, posting, outbox, autojump_clock):
    method, arguments = posting
    async with world.opened(outbox) as gateway:
        made = await gateway.call("bot", world.room, method, arguments)
        assert isinstance(made, Delivered)
        assert [made.ref.parts[0].message_id] == [part.message_id for part in made.parts]
        assert [world.messages()[0].id] == [part.message_id for part in made.ref.parts]
        edited = await gateway.edit(made.ref, "edited")
        assert ["edited"] == world.texts()
        assert (made.ref.envelope_id, 1) == (edited.ref.envelope_id, edited.ref.revision)
        await gateway.delete(made.ref)  # the stale ref: what is known of the message is newer
    assert [] == world.texts()
    assert (1, 1, 1) == world.counts()


async def test_the_ref_is_as_good_in_the_next_run(world, posting, tmp_path, autojump_clock):
    """Stored beside one's own records; the outbox knows what became of the message."""
    method, arguments = posting
    async with world.opened(OUTBOXES["sqlite"](tmp_path)) as gateway:
        made = await gateway.call("bot", world.room, method, arguments)
        stored = to_json(made.ref)
    async with world.opened(OUTBOXES["sqlite"](tmp_path)) as gateway:
        await gateway.edit(from_json(MessageRef, stored), "edited")
        await gateway.delete(from_json(MessageRef, stored))
        gone = await gateway.edit(from_json(MessageRef, stored), "again", raises=False)
    assert [] == world.texts()
    assert Disposition.REJECTED == gone.disposition


async def test_a_ticket_is_a_target_before_the_call_is_made(world, posting, outbox, autojump_clock):
    method, arguments = posting
    call = Call(instance_id="bot", external_room_id=world.room, method=method, arguments=arguments)
    async with world.opened(outbox) as gateway:
        ticket = await gateway.submit(call)
        await gateway.react(ticket.ref, "👍")
        assert 1 == len(world.emulator.reactions(world.room, world.messages()[0].id))
        await gateway.edit(ticket, "edited")
        assert (await ticket.receipt()).ref == ticket.ref
    assert ["edited"] == world.texts()


async def test_a_repeated_key_gives_the_ref_again(world, posting, outbox, autojump_clock):
    method, arguments = posting
    async with world.opened(outbox) as gateway:
        first = await gateway.call("bot", world.room, method, arguments, key="k")
        again = await gateway.call("bot", world.room, method, arguments, key="k")
    assert again.replayed
    assert first.ref == again.ref
    assert ["by a call"] == world.texts()


NO_MESSAGE = {
    "telegram": [
        ("getChat", {}),
        ("deleteMessage", {"message_id": "{message}"}),
        ("sendMessage", {"text": "in another room", "chat_id": 8}),
    ],
    "slack": [
        ("conversations.info", {}),
        ("chat.postEphemeral", {"text": "for one", "user": "U024BE7LH"}),
        ("chat.delete", {"ts": "{message}"}),
    ],
    "discord": [
        ("GET /channels/{channel}", {}),
        ("GET /users/@me", {}),
        ("DELETE /channels/{channel}/messages/{message}", {"message": "{message}"}),
    ],
}


async def test_what_is_no_message_of_the_room_has_none(world, autojump_clock):
    """A channel's own id, a message that is gone, or one of another room."""
    async with world.opened() as gateway:
        sent = await gateway.send("bot", world.room, "text")
        name = sent.ref.parts[0].message_id
        for method, arguments in NO_MESSAGE[world.name]:
            filled = {key: name if v == "{message}" else v for key, v in arguments.items()}
            receipt = await gateway.call("bot", world.room, method, filled)
            assert (None, [None]) == (receipt.ref, [p.message_id for p in receipt.parts]), method
            assert receipt.delivered


async def test_a_call_that_was_accepted_before_a_kill_goes_to_its_room(
    world, posting, autojump_clock
):
    """It waits as the run is killed: the platform was away. Room and ref are those of the call."""
    method, arguments = posting
    outbox = MemoryOutbox()
    call = Call(
        instance_id="bot", external_room_id=world.room, method=method, arguments=arguments, key="k"
    )
    world.front.answers = lambda _method, _fields: (503, {"ok": False, "message": "away"})
    with trio.move_on_after(5):
        async with world.opened(outbox) as gateway:
            await gateway.submit(call)
            await trio.sleep_forever()
    world.front.answers = lambda _method, _fields: None
    async with world.opened(outbox) as gateway:
        receipt = await (await gateway.submit(call)).receipt()
        await gateway.edit(receipt.ref, "edited")
    assert ["edited"] == world.texts()
    assert world.room == receipt.ref.external_room_id
