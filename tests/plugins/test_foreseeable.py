"""Mixes of sends, edits and deletes, drawn at random: no refusal that could be foreseen."""

from __future__ import annotations

from random import Random

import attrs
import pytest
import trio

from gateway_contrib.emulators.discord import DiscordEmulator, DiscordLimits
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_core import Instance, Secret
from gateway_plugin_discord.settings import DiscordSettings
from gateway_plugin_slack.settings import Settings as SlackSettings
from gateway_plugin_telegram.settings import TelegramSettings

PEOPLE = [str(100 + n) for n in range(12)]
GROUPS = [str(-1001000000000 - n) for n in range(3)] + ["-7", "-8"]


def platform(channel, rng):
    """The emulator (a Discord with buckets that nobody knows yet), settings, address, rooms."""
    if channel == "telegram":
        settings = TelegramSettings(token=Secret("123456789:" + "a" * 35))
        return TelegramEmulator(), settings, "https://api.telegram.org", [*PEOPLE, *GROUPS]
    if channel == "slack":
        settings = SlackSettings(token=Secret("xoxb-1"))
        return SlackEmulator(), settings, "https://slack.com", [f"C0ROOM{n:02d}" for n in range(12)]
    limits = DiscordLimits(count=rng.randint(1, 6), per=rng.choice([1.0, 2.0, 5.0]))
    settings = DiscordSettings(token=Secret("a.b.c"))
    return DiscordEmulator(limits=limits), settings, "https://discord.com", PEOPLE[:8]


@attrs.define
class Caller:
    """Someone who writes to a room, and now and then edits or deletes what came last."""

    gateway: object
    rng: Random
    room: str

    async def write(self):
        last = None
        for number in range(self.rng.randint(3, 9)):
            what = "send" if last is None else self.rng.choice(["send", "send", "edit", "delete"])
            last = await getattr(self, what)(last, f"text {number}")

    async def send(self, _, text):
        priority = self.rng.choice(["urgent", "normal", "bulk"])
        order = self.rng.choice(["room", "none"])
        sent = await self.gateway.send("bot", self.room, text, priority=priority, order=order)
        return sent.ref

    async def edit(self, last, text):
        return (await self.gateway.edit(last, text)).ref

    async def delete(self, last, _):
        await self.gateway.delete(last)


@pytest.mark.parametrize("channel", ["telegram", "slack", "discord"])
@pytest.mark.parametrize("seed", range(4))
async def test_no_refusal_that_could_be_foreseen(open_to, autojump_clock, channel, seed):
    rng = Random(f"foreseeable {channel} {seed}")
    emulator, settings, host, rooms = platform(channel, rng)
    instance = Instance("bot", channel, settings)
    async with open_to(host, emulator.app, instance) as gateway, trio.open_nursery() as nursery:
        for room in rooms:
            for _ in range(rng.randint(1, 3)):
                nursery.start_soon(Caller(gateway, rng, room).write)
    assert emulator.counters["stored"] > 3 * len(rooms)
    assert 0 == emulator.counters["rate_limited"]
