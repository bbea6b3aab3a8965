"""Sends requests to Slack's Web API, and returns its answers or raises typed errors.

Sources: docs.slack.dev, chat.postMessage, chat.update, chat.delete, auth.test, oauth.v2.access,
and "using the Web API" (JSON bodies, `ok: false` with HTTP 200).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import attrs
import structlog
import trio

from gateway_core.authors import (
    Answer,
    Attempt,
    Identity,
    Secret,
    TransportError,
    UnreadableSource,
    Upload,
)
from gateway_core.http import (
    HttpClient,
    RawBody,
    Response,
    Timeouts,
    UnreadableBody,
    open_client,
)
from gateway_plugin_slack.answers.urls import read_word
from gateway_plugin_slack.answers.web_api import id_in, made_in, read, successful
from gateway_plugin_slack.by_url.messages import answer_fields, webhook_fields
from gateway_plugin_slack.by_url.origins import files_of, hooks_of, path_in
from gateway_plugin_slack.errors import (
    URL,
    PersonOpened,
    SlackApiError,
    is_final,
    is_passing,
    is_unauthorized,
    is_undone,
)
from gateway_plugin_slack.files.images import uploads_of
from gateway_plugin_slack.files.reuse import (
    KEPT,
    SHOWN,
    Contents,
    belongs_to_message,
    is_given,
    is_named,
    is_refused,
    may_be_shown,
    shown_as,
    slack_id,
)
from gateway_plugin_slack.files.unshared import Unshared
from gateway_plugin_slack.files.uploads import (
    ASKS,
    LOOKS,
    SHARED_WITHIN,
    SHARES,
    FilesStayError,
    NotByUrlError,
    NotSharedError,
    TextUnknownError,
    shared_as,
    sharing,
    upload_form,
)
from gateway_plugin_slack.ids import is_conversation, is_person, locate, message_id
from gateway_plugin_slack.methods import (
    MADE_BY,
    POST_EXTRA,
    POST_FIELDS,
    UPDATE_EXTRA,
    UPDATE_FIELDS,
    method_of,
)
from gateway_plugin_slack.rendering.streams import stream_fields
from gateway_plugin_slack.requests import (
    call_form,
    content_of,
    exchange_form,
    is_of_room,
    target_of,
)
from gateway_plugin_slack.settings import Settings

MAY_NOT_OPEN = ("missing_scope", "not_allowed_token_type", "unknown_method")
"""Slack's words for an app that may not open conversations."""
GONE = ("file_deleted", "file_not_found")
"""Slack's words for a file that no longer exists."""
UNKNOWN_YET = "file_not_found"
"""Slack's word for a file that it does not know, or not yet: a new file may be known later."""

_log = structlog.get_logger("gateway_plugin_slack")


@attrs.define(eq=False)
class SlackSession:
    """An instance's connection to Slack; its methods raise SlackApiError or TransportError."""

    settings: Settings
    _http: HttpClient
    _hooks: HttpClient
    _files: HttpClient
    _refreshing: trio.Lock = attrs.field(factory=trio.Lock)
    _refused: int | None = None
    _opens_none: bool = False
    _contents: Contents = attrs.field(factory=Contents, init=False)
    _unshared: Unshared = attrs.field(factory=Unshared, init=False)

    async def send(self, attempt: Attempt) -> Answer:
        """chat.postMessage; the id names the conversation as well, if the room is a name or user.

        An answer to an interaction is posted to its response_url, which returns no id.
        """
        if self.settings.webhook_url is not None:
            await self._post_to(self.settings.webhook_url.reveal(), webhook_fields(attempt))
            return Answer()
        if attempt.interaction is not None:
            if any(upload.file.url is None for upload in attempt.files):
                raise NotByUrlError
            url = attempt.interaction.token.reveal()
            await self._post_to(url, answer_fields(attempt))
            return Answer()
        await self._open_person(attempt)
        fields = content_of(attempt, POST_FIELDS, POST_EXTRA)
        thread = attempt.thread or attempt.reply
        if thread is not None:
            fields["thread_ts"] = locate(attempt.room, thread)[1]
        if is_named(attempt):
            return await self._show(attempt, fields)
        if uploads_of(attempt):
            return await self._share(attempt, fields)
        answer = await self._post("chat.postMessage", {"channel": attempt.room, **fields})
        return Answer(message_id=id_in(answer, attempt.room))

    async def edit(self, attempt: Attempt) -> Answer:
        """chat.update, by the conversation's id; the method has no thread.

        Blocks and attachments that the request does not name stay on the message (docs.slack.dev,
        chat.update), and would hide the new text. So the request names as empty whatever the
        message is to lose.
        """
        await self._open_person(attempt)
        if attempt.loses_files or not all(upload.held for upload in attempt.files):
            raise FilesStayError
        if attempt.part is None:
            raise TextUnknownError
        lost = ("blocks",) if attempt.extra is None else ("blocks", "attachments")
        fields = {**{name: [] for name in lost}, **content_of(attempt, UPDATE_FIELDS, UPDATE_EXTRA)}
        await self._post("chat.update", {**target_of(attempt), **fields})
        return Answer(message_id=attempt.message_id)

    async def delete(self, attempt: Attempt) -> Answer:
        """chat.delete, by the conversation's id; then delete the files, which would stay at Slack.

        The files are deleted even if the message is already gone: its deletion may have left them.
        """
        await self._open_person(attempt)
        gone: SlackApiError | None = None
        try:
            await self._post("chat.delete", target_of(attempt))
        except SlackApiError as error:
            if error.error != "message_not_found":
                raise
            gone = error
        for upload in uploads_of(attempt):
            if belongs_to_message(upload):
                await self._delete_file(upload.file.id or "")
        if gone is not None:
            raise gone
        return Answer(message_id=attempt.message_id)

    async def _delete_file(self, name: str) -> None:
        """Delete a file that is not needed. Raises an error that may pass, and logs any other."""
        try:
            await self._request("files.delete", form={"file": name})
        except SlackApiError as error:
            if is_passing(error):
                raise
            if error.error not in GONE:
                _log.warning("slack.file_left", file=name, error=error.raw)

    async def _show(self, attempt: Attempt, fields: Mapping[str, Any]) -> Answer:
        """Show pictures that earlier messages have shared."""
        try:
            answer = await self._post("chat.postMessage", {"channel": attempt.room, **fields})
        except SlackApiError as error:
            if is_refused(attempt, error.error):
                self._contents.refused(attempt.files, trio.current_time())
            raise
        return Answer(message_id=id_in(answer, attempt.room), files=_named(attempt))

    async def _share(self, attempt: Attempt, fields: Mapping[str, Any]) -> Answer:
        """Upload the files, share them with the text, and find out the message's id.

        If Slack refuses the message, the uploaded files are deleted. If it certainly did nothing,
        the next attempt shares them.
        """
        uploads, ids = uploads_of(attempt), self._unshared.take(attempt.key)
        before = len(ids)
        try:
            await self._upload_all(uploads[before:], ids)
            wanted = sharing(attempt, uploads, ids, fields)
            if "thread_ts" in fields:
                wanted["thread_ts"] = fields["thread_ts"]
            await self._post(SHARES, wanted)
        except SlackApiError as error:
            for name in ids if is_final(error) else ():
                with suppress(SlackApiError, TransportError):
                    await self._delete_file(name)
            if before and error.error in GONE:  # Slack has forgotten what was not shared in time
                return await self._share(attempt, fields)
            if is_undone(error):
                self._unshared.keep(attempt.key, ids)
            raise
        except TransportError as error:
            if error.dispatched == "no":
                self._unshared.keep(attempt.key, ids)
            raise
        ts = await self._shared(ids, attempt.room)
        made = None if ts is None else message_id(room=attempt.room, channel=attempt.room, ts=ts)
        keeps = made is not None and self._keeps(attempt)
        names = [KEPT + name for name in ids] if keeps else ids
        return Answer(message_id=made, files=_named(attempt, names), reusable=keeps)

    def _keeps(self, attempt: Attempt) -> bool:
        """Whether later messages may show the pictures that this message has uploaded."""
        given = any(is_given(attempt, upload) for upload in attempt.files)
        if given or not self.settings.reuse_pictures or not may_be_shown(attempt.files):
            return False
        return self._contents.keeps(attempt.files, trio.current_time())

    async def _upload_all(self, uploads: Sequence[Upload], ids: list[str]) -> None:
        """Upload each file, and add its id to `ids`.

        Nothing is in the room until the files are shared, so every error is `dispatched="no"`; of
        Slack's own errors, the verdict says so.
        """
        try:
            for upload in uploads:
                ids.append(await self._upload(upload))  # noqa: PERF401 - some may be there already
        except TransportError as error:
            own = isinstance(error, UnreadableSource)
            kind = UnreadableSource if own else TransportError
            raise kind(error.text, dispatched="no") from error

    async def _upload(self, upload: Upload) -> str:
        """The id of a new file with these bytes; nobody sees the file yet."""
        asked = await self._request(ASKS, form=upload_form(upload.file))
        url, name = (asked or {}).get("upload_url"), (asked or {}).get("file_id")
        path = path_in(url, files_of(self.settings.base_url)) if isinstance(url, str) else None
        if path is None or not isinstance(name, str):
            text = f"{ASKS}: the answer has no upload address at Slack"
            raise TransportError(text, dispatched="no")
        body = RawBody(upload, upload.file.media_type or "application/octet-stream")
        try:
            response = await self._files.request("POST", path, body=body)
        except UnreadableBody as error:
            response = Response(error.status, {}, b"")
        too_large = response.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        if too_large or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            word = f"for an upload of {upload.size} bytes"
            raise SlackApiError(ASKS, status=response.status, detail=word)
        if not successful(response.status):
            word = f"an upload of {upload.size} bytes was answered with HTTP {response.status}"
            raise TransportError(word, dispatched="no")
        return name

    async def _shared(self, ids: Sequence[str], room: str) -> str | None:
        """The `ts` of the message that shows the files; None: the app may not look it up."""
        looked = 0
        with trio.move_on_after(SHARED_WITHIN):
            while True:
                await trio.sleep(LOOKS[min(looked, len(LOOKS) - 1)])
                looked += 1
                try:
                    info = await self._request("files.info", form={"file": ids[0]})
                except SlackApiError as error:
                    if is_passing(error) or error.stale or error.error == UNKNOWN_YET:
                        continue
                    return None
                except TransportError:
                    continue
                if (ts := shared_as(info, room)) is not None:
                    return ts
        raise NotSharedError(tuple(ids))

    async def stream(self, attempt: Attempt) -> Answer:
        """chat.startStream, chat.appendStream or chat.stopStream."""
        answer = await self._post(method_of(attempt.operation), stream_fields(attempt))
        started = attempt.operation == "start"
        return Answer(message_id=id_in(answer, attempt.room) if started else attempt.message_id)

    async def call(self, attempt: Attempt) -> Answer:
        """Call any method, with its arguments in a form, which every method accepts.

        If the room is a person, and the method takes a conversation, the method gets the id of the
        person's direct messages.
        """
        if is_of_room(attempt):
            await self._open_person(attempt)
        method = attempt.method or ""
        answer = await self._request(method, form=call_form(attempt))
        made = made_in(answer, attempt.room) if method in MADE_BY else None
        return Answer(message_id=made, result=answer)

    async def who_am_i(self) -> Identity | None:
        """auth.test: the user that the token belongs to; None for a webhook, which cannot be asked.

        If Slack has not answered an earlier exchange of the token, the exchange is made first,
        because nothing else would ask for it again.
        """
        if self.settings.webhook_url is not None:
            return None
        if self.settings.tokens.wanted:
            await self.refresh()
        answer = await self._request("auth.test", form={})
        if answer is None:
            raise TransportError("auth.test: the answer cannot be read", dispatched="no")
        return Identity(id=str(answer.get("user_id", "")), name=str(answer.get("user", "")))

    async def refresh(self) -> Secret | None:
        """A new token for one that expired; None if the settings lack the means or Slack refuses.

        A refresh token works once, so an expired token is exchanged once. A caller that comes
        during the exchange, or that was refused with the earlier token, gets the new token; a
        caller in another process gets it through the token file. Raises what a request raises,
        unless Slack has refused for good.
        """
        tokens = self.settings.tokens
        refused = tokens.generation if self._refused is None else self._refused
        async with self._refreshing:
            if refused < tokens.generation or tokens.reread():
                return tokens.access
            fresh = await self._exchange()
            # If another process was faster, this refresh token was used up by that process.
            return tokens.access if fresh is None and tokens.reread() else fresh

    async def _exchange(self) -> Secret | None:
        tokens, form = self.settings.tokens, exchange_form(self.settings)
        if form is None:
            return None
        tokens.wanted = True
        answer = await self._exchanged(form)
        tokens.wanted = False
        access, renewed = answer.get("access_token"), answer.get("refresh_token")
        if not isinstance(access, str) or not access:
            return None
        tokens.exchanged(access, renewed if isinstance(renewed, str) else None)
        return tokens.access

    async def _exchanged(self, form: Mapping[str, str | Secret]) -> Mapping[str, Any]:
        """Slack's answer to an exchange; empty if Slack refuses for good."""
        try:
            return await self._request("oauth.v2.access", form=form, authorized=False) or {}
        except SlackApiError as error:
            if is_passing(error):
                raise
            _log.error("slack.exchange_refused", error=error.raw)
            return {}

    async def _open_person(self, attempt: Attempt) -> None:
        """If the room is a person, open their direct messages; once, since core remembers them.

        Raises PersonOpened, after which core makes the attempt again in that conversation. If the
        app lacks the right to open direct messages (im:write), chat.postMessage takes the user's
        id.
        """
        named = attempt.message_id is not None and locate("", attempt.message_id)[0]
        if named or self._opens_none or not is_person(attempt.room):
            return
        try:
            answer = await self._request("conversations.open", form={"users": attempt.room})
        except SlackApiError as error:
            if error.error not in MAY_NOT_OPEN:
                raise
            self._opens_none = True
            return
        except TransportError as error:  # whatever became of this request, no message was sent
            raise TransportError(error.text, dispatched="no") from error
        channel = (answer or {}).get("channel")
        found = channel.get("id") if isinstance(channel, Mapping) else None
        if isinstance(found, str) and is_conversation(found):
            raise PersonOpened(found)

    async def _post_to(self, url: str, fields: Mapping[str, Any]) -> None:
        """Post to a URL that is itself a secret. Slack answers with the word `ok`."""
        path = path_in(url, hooks_of(self.settings.base_url))
        if path is None:
            raise SlackApiError(URL, status=400, error="invalid_response_url")

        def redact(text: str) -> str:
            return self._redacted(text.replace(url, "[url]").replace(path, "[url]"))

        try:
            response = await self._hooks.request("POST", path, json=fields)
        except UnreadableBody as error:
            if successful(error.status):
                return
            response = Response(error.status, {}, b"")
        read_word(response, redact=redact)

    async def _post(self, method: str, fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return await self._request(method, json=fields)

    async def _request(
        self, method: str, *, authorized: bool = True, **body: Any
    ) -> Mapping[str, Any] | None:
        """The answer's object; None if the answer is a success that cannot be read."""
        tokens, generation = self.settings.tokens, self.settings.tokens.generation
        bearer = Secret(f"Bearer {tokens.access.reveal()}")
        headers = {"Authorization": bearer} if authorized else {}
        try:
            response = await self._http.request("POST", f"/{method}", headers=headers, **body)
        except UnreadableBody as error:
            if successful(error.status):
                return None
            response = Response(error.status, {}, b"")
        try:
            return read(method, response, redact=self._redacted)
        except SlackApiError as error:
            self._note(error, generation)
            raise

    def _redacted(self, text: str) -> str:
        """The text without the instance's secrets: a proxy in between may quote the request."""
        tokens, settings = self.settings.tokens, self.settings
        for secret in (tokens.access, tokens.refresh, settings.client_secret):
            text = text.replace(secret.reveal(), "[token]") if secret is not None else text
        return self._http.redact(text)

    def _note(self, error: SlackApiError, generation: int) -> None:
        """Record on the error whether its token is stale, and remember which token was refused."""
        if is_unauthorized(error):
            error.stale = generation < self.settings.tokens.generation
            self._refused = generation


def _named(attempt: Attempt, uploaded: Sequence[str] = ()) -> tuple[str, ...]:
    """The id that a ref has for each file of a new message, in the order of the files."""
    fresh = iter(uploaded)
    shown = [shown_as(attempt, upload) for upload in attempt.files]
    return tuple(next(fresh) if name is None else SHOWN + slack_id(name) for name in shown)


@asynccontextmanager
async def open_session(settings: Settings) -> AsyncIterator[SlackSession]:
    """A session with its HTTP clients, closed at the end. ValueError: the token file is damaged."""
    settings.tokens.load()
    timeouts = Timeouts(total=settings.timeout)
    hooks_url = hooks_of(settings.base_url)
    async with (
        open_client(base_url=settings.base_url, timeouts=timeouts, network=settings) as http,
        open_client(base_url=hooks_url, timeouts=timeouts, network=settings) as hooks,
        open_client(
            base_url=files_of(settings.base_url), timeouts=timeouts, network=settings
        ) as files,
    ):
        yield SlackSession(settings, http, hooks, files)
