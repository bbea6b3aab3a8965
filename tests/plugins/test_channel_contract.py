"""The contract that authors of channels are given, held against the three that are here."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import ClassVar

from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_core import Secret
from gateway_core.testing import ChannelContract, open_network
from gateway_plugin_discord import hooks as discord
from gateway_plugin_discord.settings import DiscordSettings
from gateway_plugin_slack import hooks as slack
from gateway_plugin_slack.settings import Settings as SlackSettings
from gateway_plugin_telegram import hooks as telegram
from gateway_plugin_telegram.settings import TelegramSettings


class Emulated(ChannelContract):
    """On the channel's emulator, in memory."""

    @asynccontextmanager
    async def platform(self):
        async with open_network() as network:
            emulator = self.emulator()
            for host in self.hosts:
                network.mount(host, emulator.app)
            yield network


class TestTelegram(Emulated):
    channel, adapter, room = "telegram", telegram, "7"
    hosts, emulator = ["https://api.telegram.org"], TelegramEmulator
    message: ClassVar = {"message_id": 1, "chat": {"id": 7, "type": "private"}, "from": {"id": 7}}
    event: ClassVar = {"update_id": 1, "message": message}

    def settings(self):
        return TelegramSettings(token=Secret("1234567:" + "a" * 35))


class TestSlack(Emulated):
    channel, adapter, room = "slack", slack, "C024BE91L"
    hosts, emulator = ["https://slack.com", "https://files.slack.com"], SlackEmulator
    event: ClassVar = {"type": "message", "channel": room, "ts": "1700000000.000100", "user": "U1"}

    def settings(self):
        return SlackSettings(token=Secret("xoxb-1"))


class TestDiscord(Emulated):
    channel, adapter, room = "discord", discord, "1100000000000000001"
    hosts, emulator = ["https://discord.com"], DiscordEmulator
    event: ClassVar = {"t": "MESSAGE_CREATE", "d": {"id": "12", "channel_id": room}}

    def settings(self):
        return DiscordSettings(token=Secret("a.b.c"))
