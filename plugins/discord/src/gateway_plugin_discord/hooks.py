"""Implements the Discord channel's hooks; start here. Only `api` waits for the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

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
    Problem,
    Rows,
    Send,
    Sign,
    Traits,
    Verdict,
    hookimpl,
    with_first_part,
)
from gateway_plugin_discord import api
from gateway_plugin_discord.addresses import address_of
from gateway_plugin_discord.by_token.interactions import acknowledgement, typing_of
from gateway_plugin_discord.by_token.webhook import ROOM
from gateway_plugin_discord.checks import problems_of
from gateway_plugin_discord.errors import of_webhook, verdict_of
from gateway_plugin_discord.files import told
from gateway_plugin_discord.limits import limits_of
from gateway_plugin_discord.marks.calls import sign_of
from gateway_plugin_discord.methods import REPEAT_SAFE_CALLS
from gateway_plugin_discord.rendering.buttons import fields_with
from gateway_plugin_discord.rendering.parts import parts_of
from gateway_plugin_discord.settings import MAX_LENGTH, DiscordSettings

GATEWAY_CONTRACT = 1

DEDUPLICATES_FOR = 120.0
"""Seconds for which the gateway relies on an enforced nonce. Discord says "a few minutes"
(discord.com/developers/docs/resources/message#create-message); two minutes are on the safe side."""


@hookimpl
def settings_type() -> type[DiscordSettings]:
    """Settings of one bot."""
    return DiscordSettings


@hookimpl
def traits() -> Traits:
    """Threads are channels of their own; enforced nonces make a repeated send one message.

    A 429 says whose limit was hit, so the gateway never mistakes several channels in slow mode for
    a limit of the whole bot.
    """
    return Traits(
        independent_threads=True,
        deduplicates_for=DEDUPLICATES_FOR,
        repeat_safe_calls=REPEAT_SAFE_CALLS,
        mentions_by_id=True,
        names_limits=True,
        polls=True,
        longest_part=MAX_LENGTH,
    )


@hookimpl
def open_session(instance: Instance) -> AbstractAsyncContextManager[api.DiscordSession]:
    """Connections with the bot's token, and the count of its invalid answers."""
    return api.open_session(instance)


@hookimpl
async def probe(session: api.DiscordSession) -> Identity:
    """The bot's own user, by GET /users/@me."""
    return await session.who_am_i()


@hookimpl
def validate(instance: Instance, envelope: Envelope) -> Sequence[Problem]:
    """Check ids, that a message has content, the fields of `extra`, files, polls and routes."""
    return problems_of(instance.settings, envelope)


@hookimpl
def address(instance: Instance, event: Any) -> Address | None:
    """The channel that a message, a reaction or an interaction names; a webhook answers none."""
    return address_of(event) if instance.settings.webhook_url is None else None


@hookimpl
def acknowledge(address: Address, ephemeral: bool) -> Sign | None:
    """The deferred answer, by POST /interactions/{interaction}/{token}/callback."""
    asked = address.interaction
    return None if asked is None else acknowledgement(asked, ephemeral=ephemeral)


@hookimpl
def typing(address: Address) -> Sign | None:
    """POST /channels/{channel}/typing; a command or a form shows its deferred answer."""
    return typing_of(address)


@hookimpl
def mark(mark: Mark) -> Sign | Problem:
    """PUT and DELETE of the bot's reaction, or of the pin, in the channel."""
    return sign_of(mark)


@hookimpl
def buttons(
    instance: Instance, rows: Rows, extra: Mapping[str, Json]
) -> Mapping[str, Json] | Sequence[Problem]:
    """Rows of components; a webhook cannot send any."""
    return fields_with(instance.settings, rows, extra)


@hookimpl
def chunk(instance: Instance, envelope: Envelope, mode: str) -> Sequence[Part] | None:
    """Parts of at most `max_length` characters after escaping; half of it when stricter."""
    if not isinstance(envelope, Send | Edit):
        return None
    limit: int = instance.settings.max_length
    shorter = limit // 2 if mode == "stricter" else limit
    parts = parts_of(envelope, limit=shorter, styled=mode != "plain")
    return told(envelope, with_first_part(envelope, parts))


@hookimpl
def rate_limit(
    instance: Instance, room: str, thread: str | None, operation: str
) -> Sequence[Limit]:
    """The bot's global limit, and the route's limit in the room until Discord names its bucket."""
    return limits_of(instance.settings, thread or room, operation)


@hookimpl
async def send(session: api.DiscordSession, attempt: Attempt) -> Answer:
    """POST /channels/{channel}/messages with an enforced nonce; to an interaction, by its token."""
    return await session.send(attempt)


@hookimpl
async def edit(session: api.DiscordSession, attempt: Attempt) -> Answer:
    """PATCH /channels/{channel}/messages/{message}."""
    return await session.edit(attempt)


@hookimpl
async def delete(session: api.DiscordSession, attempt: Attempt) -> Answer:
    """DELETE /channels/{channel}/messages/{message}."""
    return await session.delete(attempt)


@hookimpl
async def call(session: api.DiscordSession, attempt: Attempt) -> Answer:
    """Any route, named `VERB /path/{parameter}`: reactions, pins, typing, interaction answers."""
    return await session.call(attempt)


@hookimpl
def classify_error(attempt: Attempt, error: Exception) -> Verdict | None:
    """Judge Discord's refusals by the table in `errors`; None leaves transport errors to core."""
    verdict = verdict_of(attempt, error)
    return of_webhook(verdict) if attempt.room == ROOM and verdict is not None else verdict
