"""From an attempt to a Bot API request: method and JSON parameters. Pure.

Every name in the tables is of core.telegram.org/bots/api (#sendmessage, #editmessagetext,
#deletemessage and the methods named below). Ids travel as numbers, absent values not at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs

from gateway_core import Attempt
from gateway_plugin_telegram.errors import TelegramApiError
from gateway_plugin_telegram.ids import is_message_id, number_in

FIELDS: Mapping[str, frozenset[str]] = {
    "getMe": frozenset(),
    "sendMessage": frozenset(
        {
            "chat_id",
            "disable_notification",
            "entities",
            "link_preview_options",
            "message_thread_id",
            "reply_parameters",
            "text",
        }
    ),
    "editMessageText": frozenset(
        {"chat_id", "entities", "link_preview_options", "message_id", "text"}
    ),
    "deleteMessage": frozenset({"chat_id", "message_id"}),
}
"""The methods that this adapter calls itself, and every field that it sends to each.

`extra` and a call's arguments come on top: those are the application's.
"""

EDIT_EXTRA = frozenset({"business_connection_id", "link_preview_options", "reply_markup"})
SEND_EXTRA = EDIT_EXTRA | {
    "allow_paid_broadcast",
    "direct_messages_topic_id",
    "disable_notification",
    "message_effect_id",
    "protect_content",
    "reply_parameters",
    "suggested_post_parameters",
}
"""Telegram's own fields of a message that `extra` may set. An unknown one would be passed over in
silence by the server; of what came with a message, its edits repeat what editMessageText knows."""

ROOM_CALLS: Mapping[str, frozenset[str]] = {
    method.lower(): frozenset(fields)
    for method, fields in {
        "closeForumTopic": {"chat_id", "message_thread_id"},
        "deleteForumTopic": {"chat_id", "message_thread_id"},
        "deleteMessage": {"chat_id"},
        "deleteMessages": {"chat_id"},
        "editForumTopic": {"chat_id", "message_thread_id"},
        "editMessageCaption": {"chat_id"},
        "editMessageMedia": {"chat_id"},
        "reopenForumTopic": {"chat_id", "message_thread_id"},
        "sendAnimation": {"chat_id", "message_thread_id"},
        "sendAudio": {"chat_id", "message_thread_id"},
        "sendChatAction": {"chat_id", "message_thread_id"},
        "sendMediaGroup": {"chat_id", "message_thread_id"},
        "sendSticker": {"chat_id", "message_thread_id"},
        "sendVideo": {"chat_id", "message_thread_id"},
        "sendVoice": {"chat_id", "message_thread_id"},
        "unpinAllChatMessages": {"chat_id"},
        "sendPhoto": {"chat_id", "message_thread_id"},
        "sendDocument": {"chat_id", "message_thread_id"},
        "sendPoll": {"chat_id", "message_thread_id"},
        "sendLocation": {"chat_id", "message_thread_id"},
        "copyMessage": {"chat_id", "message_thread_id"},
        "forwardMessage": {"chat_id", "message_thread_id"},
        "editMessageReplyMarkup": {"chat_id"},
        "setMessageReaction": {"chat_id"},
        "pinChatMessage": {"chat_id"},
        "unpinChatMessage": {"chat_id"},
        "getChat": {"chat_id"},
    }.items()
}
"""Methods of a `Call` that are given the envelope's room (and topic) unless it names its own."""

_MESSAGES = ("message_id", "message_ids")
_WHOLE = re.compile(r"-?[0-9]{1,19}")


@attrs.frozen
class Request:
    """One call of the Bot API."""

    method: str
    parameters: Mapping[str, Any]


def send_request(attempt: Attempt) -> Request:
    """SendMessage; a reply must find its message, so that a lost one is told, not hidden.

    Raises `TelegramApiError`, like the next two, for a message that a moved group left behind.
    """
    fields = _fields(
        "sendMessage",
        {
            **attempt.payload,
            "chat_id": _id(attempt.room),
            "message_thread_id": _id(attempt.thread),
            "reply_parameters": _reply(attempt),
        },
    )
    return Request("sendMessage", {**fields, **_own(attempt, SEND_EXTRA)})


def edit_request(attempt: Attempt) -> Request:
    """EditMessageText. A keyboard that the request does not name is taken away by Telegram.

    Of what came with the message, only a keyboard that stands on it can be kept.
    """
    fields = _fields("editMessageText", {**attempt.payload, **_message(attempt, "edit")})
    extra = _own(attempt, EDIT_EXTRA)
    if not stands_on_message(extra.get("reply_markup")):
        extra.pop("reply_markup", None)
    return Request("editMessageText", {**fields, **extra})


def stands_on_message(markup: Any) -> bool:
    """Whether it is an inline keyboard: others belong to the chat, and edits cannot name them."""
    return isinstance(markup, Mapping) and "inline_keyboard" in markup


def delete_request(attempt: Attempt) -> Request:
    """DeleteMessage."""
    return Request("deleteMessage", _fields("deleteMessage", _message(attempt, "delete")))


def call_request(attempt: Attempt) -> Request:
    """The method that the application asked for, with its arguments as they are.

    Messages may be named as receipts name them. Raises `TelegramApiError` as the others do.
    """
    method = attempt.method or ""
    known = {"chat_id": _id(attempt.room), "message_thread_id": _id(attempt.thread)}
    asked = ROOM_CALLS.get(method.lower(), frozenset())
    filled = {name: value for name, value in known.items() if name in asked}
    return Request(method, _numbered(_given({**filled, **attempt.arguments}), attempt.room))


def _numbered(arguments: dict[str, Any], room: str) -> dict[str, Any]:
    """The arguments, in which a message that is named by its kept id has Telegram's number."""
    where = str(arguments.get("from_chat_id", arguments.get("chat_id", room)))

    def plain(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [plain(one) for one in value]
        kept = isinstance(value, str) and is_message_id(value)
        return _number(where, value, "reach") if kept else value

    return {name: plain(value) if name in _MESSAGES else value for name, value in arguments.items()}


def _own(attempt: Attempt, known: frozenset[str]) -> dict[str, Any]:
    """Telegram's own fields that the method knows."""
    return {name: value for name, value in _given(attempt.extra).items() if name in known}


def _message(attempt: Attempt, purpose: str) -> Mapping[str, Any]:
    number = _number(attempt.room, attempt.message_id or "", purpose)
    return {"chat_id": _id(attempt.room), "message_id": number}


def _reply(attempt: Attempt) -> Mapping[str, Any] | None:
    if attempt.reply is None:
        return None
    number = _number(attempt.room, attempt.reply, "be replied")
    return {"message_id": number, "allow_sending_without_reply": False}


def _number(room: str, message_id: str, purpose: str) -> int:
    number = number_in(room, message_id)
    if number is None:
        where = f"{message_id} stayed in the group that became {room}"
        raise TelegramApiError(status=400, description=f"message to {purpose} not found: {where}")
    return number


def _fields(method: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in _given(values).items() if name in FIELDS[method]}


def _given(values: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (values or {}).items() if value is not None}


def _id(value: str | None) -> int | str | None:
    """A number where it is one; @names stay texts."""
    return int(value) if value is not None and _WHOLE.fullmatch(value) else value
