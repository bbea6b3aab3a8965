"""Reactions with the emoji quoted in the path, and pins, each in the message's own channel."""

from __future__ import annotations

import pytest

from gateway_core import GatewayConfig, open_gateway
from gateway_core.authors import Mark, Problem
from gateway_core.testing import virtual_wall
from gateway_plugin_discord import hooks

ROOM, THREAD, MESSAGE = "1100000000000000001", "1100000000000000002", "1200000000000000001"


@pytest.fixture
def opened(instance):
    return lambda: open_gateway(GatewayConfig(instances=[instance]), wall_clock=virtual_wall)


@pytest.mark.parametrize(
    ("emoji", "quoted"),
    [
        ("👍", "%F0%9F%91%8D"),
        ("❤️", "%E2%9D%A4%EF%B8%8F"),
        ("rocket_2:123456789012345678", "rocket_2%3A123456789012345678"),
        ("<:rocket_2:123456789012345678>", "rocket_2%3A123456789012345678"),
        ("<a:rocket_2:123456789012345678>", "rocket_2%3A123456789012345678"),
    ],
)
async def test_the_emoji_is_quoted_in_the_path(discord, opened, autojump_clock, emoji, quoted):
    async with opened() as gateway:
        sent = await gateway.send("support", ROOM, "hello", thread=THREAD)
        discord.will_say(status=204)
        discord.will_say(status=204)
        await gateway.react(sent.ref, emoji)
        await gateway.unreact(sent.ref, emoji)
    path = f"/channels/{THREAD}/messages/{MESSAGE}/reactions/{quoted}/@me"
    assert [("PUT", path), ("DELETE", path)] == [(r.verb, r.path) for r in discord.requests[1:]]


async def test_a_pin_is_put_and_deleted(discord, opened, autojump_clock):
    async with opened() as gateway:
        sent = await gateway.send("support", ROOM, "hello")
        discord.will_say(status=204)
        discord.will_say(status=204)
        await gateway.pin(sent.ref, silent=True)
        await gateway.unpin(sent.ref)
    path = f"/channels/{ROOM}/messages/pins/{MESSAGE}"
    assert [("PUT", path), ("DELETE", path)] == [(r.verb, r.path) for r in discord.requests[1:]]


async def test_who_may_not_pin_is_told_so_and_the_room_goes_on(discord, opened, autojump_clock):
    """PIN_MESSAGES is missing: that says nothing of sending."""
    async with opened() as gateway:
        sent = await gateway.send("support", ROOM, "hello")
        discord.will_say({"code": 50013, "message": "Missing Permissions"}, status=403)
        receipt = await gateway.pin(sent.ref, raises=False)
        assert ("rejected", "forbidden") == (receipt.disposition, receipt.verdict.reason)
        assert (await gateway.send("support", ROOM, "more")).delivered


def test_a_name_is_no_emoji():
    text = "':thumbsup:' is neither an emoji nor the name:id of a custom emoji"
    assert Problem("emoji", text) == hooks.mark(Mark(what="react", emoji=":thumbsup:"))


@pytest.mark.parametrize(("verb", "outcome"), [("react", "failed"), ("unreact", "unchanged")])
async def test_an_emoji_that_discord_does_not_know_is_not_there(
    discord, opened, autojump_clock, verb, outcome
):
    async with opened() as gateway:
        sent = await gateway.send("support", ROOM, "hello")
        discord.will_say({"code": 10014, "message": "Unknown Emoji"}, status=400)
        receipt = await getattr(gateway, verb)(sent.ref, "👍", raises=False)
    assert [outcome] == [part.outcome for part in receipt.parts]
