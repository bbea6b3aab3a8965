"""An event comes in, and is answered where it came from: once, however often it is delivered."""

from __future__ import annotations

import pytest

from gateway_core import HookContractError, UnknownInstance
from gateway_core.authors import hookimpl
from gateway_core.testing import FakeChannel, open_test_gateway

EVENTS = {
    "telegram": lambda room, message: {
        "update_id": 7,
        "message": {"message_id": int(message), "date": 0, "chat": {"id": int(room)}},
    },
    "slack": lambda room, message: {
        "type": "event_callback",
        "event": {"type": "app_mention", "channel": room, "ts": message},
    },
    "discord": lambda room, message: {
        "t": "MESSAGE_CREATE",
        "d": {"id": message, "channel_id": room, "author": {}},
    },
}


async def test_an_event_is_answered_once_where_it_came_from(world, autojump_clock):
    """The platform delivers its event twice, and whoever writes the answer words it anew."""
    async with world.opened() as gateway:
        asked = await gateway.send("bot", world.room, "what is the time?")
        event = EVENTS[world.name](world.room, asked.ref.parts[0].message_id)
        for words in ("half past three", "15:30"):
            where = gateway.address("bot", event)
            answer = await gateway.send(
                "bot",
                where.external_room_id,
                words,
                thread=where.thread_id,
                reply_to=where.reply_to,
                key=where.key,
                on_conflict="replay",
            )
    assert answer.replayed
    question, answered = world.messages()
    assert question.id in (answered.reply_to, answered.thread)
    assert ["what is the time?", "half past three"] == world.texts()


async def test_what_is_of_no_conversation_has_no_address(world, autojump_clock):
    async with world.opened() as gateway:
        assert gateway.address("bot", {"type": "poll"}) is None
        with pytest.raises(UnknownInstance, match="configured: bot"):
            gateway.address("tob", {})


class Cased:
    """A policy that knows an event which the adapter does not."""

    @hookimpl
    def address(self, event):
        return {"wrong": 7}.get(event)


async def test_a_policy_may_answer_and_is_held_to_the_contract(autojump_clock):
    async with open_test_gateway(FakeChannel(), plugins=[Cased()]) as gateway:
        assert gateway.address("bot", "unknown") is None
        with pytest.raises(HookContractError, match="address"):
            gateway.address("bot", "wrong")
