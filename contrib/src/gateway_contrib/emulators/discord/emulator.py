"""Serves the emulated Discord by ASGI: front door, token, limits, faults, then the method."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

import attrs
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from gateway_contrib.emulators.discord.incoming.gateway import Gateway
from gateway_contrib.emulators.discord.incoming.people import People
from gateway_contrib.emulators.discord.interactions.entries import Interaction
from gateway_contrib.emulators.discord.limits import (
    VIA,
    Allowance,
    DiscordLimits,
    FrontDoor,
    Standing,
    limited,
)
from gateway_contrib.emulators.discord.methods import METHODS, Method, major_of
from gateway_contrib.emulators.discord.refusals import Refusal, coded, plain
from gateway_contrib.emulators.discord.requests import Posted, read
from gateway_contrib.emulators.discord.world import Bot, VirtualWall, Webhook, World
from gateway_contrib.emulators.faults import Cut, Fault, FaultPlan, Planned, Said
from gateway_contrib.emulators.files.serving import download_route, page_route
from gateway_contrib.emulators.files.store import File, FileStore
from gateway_contrib.emulators.page import page_response
from gateway_contrib.emulators.rooms import Rooms
from gateway_contrib.emulators.screen import Screen
from gateway_contrib.emulators.wire import reset, reset_midway, silence

PREFIX = "/api/v10"
UNFORESEEN_WAIT = 1.0
"""Seconds for which an injected 429 leaves the bucket without tokens."""

_TOKEN = re.compile(r"Bot (\S+)")
_BAD_GATEWAY = "<html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>"
_BANNED = "<html><head><title>Access denied</title></head><body>Error 1015</body></html>"
_TOO_MANY = 429
_ATTACHMENT = "/attachments/{channel}/{attachment}/{name}"
_NOBODY = Bot("0", "nobody")


@attrs.frozen(kw_only=True)
class _Asked:
    """One request that was read: its method, its contents, its bot, and where it is counted."""

    request: Request
    method: Method
    posted: Posted
    token: str
    bot: Bot
    incoming: bool

    @property
    def route(self) -> str:
        """The route as it is counted; incoming webhooks are counted on a route of their own."""
        route = self.method.route
        return route.replace("{application}", "{webhook}") if self.incoming else route

    @property
    def major(self) -> str:
        return major_of(self.posted.path)


class DiscordEmulator:
    """A Discord in memory, behind its HTTP API v10.

    tokens      the known tokens; None: every well-formed token is known
    limits      the limits that are enforced
    faults      asked once per request that would make or change a message
    wall_clock  the POSIX time of timestamps, ids and `X-RateLimit-Reset`, which some clients
                (hikari) compare with their own clock; None: it follows trio's, from a fixed moment

    files       where bytes are stored; None: a store of its own

    `app` is the ASGI application (`/api/v10/…`, the gateway's WebSocket at `/gateway`, and a page
    at `/`). `rooms` has what arrived: a message's `text` is what a person reads, its
    `fields["content"]` is what was posted, and a thread is a room of its own. `screen` has what
    else users see (typing, ephemeral messages, interactions that wait or failed). `people` acts as
    the users. `counters` has the numbers of requests, stored, edited, deleted, received,
    rate_limited (by limits, not by the plan of faults) and faults; `limited` has the 429s that the
    limits gave, by route.
    """

    def __init__(
        self,
        *,
        tokens: Collection[str] | None = None,
        limits: DiscordLimits | None = None,
        faults: FaultPlan | None = None,
        wall_clock: Callable[[], float] | None = None,
        files: FileStore | None = None,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.limited: Counter[str] = Counter()
        self.faults = faults or FaultPlan()
        limits = limits or DiscordLimits()
        self.files = files or FileStore()
        self._world = World(
            limits, self.counters, wall_clock=wall_clock or VirtualWall(), files=self.files
        )
        self.people = People(self._world)
        self._tokens = None if tokens is None else frozenset(tokens)
        self._revoked: set[str] = set()
        self._allowance = Allowance(limits)
        self._limits = limits
        self._door = FrontDoor(limits)
        self._shared: dict[str, float] = {}
        self._before: Mapping[Planned | None, Callable[[_Asked], Awaitable[Response]]] = {
            Fault.RATE_LIMITED: self._limit_unforeseen,
            Fault.SERVER_ERROR: self._break,
            Fault.RESET_BEFORE: self._cut,
            Fault.TOKEN_REVOKED: self._revoke,
            Fault.ROOM_GONE: self._lose_room,
        }
        self.app = self._application()

    @property
    def rooms(self) -> Rooms:
        """What arrived."""
        return self._world.rooms

    @property
    def screen(self) -> Screen:
        """What users see besides messages."""
        return self._world.screen

    @property
    def ephemeral(self) -> Rooms:
        """Ephemeral messages, by the room in which one user sees them."""
        return self._world.hidden

    @property
    def gateway_url(self) -> str:
        """The URL that `GET /gateway/bot` returns; set it if `app` is served on a socket."""
        return self._world.gateway_url

    @gateway_url.setter
    def gateway_url(self, url: str) -> None:
        self._world.gateway_url = url

    @property
    def cdn_url(self) -> str:
        """The beginning of attachments' addresses; set it if `app` is served on a socket."""
        return self._world.cdn_url

    @cdn_url.setter
    def cdn_url(self, url: str) -> None:
        self._world.cdn_url = url

    def revoke(self, token: str) -> None:
        """Refuse the token with 401 from now on."""
        self._revoked.add(token)

    def restore(self, token: str) -> None:
        """Accept the token again."""
        self._revoked.discard(token)

    def remove_room(self, room: str) -> None:
        """Delete the channel: Unknown Channel from now on."""
        self.close_room(room, 10003)

    def close_room(self, room: str, code: int = 50001) -> None:
        """Refuse requests for the channel with a code; by default, the bot cannot see it."""
        self._world.closed[room] = code

    def restore_room(self, room: str) -> None:
        """Open the channel again."""
        self._world.closed.pop(room, None)

    def limit_shared(self, room: str, seconds: float) -> None:
        """Let others use up a limit that all share in a channel: 429s of scope `shared`."""
        self._shared[room] = trio.current_time() + seconds

    def slow_mode(self, room: str, seconds: float) -> None:
        """Let the channel take one message in so many seconds; 0: as many as its bucket allows."""
        self._world.slow[room] = seconds

    def interaction(self, room: str) -> Interaction:
        """Let a user enter a command; returns an interaction to answer. `people` can do more."""
        return self.people.command(room, "ask")

    def webhook(self, room: str) -> Webhook:
        """A new incoming webhook into a channel: its path is `/webhooks/{id}/{token}`."""
        number = self._world.next_id()
        webhook = Webhook(id=number, token=f"webhook-{number}", room=room)
        self._world.webhooks[number] = webhook
        return webhook

    def remove_webhook(self, webhook: Webhook) -> None:
        """Delete the webhook: Unknown Webhook from now on."""
        self._world.webhooks[webhook.id] = attrs.evolve(webhook, removed=True)

    def refuse_direct(self, user: str) -> None:
        """Let a user refuse direct messages: messages to the user get 50007."""
        self._world.refusing.add(user)
        for room, recipient in self._world.direct.items():
            if recipient == user:
                self.close_room(room, 50007)

    def reactions(self, room: str, message_id: str) -> list[tuple[str, str]]:
        """The reactions to a message, as (user, emoji)."""
        return list(self._world.reactions.get((room, message_id), ()))

    def pins(self, room: str) -> list[str]:
        """The pinned messages of a channel."""
        return list(self._world.pins.get(room, ()))

    def _application(self) -> Starlette:
        gateway = Gateway(self._world, self.people, self._known)
        routes: list[BaseRoute] = [
            Route("/", self._page, methods=["GET"]),
            page_route(self.files),
            download_route(_ATTACHMENT, self.files, self._attachment),
        ]
        # Clients ask for any path of the gateway's host.
        routes += [WebSocketRoute(path, gateway.serve) for path in ("/", "/gateway")]
        for method in METHODS:
            serve = self._serving(method)
            routes.append(Route(f"{PREFIX}{method.path}", serve, methods=[method.verb]))
        missing: Mapping[Any, Any] = {404: self._missing, 405: self._missing}
        return Starlette(routes=routes, exception_handlers=missing)

    async def _page(self, _: Request) -> Response:
        return page_response("discord", self.rooms, self.screen, self.limited)

    def _attachment(self, request: Request) -> File | None:
        file = self._world.attached.get(request.path_params["attachment"])
        return file if file and file.name == request.path_params["name"] else None

    async def _missing(self, _: Request, error: Any) -> Response:
        return self._refused(plain(error.status_code, error.detail))

    def _serving(self, method: Method) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            self.counters["requests"] += 1
            closed = self._door.closed_for(trio.current_time())
            if closed:
                return HTMLResponse(_BANNED, 429, {"Retry-After": f"{closed:.0f}"})
            try:
                return await self._answer(request, method)
            except Refusal as refusal:
                return self._refused(refusal)

        return serve

    def _refused(self, refusal: Refusal) -> Response:
        scope = refusal.headers.get("X-RateLimit-Scope")
        self._door.note(refusal.status, scope, trio.current_time())
        return JSONResponse(refusal.body, refusal.status, {**refusal.headers, **VIA})

    async def _answer(self, request: Request, method: Method) -> Response:
        token = self._authorized(request, method)
        fault = self.faults.next() if method.changes else None
        self.counters["faults"] += fault is not None
        if isinstance(fault, Cut):
            await reset_midway(request, fault.share)
        posted = await read(request, self._limits)
        bot = self._world.bot(token) if token else _NOBODY
        asked = _Asked(
            request=request,
            method=method,
            posted=posted,
            token=token,
            bot=bot,
            incoming=posted.path.get("application") in self._world.webhooks,
        )
        if isinstance(fault, Said):
            return fault.response()
        if fault in self._before:
            return await self._before[fault](asked)
        response = self._perform(asked)
        return await _AFTER[fault](asked, response) if fault in _AFTER else response

    def _authorized(self, request: Request, method: Method) -> str:
        """The token of a known bot; empty if the method needs none."""
        found = _TOKEN.fullmatch(request.headers.get("authorization", ""))
        token = found[1] if found else ""
        if method.bot and not self._known(token):
            raise plain(401, "Unauthorized")
        return token if method.bot else ""

    def _known(self, token: str) -> bool:
        known = self._tokens is None or token in self._tokens
        return bool(token) and known and token not in self._revoked

    def _perform(self, asked: _Asked) -> Response:
        """Perform the method. Invariant: no await between a look at the limits and their use."""
        now, method = trio.current_time(), asked.method
        headers = self._take(asked, now)
        try:
            status, body = method.does(self._world, asked.bot, asked.posted)
        except Refusal as refusal:
            if refusal.status == _TOO_MANY:
                self.limited[asked.route] += 1
            raise Refusal(refusal.status, refusal.body, {**headers, **refusal.headers}) from None
        whole = {**headers, **VIA}
        return (
            Response(status_code=status, headers=whole)
            if body is None
            else JSONResponse(body, status, whole)
        )

    def _take(self, asked: _Asked, now: float) -> dict[str, str]:
        """Take from every limit; returns the bucket's headers. Raises Refusal if a limit waits."""
        method = asked.method
        shared = self._shared.get(asked.major, 0.0) - now
        if shared > 0:
            raise self._limited(asked, shared, "shared")
        wait = self._allowance.take_global(asked.bot.id, now) if method.bot else 0.0
        if wait:
            raise self._limited(asked, wait, "global")
        allowed, standing = self._allowance.take(asked.route, asked.major, now)
        if not allowed:
            if method.bot:
                self._allowance.give_back_global(asked.bot.id)
            raise self._limited(asked, standing.reset_after, "user", standing)
        return standing.headers(self._world.wall())

    def _limited(
        self, asked: _Asked, wait: float, scope: str, standing: Standing | None = None
    ) -> Refusal:
        self.counters["rate_limited"] += 1
        self.limited[asked.route] += 1
        headers = standing.headers(self._world.wall()) if standing else {}
        return limited(wait, scope=scope, headers=headers)

    async def _limit_unforeseen(self, asked: _Asked) -> Response:
        standing = self._allowance.exhaust(
            asked.route, asked.major, trio.current_time(), UNFORESEEN_WAIT
        )
        headers = standing.headers(self._world.wall())
        raise limited(UNFORESEEN_WAIT, scope="user", headers=headers)

    async def _break(self, _: _Asked) -> Response:
        return HTMLResponse(_BAD_GATEWAY, 502)

    async def _cut(self, asked: _Asked) -> Response:
        await reset(asked.request)

    async def _revoke(self, asked: _Asked) -> Response:
        self.revoke(asked.token)
        raise plain(401, "Unauthorized")

    async def _lose_room(self, asked: _Asked) -> Response:
        self.remove_room(asked.major)
        raise coded(10003)


async def _malformed(_: _Asked, response: Response) -> Response:
    headers = {k: v for k, v in response.headers.items() if not k.startswith("content-")}
    return Response('{"id": "12', 200, headers)


_AFTER: Mapping[Planned | None, Callable[[_Asked, Response], Awaitable[Response]]] = {
    Fault.RESET_AFTER: lambda asked, _: reset(asked.request),
    Fault.NO_ANSWER: lambda asked, _: silence(asked.request),
    Fault.MALFORMED: _malformed,
}
