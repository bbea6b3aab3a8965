"""Texts, how each channel plans them, and characters as a reader sees them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gateway_core import Part, Secret, Send
from gateway_plugin_discord.rendering import parts as discord
from gateway_plugin_slack.rendering import parts as slack
from gateway_plugin_slack.settings import Settings as SlackSettings
from gateway_plugin_telegram.rendering import parts as telegram
from gateway_plugin_telegram.settings import TelegramSettings

TEXTS = sorted((Path(__file__).parents[3] / "texts").glob("[0-9]*.md"))


class Seen(NamedTuple):
    """One character as a reader sees it."""

    sign: str
    styles: frozenset[str]


def shown(text: str, styles: frozenset[str] = frozenset()) -> Iterator[Seen]:
    """White space is left out: where it may be added or dropped is not what is tested here."""
    return (Seen(sign, styles) for sign in text if not (sign.isspace() or sign == "\u200b"))


def message(source: str) -> Send:
    return Send(instance_id="i", external_room_id="1", text=source, format="markdown")


def on_telegram(source: str, limit: int = 4096) -> list[Part]:
    instance = TelegramSettings(token=Secret("1:" + "a" * 35), text_limit=limit)
    return list(telegram.parts_of(instance, message(source), "as_asked"))


def on_discord(source: str, limit: int = 2000) -> list[Part]:
    return list(discord.parts_of(message(source), limit=limit))


def on_slack(source: str, limit: int = 4000) -> list[Part]:
    instance = SlackSettings(token=Secret("xoxb-1"), part_bytes=limit)
    return list(slack.parts_of(instance, message(source), "as_asked"))


PLANS = {"telegram": on_telegram, "slack": on_slack, "discord": on_discord}
