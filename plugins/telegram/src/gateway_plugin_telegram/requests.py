"""Turns an attempt into a Bot API request: a method and its JSON parameters. Sans-I/O.

Ids are sent as numbers; absent values are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from zlib import crc32

import attrs

from gateway_core.authors import Attempt, Upload
from gateway_plugin_telegram.errors.verdicts import TelegramApiError
from gateway_plugin_telegram.errors.wording import STAYED
from gateway_plugin_telegram.ids import is_message_id, number_in
from gateway_plugin_telegram.methods import (
    EDIT_EXTRA,
    FIELDS,
    INSTEAD_OF_ROOM,
    ROOM_CALLS,
    SEND_EXTRA,
)

INLINE = "inline_message_id"
_MESSAGES = ("message_id", "message_ids")
_WHOLE = re.compile(r"-?[0-9]{1,19}")


@attrs.frozen
class Request:
    """One call of the Bot API.

    uploads  files to send as bytes, by the names of their fields; with any, the request is a form
    reused   ids of earlier uploads that the request names in place of bytes
    """

    method: str
    parameters: Mapping[str, Any]
    uploads: Mapping[str, Upload] = attrs.field(factory=dict)
    reused: tuple[str, ...] = ()


def send_request(attempt: Attempt) -> Request:
    """SendMessage; Telegram refuses a reply to a lost message, so that the loss is reported.

    Raises `TelegramApiError` for a message that stayed in the group that the room was before.
    """
    fields = fields_of("sendMessage", destination(attempt))
    return Request("sendMessage", {**fields, **own_fields(attempt, SEND_EXTRA)})


def destination(attempt: Attempt) -> Mapping[str, Any]:
    """The content of a new message, and where it goes. Raises as `send_request` does."""
    return {
        **attempt.payload,
        "chat_id": _id(attempt.room),
        "message_thread_id": _id(attempt.thread),
        "reply_parameters": _reply(attempt),
    }


def draft_request(attempt: Attempt) -> Request:
    """SendMessageDraft; each message has a `draft_id` of its own, which its drafts share."""
    values = {
        **attempt.payload,
        "chat_id": _id(attempt.room),
        "message_thread_id": _id(attempt.thread),
        "draft_id": crc32(attempt.key.encode()) >> 1 or 1,
    }
    return Request("sendMessageDraft", fields_of("sendMessageDraft", values))


def edit_request(attempt: Attempt) -> Request:
    """EditMessageText, or editMessageReplyMarkup if only the keyboard changes.

    Telegram removes a keyboard that the request does not name. Of the message's keyboards, an edit
    can keep only an inline keyboard. Raises `TelegramApiError` as `send_request` does.
    """
    if attempt.part is None:
        fields = fields_of("editMessageReplyMarkup", message(attempt, "edit"))
        keyboard = keyboard_edit(attempt, frozenset({"business_connection_id", "reply_markup"}))
        return Request("editMessageReplyMarkup", {**fields, **keyboard})
    fields = fields_of("editMessageText", {**attempt.payload, **message(attempt, "edit")})
    return Request("editMessageText", {**fields, **keyboard_edit(attempt, EDIT_EXTRA)})


def keyboard_edit(attempt: Attempt, known: frozenset[str]) -> dict[str, Any]:
    """Telegram's own fields that an edit's method knows, without a keyboard of the chat."""
    extra = own_fields(attempt, known & EDIT_EXTRA)
    if not stands_on_message(extra.get("reply_markup")):
        extra.pop("reply_markup", None)
    return extra


def stands_on_message(markup: Any) -> bool:
    """Whether `markup` is an inline keyboard; others belong to the chat, and no edit takes one."""
    return isinstance(markup, Mapping) and "inline_keyboard" in markup


def delete_request(attempt: Attempt) -> Request:
    """DeleteMessage."""
    return Request("deleteMessage", fields_of("deleteMessage", message(attempt, "delete")))


def call_request(attempt: Attempt) -> Request:
    """The method that the application asked for, with its arguments.

    An argument may name a message by the id in a receipt. Raises `TelegramApiError` as
    `send_request` does.
    """
    method = attempt.method or ""
    filled = {} if _is_elsewhere(attempt) else _place(attempt, method.lower())
    return Request(method, _numbered(_given({**filled, **attempt.arguments}), attempt.room))


def _place(attempt: Attempt, method: str) -> Mapping[str, Any]:
    """The room and the topic, if the method takes them, and the id of the target message."""
    room = attempt.room or None  # a call may have none
    known = {"chat_id": _id(room), "message_thread_id": _id(attempt.thread)}
    asked = ROOM_CALLS.get(method, frozenset())
    place: dict[str, Any] = {name: value for name, value in known.items() if name in asked}
    if attempt.message_id is not None:
        place["message_id"] = attempt.message_id
    return place


def names_its_own(method: str, arguments: Mapping[str, Any]) -> bool:
    """Whether a call names its own chat, or something else in place of a chat."""
    return arguments.get("chat_id") is not None or _is_instead(method, arguments)


def _is_elsewhere(attempt: Attempt) -> bool:
    """Whether a call names something else in place of a chat."""
    return _is_instead(attempt.method or "", attempt.arguments)


def _is_instead(method: str, arguments: Mapping[str, Any]) -> bool:
    instead = INSTEAD_OF_ROOM.get(method.lower(), INLINE)
    return any(arguments.get(name) is not None for name in (instead, INLINE))


def is_in_room(attempt: Attempt) -> bool:
    """Whether a call concerns the attempt's room: no argument names another chat."""
    named = attempt.arguments.get("chat_id")
    return not _is_elsewhere(attempt) and (named is None or str(named) == attempt.room)


def _numbered(arguments: dict[str, Any], room: str) -> dict[str, Any]:
    """The arguments, with stored message ids replaced by Telegram's numbers."""
    where = str(arguments.get("from_chat_id", arguments.get("chat_id", room)))

    def plain(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [plain(one) for one in value]
        named = isinstance(value, str) and is_message_id(value)
        return _number(where, value, "reach") if named else value

    return {name: plain(value) if name in _MESSAGES else value for name, value in arguments.items()}


def own_fields(attempt: Attempt, known: frozenset[str]) -> dict[str, Any]:
    """Telegram's own fields in `extra` that the method knows."""
    return {name: value for name, value in _given(attempt.extra).items() if name in known}


def message(attempt: Attempt, purpose: str) -> Mapping[str, Any]:
    """The fields that name the message to edit or delete. Raises as `send_request` does."""
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
        where = f"{message_id} {STAYED} {room}"
        raise TelegramApiError(status=400, description=f"message to {purpose} not found: {where}")
    return number


def fields_of(method: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that the method takes from this adapter; None values are left out."""
    return {name: value for name, value in _given(values).items() if name in FIELDS[method]}


def _given(values: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (values or {}).items() if value is not None}


def _id(value: str | None) -> int | str | None:
    """The value as a number if it is one; @names stay texts."""
    return int(value) if value is not None and _WHOLE.fullmatch(value) else value
