"""A person as room: their direct messages are opened once, where the app may do that."""

import pytest

from gateway_core import GatewayConfig, open_gateway
from gateway_core.testing import virtual_wall

PERSON, CONVERSATION = "U024BE7LH", "D024BE7LH"


@pytest.fixture
def opened(instance):
    return lambda: open_gateway(GatewayConfig(instances=[instance]), wall_clock=virtual_wall)


def asked(slack):
    return [(request.method, request.fields.get("channel")) for request in slack.requests]


async def test_their_conversation_is_opened_once(slack, opened, autojump_clock):
    slack.will_say({"ok": True, "channel": {"id": CONVERSATION}})
    async with opened() as gateway:
        first = await gateway.send("support", PERSON, "one")
        await gateway.send("support", PERSON, "two")
        await gateway.edit(first.ref, "three")
    posted = ("chat.postMessage", CONVERSATION)
    assert [("conversations.open", None), posted, posted] == asked(slack)[:3]
    assert ("chat.update", CONVERSATION) == asked(slack)[3]
    assert PERSON == slack.requests[0].fields["users"]


async def test_an_app_that_may_not_open_it_posts_to_the_user(slack, opened, autojump_clock):
    slack.will_say({"ok": False, "error": "missing_scope", "needed": "im:write"})
    async with opened() as gateway:
        await gateway.send("support", PERSON, "one")
        await gateway.send("support", PERSON, "two")
    posted = ("chat.postMessage", PERSON)
    assert [("conversations.open", None), posted, posted] == asked(slack)


async def test_a_stored_message_to_a_person_is_edited_in_their_conversation(
    slack, opened, autojump_clock
):
    """By a process that does not know where the room went."""
    slack.will_say({"ok": True, "channel": {"id": CONVERSATION}})
    async with opened() as gateway:
        first = await gateway.send("support", PERSON, "one")
    slack.will_say({"ok": True, "channel": {"id": CONVERSATION}})
    async with opened() as gateway:
        await gateway.edit(first.ref, "two")
    assert ("chat.update", CONVERSATION) == asked(slack)[-1]
