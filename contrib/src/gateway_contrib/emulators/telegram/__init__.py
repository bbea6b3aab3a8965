"""A local Telegram: the Bot API's server side, as an ASGI application."""

from gateway_contrib.emulators.telegram.app import TelegramEmulator
from gateway_contrib.emulators.telegram.flood import TelegramLimits

__all__ = ["TelegramEmulator", "TelegramLimits"]
