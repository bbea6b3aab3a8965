"""A local Discord: its HTTP API v10, with buckets, nonces, refusals and faults."""

from gateway_contrib.emulators.discord.emulator import DiscordEmulator
from gateway_contrib.emulators.discord.interactions.entries import Interaction
from gateway_contrib.emulators.discord.limits import DiscordLimits

__all__ = ["DiscordEmulator", "DiscordLimits", "Interaction"]
