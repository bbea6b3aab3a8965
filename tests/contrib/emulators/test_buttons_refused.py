"""Buttons that the emulated platforms refuse, as the real ones do, and what their pages show."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_contrib.emulators.buttons import Button
from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_contrib.emulators.page import rooms_page
from gateway_contrib.emulators.rooms import Message, Rooms
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_core import GatewayConfig, Instance, Secret, open_gateway
from gateway_core.testing import open_network, virtual_wall
from gateway_plugin_discord.settings import DiscordSettings
from gateway_plugin_slack.settings import Settings as SlackSettings
from gateway_plugin_telegram import TelegramSettings

PLATFORMS: dict[str, Any] = {
    "telegram": (
        TelegramEmulator,
        TelegramSettings(token=Secret("1234567:" + "a" * 35)),
        "https://api.telegram.org",
        "7",
    ),
    "slack": (
        SlackEmulator,
        SlackSettings(token=Secret("xoxb-1")),
        "https://slack.com",
        "C024BE91L",
    ),
    "discord": (
        DiscordEmulator,
        DiscordSettings(token=Secret("a.b.c")),
        "https://discord.com",
        "1100000000000000001",
    ),
}


def keyboard(**button: Any) -> dict[str, Any]:
    return {"reply_markup": {"inline_keyboard": [[{"text": "a", **button}]]}}


def actions(*buttons: dict[str, Any]) -> dict[str, Any]:
    shown = [
        {"type": "button", "text": {"type": "plain_text", "text": "a"}, **button}
        for button in buttons
    ]
    return {"blocks": [{"type": "actions", "elements": shown}]}


def rows(*shown: list[dict[str, Any]]) -> dict[str, Any]:
    made = [[{"type": 2, "style": 2, "label": "a", **button} for button in row] for row in shown]
    return {"components": [{"type": 1, "components": row} for row in made]}


LONG = {"type": "plain_text", "text": "x" * 76}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("telegram", keyboard(callback_data="x" * 65), "BUTTON_DATA_INVALID"),
    ("telegram", keyboard(callback_data=""), "BUTTON_DATA_INVALID"),
    ("telegram", keyboard(), "Text buttons are unallowed"),
    ("telegram", keyboard(url="ftp://a.example"), "Unsupported URL protocol"),
    ("slack", actions({"text": LONG}), "must be less than 76 characters"),
    ("slack", actions({"value": "x" * 2_001}), "must be less than 2001 characters"),
    ("slack", actions({"url": "x" * 3_001}), "must be less than 3001 characters"),
    ("slack", actions({"style": "gold"}), "unsupported style"),
    ("slack", actions({"action_id": "a"}, {"action_id": "a"}), "unique within a block"),
    ("slack", actions(*[{}] * 26), "no more than 25 items"),
    ("discord", rows([{"custom_id": "x" * 101}]), "100 or fewer"),
    ("discord", rows([{"custom_id": "a", "label": "x" * 81}]), "80 or fewer"),
    ("discord", rows([{"style": 5, "url": "x" * 513}]), "512 or fewer"),
    ("discord", rows([{"style": 5}]), "required"),
    ("discord", rows([{}]), "required"),
    ("discord", rows([{"custom_id": "a"}, {"custom_id": "a"}]), "cannot be duplicated"),
    ("discord", rows([]), "between 1 and 5"),
    ("discord", rows(*[[{"custom_id": str(n)}] for n in range(6)]), "between 1 and 5"),
    ("discord", {"components": [{"type": 2, "custom_id": "a", "style": 1}]}, "must be one of"),
]


@pytest.mark.parametrize(("name", "extra", "words"), REFUSED)
async def test_buttons_that_no_platform_takes_are_refused(name, extra, words, autojump_clock):
    kind, settings, host, room = PLATFORMS[name]
    emulator = kind()
    async with open_network() as network:
        network.mount(host, emulator.app)
        config = GatewayConfig(instances=[Instance("bot", name, settings)])
        async with open_gateway(config, wall_clock=virtual_wall) as gateway:
            receipt = await gateway.send("bot", room, "a", extra=extra, raises=False)
    if name == "slack":  # which is asked again without its blocks
        assert () == emulator.rooms.conversation(room)[0].buttons
        assert ("blocks and attachments",) == receipt.parts[0].degraded[-1:]
    else:
        assert [] == emulator.rooms.conversation(room)
    assert words in str(receipt.verdict.raw)


def test_the_page_shows_buttons_and_nobody_presses_them():
    rooms = Rooms()
    row = (Button("<b>Yes</b>", "y"), Button("Guide", url="https://example.org"))
    rooms.add(Message(id="1", room="7", text="Sure?", buttons=(row,)))
    page = rooms_page("telegram", rooms)
    assert '<div><kbd title="y">&lt;b&gt;Yes&lt;/b&gt;</kbd>' in page
    assert '<kbd title="https://example.org">Guide</kbd>' in page
    assert "<a " not in page
    assert "<button" not in page
