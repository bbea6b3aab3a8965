"""Which limits Telegram's operations draw on."""

from __future__ import annotations

import pytest

from gateway_core import Instance, Limit, Secret
from gateway_plugin_telegram import TelegramSettings, hooks

TOKEN = "123456789:AAbbCCddEEffGGhh-iiJJkkLLmm_nnOOpp"


def settings(**fields) -> TelegramSettings:
    return TelegramSettings(token=Secret(TOKEN), **fields)


CHAT = Limit("chat:7", 1, 1.0, "even", of="room")
BOT = Limit("bot", 30, 1.0, "even", most=30)
GROUP = [
    Limit("chat:-7", 1, 1.0, "even", of="room"),
    Limit("group:-7", 20, 60.0, "window", of="room"),
    BOT,
]


@pytest.mark.parametrize(
    ("room", "operation", "expected"),
    [
        ("7", "send", [CHAT, BOT]),
        ("7", "upload", [CHAT, BOT]),
        ("7", "edit", [CHAT, BOT]),
        ("7", "delete", [BOT]),
        ("-7", "send", GROUP),
        ("-7", "upload", GROUP),
        ("-7", "edit", GROUP),
        ("-7", "call:sendPhoto", GROUP),
        ("-7", "call:editMessageReplyMarkup", GROUP),
        ("-7", "call:copyMessage", GROUP),
        ("-7", "call:stopPoll", GROUP),
        ("@news", "send", [Limit("chat:@news", 1, 1.0, "even", of="room"), BOT]),
        ("-7", "call:setMessageReaction", [BOT]),
        ("-7", "call:sendChatAction", []),
        ("-7", "call:SENDCHATACTION", []),
        ("-7", "call:answerCallbackQuery", []),
        ("-7", "call:getChat", []),
    ],
)
def test_what_an_attempt_draws_on(instance, room, operation, expected):
    assert expected == list(hooks.rate_limit(instance, room, operation, "normal"))
    assert expected == list(hooks.rate_limit(instance, room, operation, "bulk"))


def test_a_higher_ceiling_leaves_bulk_at_what_is_documented():
    """Thirty a second are documented for bulk notifications; other classes may go beyond."""
    bot = Instance("i", "telegram", settings(bot_count=60))
    for priority in ("urgent", "normal"):
        assert [CHAT, Limit("bot", 60, start=30, most=60)] == list(
            hooks.rate_limit(bot, "7", "send", priority)
        )
    bulk = [CHAT, Limit("bulk", 30, most=30), Limit("bot", 60, start=30, most=60)]
    assert bulk == list(hooks.rate_limit(bot, "7", "send", "bulk"))
    assert bulk[1:] == list(hooks.rate_limit(bot, "7", "delete", "bulk"))


def test_limits_are_settings():
    own = settings(chat_count=2, chat_seconds=3, group_count=4, group_seconds=5, bot_count=6,
                   bot_seconds=7, bot_window=8)  # fmt: skip
    expected = [
        Limit("chat:-7", 2, 3, most=2, of="room"),
        Limit("group:-7", 4, 5, "window", of="room"),
        Limit("bot", 6, 7, "even", most=8),
    ]
    assert expected == list(
        hooks.rate_limit(Instance("i", "telegram", own), "-7", "send", "urgent")
    )
