"""A local Telegram: the Bot API's server side, as an ASGI application."""

from gateway_contrib.emulators.telegram.emulator import TelegramEmulator
from gateway_contrib.emulators.telegram.limits import TelegramLimits

__all__ = ["TelegramEmulator", "TelegramLimits"]
