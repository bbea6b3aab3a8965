"""Start here: what the Telegram channel answers to each hook. Only `api` awaits the network."""

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
    """Edits, deletes, topics as lanes of their own; no send is ever deduplicated."""
    return Traits(
        independent_threads=True,
        repeat_safe_calls=REPEAT_SAFE_CALLS,
        mentions_by_id=True,
        polls=True,
        longest_part=TEXT_LIMIT,
    )


@hookimpl
def open_session(instance: Instance) -> AbstractAsyncContextManager[api.TelegramSession]:
    """An HTTP client with the bot's token in its paths."""
    return api.open_session(instance.settings)


@hookimpl
async def probe(session: api.TelegramSession) -> Identity:
    """The bot, as getMe tells."""
    return await session.who_am_i()


@hookimpl
def validate(instance: Instance, envelope: Envelope) -> Sequence[Problem]:
    """Room, topic, reply and message ids; a text that is not blank; files; polls; its fields."""
    return problems_of(instance.settings, envelope)


@hookimpl
def address(event: Any) -> Address | None:
    """The address of an Update or a Message."""
    return address_of(event)


@hookimpl
def acknowledge(address: Address) -> Sign | None:
    """answerCallbackQuery, which takes the bar off a pressed button."""
    press = address.interaction
    if press is None:
        return None
    return Sign(method="answerCallbackQuery", arguments={"callback_query_id": press.id})


@hookimpl
def typing(address: Address) -> Sign | None:
    """By sendChatAction; None in a channel, whose posts name no user, and which shows none."""
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
    """Parts of at most 4,096 code points, or of UTF-16 units after a refusal.

    Files come first, in albums where Telegram takes them; a text of 1,024 is a caption.
    """
    if not isinstance(envelope, Send | Edit):
        return ()
    return parts_of(instance.settings, envelope, mode)


@hookimpl
def rate_limit(
    instance: Instance, room: str, operation: str, priority: Priority
) -> Sequence[Limit]:
    """The chat's, the group's and the bot's limits, the last of these by class."""
    return limits_of(instance.settings, room, operation, priority)


@hookimpl
async def send(session: api.TelegramSession, attempt: Attempt) -> Answer:
    """Make a message with sendMessage, with files by their kind's method or sendMediaGroup.

    A poll goes by sendPoll, and what `extra` names by its own method: sendLocation, sendSticker.
    """
    return await session.send(attempt)


@hookimpl
async def edit(session: api.TelegramSession, attempt: Attempt) -> Answer:
    """Give a message another text with editMessageText, or other buttons alone.

    One with a file gets another caption with editMessageCaption, or another file with
    editMessageMedia; no edit takes a file off, or changes those of an album.

    An inline keyboard that the request does not repeat is taken away by Telegram.
    """
    return await session.edit(attempt)


@hookimpl
async def delete(session: api.TelegramSession, attempt: Attempt) -> Answer:
    """Take a message away with deleteMessage."""
    return await session.delete(attempt)


@hookimpl
def streaming(instance: Instance, envelope: Envelope) -> Streaming | None:
    """By drafts in private chats; None: by edits."""
    return streaming_of(instance.settings, envelope)


@hookimpl
async def stream(session: api.TelegramSession, attempt: Attempt) -> Answer:
    """Show a draft with sendMessageDraft."""
    return await session.draft(attempt)


@hookimpl
async def call(session: api.TelegramSession, attempt: Attempt) -> Answer:
    """Call any method; a room's chat_id is filled in where the method is known to take one."""
    return await session.call(attempt)


@hookimpl
def classify_error(attempt: Attempt, error: Exception) -> Verdict | None:
    """By parameters, status and wording; None leaves transport errors to core."""
    return verdict_of(attempt, error) if isinstance(error, TelegramApiError) else None
