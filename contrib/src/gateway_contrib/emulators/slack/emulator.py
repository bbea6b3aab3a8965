"""Serves the emulated Slack as an ASGI application: tokens, limits, faults, then the method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Any

import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from gateway_contrib.emulators.faults import Cut, Fault, FaultPlan, Said
from gateway_contrib.emulators.files.serving import page_route
from gateway_contrib.emulators.files.store import FileStore
from gateway_contrib.emulators.page import page_response
from gateway_contrib.emulators.rooms import Rooms
from gateway_contrib.emulators.screen import Screen
from gateway_contrib.emulators.slack.files.routes import FileRoutes
from gateway_contrib.emulators.slack.files.stored import Files
from gateway_contrib.emulators.slack.incoming.people import People
from gateway_contrib.emulators.slack.incoming.routes import HookRoutes
from gateway_contrib.emulators.slack.incoming.urls import IncomingWebhook, UrlRefusal, Urls
from gateway_contrib.emulators.slack.limits import Allowance, SlackLimits
from gateway_contrib.emulators.slack.methods import CHANGING, FORM_ONLY, METHODS, OPEN_METHODS
from gateway_contrib.emulators.slack.refusals import Refusal
from gateway_contrib.emulators.slack.requests import Given, read
from gateway_contrib.emulators.slack.world import TEAM, Bot, Directory, World
from gateway_contrib.emulators.wire import reset, reset_midway, silence

HOOKS_URL = "https://hooks.slack.com"

_HTML = "<!doctype html><title>502 Bad Gateway</title><h1>502 Bad Gateway</h1>"
_GARBAGE = '{"ok":true,"channel":"C0'
_SCOPES = (
    "chat:write,channels:read,files:read,files:write,groups:read,im:read,im:write,"
    "reactions:write,users:read"
)


class SlackEmulator:
    """One workspace, in memory, behind Slack's Web API.

    tokens  the known tokens; None: every well-formed token (`xoxb-…`) is known
    limits  the limits that the workspace enforces
    faults  the plan that posts, edits, deletes, streams, uploads and URLs ask; None: no faults
    files   where bytes are stored; None: a store of its own

    `app` is the ASGI application (`/api/<method>`, the URLs of hooks.slack.com, and a page at
    `/`). `rooms` has what arrived: a message's `text` is what a person reads, its `fields["text"]`
    is what Slack stores, and a stream's `states` show how it grew. `screen` has what else users see
    (statuses, ephemeral messages, failures). `people` acts as the users. `counters` has the numbers
    of requests, stored, edited, deleted, appended, streamed, received, rate_limited and faults;
    `limited` has the 429s that the limits gave, by method. `hooks_url` is the beginning of the
    webhook URLs that are given out; set it if `app` is served elsewhere.
    """

    def __init__(
        self,
        *,
        tokens: Collection[str] | None = None,
        limits: SlackLimits | None = None,
        faults: FaultPlan | None = None,
        files: FileStore | None = None,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.limited: Counter[str] = Counter()
        self.hooks_url = HOOKS_URL
        self._limits = limits or SlackLimits()
        self._faults = faults
        self._directory = Directory(tokens)
        self._allowance = Allowance(self._limits)
        self.files = files or FileStore()
        self._world = World(
            directory=self._directory,
            rooms=Rooms(),
            limits=self._limits,
            counters=self.counters,
            files=Files(self.files, TEAM),
            share_seconds=self._limits.share_seconds,
        )
        self._urls = Urls()
        self.people = People(self._world, self._urls, lambda: self.hooks_url)
        hooks = HookRoutes(self._world, self._urls, self._allowance, faults, self.limited)
        both = ["GET", "POST"]
        self.app = Starlette(
            routes=[
                Route("/", self._page, methods=["GET"]),
                Route("/api/{method}", self._answer, methods=both),
                *hooks.routes(),
                *FileRoutes(self._world, faults).routes(),
                page_route(self.files),
            ]
        )

    @property
    def rooms(self) -> Rooms:
        """What arrived."""
        return self._world.rooms

    @property
    def files_url(self) -> str:
        """The beginning of the addresses of files; set it if `app` is served on a socket."""
        return self._world.files.base

    @files_url.setter
    def files_url(self, url: str) -> None:
        self._world.files.base = url

    def share_after(self, seconds: float) -> None:
        """Share files that are completed from now on after so many seconds; infinity: never."""
        self._world.share_seconds = seconds

    def break_url(self, url: str) -> None:
        """Make Slack fail to fetch the picture at an address."""
        self._world.files.broken.add(url)

    @property
    def screen(self) -> Screen:
        """What users see besides messages."""
        return self._world.screen

    @property
    def ephemeral(self) -> list[Any]:
        """Ephemeral messages, oldest first; `fields["shown_to"]` is the user who sees it."""
        return self._world.ephemeral

    def reactions(self, room: str, ts: str) -> list[tuple[str, str]]:
        """The reactions to a message, as (user, emoji)."""
        return list(self._world.reactions.get((room, ts), ()))

    def revoke(self, token: str) -> None:
        """Answer requests with the token with `token_revoked` from now on."""
        self._directory.refuse(token, "token_revoked")

    def expire(self, token: str) -> None:
        """Answer requests with the token with `token_expired` from now on."""
        self._directory.refuse(token, "token_expired")

    def deactivate(self, token: str) -> None:
        """Answer requests with the token with `account_inactive` from now on."""
        self._directory.refuse(token, "account_inactive")

    def restore(self, token: str) -> None:
        """Accept the token again."""
        self._directory.refuse(token, None)

    def grant_refresh(self, token: str) -> str:
        """A refresh token, valid once, for the bot of an access token."""
        return self._directory.grant(token)

    def close_room(self, room: str, error: str) -> None:
        """Refuse requests for the conversation with one of Slack's words."""
        self._directory.channel(room).closed = error

    def remove_room(self, room: str) -> None:
        """Remove the conversation: `channel_not_found` from now on."""
        self.close_room(room, "channel_not_found")

    def archive_room(self, room: str) -> None:
        """Archive the conversation: `is_archived` from now on, and `is_inactive` for edits."""
        self.close_room(room, "is_archived")

    def leave_room(self, room: str) -> None:
        """Let the bot leave the conversation: `not_in_channel` from now on."""
        self.close_room(room, "not_in_channel")

    def refuse_streams(self, room: str) -> None:
        """Refuse streams in the conversation with `channel_type_not_supported`."""
        self._directory.channel(room).streams = False

    def webhook(self, room: str) -> str:
        """The URL of a new incoming webhook into a conversation."""
        return self.hooks_url + self._urls.webhook(self._directory.channel(room))

    def refuse_webhook(self, url: str, status: int = 404, word: str = "no_service") -> None:
        """Let an incoming webhook answer with a status and one of Slack's words from now on."""
        webhook = self._urls.find(url.removeprefix(self.hooks_url))
        if not isinstance(webhook, IncomingWebhook):
            raise TypeError(f"{url} is a response_url, and no incoming webhook")
        webhook.refused = UrlRefusal(status, word)

    def lock_thread(self, room: str, ts: str) -> None:
        """Lock a thread as admins do: posts there get `restricted_action_thread_locked`."""
        self._directory.channel(room).locked.add(ts)

    def pins(self, room: str) -> list[str]:
        """The pinned messages of a conversation."""
        return list(self._world.pins.get(room, ()))

    @property
    def statuses(self) -> dict[tuple[str, str], str]:
        """The bot's statuses that are shown now, by room and thread."""
        seen = (sight for sight in self.screen.now() if sight.what == "status")
        return {(sight.room, sight.thread or ""): sight.text for sight in seen}

    @property
    def views(self) -> list[Any]:
        """The views that were opened for a trigger, oldest first."""
        return list(self._world.views)

    def restore_room(self, room: str) -> None:
        """Open the conversation again."""
        self._directory.channel(room).closed = None

    async def _page(self, _: Request) -> Response:
        return page_response("slack", self.rooms, self.screen, self.limited)

    async def _answer(self, request: Request) -> Response:
        self.counters["requests"] += 1
        method = request.path_params["method"]
        # The plan is asked when the request arrives, so that its numbers follow the arrivals.
        fault = self._faults.next() if self._faults and method in CHANGING else None
        if fault is not None:
            self.counters["faults"] += 1
        if isinstance(fault, Cut):
            await reset_midway(request, fault.share)
        try:
            given = await read(request)
            return await self._failing(request, method, given, fault)
        except Refusal as refusal:
            return JSONResponse(refusal.answer)

    async def _failing(
        self, request: Request, method: str, given: Given, fault: Fault | Said | None
    ) -> Response:
        """The answer, or what the fault turns the answer into."""
        if isinstance(fault, Said):
            return fault.response()
        if fault is Fault.RATE_LIMITED:
            return self._too_many(1)
        if fault is Fault.SERVER_ERROR:
            return HTMLResponse(_HTML, status_code=502)
        if fault is Fault.RESET_BEFORE:
            await reset(request)
        self._lose(given, fault)
        response = self._perform(method, given)
        if response.status_code != HTTPStatus.OK:  # refused by a limit: nothing was stored
            return response
        if fault is Fault.RESET_AFTER:
            await reset(request)
        if fault is Fault.NO_ANSWER:
            await silence(request)
        return HTMLResponse(_GARBAGE) if fault is Fault.MALFORMED else response

    def _lose(self, given: Given, fault: Fault | None) -> None:
        """Apply a fault that lasts: a revoked token, or a room that is gone."""
        if fault is Fault.TOKEN_REVOKED and given.token:
            self.revoke(given.token)
        if fault is Fault.ROOM_GONE:
            named = [given.arguments.get(name) for name in ("channel", "channel_id")]
            self.remove_room(next(filter(None, named), ""))

    def _perform(self, method: str, given: Given) -> Response:
        """Perform the method. Invariant: no await between a look at the allowance and its use."""
        self._world.settle()
        if method in OPEN_METHODS:
            return _ok(OPEN_METHODS[method](self._world, None, given.arguments), given)
        bot = self._directory.bot(given.token)
        if method not in METHODS:
            raise Refusal("unknown_method", req_method=method)
        return self._limited(method, bot, given)

    def _limited(self, method: str, bot: Bot, given: Given) -> Response:
        room, now = self._room(method, given), trio.current_time()
        wait = self._allowance.wait(method, room, now)
        if wait:
            self.limited[method] += 1
            return self._too_many(wait)
        fields = METHODS[method](self._world, bot, _arguments(method, given))
        self._allowance.take(method, room, now)
        return _ok(fields, given)

    def _room(self, method: str, given: Given) -> str:
        """The channel whose posts are counted; a channel's id and its name give the same."""
        if method != "chat.postMessage":
            return ""
        return self._directory.channel(given.arguments.get("channel")).id

    def _too_many(self, wait: int) -> Response:
        self.counters["rate_limited"] += 1
        body = {"ok": False, "error": "ratelimited"}
        return JSONResponse(body, status_code=429, headers={"Retry-After": str(wait)})


def _arguments(method: str, given: Given) -> Mapping[str, Any]:
    """The arguments that the method sees: not those of a JSON body if it reads only forms."""
    unseen = method in FORM_ONLY and given.query is not None
    return given.query or {} if unseen else given.arguments


def _ok(fields: Mapping[str, Any], given: Given) -> Response:
    """The answer of a success, with its warnings at the places where Slack puts them."""
    warnings = [*given.warnings, *([fields["warning"]] if "warning" in fields else [])]
    body = {"ok": True, **fields}
    if warnings:
        body["warning"] = ",".join(warnings)
        body["response_metadata"] = {"warnings": warnings}
    return JSONResponse(body, headers={"X-OAuth-Scopes": _SCOPES})
