"""Performs a post to a response_url or an incoming webhook.

Source: as for `urls`, and Slack's changelog on errors of incoming webhooks. Clients have recorded
that a used-up URL answers 404 with `used_url`, and a URL that is too old with `expired_url`. By
default, an answer is ephemeral and new. `replace_original` and `delete_original` concern the
message of a pressed button; a message that a command's URL posted before is not replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import trio

from gateway_contrib.emulators.reading import json_in
from gateway_contrib.emulators.rooms import Message
from gateway_contrib.emulators.slack.content import accepted
from gateway_contrib.emulators.slack.incoming.urls import (
    APP,
    IncomingWebhook,
    ResponseUrl,
    Url,
    UrlRefusal,
)
from gateway_contrib.emulators.slack.messages.ephemeral import show, take_away
from gateway_contrib.emulators.slack.messages.stored import made, revise, store
from gateway_contrib.emulators.slack.refusals import Refusal
from gateway_contrib.emulators.slack.world import Fields, World

_CLOSED = {
    "channel_not_found": (404, "channel_not_found"),
    "is_archived": (410, "channel_is_archived"),
}
"""The answers by the word for a closed channel; other words, but `_MEMBERSHIP`, prohibit it."""

_MEMBERSHIP = "not_in_channel"


def posted(body: bytes, kind: str) -> Fields:
    """The payload: JSON, or a form with JSON in its `payload`. Raises UrlRefusal."""
    try:
        text = body.decode()
        if kind == "application/x-www-form-urlencoded":
            text = parse_qs(text, strict_parsing=True)["payload"][0]
        found = json_in(text)
    except (ValueError, KeyError):
        found = None
    if not isinstance(found, dict):
        raise UrlRefusal(400, "invalid_payload")
    return found


def perform(world: World, url: Url, fields: Fields) -> None:
    """Perform the post. Raises UrlRefusal."""
    try:
        if isinstance(url, ResponseUrl):
            _respond(world, url, fields)
        else:
            _post(world, url, fields)
    except Refusal as refusal:
        raise UrlRefusal(400, refusal.error) from None


def _post(world: World, webhook: IncomingWebhook, fields: Fields) -> None:
    if webhook.refused is not None:
        raise webhook.refused
    _check(webhook)
    store(world, APP, webhook.channel, accepted(_known(fields), world))


def _check(url: Url) -> None:
    """Refuse if the channel is closed; a URL works even if the bot is not a member there."""
    closed = url.channel.closed
    if closed not in (None, _MEMBERSHIP):
        raise UrlRefusal(*_CLOSED.get(closed, (403, "action_prohibited")))


def _respond(world: World, url: ResponseUrl, fields: Fields) -> None:
    if trio.current_time() - url.made_at > world.limits.response_seconds:
        raise UrlRefusal(404, "expired_url", json=True)
    if url.uses >= world.limits.response_uses:
        raise UrlRefusal(404, "used_url", json=True)
    _check(url)
    if url.pressed is not None and _yes(fields, "delete_original"):
        _delete(world, url.pressed)
    elif url.pressed is not None and _yes(fields, "replace_original"):
        _replace(world, url.pressed, accepted(_known(fields), world))
    else:
        _answer(world, url, fields)
    url.uses += 1


def _answer(world: World, url: ResponseUrl, fields: Fields) -> None:
    checked = accepted(_known(fields), world)
    if fields.get("response_type") == "in_channel":
        store(world, APP, url.channel, checked)
    else:
        show(world, made(world, APP, url.channel, checked), url.user)


def _replace(world: World, message: Message, fields: Fields) -> None:
    # The new content replaces all of the message: buttons go unless the post names them again.
    revise(world, message, {"blocks": [], "attachments": [], **fields})
    world.counters["edited"] += 1
    if "shown_to" in message.fields:
        show(world, message, message.fields["shown_to"])


def _delete(world: World, message: Message) -> None:
    world.counters["deleted"] += 1
    if "shown_to" in message.fields:
        take_away(world, message)
    message.deleted = True


def _known(fields: Mapping[str, Any]) -> Fields:
    """The fields of a payload that belong to the message."""
    steering = {"response_type", "replace_original", "delete_original", "channel"}
    return {name: value for name, value in fields.items() if name not in steering}


def _yes(fields: Mapping[str, Any], name: str) -> bool:
    return fields.get(name) in (True, "true")
