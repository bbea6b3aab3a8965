"""Chooses how to read a message's content, by its fields, not by the channel's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_contrib.cli.painting import discord, slack, telegram
from gateway_contrib.cli.painting.seen import Line


def seen(payload: Mapping[str, Any]) -> list[Line]:
    """The lines that a reader sees."""
    if "blocks" in payload or "mrkdwn" in payload:
        return slack.lines(payload)
    if "content" in payload:
        return discord.lines(payload)
    if "media" in payload:
        caption, entities = payload.get("caption", ""), payload.get("caption_entities", ())
        return telegram.lines({"text": caption, "entities": entities})
    return telegram.lines({"text": "", **payload})
