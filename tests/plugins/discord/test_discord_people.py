"""A person as room: their direct messages are opened once, and remembered."""

import pytest

from gateway_core import DeliveryError, GatewayConfig, Invalid, open_gateway
from gateway_core.testing import MemoryOutbox, virtual_wall

PERSON, CHANNEL = "@80351110224678912", "1100000000000000009"
OPENED = ("POST", "/users/@me/channels")
POSTED = ("POST", f"/channels/{CHANNEL}/messages")


@pytest.fixture
def opened(instance):
    def opening(outbox=None):
        config = GatewayConfig(instances=[instance])
        return open_gateway(config, wall_clock=virtual_wall, outbox=outbox)

    return opening


def asked(discord):
    return [(request.verb, request.path) for request in discord.requests]


async def test_their_channel_is_opened_once(discord, opened, autojump_clock):
    discord.will_say({"id": CHANNEL, "type": 1})
    async with opened() as gateway:
        first = await gateway.send("support", PERSON, "one")
        await gateway.send("support", PERSON, "two")
        await gateway.edit(first.ref, "three")
    assert [OPENED, POSTED, POSTED] == asked(discord)[:3]
    assert {"recipient_id": "80351110224678912"} == discord.requests[0].body
    assert asked(discord)[3][1].startswith(f"/channels/{CHANNEL}/messages/")
    assert (CHANNEL, False) == (first.moved_to, first.possible_duplicate)


async def test_it_is_remembered_over_a_restart(discord, opened, autojump_clock):
    outbox = MemoryOutbox()
    discord.will_say({"id": CHANNEL, "type": 1})
    for text in ("one", "two"):
        async with opened(outbox) as gateway:
            await gateway.send("support", PERSON, text)
    assert [OPENED, POSTED, POSTED] == asked(discord)


async def test_whoever_is_not_there_has_no_room(discord, opened, autojump_clock):
    discord.will_say({"code": 50033, "message": "Invalid Recipient(s)"}, status=400)
    async with opened() as gateway:
        with pytest.raises(DeliveryError, match="room_gone"):
            await gateway.send("support", PERSON, "one")


@pytest.mark.parametrize("room", ["@", "@ada", "@0", "ada"])
async def test_what_is_no_user_is_refused(opened, room, autojump_clock):
    async with opened() as gateway:
        with pytest.raises(Invalid, match="external_room_id"):
            await gateway.send("support", room, "one")
