"""Checks a message's content as Slack does: text, Markdown or blocks, and their lengths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_contrib.emulators.rooms import Message
from gateway_contrib.emulators.slack import blocks
from gateway_contrib.emulators.slack.limits import SlackLimits
from gateway_contrib.emulators.slack.markup import called, shown, stored
from gateway_contrib.emulators.slack.refusals import Refusal
from gateway_contrib.emulators.slack.world import World

MOST_ATTACHMENTS = 100
CONTENT = ("text", "blocks", "attachments", "markdown_text")


def accepted(arguments: Mapping[str, Any], world: World) -> dict[str, Any]:
    """The arguments, with the text as Slack stores it. Raises Refusal for refused content."""
    text, markdown = arguments.get("text") or "", arguments.get("markdown_text") or ""
    if not isinstance(text, str) or not isinstance(markdown, str):
        raise Refusal("invalid_arguments", "must be a string [json-pointer:/text]")
    _check_markdown(arguments, markdown, world.limits)
    _check_attachments(arguments.get("attachments"))
    if arguments.get("blocks"):
        blocks.check(arguments["blocks"], world.files)
    if not text.strip() and not any(arguments.get(name) for name in CONTENT[1:]):
        raise Refusal("no_text")
    return {**arguments, "text": stored(text)}


def _check_markdown(arguments: Mapping[str, Any], markdown: str, limits: SlackLimits) -> None:
    if markdown and (arguments.get("text") or arguments.get("blocks")):
        raise Refusal("markdown_text_conflict")
    if len(markdown) > limits.markdown_text:
        raise Refusal("msg_too_long")


def _check_attachments(attachments: Any) -> None:
    if attachments and not isinstance(attachments, list):
        raise Refusal("invalid_attachments")
    if len(attachments or ()) > MOST_ATTACHMENTS:
        raise Refusal("too_many_attachments")


def shown_text(fields: Mapping[str, Any]) -> str:
    """The text that a reader sees: the message's blocks, else its Markdown, else its text."""
    if fields.get("blocks"):
        return blocks.visible(fields["blocks"])
    markdown = fields.get("markdown_text")
    return markdown if isinstance(markdown, str) and markdown else shown(fields.get("text") or "")


def visible_text(message: Message) -> str:
    """The text that a person reads in a stored message; the same as the message's `text`."""
    return shown_text(message.fields)


def pings(message: Message) -> tuple[str, ...]:
    """Whom a stored message notified: `@U…`, `!here`, `!channel`."""
    shown = message.fields.get("blocks")
    return called(message.fields) + (tuple(blocks.called(shown)) if shown else ())
