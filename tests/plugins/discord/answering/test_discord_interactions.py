"""Interactions on Discord: deferred, then the deferred answer edited, or a message that follows."""

import pytest
import trio

from gateway_core import DeliveryError, GatewayConfig, Invalid, open_gateway
from gateway_core.testing import virtual_wall

ROOM = "1100000000000000001"
MESSAGE = "1200000000000000001"
COMMAND = {"id": "9", "application_id": "3", "type": 2, "token": "t0p", "channel_id": ROOM}
PRESS = {**COMMAND, "type": 3, "message": {"id": MESSAGE}}
WRITTEN = {"t": "MESSAGE_CREATE", "d": {"id": "5", "channel_id": ROOM}}
CALLBACK = ("POST", "/interactions/9/t0p/callback")
ORIGINAL = ("PATCH", "/webhooks/3/t0p/messages/@original")
FOLLOW_UP = ("POST", "/webhooks/3/t0p")
IN_ROOM = ("POST", f"/channels/{ROOM}/messages")


@pytest.fixture
def opened(instance):
    return lambda: open_gateway(GatewayConfig(instances=[instance]), wall_clock=virtual_wall)


def asked(discord):
    return [(request.verb, request.path) for request in discord.requests]


async def test_a_command_is_deferred_and_its_answers_follow(discord, opened, autojump_clock):
    async with opened() as gateway:
        for text in ("one", "two"):
            receipt = await gateway.reply(COMMAND, text)
    assert [CALLBACK, ORIGINAL, FOLLOW_UP] == asked(discord)
    assert {"type": 5} == discord.requests[0].body
    first, second = discord.requests[1:]
    assert ("one", {"parse": []}) == (first.body["content"], first.body["allowed_mentions"])
    assert {"content": "two", "allowed_mentions": {"parse": []}, "flags": 4} == second.body
    assert MESSAGE == receipt.ref.parts[0].message_id


async def test_an_answer_for_one_alone_is_deferred_as_such(discord, opened, autojump_clock):
    """Who sees the deferred answer is decided as it is deferred; a message says it itself."""
    async with opened() as gateway:
        for _ in range(2):
            await gateway.reply(COMMAND, "for you", ephemeral=True)
    assert {"type": 5, "data": {"flags": 64}} == discord.requests[0].body
    assert [4, 68] == [request.body["flags"] for request in discord.requests[1:]]


async def test_a_press_leaves_its_message_as_it_is(discord, opened, autojump_clock):
    async with opened() as gateway:
        await gateway.reply(PRESS, "for you", ephemeral=True)
    assert [CALLBACK, FOLLOW_UP] == asked(discord)
    assert {"type": 6} == discord.requests[0].body
    assert 68 == discord.requests[1].body["flags"]


async def test_what_no_edit_takes_follows_up(discord, opened, autojump_clock):
    async with opened() as gateway:
        await gateway.reply(COMMAND, "which?", extra={"poll": {"question": {"text": "?"}}})
    assert [CALLBACK, FOLLOW_UP] == asked(discord)


async def test_what_the_bot_has_answered_itself_is_followed_up(discord, opened, autojump_clock):
    discord.will_say({"code": 40060, "message": "already acknowledged"}, status=400)
    async with opened() as gateway:
        await gateway.reply(COMMAND, "one")
    assert [CALLBACK, FOLLOW_UP] == asked(discord)


@pytest.mark.parametrize(
    ("status", "code"), [(404, 10015), (401, 50027), (404, 10062), (404, 10008)]
)
async def test_a_token_that_has_ended_leads_to_the_room(
    discord, opened, status, code, autojump_clock
):
    discord.will_say(b"", status=204)
    discord.will_say({"code": code, "message": "Unknown Webhook"}, status=status)
    async with opened() as gateway:
        receipt = await gateway.reply(PRESS, "one")
    assert [CALLBACK, FOLLOW_UP, IN_ROOM] == asked(discord)
    assert MESSAGE == discord.requests[2].body["message_reference"]["message_id"]
    assert ("answered in the room",) == receipt.degradations


async def test_what_is_for_one_alone_is_never_shown_to_the_room(discord, opened, autojump_clock):
    discord.will_say(b"", status=204)
    discord.will_say({"code": 50027, "message": "Invalid Webhook Token"}, status=401)
    async with opened() as gateway:
        with pytest.raises(DeliveryError, match="unauthorized"):
            await gateway.reply(COMMAND, "secret", ephemeral=True)
    assert IN_ROOM not in asked(discord)


async def test_no_log_shows_the_token(discord, opened, autojump_clock, capsys):
    discord.will_say({"code": 50035, "message": "bad t0p"}, status=400)
    discord.will_say({"code": 50035, "message": "bad t0p"}, status=400)
    async with opened() as gateway:
        with pytest.raises(DeliveryError) as raised:
            await gateway.reply(COMMAND, "one")
    assert "t0p" not in f"{capsys.readouterr()}{raised.value!r}{raised.value}"


async def test_a_follow_up_waits_for_its_own_bucket(discord, opened, autojump_clock):
    spent = {"x-ratelimit-bucket": "b", "x-ratelimit-remaining": "0"}
    discord.will_say(b"", status=204)
    discord.will_say(
        {"id": MESSAGE, "channel_id": ROOM}, headers=spent | {"x-ratelimit-reset-after": "3"}
    )
    async with opened() as gateway:
        await gateway.reply(PRESS, "one")
        await gateway.send("support", ROOM, "the room does not wait")
        begun = trio.current_time()
        await gateway.reply(PRESS, "two")
    assert pytest.approx(3, abs=0.2) == trio.current_time() - begun


async def test_typing_in_a_channel(discord, opened, autojump_clock):
    async with opened() as gateway, gateway.typing(WRITTEN):
        await trio.sleep(20)
    assert [("POST", f"/channels/{ROOM}/typing")] * 3 == asked(discord)


async def test_typing_at_a_command_defers_its_answer(discord, opened, autojump_clock):
    async with opened() as gateway:
        async with gateway.typing(COMMAND):
            await trio.sleep(20)
            with pytest.raises(Invalid, match="ephemeral"):
                await gateway.reply(COMMAND, "for you", ephemeral=True)
        await gateway.reply(COMMAND, "for all")
    assert [CALLBACK, ORIGINAL] == asked(discord)
