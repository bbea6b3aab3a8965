"""Implements the Telegram channel's hooks; start here. Only `api` waits for the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal

from gateway_core.authors import (
    Address,
    Answer,
    Attempt,
    Edit,
    Envelope,
    Identity,
    Instance,
    Json,
    Limit,
    Mark,
    Part,
    Priority,
    Problem,
    Rows,
    Send,
    Sign,
    Streaming,
    Traits,
    Verdict,
    hookimpl,
)
from gateway_plugin_telegram import api
from gateway_plugin_telegram.addresses import address_of
from gateway_plugin_telegram.checks import problems_of
from gateway_plugin_telegram.drafts import streaming_of
from gateway_plugin_telegram.errors.verdicts import TelegramApiError, verdict_of
from gateway_plugin_telegram.limits import limits_of
from gateway_plugin_telegram.marks.calls import sign_of
from gateway_plugin_telegram.methods import REPEAT_SAFE_CALLS
from gateway_plugin_telegram.rendering.buttons import fields_with
from gateway_plugin_telegram.rendering.parts import parts_of
from gateway_plugin_telegram.settings import TEXT_LIMIT, TelegramSettings

GATEWAY_CONTRACT = 1

TYPES_EVERY = 4.0
"""Seconds between two signs of typing: Telegram shows one for at most five
(core.telegram.org/bots/api#sendchataction)."""


@hookimpl
def settings_type() -> type:
    """`TelegramSettings`."""
    return TelegramSettings


@hookimpl
def traits() -> Traits:
    """Messages can be edited and deleted; a topic is a lane; sends are never deduplicated."""
    return Traits(
        independent_threads=True,
        repeat_safe_calls=REPEAT_SAFE_CALLS,
        mentions_by_id=True,
        polls=True,
        longest_part=TEXT_LIMIT,
    )


@hookimpl
def open_session(instance: Instance) -> AbstractAsyncContextManager[api.TelegramSession]:
    """An HTTP client that puts the bot's token into each request's path."""
    return api.open_session(instance.settings)


@hookimpl
async def probe(session: api.TelegramSession) -> Identity:
    """The bot's identity, from getMe."""
    return await session.who_am_i()


@hookimpl
def validate(instance: Instance, envelope: Envelope) -> Sequence[Problem]:
    """Check all ids, the files, the poll and the fields of `extra`, and that a text is visible."""
    return problems_of(instance.settings, envelope)


@hookimpl
def address(event: Any) -> Address | None:
    """The address of an Update or a Message."""
    return address_of(event)


@hookimpl
def acknowledge(address: Address) -> Sign | None:
    """answerCallbackQuery, which removes the progress bar from a pressed button."""
    press = address.interaction
    if press is None:
        return None
    return Sign(method="answerCallbackQuery", arguments={"callback_query_id": press.id})


@hookimpl
def typing(address: Address) -> Sign | None:
    """sendChatAction; None in a channel: its posts name no user, and it shows no typing."""
    if address.user_id is None and not address.direct:
        return None
    return Sign(method="sendChatAction", arguments={"action": "typing"}, every=TYPES_EVERY)


@hookimpl
def mark(mark: Mark) -> Sign | Problem:
    """setMessageReaction, pinChatMessage and unpinChatMessage."""
    return sign_of(mark)


@hookimpl
def buttons(rows: Rows, extra: Mapping[str, Json]) -> Mapping[str, Json] | Sequence[Problem]:
    """An inline keyboard, in `reply_markup`."""
    return fields_with(rows, extra)


@hookimpl
def chunk(
    instance: Instance, envelope: Envelope, mode: Literal["as_asked", "stricter", "plain"]
) -> Sequence[Part]:
    """Parts of at most 4,096 code points, or 4,096 UTF-16 units after a refusal.

    Files come first, in albums if Telegram accepts the files in one. A text of at most 1,024 code
    points is the caption.
    """
    if not isinstance(envelope, Send | Edit):
        return ()
    return parts_of(instance.settings, envelope, mode)


@hookimpl
def rate_limit(
    instance: Instance, room: str, operation: str, priority: Priority
) -> Sequence[Limit]:
    """The limits of the chat, the group and the bot; the bot's limits depend on the class."""
    return limits_of(instance.settings, room, operation, priority)


@hookimpl
async def send(session: api.TelegramSession, attempt: Attempt) -> Answer:
    """Send a text with sendMessage, and files with their kind's method or sendMediaGroup.

    A poll is sent with sendPoll. A kind of message that `extra` names is sent with that kind's
    method, such as sendLocation or sendSticker.
    """
    return await session.send(attempt)


@hookimpl
async def edit(session: api.TelegramSession, attempt: Attempt) -> Answer:
    """Give a message a new text with editMessageText, or only new buttons.

    A message with a file gets a new caption with editMessageCaption, or a new file with
    editMessageMedia; so does each message of an album, and those that are left over are deleted. If
    its ref does not know of the file, Telegram first refuses the text. An edit cannot remove a
    message's only file, or make an album larger.

    Telegram removes an inline keyboard that the request does not repeat.
    """
    return await session.edit(attempt)


@hookimpl
async def delete(session: api.TelegramSession, attempt: Attempt) -> Answer:
    """Delete a message with deleteMessage."""
    return await session.delete(attempt)


@hookimpl
def streaming(instance: Instance, envelope: Envelope) -> Streaming | None:
    """Stream by drafts in private chats; None: stream by edits."""
    return streaming_of(instance.settings, envelope)


@hookimpl
async def stream(session: api.TelegramSession, attempt: Attempt) -> Answer:
    """Show a draft with sendMessageDraft."""
    return await session.draft(attempt)


@hookimpl
async def call(session: api.TelegramSession, attempt: Attempt) -> Answer:
    """Call any method; the room's chat_id is filled in if the method is known to take one."""
    return await session.call(attempt)


@hookimpl
def classify_error(attempt: Attempt, error: Exception) -> Verdict | None:
    """Judge an error by parameters, status and wording; None leaves transport errors to core."""
    return verdict_of(attempt, error) if isinstance(error, TelegramApiError) else None
