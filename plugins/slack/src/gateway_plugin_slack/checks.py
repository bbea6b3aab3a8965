"""Checks an envelope before it is accepted, and reports its problems. Sans-I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway_core.authors import Call, Delete, Edit, Envelope, MessageRef, Problem, Send
from gateway_plugin_slack.by_url.messages import problems_of_webhook
from gateway_plugin_slack.files.checks import problems_of_files
from gateway_plugin_slack.ids import (
    is_conversation,
    is_message_id,
    is_person,
    is_room,
    is_ts,
    locate,
)
from gateway_plugin_slack.methods import MESSAGE_CALLS, METHODS, POST_EXTRA, UPDATE_EXTRA
from gateway_plugin_slack.rendering.parts import carries_content, is_fallback
from gateway_plugin_slack.rendering.plain import measure
from gateway_plugin_slack.settings import Settings

_METHOD = re.compile(r"[a-z][A-Za-z]*(?:\.[A-Za-z][A-Za-z0-9]*)+")

OURS: Mapping[str, str] = {
    "channel": "set the envelope's external_room_id instead",
    "link_names": "set mentions instead",
    "markdown_text": "Slack does not take it together with a text",
    "parse": "set mentions instead",
    "text": "set the envelope's text instead",
    "thread_ts": "set the envelope's thread_id instead",
    "token": "set it in the instance's configuration instead",
    "ts": "set the envelope's target instead",
}
"""Fields that `extra` must not set, with what to do instead."""

MOST = {"blocks": 50, "attachments": 100}
"""How many blocks and attachments a message takes (docs.slack.dev, block kit and
chat.postMessage); a text that is shown is one of the blocks."""

TEXT_LIMITS = {"section": 3000, "header": 150}
"""Most characters in the text of a block of that type (docs.slack.dev, reference/block-kit)."""


def problems_of(settings: Settings, envelope: Envelope) -> Sequence[Problem]:
    """Every problem of the envelope, each with its field; empty: it may be accepted."""
    webhook = settings.webhook_url is not None
    if isinstance(envelope, Call):
        return [*problems_of_webhook(envelope)] if webhook else [*_of_call(envelope)]
    found = [*problems_of_webhook(envelope)] if webhook else [*_of_room(envelope)]
    if isinstance(envelope, Send):
        found += _of_thread(envelope)
    else:
        found += _of_target(envelope)
    alone = isinstance(envelope, Edit) and envelope.only_buttons
    if not (alone or isinstance(envelope, Delete)):
        found += _of_extra(settings, envelope)
        found += problems_of_files(settings, envelope)
    return found


def _of_room(envelope: Envelope) -> Iterator[Problem]:
    if not is_room(envelope.external_room_id):
        yield Problem(
            "external_room_id",
            f"{envelope.external_room_id!r} is neither a Slack id (C…, G…, D…, U…) nor a #name",
        )


def _of_thread(envelope: Send) -> Iterator[Problem]:
    if envelope.thread_id is not None and not is_ts(envelope.thread_id):
        yield Problem("thread_id", f"{envelope.thread_id!r} is not a ts, such as 1700000000.000100")
    if envelope.reply_to is not None and not is_message_id(envelope.reply_to):
        yield Problem(
            "reply_to", f"{envelope.reply_to!r} is not a message id, such as 1700000000.000100"
        )


def _of_target(envelope: Edit | Delete | Call) -> Iterator[Problem]:
    parts = envelope.target.parts if isinstance(envelope.target, MessageRef) else ()
    for index, part in enumerate(parts):
        place = f"target.parts[{index}].message_id"
        if not is_message_id(part.message_id):
            yield Problem(
                place, f"{part.message_id!r} is not a message id, such as 1700000000.000100"
            )
        elif not _names_conversation(envelope.external_room_id, part.message_id):
            yield Problem(place, "Slack needs the conversation's id here, not its name")


def _names_conversation(room: str, message: str) -> bool:
    """Whether the message's conversation is known, or can be opened, as a person's can."""
    channel = locate(room, message)[0]
    return is_conversation(channel) or is_person(channel)


def _of_extra(settings: Settings, envelope: Send | Edit) -> Iterator[Problem]:
    extra = envelope.extra or {}
    for field in sorted(extra.keys() & OURS.keys()):
        yield Problem(f"extra.{field}", OURS[field])
    known = POST_EXTRA if isinstance(envelope, Send) else UPDATE_EXTRA
    for field in sorted(extra.keys() - OURS.keys() - known):
        yield Problem(f"extra.{field}", f"{METHODS[envelope.operation]} has no such argument")
    shown = bool(envelope.text.strip()) and not is_fallback(envelope)
    yield from _of_list("blocks", extra.get("blocks"), MOST["blocks"] - shown)
    yield from _of_list("attachments", extra.get("attachments"), MOST["attachments"])
    if is_fallback(envelope):
        yield from _of_fallback(settings, envelope)
    if not (envelope.text.strip() or carries_content(extra) or _has_more(envelope)):
        words = "is empty, and the message has no blocks, attachments or files either"
        yield Problem("text", words)


def _has_more(envelope: Send | Edit) -> bool:
    """Whether it has files, which need no text, or a poll, which is reported as such elsewhere."""
    if isinstance(envelope, Send) and envelope.poll is not None:
        return True
    if envelope.files is None and isinstance(envelope.target, MessageRef):
        return any(part.files for part in envelope.target.parts)
    return bool(envelope.files)


def _of_fallback(settings: Settings, envelope: Send | Edit) -> Iterator[Problem]:
    size = measure(envelope.text)
    if size > settings.part_bytes:
        yield Problem(
            "text",
            f"has {size} bytes; with blocks, Slack shows it only in notifications, so it must fit"
            f" into one message of {settings.part_bytes} bytes",
        )


def _of_list(field: str, value: Any, most: int) -> Iterator[Problem]:
    if value is None:
        return
    if not isinstance(value, list | tuple) or not all(isinstance(x, Mapping) for x in value):
        yield Problem(f"extra.{field}", "must be a list of objects")
        return
    if len(value) > most:
        yield Problem(f"extra.{field}", f"has {len(value)}, Slack takes {most}")
    if field == "blocks":
        for index, block in enumerate(value):
            yield from _of_block(f"extra.blocks[{index}]", block)


def _of_block(place: str, block: Mapping[str, Any]) -> Iterator[Problem]:
    if not isinstance(block.get("type"), str):
        yield Problem(place, "a block needs its type")
        return
    limit, text = TEXT_LIMITS.get(block["type"]), block.get("text")
    words = text.get("text") if isinstance(text, Mapping) else None
    if limit is not None and isinstance(words, str) and len(words) > limit:
        yield Problem(f"{place}.text", f"has {len(words)} characters, Slack takes {limit}")


def _of_call(envelope: Call) -> Iterator[Problem]:
    if not _METHOD.fullmatch(envelope.method):
        yield Problem(
            "method", f"{envelope.method!r} is not a method of the Web API, such as reactions.add"
        )
    if "token" in envelope.arguments:
        yield Problem("arguments.token", OURS["token"])
    if envelope.target is None:
        return
    if envelope.method not in MESSAGE_CALLS:
        yield Problem("target", f"{envelope.method} is not about a message: leave the target out")
    yield from _of_target(envelope)
