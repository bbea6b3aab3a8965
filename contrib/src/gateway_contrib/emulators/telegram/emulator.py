"""Serves the emulated Telegram as an ASGI application: paths, tokens, faults, then the method."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from gateway_contrib.emulators.faults import Cut, Fault, FaultPlan, Planned, Said
from gateway_contrib.emulators.files.forms import is_form
from gateway_contrib.emulators.files.serving import download_route, page_route
from gateway_contrib.emulators.files.store import File, FileStore
from gateway_contrib.emulators.page import page_response
from gateway_contrib.emulators.rooms import Rooms
from gateway_contrib.emulators.screen import Screen
from gateway_contrib.emulators.telegram.incoming.people import People
from gateway_contrib.emulators.telegram.limits import TelegramLimits
from gateway_contrib.emulators.telegram.media.kinds import Page
from gateway_contrib.emulators.telegram.methods import METHODS, Method
from gateway_contrib.emulators.telegram.refusals import Refusal, body_of, flood
from gateway_contrib.emulators.telegram.requests import Parameters, read
from gateway_contrib.emulators.telegram.world import Bot, World
from gateway_contrib.emulators.wire import reset, reset_midway, silence

MOST_UPDATES = 100
"""Most updates in one answer of getUpdates, unless fewer are asked for."""

LONGEST_POLL = 50
"""Seconds that getUpdates waits at the most, as the Bot API server does."""

UNFORESEEN_WAIT = 3
"""Seconds that an injected 429 asks for."""

_TOKEN = re.compile(r"([0-9]{1,20}):[A-Za-z0-9_-]{1,128}")
_TOO_MANY = 429
_VERBS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
_GATEWAY_PAGE = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


class TelegramEmulator:
    """A Bot API server in memory.

    tokens   the valid tokens; None: every well-formed token is valid
    limits   the limits that the server enforces, for each bot
    faults   asked once per request that would make or change a message

    files    where bytes are stored; None: a store of its own

    `rooms` has what arrived, `screen` what else users see in the rooms (drafts and chat actions,
    with their times). `people` acts as the users. `limited` counts the 429s that the limits gave,
    by method.
    """

    def __init__(
        self,
        *,
        tokens: Collection[str] | None = None,
        limits: TelegramLimits = TelegramLimits(),  # noqa: B008 - a frozen value
        faults: FaultPlan | None = None,
        files: FileStore | None = None,
    ) -> None:
        self.faults = faults or FaultPlan()
        self.limited: Counter[str] = Counter()
        self.files = files or FileStore()
        self._world = World(limits, files=self.files)
        self.people = People(self._world)
        self._tokens = None if tokens is None else frozenset(tokens)
        self._revoked: set[str] = set()
        self.app = Starlette(
            routes=[
                Route("/", self._page, methods=["GET"]),
                Route("/bot{token}/{method}", self._serve, methods=_VERBS),
                page_route(self.files),
                download_route("/file/bot{token}/{path:path}", self.files, self._download),
                Route("/{path:path}", self._nowhere, methods=_VERBS),
            ]
        )

    @property
    def rooms(self) -> Rooms:
        """What arrived."""
        return self._world.rooms

    @property
    def screen(self) -> Screen:
        """What users see besides messages: drafts and chat actions."""
        return self._world.screen

    @property
    def counters(self) -> Counter[str]:
        """`requests`, `stored`, `edited`, `deleted`, `drafts`, `rate_limited`, `faults` so far.

        `received` counts the messages that people wrote.

        `rate_limited` counts refusals by the limits, not refusals by the plan of faults.
        """
        return self._world.counters

    def revoke(self, token: str) -> None:
        """Refuse the token with 401 from now on."""
        self._revoked.add(token)

    def restore(self, token: str) -> None:
        """Accept the token again."""
        self._revoked.discard(token)

    def remove_room(self, room: str) -> None:
        """Let the person block the bot, or the group kick the bot: 403 from now on."""
        self._world.chats.remove(room)

    def forget_room(self, room: str) -> None:
        """Let the chat be unknown: 400 `chat not found` from now on."""
        self.close_room(room, 400, "chat not found")

    def close_room(self, room: str, status: int, words: str) -> None:
        """Refuse requests for the chat with a status and words; Telegram's prefix is added."""
        self._world.chats.find(room).removed = Refusal(status, words)

    def restore_room(self, room: str) -> None:
        """Let the chat take messages again."""
        self._world.chats.find(room).removed = None

    def reactions(self, room: str, message_id: str) -> list[Any]:
        """The bot's reactions to a message, as posted."""
        return list(self._world.chats.find(room).reactions.get(message_id, ()))

    def pins(self, room: str) -> list[str]:
        """The pinned messages of a chat, the newest last."""
        return list(self._world.chats.find(room).pinned)

    def notified(self, room: str) -> list[str]:
        """The messages about whose pin the members of a chat were notified."""
        return list(self._world.chats.find(room).notified)

    def migrate_room(self, room: str) -> str:
        """Turn the group into a supergroup; returns the new id. Refusals of the old id name it."""
        return self._world.chats.migrate(room)

    def make_channel(self, room: str) -> None:
        """Turn the supergroup with this id into a channel."""
        self._world.chats.find(room).broadcast = True

    def create_topic(self, room: str, name: str = "topic") -> str:
        """Open a topic in the room; returns its id, for `message_thread_id`."""
        chat = self._world.chats.find(room)
        topic = chat.next_id()
        chat.topics[topic] = name
        return topic

    def close_topic(self, room: str, topic: str) -> None:
        """Let the topic refuse messages."""
        self._world.chats.find(room).closed.add(topic)

    def serve_url(self, url: str, media_type: str, size: int = 0) -> None:
        """Set what is at an address, which bots may name instead of uploading a file."""
        self._world.web[url] = Page(media_type, size)

    def break_url(self, url: str) -> None:
        """Make an address one from which Telegram can fetch nothing."""
        self._world.web[url] = None

    def _download(self, request: Request) -> File | None:
        try:
            bot = self._bot(request.path_params["token"])
        except Refusal:
            return None
        return self._world.downloads.get((bot.id, request.path_params["path"]))

    async def _page(self, _request: Request) -> Response:
        return page_response("telegram", self.rooms, self.screen, self.limited)

    async def _nowhere(self, _request: Request) -> Response:
        return _refused(Refusal(404, "Not Found"))

    async def _serve(self, request: Request) -> Response:
        self.counters["requests"] += 1
        try:
            return await self._answer(request)
        except Refusal as refusal:
            return _refused(refusal)

    async def _answer(self, request: Request) -> Response:
        bot = self._bot(request.path_params["token"])
        if request.method not in {"GET", "POST"}:
            raise Refusal(405, "Method Not Allowed: unsupported")
        name = request.path_params["method"].lower()
        if name == "getupdates":
            return await self._updates(await read(request, self._world.limits))
        method = METHODS.get(name)
        if method is None:
            raise Refusal(404, "method not found")
        parameters, fault = await self._read(request, method)
        if fault is None:
            return self._done(request, method, bot, parameters)
        self.counters["faults"] += 1
        if isinstance(fault, Said):
            return fault.response()
        return await self._failing(fault, request, parameters, method, bot)

    async def _read(
        self, request: Request, method: Method
    ) -> tuple[Parameters, Fault | Said | None]:
        """The parameters, and the planned fault for the request.

        A form may be cut while it arrives, so for a form the plan is asked before the form is read.
        """
        form = is_form(request)
        fault = self._planned(method) if form else None
        if isinstance(fault, Cut):
            self.counters["faults"] += 1
            await reset_midway(request, fault.share)
        parameters = await read(request, self._world.limits)
        fault = fault if form else self._planned(method)
        if isinstance(fault, Cut):
            self.counters["faults"] += 1
            await reset(request)
        return parameters, fault

    def _planned(self, method: Method) -> Planned | None:
        return self.faults.next() if method.changes else None

    async def _updates(self, parameters: Parameters) -> Response:
        """Answer getUpdates, the only method that waits."""
        limit = parameters.integer("limit")
        limit = limit if 0 < limit < MOST_UPDATES else MOST_UPDATES
        seconds = min(max(parameters.integer("timeout"), 0), LONGEST_POLL)
        found = await self.people.updates(parameters.integer("offset"), limit, seconds)
        return JSONResponse({"ok": True, "result": found})

    def _bot(self, token: str) -> Bot:
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise Refusal(404, "Not Found")
        if token in self._revoked or (self._tokens is not None and token not in self._tokens):
            raise Refusal(401, "Unauthorized")
        return Bot(int(match[1]))

    def _done(self, request: Request, method: Method, bot: Bot, parameters: Parameters) -> Response:
        try:
            result = method.answer(self._world, bot, parameters)
        except Refusal as refusal:
            if refusal.status == _TOO_MANY:
                self.limited[request.path_params["method"]] += 1
            raise
        return JSONResponse({"ok": True, "result": result})

    async def _failing(
        self, fault: Fault, request: Request, parameters: Parameters, method: Method, bot: Bot
    ) -> Response:
        """Fail before the method does its work, or after."""
        if fault in _INSTEAD:
            return await _INSTEAD[fault](request)
        if fault is Fault.TOKEN_REVOKED:
            self.revoke(request.path_params["token"])
            raise Refusal(401, "Unauthorized")
        if fault is Fault.ROOM_GONE:
            self.remove_room(self._world.chat(parameters).room)
        done = self._done(request, method, bot, parameters)
        return await _AFTERWARDS[fault](request) if fault in _AFTERWARDS else done


def _refused(refusal: Refusal) -> Response:
    wait = (refusal.parameters or {}).get("retry_after")
    headers = {} if wait is None else {"Retry-After": str(wait)}
    return JSONResponse(body_of(refusal), status_code=refusal.status, headers=headers)


async def _limited(_request: Request) -> Response:
    raise flood(UNFORESEEN_WAIT)


async def _server_error(_request: Request) -> Response:
    return HTMLResponse(_GATEWAY_PAGE, status_code=502)


async def _malformed(_request: Request) -> Response:
    return Response('{"ok":true,"result":{"mess', media_type="application/json")


_INSTEAD: Mapping[Fault, Callable[[Request], Awaitable[Response]]] = {
    Fault.RATE_LIMITED: _limited,
    Fault.SERVER_ERROR: _server_error,
    Fault.RESET_BEFORE: reset,
}
_AFTERWARDS: Mapping[Fault, Callable[[Request], Awaitable[Response]]] = {
    Fault.RESET_AFTER: reset,
    Fault.NO_ANSWER: silence,
    Fault.MALFORMED: _malformed,
}
