"""Checks an envelope before it is accepted, and reports its problems. Sans-I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway_core.authors import Call, Delete, Edit, Envelope, MessageRef, Problem, Send
from gateway_plugin_telegram.ids import is_message_id, is_room, is_topic
from gateway_plugin_telegram.kinds.checks import kind_problems
from gateway_plugin_telegram.kinds.planning import has_kind
from gateway_plugin_telegram.kinds.table import KINDS
from gateway_plugin_telegram.media.checks import file_problems
from gateway_plugin_telegram.media.kinds import ABOVE
from gateway_plugin_telegram.media.planning import method_of
from gateway_plugin_telegram.methods import (
    EDIT_EXTRA,
    KIND_EXTRA,
    MESSAGE_CALLS,
    ROOM_CALLS,
    SEND_EXTRA,
)
from gateway_plugin_telegram.rendering.native import read
from gateway_plugin_telegram.rendering.parts import parts_of
from gateway_plugin_telegram.rendering.plain import is_blank
from gateway_plugin_telegram.requests import names_its_own, stands_on_message
from gateway_plugin_telegram.settings import TelegramSettings

_METHOD = re.compile(r"[A-Za-z]{1,64}")

MOST_PROBLEMS = 5
"""How many mistakes in a text's markup are reported; later ones may follow from these."""

_OF_FILES = {
    "has_spoiler": "set `File(spoiler=True)` instead",
    "thumbnail": "a thumbnail is not supported",
}
"""What is wrong with fields of Telegram's methods that a file cannot get by `extra`."""

OWNED = frozenset(
    {
        "caption",
        "caption_entities",
        "chat_id",
        "entities",
        "media",
        "message_id",
        "message_thread_id",
        "parse_mode",
        "text",
    }
)
"""Fields of a request that the envelope itself decides; `extra` must not name them."""


def problems_of(settings: TelegramSettings, envelope: Envelope) -> list[Problem]:
    """Every problem of the envelope, each with the name of its field."""
    found = [] if _has_no_room(envelope) else list(_room_problems(envelope.external_room_id))
    if isinstance(envelope, Send):
        found += _content_problems(settings, envelope)
        found += [*kind_problems(settings, envelope), *file_problems(settings, envelope)]
        found += _thread_problems(envelope.thread_id)
        found += _message_problems("reply_to", envelope.reply_to)
    elif isinstance(envelope, Edit) and envelope.only_buttons:
        found += _target_problems(envelope)
    elif isinstance(envelope, Edit):
        found += [*_content_problems(settings, envelope), *_target_problems(envelope)]
        found += [*kind_problems(settings, envelope), *file_problems(settings, envelope)]
        found += _keyboard_problems(envelope)
    elif isinstance(envelope, Delete):
        found += _target_problems(envelope)
    else:
        found += _call_problems(envelope)
    return found


def _has_no_room(envelope: Envelope) -> bool:
    """Whether it is a call without a room that needs none, like getMe, or names its own chat."""
    if not isinstance(envelope, Call) or envelope.external_room_id:
        return False
    wanted = "chat_id" in ROOM_CALLS.get(envelope.method.lower(), ())
    return not wanted or names_its_own(envelope.method, envelope.arguments)


def _room_problems(room: str) -> Iterator[Problem]:
    if not is_room(room):
        yield Problem("external_room_id", "must be a number such as -1001234567890, or @name")


def _thread_problems(thread: str | None) -> Iterator[Problem]:
    if thread is not None and not is_topic(thread):
        yield Problem("thread_id", "a topic's id is a positive number")


def _message_problems(place: str, message: str | None) -> Iterator[Problem]:
    if message is not None and not is_message_id(message):
        yield Problem(place, "a message's id is a positive number, in some groups -7:12")


def _content_problems(settings: TelegramSettings, envelope: Send | Edit) -> Iterator[Problem]:
    shown = envelope.text
    if envelope.format == "native":
        native = read(envelope.text, mentions=True)
        shown = native.document.text
        for words in native.problems[:MOST_PROBLEMS]:
            yield Problem("text", f"Telegram's HTML: {words}")
    if is_blank(shown) and not (_has_files(envelope) or has_kind(envelope)):
        yield Problem("text", "has nothing visible, which Telegram refuses as empty")
    for name in sorted(OWNED.intersection(envelope.extra or ())):
        yield Problem(f"extra.{name}", "is set by the gateway: leave it out")
    yield from _unknown_fields(settings, envelope)


def _unknown_fields(settings: TelegramSettings, envelope: Send | Edit) -> Iterator[Problem]:
    """Fields of `extra` that the method of the message's last part does not know."""
    known = SEND_EXTRA if isinstance(envelope, Send) else EDIT_EXTRA
    method = "sendMessage" if isinstance(envelope, Send) else "editMessageText"
    if has_kind(envelope):
        known, method = KIND_EXTRA, "a message of this kind"
    unknown = set(envelope.extra or ()) - OWNED - known - KINDS.keys()
    if unknown and not has_kind(envelope) and _has_files(envelope):
        method, more = "editMessageCaption", frozenset({ABOVE})
        if isinstance(envelope, Send):
            method, more = method_of(parts_of(settings, envelope, "as_asked")[-1])
        unknown -= more
    of_files = _OF_FILES if _has_files(envelope) else {}
    for name in sorted(unknown):
        words = of_files.get(name, f"{method} has no such parameter")
        yield Problem(f"extra.{name}", words)


def _has_files(envelope: Send | Edit) -> bool:
    """Whether the message has files; it then needs no text."""
    if envelope.files is None and isinstance(envelope, Edit):
        target = envelope.target
        return isinstance(target, MessageRef) and any(part.files for part in target.parts)
    return bool(envelope.files)


def _keyboard_problems(edit: Edit) -> Iterator[Problem]:
    markup = (edit.extra or {}).get("reply_markup")
    if markup is not None and not stands_on_message(markup):
        yield Problem("extra.reply_markup", "an edit takes an inline_keyboard only")


def _target_problems(envelope: Edit | Delete | Call) -> Iterator[Problem]:
    if not isinstance(envelope.target, MessageRef):
        return
    for index, part in enumerate(envelope.target.parts):
        yield from _message_problems(f"target.parts[{index}].message_id", part.message_id)


def _call_problems(envelope: Call) -> Iterator[Problem]:
    if _METHOD.fullmatch(envelope.method) is None:
        yield Problem("method", "a Bot API method has letters only, such as sendChatAction")
    yield from _thread_problems(envelope.thread_id)
    if envelope.target is not None and envelope.method.lower() not in MESSAGE_CALLS:
        yield Problem("target", f"{envelope.method} takes no message_id")
    yield from _target_problems(envelope)
