"""Reactions and pins on the emulated platforms: what they take, what they refuse, and how many."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from gateway_contrib.emulators.discord import DiscordEmulator, DiscordLimits
from gateway_contrib.emulators.telegram import TelegramEmulator, TelegramLimits
from gateway_core.http import open_client
from gateway_core.testing import open_network

URL = "https://platform.example"
ROOM = "1100000000000000001"


@pytest.fixture
async def asking():
    """Opens a client of an emulator: `await asking(emulator)`."""
    async with open_network() as network, trio.open_nursery() as nursery:

        async def make(emulator):
            network.mount(URL, emulator.app)
            client = open_client(base_url=URL, headers={"authorization": "Bot t"})
            return await nursery.start(_held, client)

        yield make
        nursery.cancel_scope.cancel()


async def _held(client, *, task_status):
    async with client as http:
        task_status.started(http)
        await trio.sleep_forever()


def telegram(http):
    async def ask(method, **fields):
        answer = await http.request("POST", f"/bot1:a/{method}", json={"chat_id": 7, **fields})
        body = answer.json()
        return body.get("description", body.get("result"))

    return ask


def emoji(*characters):
    return [{"type": "emoji", "emoji": character} for character in characters]


async def test_telegram_takes_one_reaction_of_its_list(asking, autojump_clock):
    emulator = TelegramEmulator()
    ask = telegram(await asking(emulator))
    await ask("sendMessage", text="hello")
    for reaction, said in [
        (emoji("👍"), True),
        (emoji("❤️"), "Bad Request: REACTION_INVALID"),  # with its variation selector
        (emoji("🦀"), "Bad Request: REACTION_INVALID"),
        (["👍"], "Bad Request: REACTION_INVALID"),
        ([{"type": "custom_emoji", "custom_emoji_id": "x"}], "Bad Request: REACTION_INVALID"),
        (emoji("👍", "❤"), "Bad Request: REACTIONS_TOO_MANY"),
        (emoji("❤"), True),
    ]:
        assert said == await ask("setMessageReaction", message_id=1, reaction=reaction)
    assert emoji("❤") == emulator.reactions("7", "1")
    custom = [{"type": "custom_emoji", "custom_emoji_id": "5368324170671202286"}]
    assert await ask("setMessageReaction", message_id=1, reaction=custom)
    assert await ask("setMessageReaction", message_id=1)
    assert [] == emulator.reactions("7", "1")


async def test_telegram_tells_members_of_a_pin_unless_it_is_silent(asking, autojump_clock):
    emulator = TelegramEmulator()
    ask = telegram(await asking(emulator))
    await ask("sendMessage", text="hello")
    assert await ask("pinChatMessage", message_id=1, disable_notification=True)
    assert ([], ["1"]) == (emulator.notified("7"), emulator.pins("7"))
    assert await ask("unpinChatMessage", message_id=1)
    assert await ask("unpinChatMessage", message_id=1)  # not pinned, and no error
    assert await ask("pinChatMessage", message_id=1)
    assert (["1"], ["1"]) == (emulator.notified("7"), emulator.pins("7"))
    gone = "Bad Request: message to unpin not found"
    assert gone == await ask("unpinChatMessage", message_id=9)


async def test_telegram_counts_them_among_the_bots_requests(asking, autojump_clock):
    ask = telegram(await asking(TelegramEmulator(limits=TelegramLimits(bot_count=3))))
    await ask("sendMessage", text="hello")
    assert await ask("pinChatMessage", message_id=1)
    assert await ask("setMessageReaction", message_id=1, reaction=emoji("👍"))
    assert str(await ask("unpinChatMessage", message_id=1)).startswith("Too Many Requests")


def discord(http):
    async def ask(verb, path, body=None):
        answer = await http.request(verb, f"/api/v10/channels/{ROOM}{path}", json=body)
        return answer.json() if answer.body else answer.status

    return ask


async def test_discord_takes_characters_and_a_servers_own(asking, autojump_clock):
    emulator = DiscordEmulator(limits=DiscordLimits(count=100, reactions=2))
    ask = discord(await asking(emulator))
    name = (await ask("POST", "/messages", {"content": "hello"}))["id"]
    for written, said in [
        ("%F0%9F%91%8D", 204),
        ("rocket%3A123456789012345678", 204),
        ("%F0%9F%91%8D", 204),
        ("thumbsup", 10014),
        ("%3Athumbsup%3A", 10014),
        ("%E2%9D%A4", 30010),
    ]:
        answer = await ask("PUT", f"/messages/{name}/reactions/{written}/@me")
        assert said == (answer["code"] if isinstance(answer, dict) else answer)
    given = [reaction for _, reaction in emulator.reactions(ROOM, name)]
    assert ["👍", "rocket:123456789012345678"] == given
    assert 10014 == (await ask("DELETE", f"/messages/{name}/reactions/x/@me"))["code"]


async def test_discord_takes_so_many_pins(asking, autojump_clock):
    emulator = DiscordEmulator(limits=DiscordLimits(count=100, pins=2))
    ask = discord(await asking(emulator))
    names = [(await ask("POST", "/messages", {"content": "x"}))["id"] for _ in range(3)]
    assert [204, 204] == [await ask("PUT", f"/messages/pins/{name}") for name in names[:2]]
    assert 204 == await ask("PUT", f"/messages/pins/{names[0]}")  # it is there already
    assert 30003 == (await ask("PUT", f"/messages/pins/{names[2]}"))["code"]
    assert names[:2] == emulator.pins(ROOM)
