"""Sends requests to the Bot API, and returns its answers or raises typed errors."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, TypeGuard

import attrs

from gateway_core.authors import Answer, Attempt, Identity
from gateway_core.http import (
    FormField,
    HttpClient,
    Multipart,
    Response,
    Timeouts,
    UnreadableBody,
    foreign_verdict,
    is_page,
    open_client,
    retry_after_seconds,
)
from gateway_plugin_telegram.errors.verdicts import TelegramApiError, has_no_text, is_stale
from gateway_plugin_telegram.ids import is_message_id, message_id
from gateway_plugin_telegram.kinds.requests import kind_of, kind_request
from gateway_plugin_telegram.media.kinds import DOCUMENT
from gateway_plugin_telegram.media.planning import MOST_IN_ALBUM
from gateway_plugin_telegram.media.requests import (
    edit_files_request,
    file_in,
    text_as_caption_request,
    upload_request,
)
from gateway_plugin_telegram.requests import (
    Request,
    call_request,
    delete_request,
    draft_request,
    edit_request,
    is_in_room,
    send_request,
)
from gateway_plugin_telegram.settings import TelegramSettings

FIELDS_BYTES = 1 << 20
"""Bytes allowed for a form without its files: more than any text and its entities need."""
MOST_REFUSED = 1_000
"""How many file ids a session remembers that Telegram refused in place of bytes."""

LONGEST_DESCRIPTION = 4_096
"""Characters of a refusal's description that are read: the whole gateway waits meanwhile."""
_UNREADABLE = object()


@asynccontextmanager
async def open_session(settings: TelegramSettings) -> AsyncIterator[TelegramSession]:
    """A session; the HTTP client, and nothing above it, puts the token into a request's path."""
    timeouts = Timeouts(read=settings.read_timeout, total=settings.total_timeout)
    async with open_client(
        base_url=settings.base_url,
        path_secret=settings.token,
        timeouts=timeouts,
        network=settings,
        max_upload=MOST_IN_ALBUM * settings.upload_bytes + FIELDS_BYTES,
    ) as client:
        yield TelegramSession(client)


@attrs.define(eq=False)
class TelegramSession:
    """A bot's connection to Telegram, which all attempts of the bot share.

    The methods raise `TelegramApiError` if Telegram does not confirm the request, and
    `TransportError` if Telegram does not answer. A success that cannot be read is a success
    without a message id.
    """

    _client: HttpClient
    _refused: OrderedDict[str, None] = attrs.field(factory=OrderedDict, init=False)
    """Ids of earlier uploads that Telegram refuses; their bytes are uploaded instead."""

    async def who_am_i(self) -> Identity:
        """The bot's own id and name."""
        result = await self._result(Request("getMe", {}))
        if not isinstance(result, Mapping) or not isinstance(result.get("id"), int):
            raise TelegramApiError(status=HTTPStatus.OK, description="getMe: no bot in the answer")
        return Identity(id=str(result["id"]), name=str(result.get("username", "")))

    async def send(self, attempt: Attempt) -> Answer:
        """Send a message, or an album."""
        if attempt.files:
            return await self._upload(attempt)
        kind = kind_of(attempt)
        request = send_request(attempt) if kind is None else kind_request(attempt, kind)
        result = await self._result(request)
        number = _message_id(result)
        return Answer(message_id=None if number is None else message_id(attempt.room, number))

    async def edit(self, attempt: Attempt) -> Answer:
        """Give a message a new text, caption or file."""
        if attempt.files:
            result = await self._sent(edit_files_request(attempt, self._refused))
            shown = attempt.payload.get("media", ())[attempt.place or 0 :]
            learned = self._learned([result], shown) if len(attempt.files) == 1 else ()
            return Answer(message_id=attempt.message_id, files=learned)
        try:
            await self._result(edit_request(attempt))
        except TelegramApiError as error:
            if not has_no_text(error) or "media" in attempt.payload:
                raise
            # The message has a file of which its ref does not know.
            await self._result(text_as_caption_request(attempt))
        return Answer(message_id=attempt.message_id)

    async def _upload(self, attempt: Attempt) -> Answer:
        result = await self._sent(upload_request(attempt, self._refused))
        messages = result if isinstance(result, list) else [result]
        numbers = [_message_id(message) for message in messages]
        names = [message_id(attempt.room, number) for number in numbers if number is not None]
        if len(names) != len(attempt.files):
            return Answer()
        learned = self._learned(messages, attempt.payload["media"])
        return Answer(message_id=names[0], files=learned, more=tuple(names[1:]))

    def _learned(self, messages: Sequence[Any], shown: Sequence[Any]) -> tuple[str, ...]:
        """The files' ids; empty if one cannot be read."""
        found = map(self._learned_of, messages, shown)
        names = tuple(name for name in found if name is not None)
        return names if len(names) == len(messages) else ()

    def _learned_of(self, message: Any, shown: Mapping[str, Any]) -> str | None:
        """The file's id, to reuse; a file that Telegram made another kind is uploaded again."""
        found = file_in(message) if isinstance(message, Mapping) else None
        if found is None:
            return None
        kind, name = found
        if shown["type"] in (kind, DOCUMENT.name):
            self._refused.pop(name, None)
        else:
            self._refuse([name])
        return name

    def _refuse(self, names: Iterable[str]) -> None:
        self._refused.update(dict.fromkeys(names))
        while len(self._refused) > MOST_REFUSED:
            self._refused.popitem(last=False)

    async def _sent(self, request: Request) -> Any:
        """The request's result; a file id that Telegram no longer accepts is not tried again."""
        try:
            return await self._result(request)
        except TelegramApiError as error:
            error.reused = bool(request.reused)
            if is_stale(error):
                self._refuse(request.reused)
            raise

    async def delete(self, attempt: Attempt) -> Answer:
        """Delete a message."""
        await self._result(delete_request(attempt))
        return Answer(message_id=attempt.message_id)

    async def draft(self, attempt: Attempt) -> Answer:
        """Show a preview of a message that is still being written; a preview has no id."""
        await self._result(draft_request(attempt))
        return Answer()

    async def call(self, attempt: Attempt) -> Answer:
        """Call any method; the answer's `result` is Telegram's.

        If Telegram answers with messages, they belong to the attempt's room, unless the call names
        another room.
        """
        result = await self._result(call_request(attempt))
        known = None if result is _UNREADABLE else result
        made = result if isinstance(result, list) else [result]
        numbers = [_message_id(one) for one in made] if is_in_room(attempt) else []
        names = [message_id(attempt.room, n) for n in numbers if n is not None]
        return Answer(message_id=next(iter(names), None), more=tuple(names[1:]), result=known)

    async def _result(self, request: Request) -> Any:
        path = f"/bot{{secret}}/{request.method}"
        try:
            if request.uploads:
                response = await self._client.request("POST", path, body=_form(request))
            else:
                response = await self._client.request("POST", path, json=request.parameters)
        except UnreadableBody as error:
            if _is_success(error.status):
                return _UNREADABLE
            response = Response(error.status, {}, b"")
        body = _json(response)
        if _is_success(response.status) and not is_page(response):
            ok = body.get("ok", not body)  # an object without `ok` comes from a proxy in between
            if ok is not False:
                return body.get("result", _UNREADABLE)
        raise self._error(response, body)

    def _error(self, response: Response, body: Mapping[str, Any]) -> TelegramApiError:
        if body.get("ok") is not False:
            # Every refusal by Telegram has `ok: false`; others come from a proxy in between.
            foreign = foreign_verdict(response, self._client.redact)
            return TelegramApiError(
                status=response.status, description=foreign.raw, foreign=foreign
            )
        parameters = body.get("parameters")
        parameters = parameters if isinstance(parameters, Mapping) else {}
        code = body.get("error_code")
        # A proxy in between may quote the request's path, and with it the token.
        words = self._client.redact(str(body.get("description", "no description")))
        return TelegramApiError(
            status=code if _is_whole(code) else response.status,
            description=words[:LONGEST_DESCRIPTION],
            retry_after=_retry_after(response, parameters),
            down_for=_down_for(response),
            migrate_to=_moved_to(parameters),
        )


def _form(request: Request) -> Multipart:
    """The request's fields as texts (JSON if they are structured), followed by its files."""
    fields: list[Any] = [
        FormField(name, value if isinstance(value, str) else json.dumps(value))
        for name, value in request.parameters.items()
    ]
    for name, upload in request.uploads.items():
        file = upload.file
        kind = file.media_type or None
        fields.append(FormField(name, upload, filename=file.name or name, media_type=kind))
    return Multipart(fields)


def _is_success(status: int) -> bool:
    return HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _json(response: Response) -> Mapping[str, Any]:
    """The answer's JSON object; empty if the body is HTML, nothing, or anything else."""
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, Mapping) else {}


def _retry_after(response: Response, parameters: Mapping[str, Any]) -> float | None:
    seconds = retry_after_seconds(parameters.get("retry_after"))
    if seconds is None and response.status == HTTPStatus.TOO_MANY_REQUESTS:
        return retry_after_seconds(response.headers.get("retry-after"))
    return seconds


def _down_for(response: Response) -> float | None:
    """The `Retry-After` of a 503 (RFC 9110, 10.2.3)."""
    if response.status != HTTPStatus.SERVICE_UNAVAILABLE:
        return None
    return retry_after_seconds(response.headers.get("retry-after"))


def _moved_to(parameters: Mapping[str, Any]) -> str | None:
    target = parameters.get("migrate_to_chat_id")
    return str(target) if _is_whole(target) else None


def _message_id(result: Any) -> int | None:
    number = result.get("message_id") if isinstance(result, Mapping) else None
    return number if _is_whole(number) and is_message_id(str(number)) else None
