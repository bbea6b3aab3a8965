"""Implements the Slack channel's hooks; start here. Only `api` waits for the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import attrs

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
    Secret,
    Send,
    Sign,
    Streaming,
    Traits,
    Verdict,
    hookimpl,
)
from gateway_plugin_slack import api
from gateway_plugin_slack.addresses import address_of
from gateway_plugin_slack.checks import problems_of
from gateway_plugin_slack.errors import PersonOpened, SlackApiError, opened, verdict_of
from gateway_plugin_slack.files.images import with_files
from gateway_plugin_slack.files.uploads import verdict_of_files
from gateway_plugin_slack.limits import SET_STATUS, limits_of
from gateway_plugin_slack.marks.calls import sign_of
from gateway_plugin_slack.methods import REPEAT_SAFE_CALLS
from gateway_plugin_slack.rendering.buttons import fields_with
from gateway_plugin_slack.rendering.parts import parts_of
from gateway_plugin_slack.rendering.streams import streaming_of
from gateway_plugin_slack.requests import fields_left
from gateway_plugin_slack.settings import MOST_BYTES, Settings

GATEWAY_CONTRACT = 1

STATUS = "is typing…"
"""What Slack shows after the app's name."""
STATUS_EVERY = 100.0
"""Seconds between two statuses: Slack shows one for two minutes
(docs.slack.dev, assistant.threads.setStatus)."""


@hookimpl
def settings_type() -> type[Settings]:
    """One workspace, as one app sees it."""
    return Settings


@hookimpl
def traits() -> Traits:
    """Edits and deletes, but no deduplication, since Slack documents no idempotency key.

    A room and all its threads are one lane: Slack counts posts by channel, so threads with lanes of
    their own would only compete for the same tokens.
    """
    return Traits(
        independent_threads=False,
        repeat_safe_calls=REPEAT_SAFE_CALLS,
        mentions_by_id=True,
        sends_known_files=True,
        longest_part=MOST_BYTES,
    )


@hookimpl
def open_session(instance: Instance) -> AbstractAsyncContextManager[api.SlackSession]:
    """A session that always uses the instance's current token, also after an exchange."""
    return api.open_session(instance.settings)


@hookimpl
async def credentials(session: api.SlackSession) -> Secret | None:
    """A new token from oauth.v2.access, if the settings have what the exchange needs."""
    return await session.refresh()


@hookimpl
async def probe(session: api.SlackSession) -> Identity | None:
    """The token's user, from auth.test, whose limit is too high to matter."""
    return await session.who_am_i()


@hookimpl
def validate(instance: Instance, envelope: Envelope) -> Sequence[Problem]:
    """Check the forms of ids, the fields of `extra`, the number and sizes of blocks, and files."""
    return problems_of(instance.settings, envelope)


@hookimpl
def address(instance: Instance, event: Any) -> Address | None:
    """The address of an event of the Events API, an interactive payload or a slash command.

    An incoming webhook only sends: it answers no event.
    """
    return address_of(event) if instance.settings.webhook_url is None else None


@hookimpl
def typing(address: Address) -> Sign | None:
    """assistant.threads.setStatus, in the event's thread or the thread that its message begins."""
    thread = address.thread_id or address.message_id
    if thread is None:
        return None
    place = {"channel_id": address.external_room_id, "thread_ts": thread}
    shown, gone = {**place, "status": STATUS}, {**place, "status": ""}
    return Sign(method=SET_STATUS, arguments=shown, every=STATUS_EVERY, clear=gone)


@hookimpl
def mark(mark: Mark) -> Sign | Problem:
    """reactions.add and reactions.remove, with the emoji's name; pins.add and pins.remove."""
    return sign_of(mark)


@hookimpl
def buttons(rows: Rows, extra: Mapping[str, Json]) -> Mapping[str, Json] | Sequence[Problem]:
    """Blocks of actions, after those of `extra`."""
    return fields_with(rows, extra)


@hookimpl
def chunk(instance: Instance, envelope: Envelope, mode: str) -> Sequence[Part] | None:
    """Escaped text in parts of at most `part_bytes`."""
    if not isinstance(envelope, Send | Edit):
        return None
    return with_files(envelope, parts_of(instance.settings, envelope, mode))


@hookimpl
def rate_limit(instance: Instance, room: str, operation: str) -> Sequence[Limit]:
    """The limits: for a post those of its channel, for everything else those of the method."""
    return limits_of(instance.settings, room, operation)


@hookimpl
async def send(session: api.SlackSession, attempt: Attempt) -> Answer:
    """chat.postMessage; an answer to an interaction is posted to its response_url."""
    return _answer(attempt, await session.send(attempt))


@hookimpl
async def edit(session: api.SlackSession, attempt: Attempt) -> Answer:
    """chat.update."""
    return _answer(attempt, await session.edit(attempt))


def _answer(attempt: Attempt, answer: Answer) -> Answer:
    """The answer, with the fields that the message has if some were left out."""
    left = fields_left(attempt)
    return answer if left is None else attrs.evolve(answer, extra=left)


@hookimpl
async def delete(session: api.SlackSession, attempt: Attempt) -> Answer:
    """chat.delete."""
    return await session.delete(attempt)


@hookimpl
def streaming(instance: Instance, envelope: Envelope) -> Streaming | None:
    """Stream by Slack's own streams, in threads; None: stream by edits."""
    return streaming_of(instance.settings, envelope)


@hookimpl
async def stream(session: api.SlackSession, attempt: Attempt) -> Answer:
    """chat.startStream, chat.appendStream and chat.stopStream."""
    return await session.stream(attempt)


@hookimpl
async def call(session: api.SlackSession, attempt: Attempt) -> Answer:
    """Any method of the Web API."""
    return await session.call(attempt)


@hookimpl
def classify_error(attempt: Attempt, error: Exception) -> Verdict | None:
    """Judge an error by the table of errors; other errors than Slack's are left to core."""
    if isinstance(error, PersonOpened):
        return opened(error)
    if (verdict := verdict_of_files(error)) is not None:
        return verdict
    return verdict_of(attempt, error) if isinstance(error, SlackApiError) else None
