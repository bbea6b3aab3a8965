"""Serves the routes under hooks.slack.com: each URL's answer, or the planned fault.

The answers are plain texts: `ok`, or a word for the error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import attrs
import trio
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gateway_contrib.emulators.faults import Cut, Fault, FaultPlan, Planned, Said
from gateway_contrib.emulators.slack.incoming.posting import perform, posted
from gateway_contrib.emulators.slack.incoming.urls import (
    IncomingWebhook,
    Url,
    UrlRefusal,
    Urls,
)
from gateway_contrib.emulators.slack.limits import WEBHOOK, Allowance
from gateway_contrib.emulators.slack.world import World
from gateway_contrib.emulators.wire import reset, reset_midway, silence

KINDS = ("commands", "actions", "services")
_HTML = "<!doctype html><title>502 Bad Gateway</title><h1>502 Bad Gateway</h1>"


@attrs.define(eq=False)
class HookRoutes:
    """Serves the URLs of one emulator; `limited` counts the 429s of incoming webhooks."""

    world: World
    urls: Urls
    allowance: Allowance
    faults: FaultPlan | None
    limited: Counter[str]

    def routes(self) -> list[Route]:
        """One route for each kind of URL."""
        return [
            Route(f"/{kind}/{{a}}/{{b}}/{{c}}", self._serve, methods=["POST"]) for kind in KINDS
        ]

    async def _serve(self, request: Request) -> Response:
        self.world.counters["requests"] += 1
        fault = self.faults.next() if self.faults else None
        self.world.counters["faults"] += fault is not None
        try:
            return await self._failing(request, fault)
        except UrlRefusal as refusal:
            if refusal.json:
                body = {"ok": False, "error": refusal.word}
                return JSONResponse(body, status_code=refusal.status)
            return PlainTextResponse(refusal.word, status_code=refusal.status)

    async def _failing(self, request: Request, fault: Planned | None) -> Response:
        if isinstance(fault, Said):
            return fault.response()
        if isinstance(fault, Cut):
            await reset_midway(request, fault.share)
        if fault in _INSTEAD:
            return await _INSTEAD[fault](request)
        body = await request.body()
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        url = self.urls.find(request.url.path)
        if fault is Fault.ROOM_GONE:
            url.channel.closed = "channel_not_found"
        response = self._performed(url, body, kind)
        return await _AFTER[fault](request) if fault in _AFTER else response

    def _performed(self, url: Url, body: bytes, kind: str) -> Response:
        """Perform the post. Invariant: no await between a look at the allowance and its use."""
        now, counted = trio.current_time(), isinstance(url, IncomingWebhook)
        wait = self.allowance.wait(WEBHOOK, url.path, now) if counted else 0
        if wait:
            self.world.counters["rate_limited"] += 1
            self.limited[WEBHOOK] += 1
            return _too_many(wait)
        perform(self.world, url, posted(body, kind))
        if counted:
            self.allowance.take(WEBHOOK, url.path, now)
        return PlainTextResponse("ok")


def _too_many(wait: int) -> Response:
    return PlainTextResponse("rate_limited", status_code=429, headers={"Retry-After": str(wait)})


async def _limited(_: Request) -> Response:
    return _too_many(1)


async def _break(_: Request) -> Response:
    return HTMLResponse(_HTML, status_code=502)


async def _revoked(_: Request) -> Response:
    raise UrlRefusal(403, "invalid_token")


async def _malformed(_: Request) -> Response:
    return HTMLResponse("<!doc")


_INSTEAD: Mapping[Planned | None, Callable[[Request], Awaitable[Response]]] = {
    Fault.RATE_LIMITED: _limited,
    Fault.SERVER_ERROR: _break,
    Fault.RESET_BEFORE: reset,
    Fault.TOKEN_REVOKED: _revoked,
}
_AFTER: Mapping[Planned | None, Callable[[Request], Awaitable[Response]]] = {
    Fault.RESET_AFTER: reset,
    Fault.NO_ANSWER: silence,
    Fault.MALFORMED: _malformed,
}
