"""The Telegram channel of the outbound gateway. Start reading at `hooks`."""

from gateway_plugin_telegram.errors.verdicts import TelegramApiError
from gateway_plugin_telegram.settings import TelegramSettings

__all__ = ["TelegramApiError", "TelegramSettings"]
