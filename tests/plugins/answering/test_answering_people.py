"""People on the emulated platforms are answered: what they see of it, and when."""

from __future__ import annotations

from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_core import DeliveryError, Edit, GatewayConfig, Instance, Secret, open_gateway
from gateway_core.testing import open_network, virtual_wall
from gateway_plugin_discord.settings import DiscordSettings
from gateway_plugin_slack.settings import Settings
from gateway_plugin_telegram import TelegramSettings

CHANNEL, USER = "1100000000000000001", "1200000000000000007"
ROOM, PERSON = "C024BE91L", "U024BE7LH"


@asynccontextmanager
async def opened(instance, emulator, *hosts):
    async with open_network() as network:
        for host in hosts:
            network.mount(host, emulator.app)
        config = GatewayConfig(instances=[instance])
        async with open_gateway(config, wall_clock=virtual_wall) as gateway:
            yield gateway


@asynccontextmanager
async def on_discord():
    emulator = DiscordEmulator()
    bot = Instance("bot", "discord", DiscordSettings(token=Secret("a.b.c")))
    async with opened(bot, emulator, "https://discord.com") as gateway:
        yield gateway, emulator


@asynccontextmanager
async def on_slack():
    emulator = SlackEmulator()
    emulator.hooks_url = "https://hooks.slack.com"
    bot = Instance("bot", "slack", Settings(token=Secret("xoxb-1")))
    async with opened(bot, emulator, "https://slack.com", "https://hooks.slack.com") as gateway:
        yield gateway, emulator


def saw(entry):
    return [(seen.text, seen.ephemeral) for seen in entry.seen()]


def texts(emulator, room):
    return [message.text for message in emulator.rooms.conversation(room)]


@pytest.mark.parametrize("alone", [False, True])
async def test_a_slow_command_is_answered_in_time(alone, autojump_clock):
    """Where the bot may not write: the token opens the way."""
    async with on_discord() as (gateway, emulator):
        asked = emulator.people.command(CHANNEL, "ask", user=USER)
        async with gateway.typing(asked.event, ephemeral=alone):
            await trio.sleep(60)
        await gateway.reply(asked.event, "because", ephemeral=alone)
        await gateway.reply(asked.event, "and so on", ephemeral=alone)
    assert [("thinking…", alone), ("because", alone), ("and so on", alone)] == saw(asked)
    assert ([] if alone else ["because", "and so on"]) == texts(emulator, CHANNEL)


async def test_a_press_is_answered_and_its_message_stays(autojump_clock):
    async with on_discord() as (gateway, emulator):
        row = {"type": 1, "components": [{"type": 2, "style": 1, "label": "Yes", "custom_id": "y"}]}
        sent = await gateway.send("bot", CHANNEL, "Sure?", extra={"components": [row]})
        message = sent.ref.parts[0].message_id
        pressed = emulator.people.press(CHANNEL, message, "y", user=USER)
        await gateway.reply(pressed.event, "noted", ephemeral=True)
    assert [("noted", True)] == saw(pressed)
    assert "Sure?" == emulator.rooms.conversation(CHANNEL)[0].fields["content"]


async def test_a_long_answer_follows_up(autojump_clock):
    async with on_discord() as (gateway, emulator):
        asked = emulator.people.command(CHANNEL, "ask", user=USER)
        await gateway.reply(asked.event, "word " * 1000)
    assert 3 == len(texts(emulator, CHANNEL))
    assert 3 == len(saw(asked))


async def test_an_answer_for_one_alone_is_edited_by_its_token(autojump_clock):
    """The bot itself sees no such message."""
    async with on_discord() as (gateway, emulator):
        asked = emulator.people.command(CHANNEL, "ask", user=USER)
        receipt = await gateway.reply(asked.event, "one", ephemeral=True)
        where = gateway.address("bot", asked.event)
        answers = attrs.evolve(where.interaction, ends=virtual_wall() + 900)
        edit = Edit(
            instance_id="bot",
            external_room_id=CHANNEL,
            target=receipt.ref,
            text="two",
            interaction=answers,
        )
        assert (await (await gateway.submit(edit)).receipt()).delivered
    assert ("two", True) == saw(asked)[-1]


async def test_after_fifteen_minutes_the_room_is_used(autojump_clock):
    async with on_discord() as (gateway, emulator):
        asked = emulator.people.command(CHANNEL, "ask", user=USER)
        async with gateway.typing(asked.event):
            await trio.sleep(1_000)
        receipt = await gateway.reply(asked.event, "late")
    assert ["late"] == texts(emulator, CHANNEL)
    assert ("answered in the room",) == receipt.degradations


async def test_what_was_asked_long_ago_goes_to_nobody_but_whom_it_is_for(autojump_clock):
    async with on_discord() as (gateway, emulator):
        asked = emulator.people.command(CHANNEL, "ask", user=USER)
        await trio.sleep(1_000)
        with pytest.raises(DeliveryError):
            await gateway.reply(asked.event, "for you", ephemeral=True)
    assert [] == texts(emulator, CHANNEL)


async def test_typing_is_gone_with_the_answer(autojump_clock):
    async with on_discord() as (gateway, emulator):
        event = emulator.people.say(CHANNEL, "why?", user=USER)
        async with gateway.typing(event):
            await trio.sleep(25)
            assert ["typing"] == [sight.what for sight in emulator.screen.now(CHANNEL)]
        await gateway.reply(event, "because")
        assert [] == emulator.screen.now(CHANNEL)
        await trio.sleep(5)
        assert [] == emulator.screen.now(CHANNEL)
    log = [sight for sight in emulator.screen.log(CHANNEL) if sight.what == "typing"]
    assert 25 == max(sight.until for sight in log) - min(sight.since for sight in log)
    assert 0 == emulator.counters["rate_limited"]


async def test_a_slack_command_is_answered_where_the_bot_is_no_member(autojump_clock):
    async with on_slack() as (gateway, emulator):
        emulator.leave_room(ROOM)
        command = emulator.people.command(ROOM, "/ask", "why?", user=PERSON)
        emulator.people.acknowledge(command)
        await gateway.reply(command, "for you", ephemeral=True)
        await gateway.reply(command, "for all")
    assert ["for all"] == texts(emulator, ROOM)
    assert [("ephemeral", "for you", PERSON)] == [
        (sight.what, sight.text, sight.user) for sight in emulator.screen.log(ROOM)
    ]


async def test_the_sixth_answer_of_a_slack_command_goes_to_the_room(autojump_clock):
    async with on_slack() as (gateway, emulator):
        command = emulator.people.command(ROOM, "/ask", "why?", user=PERSON)
        emulator.people.acknowledge(command)
        receipts = [await gateway.reply(command, str(number)) for number in range(6)]
    assert [str(number) for number in range(6)] == texts(emulator, ROOM)
    assert [()] * 5 + [("answered in the room",)] == [each.degradations for each in receipts]


@pytest.mark.parametrize("room", [ROOM, "D024BE7LH"])
async def test_a_slack_status_stands_while_it_is_written(room, autojump_clock):
    async with on_slack() as (gateway, emulator):
        event = emulator.people.say(room, "why?", user=PERSON)
        async with gateway.typing(event):
            await trio.sleep(300)
            assert ["is typing…"] == [sight.text for sight in emulator.screen.now(room)]
        await trio.sleep(1)
        assert [] == emulator.screen.now(room)
        await gateway.reply(event, "because")
    assert ["why?", "because"] == texts(emulator, room)


async def test_a_person_on_slack_is_one_room(autojump_clock):
    """What is sent to them and what answers them is paced together."""
    async with on_slack() as (gateway, emulator):
        event = emulator.people.say("D024BE7LH", "hi", user=PERSON)
        for number in range(3):
            await gateway.send("bot", PERSON, str(number))
            await gateway.reply(event, f"re {number}")
    assert 7 == len(texts(emulator, "D024BE7LH"))
    assert 0 == emulator.counters["rate_limited"]


async def test_a_person_on_discord_is_one_room(autojump_clock):
    async with on_discord() as (gateway, emulator):
        first = await gateway.send("bot", f"@{USER}", "one")
        await gateway.send("bot", f"@{USER}", "two")
        await gateway.edit(first.ref, "three")
        room = first.moved_to
    assert ["three", "two"] == texts(emulator, room)


async def test_a_press_on_telegram_is_acknowledged_and_answered_in_the_chat(autojump_clock):
    emulator = TelegramEmulator()
    bot = Instance("bot", "telegram", TelegramSettings(token=Secret("1234567:" + "a" * 35)))
    async with opened(bot, emulator, "https://api.telegram.org") as gateway:
        keyboard = {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]}
        sent = await gateway.send("bot", "7", "Sure?", extra={"reply_markup": keyboard})
        update = emulator.people.press("7", sent.ref.parts[0].message_id, "y")
        await gateway.reply(update, "noted")
        assert {("acknowledge", "made"): 1} == gateway.statistics().instances[0].signs
    assert ["Sure?", "noted"] == texts(emulator, "7")


async def test_typing_on_telegram(autojump_clock):
    emulator = TelegramEmulator()
    bot = Instance("bot", "telegram", TelegramSettings(token=Secret("1234567:" + "a" * 35)))
    async with opened(bot, emulator, "https://api.telegram.org") as gateway:
        update = emulator.people.say("7", "why?")
        async with gateway.typing(update):
            await trio.sleep(30)
            assert ["typing"] == [sight.what for sight in emulator.screen.now("7")]
        await gateway.reply(update, "because")
        assert [] == emulator.screen.now("7")
    assert "because" == texts(emulator, "7")[-1]
    assert 0 == emulator.counters["rate_limited"]
