"""The session with Slack's Web API: builds each request, reads each answer. Awaits the network.

Sources: docs.slack.dev, chat.postMessage, chat.update, chat.delete, auth.test, oauth.v2.access,
and "using the Web API" (JSON bodies, `ok: false` with HTTP 200).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

from gateway_core import Answer, Attempt, Identity, Secret, TransportError
from gateway_core.http import (
    HttpClient,
    Response,
    Timeouts,
    UnreadableBody,
    open_client,
    retry_after_seconds,
)
from gateway_plugin_slack.errors import SlackApiError
from gateway_plugin_slack.rooms import locate, message_id
from gateway_plugin_slack.settings import Settings

UPDATE_FIELDS = frozenset({"blocks", "link_names", "parse", "text"})
POST_FIELDS = UPDATE_FIELDS | {"mrkdwn", "thread_ts", "unfurl_links", "unfurl_media"}
"""Which of a part's fields a method knows: chat.update has no `mrkdwn`, thread or unfurling."""

NOT_PLAIN = frozenset({"blocks", "attachments"})
"""What of `extra` is left out once a part is sent as plain text."""


@attrs.define(eq=False)
class SlackSession:
    """One instance's way to Slack. `send` and the others raise SlackApiError or TransportError."""

    settings: Settings
    _http: HttpClient
    _refreshing: trio.Lock = attrs.field(factory=trio.Lock)

    async def send(self, attempt: Attempt) -> Answer:
        """chat.postMessage; the id tells the conversation too where the room is a name or user."""
        fields = _content(attempt, POST_FIELDS)
        thread = attempt.thread or attempt.reply
        if thread is not None:
            fields["thread_ts"] = locate(attempt.room, thread)[1]
        answer = await self._post("chat.postMessage", {"channel": attempt.room, **fields})
        return Answer(message_id=_id_in(answer, attempt.room))

    async def edit(self, attempt: Attempt) -> Answer:
        """chat.update, by the conversation's id; it has no thread.

        Blocks and attachments that it does not name stay on the message (docs.slack.dev,
        chat.update) and would hide the new text: what the message shall lose is named, empty.
        """
        lost = ("blocks",) if attempt.extra is None else ("blocks", "attachments")
        fields = {**{name: [] for name in lost}, **_content(attempt, UPDATE_FIELDS)}
        await self._post("chat.update", {**_target(attempt), **fields})
        return Answer(message_id=attempt.message_id)

    async def delete(self, attempt: Attempt) -> Answer:
        """chat.delete, by the conversation's id."""
        await self._post("chat.delete", _target(attempt))
        return Answer(message_id=attempt.message_id)

    async def call(self, attempt: Attempt) -> Answer:
        """Any method, with the arguments as given, in a form: every method reads one."""
        method = attempt.method or ""
        answer = await self._request(method, form=_form(attempt.arguments))
        return Answer(result=answer)

    async def who(self) -> Identity:
        """auth.test: the user that the token belongs to."""
        answer = await self._request("auth.test", form={})
        if answer is None:
            raise TransportError("auth.test: the answer cannot be read", dispatched="no")
        return Identity(id=str(answer.get("user_id", "")), name=str(answer.get("user", "")))

    async def refresh(self) -> Secret | None:
        """A new token for one that expired; None without the means to, or if Slack refuses.

        Whoever comes while another exchanges the token gets that one's: a refresh token works once.
        """
        tokens = self.settings.tokens
        generation = tokens.generation
        async with self._refreshing:
            if tokens.generation == generation:
                return await self._exchange()
            return tokens.access

    async def _exchange(self) -> Secret | None:
        tokens, form = self.settings.tokens, _exchange_form(self.settings)
        if form is None:
            return None
        try:
            answer = await self._request("oauth.v2.access", form=form, authorized=False) or {}
        except SlackApiError:
            return None
        access, renewed = answer.get("access_token"), answer.get("refresh_token")
        if not isinstance(access, str) or not access:
            return None
        tokens.exchanged(access, renewed if isinstance(renewed, str) else None)
        return tokens.access

    async def _post(self, method: str, fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return await self._request(method, json=fields)

    async def _request(
        self, method: str, *, authorized: bool = True, **body: Any
    ) -> Mapping[str, Any] | None:
        """The answer's object; None where it is a success that cannot be read."""
        token = self.settings.tokens.access.reveal()
        headers = {"Authorization": Secret(f"Bearer {token}")} if authorized else {}
        try:
            response = await self._http.request("POST", f"/{method}", headers=headers, **body)
        except UnreadableBody as error:
            if _successful(error.status):
                return None
            raise SlackApiError(method, status=error.status) from error
        return read(method, response)


@asynccontextmanager
async def open_session(settings: Settings) -> AsyncIterator[SlackSession]:
    """A session on one HTTP client, closed at the end. ValueError: the token file is damaged."""
    settings.tokens.load()
    timeouts = Timeouts(total=settings.timeout)
    async with open_client(base_url=settings.base_url, timeouts=timeouts) as http:
        yield SlackSession(settings, http)


def read(method: str, response: Response) -> Mapping[str, Any] | None:
    """The object of a successful answer; None where it came with 2xx and cannot be read.

    Raises SlackApiError for `ok: false` with any status, and for any other status.
    """
    answer = _object(response)
    ok = answer.get("ok")
    if _successful(response.status) and ok is not False:
        return answer if ok is True else None
    raise SlackApiError(
        method,
        status=response.status,
        error=_word(answer.get("error")),
        detail=_detail(answer),
        retry_after=retry_after_seconds(response.headers.get("retry-after")),
    )


def _successful(status: int) -> bool:
    return 200 <= status < 300  # noqa: PLR2004 - HTTP's own numbers


def _object(response: Response) -> Mapping[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        return {}
    return answer if isinstance(answer, Mapping) else {}


def _word(error: Any) -> str:
    if error is None:
        return ""
    return error if isinstance(error, str) else json.dumps(error)


def _detail(answer: Mapping[str, Any]) -> str:
    """The scope that is missing, the arguments that are wrong: for a person to read."""
    metadata = answer.get("response_metadata")
    messages = metadata.get("messages") if isinstance(metadata, Mapping) else None
    words = [x for x in messages if isinstance(x, str)] if isinstance(messages, list) else []
    needed = answer.get("needed")
    if isinstance(needed, str):
        words.append(f"needed: {needed}")
    return f"({'; '.join(words)})" if words else ""


def _content(attempt: Attempt, known: frozenset[str]) -> dict[str, Any]:
    """The part's fields that the method knows, under the platform's own fields.

    Blocks that show the part's text stay, before those of the platform's own fields.
    """
    payload = attempt.part.payload if attempt.part is not None else {}
    content = {name: value for name, value in payload.items() if name in known}
    extra = dict(attempt.extra or {})
    if attempt.mode == "plain":
        extra = {name: value for name, value in extra.items() if name not in NOT_PLAIN}
    if content.get("blocks") and extra.get("blocks"):
        extra["blocks"] = [*content["blocks"], *extra["blocks"]]
    return {**content, **extra}


def _target(attempt: Attempt) -> dict[str, Any]:
    channel, ts = locate(attempt.room, attempt.message_id or "")
    return {"channel": channel, "ts": ts}


def _id_in(answer: Mapping[str, Any] | None, room: str) -> str | None:
    answer = answer or {}
    return message_id(room=room, channel=answer.get("channel"), ts=answer.get("ts"))


def _form(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Texts as they are, everything else as JSON; what is None is left out."""
    given = {name: value for name, value in arguments.items() if value is not None}
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in given.items()
    }


def _exchange_form(settings: Settings) -> dict[str, str] | None:
    refresh, client, secret = settings.tokens.refresh, settings.client_id, settings.client_secret
    if refresh is None or client is None or secret is None:
        return None
    return {
        "grant_type": "refresh_token",
        "client_id": client,
        "client_secret": secret.reveal(),
        "refresh_token": refresh.reveal(),
    }
