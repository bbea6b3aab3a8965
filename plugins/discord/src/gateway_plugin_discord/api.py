"""Sends requests to Discord's HTTP API, and returns its answers or raises typed errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import Any

import attrs
import trio

from gateway_core.authors import (
    Answer,
    Attempt,
    GatewayError,
    Identity,
    Instance,
    Secret,
    TransportError,
)
from gateway_core.http import HttpClient, Response, Timeouts, UnreadableBody, is_page, open_client
from gateway_plugin_discord.by_token.interactions import answer_of
from gateway_plugin_discord.by_token.webhook import DESCRIBE, request_of
from gateway_plugin_discord.errors import DiscordApiError, PersonOpened
from gateway_plugin_discord.files import content_of, ids_of
from gateway_plugin_discord.ids import channel_of, is_snowflake, person_of
from gateway_plugin_discord.learned.invalid_answers import InvalidAnswers, times_of
from gateway_plugin_discord.learned.slow_modes import SlowModes
from gateway_plugin_discord.learned.webhooks import WebhookBuckets
from gateway_plugin_discord.limits import bucket_reports, closed_for
from gateway_plugin_discord.methods import (
    ANSWERED_BY_MESSAGE,
    OPEN_DM,
    PROBE,
    ROUTES,
    Route,
    route_of,
)
from gateway_plugin_discord.requests import (
    arguments_left,
    call_body,
    create_body,
    edit_body,
    has_body,
    path_of,
)
from gateway_plugin_discord.settings import DiscordSettings

OK = range(200, 300)

_OWN = frozenset({"id", "channel_id"})

SLOW_MODE = 20016
"""Discord's code for a message that came too early for its channel's slow mode."""

AGAIN_WITHIN = 10.0
"""Seconds to find out the id of a message whose answer could not be read."""


@attrs.define(eq=False)
class DiscordSession:
    """An instance's connections to Discord, and what the instance has learned of Discord's limits.

    The methods raise DiscordApiError for a refusal, InvalidAnswersError or BucketSpentError if a
    request would be unwise now, and TransportError if the request or its answer got lost.
    """

    client: HttpClient
    meter: InvalidAnswers
    webhooks: WebhookBuckets = attrs.field(factory=WebhookBuckets)
    slow_modes: SlowModes = attrs.field(factory=SlowModes)
    webhook: Mapping[str, str] = attrs.field(factory=dict, repr=False)

    async def who_am_i(self) -> Identity:
        """The bot's own user, or the webhook."""
        if self.webhook:
            path = DESCRIBE.fill(self.webhook)
            response = await self._request(DESCRIBE.verb, path, {}, self._without_token)
            found = _json_object(response)
            return Identity(id=str(found.get("id", "")), name=str(found.get("name") or ""))
        response = await self._request(PROBE.verb, PROBE.path, {}, self.client.redact)
        user = _json_object(response)
        return Identity(id=str(user.get("id", "")), name=str(user.get("username", "")))

    async def send(self, attempt: Attempt) -> Answer:
        """POST the part into its channel, deduplicated by the attempt's key.

        If the channel is in slow mode, it is closed until slow mode allows the next message. An
        answer to an interaction is sent by the interaction's token.
        """
        if self.webhook:
            return await self._by_webhook(attempt)
        if attempt.interaction is not None:
            by_token, route, body = answer_of(attempt)
            return await self._perform(by_token, route, body)
        await self._open_person(attempt)
        channel, modes = channel_of(attempt), self.slow_modes
        try:
            answer = await self._created(attempt)
        except DiscordApiError as error:
            if error.code == SLOW_MODE:
                modes.refused(channel, error.wait, trio.current_time())
            raise
        wait = modes.sent(channel, trio.current_time())
        if wait is None:
            return answer
        closed = closed_for(wait, ROUTES["send"], attempt, answer.buckets)
        return attrs.evolve(answer, buckets=closed)

    async def edit(self, attempt: Attempt) -> Answer:
        """PATCH the message, so that it shows the part."""
        if self.webhook:
            return await self._by_webhook(attempt)
        if attempt.interaction is not None:
            by_token, route, body = answer_of(attempt)
            return await self._perform(by_token, route, body)
        await self._open_person(attempt)
        return await self._perform(attempt, ROUTES["edit"], edit_body(attempt))

    async def delete(self, attempt: Attempt) -> Answer:
        """DELETE the message."""
        if self.webhook:
            return await self._by_webhook(attempt)
        await self._open_person(attempt)
        return await self._perform(attempt, ROUTES["delete"], None)

    async def call(self, attempt: Attempt) -> Answer:
        """Any other route, with the call's arguments in its path and its body or query."""
        route = route_of(attempt.operation)
        if route is None:
            raise ValueError(f"{attempt.method!r} is not a method of Discord's API")
        if route.of_channel:
            await self._open_person(attempt)
        arguments = arguments_left(route, attempt.arguments)
        body = call_body(arguments) if has_body(route) else None
        return await self._perform(attempt, route, body)

    async def _open_person(self, attempt: Attempt) -> None:
        """If the room is a person, open their direct messages; once, since core remembers them.

        Raises PersonOpened, after which core makes the attempt again in that channel.
        """
        person = person_of(channel_of(attempt))
        if person is None:
            return
        redact = self.client.redact
        body = {"json": {"recipient_id": person}}
        try:
            answer = await self._request(OPEN_DM.verb, OPEN_DM.path, body, redact)
        except TransportError as error:  # whatever became of this request, no message was sent
            raise TransportError(error.text, dispatched="no") from error
        found = _json_object(answer).get("id")
        if not is_snowflake(found):
            raise TransportError(
                "Discord's answer lacks the channel of the person's direct messages",
                dispatched="no",
            )
        raise PersonOpened(found)

    async def _by_webhook(self, attempt: Attempt) -> Answer:
        by_token, route, body, query = request_of(attempt, self.webhook)
        return await self._perform(by_token, route, body, query=query)

    def _without_token(self, text: str) -> str:
        return self.client.redact(text.replace(self.webhook["token"], "***"))

    async def _created(self, attempt: Attempt) -> Answer:
        """Create the message; if the answer has no id, ask once more, unless the bucket is empty.

        Discord knows the nonce and answers with the existing message. The second request takes no
        token here: of the 50 requests that Discord counts in a second, the pace leaves two for it.
        """
        body = create_body(attempt)
        answer = await self._perform(attempt, ROUTES["send"], body)
        spent = any(report.remaining == 0 for report in answer.buckets)
        if answer.message_id is not None or not attempt.key or spent:
            return answer
        with trio.move_on_after(AGAIN_WITHIN), suppress(GatewayError):
            again = await self._perform(attempt, ROUTES["send"], body)
            return again if again.message_id is not None else answer
        return answer

    async def _perform(
        self, attempt: Attempt, route: Route, body: Mapping[str, Any] | None, *, query: str = ""
    ) -> Answer:
        response = await self._counted(attempt, route, content_of(attempt, body), query)
        result = _json(response)
        if _is_foreign(attempt.operation, result):
            raise DiscordApiError(response, redact=_redactor(self.client, attempt))
        message_id = result.get("id") if isinstance(result, dict) else None
        made = attempt.method is None or route.method in ANSWERED_BY_MESSAGE
        return Answer(
            message_id=message_id if made and is_snowflake(message_id) else None,
            buckets=bucket_reports(attempt, response.headers),
            result=result if attempt.method is not None else None,
            files=ids_of(attempt, result),
        )

    async def _counted(
        self, attempt: Attempt, route: Route, content: Mapping[str, Any], query: str
    ) -> Response:
        """Make the attempt's request; a webhook's request counts in the webhook's own bucket."""
        redact = _redactor(self.client, attempt)
        path = path_of(route, attempt)
        path = f"{path}?{query}" if query else path
        if not route.of_webhook:
            return await self._request(route.verb, path, content, redact)
        self.webhooks.take(route, attempt, trio.current_time())
        try:
            response = await self._request(route.verb, path, content, redact)
        except DiscordApiError as error:
            self.webhooks.learn(route, attempt, error.headers, trio.current_time())
            raise
        self.webhooks.learn(route, attempt, response.headers, trio.current_time())
        return response

    async def _request(
        self, verb: str, path: str, content: Mapping[str, Any], redact: Callable[[str], str]
    ) -> Response:
        """Make one request. A 2xx whose body cannot be read is returned with an empty body."""
        self.meter.check(trio.current_time())
        try:
            response = await self.client.request(verb, path, **content)
        except UnreadableBody as error:
            self.meter.note(error.status, {}, trio.current_time())
            response = Response(error.status, {}, b"")
            if error.status not in OK:
                raise DiscordApiError(response, redact=redact) from None
            return response
        if response.status in OK:
            if is_page(response):
                raise DiscordApiError(response, redact=redact)
            return response
        self.meter.note(response.status, response.headers, trio.current_time())
        raise DiscordApiError(response, redact=redact)


@asynccontextmanager
async def open_session(instance: Instance) -> AsyncIterator[DiscordSession]:
    """A session of `instance` while the block runs. It connects with the first request."""
    settings: DiscordSettings = instance.settings
    agent = f"DiscordBot ({settings.user_agent_url}, {version('gateway-plugin-discord')})"
    headers: dict[str, str | Secret] = {"user-agent": agent}
    if settings.token is not None:
        headers["authorization"] = Secret(f"Bot {settings.token.reveal()}")
    async with open_client(
        base_url=settings.base_url,
        headers=headers,
        timeouts=Timeouts(total=settings.total_timeout),
        network=settings,
    ) as client:
        times = times_of(settings.base_url.rstrip("/"))
        meter = InvalidAnswers(settings.invalid_answers, instance.id, times)
        yield DiscordSession(client, meter, webhook=settings.webhook)


def _redactor(client: HttpClient, attempt: Attempt) -> Callable[[str], str]:
    """A function that removes the tokens from a text: the bot's, and a webhook's in the path."""
    token = str(attempt.arguments.get("token") or "")

    def redact(text: str) -> str:
        return client.redact(text.replace(token, "***") if token else text)

    return redact


def _json(response: Response) -> Any:
    """The body as JSON; None if it cannot be read, since the platform has acted anyway."""
    try:
        return response.json()
    except ValueError:
        return None


def _is_foreign(operation: str, result: Any) -> bool:
    """Whether the object of a success is not Discord's: Discord's messages have the fields `_OWN`.

    The answers to other calls have no such fields, and are not checked.
    """
    message = operation in ("send", "upload", "edit", "delete", "answer", "revise")
    return message and isinstance(result, dict) and bool(result) and not _OWN & result.keys()


def _json_object(response: Response) -> dict[str, Any]:
    body = _json(response)
    return body if isinstance(body, dict) else {}
