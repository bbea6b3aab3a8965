"""A platform that answers nothing for two seconds, and then everything at once."""

import pytest
from amounts import amount

from bench.recovery_stalls import STALL, run
from bench.worlds import PLATFORMS
from gateway_contrib.emulators.telegram import TelegramEmulator, TelegramLimits
from gateway_core import Instance, Secret
from gateway_core.plugins.loader import Filter, bind
from gateway_core.testing.channel_contract.paces import paces_without_bound
from gateway_plugin_discord import hooks as discord
from gateway_plugin_discord.settings import DiscordSettings
from gateway_plugin_slack import hooks as slack
from gateway_plugin_slack.settings import Settings as SlackSettings
from gateway_plugin_telegram import TelegramSettings
from gateway_plugin_telegram import hooks as telegram

NEAR, FAR = (0.020, 0.080), (0.100, 0.300)
STALLS = [
    ("telegram", False, FAR),
    ("telegram", True, NEAR),
    ("slack", False, NEAR),
    ("discord", False, FAR),
    ("telegram", False, NEAR),
    ("telegram", True, FAR),
    ("slack", False, FAR),
    ("discord", False, NEAR),
]
"""A short run looks at each channel once, and at both ways in which Telegram may count."""


def emulated(channel, slides):
    if channel == "telegram":
        return TelegramEmulator(limits=TelegramLimits(bot_slides=slides))
    return PLATFORMS[channel].emulator()


@pytest.mark.parametrize(("channel", "slides", "latency"), STALLS[: amount("stalls")])
def test_a_stall_provokes_no_refusal_and_costs_its_own_time(channel, slides, latency):
    platform = PLATFORMS[channel]
    ideal = run(platform, emulated(channel, slides), stall=0.0, latency=latency)
    row = run(platform, emulated(channel, slides), latency=latency)
    assert (0, 0) == (ideal.refused, row.refused)
    assert row.seconds - ideal.seconds < STALL + 0.2


ACCOUNTS = [
    ("telegram", telegram, TelegramSettings(token=Secret("1:a"), bot_count=60), "7", "8"),
    ("telegram", telegram, TelegramSettings(token=Secret("1:a"), chat_count=3), "-7", "-8"),
    ("slack", slack, SlackSettings(token=Secret("xoxb-1"), post_count=3), "C1", "C2"),
    ("discord", discord, DiscordSettings(token=Secret("a.b.c")), "11", "12"),
]


@pytest.mark.parametrize(("channel", "adapter", "settings", "room", "other"), ACCOUNTS)
@pytest.mark.parametrize("priority", ["normal", "bulk"])
def test_every_pace_has_a_bound_whatever_is_configured(
    channel, adapter, settings, room, other, priority
):
    hooks = bind([(channel, adapter)], Filter(allow=("nobody",)))[channel]
    instance = Instance("i", channel, settings)
    here, there = (
        hooks.rate_limit(instance, name, None, "send", priority) for name in (room, other)
    )
    paces = [limit for limit in here if limit.pace == "even" and limit.count > 1]
    assert [] == paces_without_bound(here, there)
    assert paces
    assert all(limit.most is not None for limit in paces)
