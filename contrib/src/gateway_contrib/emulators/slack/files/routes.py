"""Serves the addresses to which a file's bytes are posted, and from which they are read.

An upload is refused if its length is wrong, or if its address was never given out or has been used
up; Slack documents no words for this. Reading without a valid token finds nothing; the real Slack
shows a page for signing in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import attrs
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from gateway_contrib.emulators.faults import Cut, Fault, FaultPlan, Planned, Said
from gateway_contrib.emulators.files.forms import (
    FIELD_BYTES,
    TooLarge,
    Unreadable,
    is_form,
    read_form,
    read_raw,
)
from gateway_contrib.emulators.files.serving import download_route
from gateway_contrib.emulators.files.store import File
from gateway_contrib.emulators.slack.files.stored import SlackFile
from gateway_contrib.emulators.slack.refusals import Refusal
from gateway_contrib.emulators.slack.world import TEAM, World
from gateway_contrib.emulators.wire import reset, reset_midway, silence


@attrs.frozen(eq=False)
class FileRoutes:
    """The routes of files.slack.com."""

    world: World
    faults: FaultPlan | None

    def routes(self) -> list[Route]:
        """One route to post to, and one to read from."""
        path = f"/files-pri/{TEAM}-{{file}}/{{name}}"
        return [
            Route("/upload/v1/{file}", self._upload, methods=["POST"]),
            download_route(path, self.world.files.store, self._found),
        ]

    async def _upload(self, request: Request) -> Response:
        self.world.counters["requests"] += 1
        fault = self.faults.next() if self.faults else None
        self.world.counters["faults"] += fault is not None
        if isinstance(fault, Said):
            return fault.response()
        if isinstance(fault, Cut):
            await reset_midway(request, fault.share)
        if fault in _INSTEAD:
            return await _INSTEAD[fault](request)
        file = self.world.files.get(request.path_params["file"])
        if file is None or file.completed:
            return PlainTextResponse("no such upload", 404)
        response = await self._receive(request, file)
        return await _AFTER[fault](request) if fault in _AFTER else response

    async def _receive(self, request: Request, file: SlackFile) -> Response:
        try:
            held = min(file.size, self.world.files.store.most_bytes)
            data, size = await _posted(request, held, file.size)
        except (TooLarge, Unreadable):
            return PlainTextResponse("no file in the form", 400)
        if size != file.size:
            return PlainTextResponse(f"{file.size} bytes were announced and {size} came", 400)
        file.receive(data, self.world.files.store)
        return PlainTextResponse(f"OK - {size}")

    def _found(self, request: Request) -> File | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            self.world.directory.bot(token if scheme.lower() == "bearer" else None)
        except Refusal:
            return None
        file = self.world.files.get(request.path_params["file"])
        there = file is not None and not file.deleted and file.name == request.path_params["name"]
        return file.seen() if file is not None and there else None


async def _posted(request: Request, held: int, announced: int) -> tuple[bytes, int]:
    """The first bytes of the body or of the form's only file, and how many bytes came in all."""
    if not is_form(request):
        return await read_raw(request, held)
    form = await read_form(request, file_bytes=held, body_bytes=announced + FIELD_BYTES)
    if not form.uploads:
        raise Unreadable("no file")
    return form.uploads[0].data, form.uploads[0].size


async def _too_many(_: Request) -> Response:
    return PlainTextResponse("", 429, {"Retry-After": "1"})


async def _broken(_: Request) -> Response:
    return HTMLResponse("<!doctype html><title>502 Bad Gateway</title>", 502)


async def _garbage(_: Request) -> Response:
    return HTMLResponse("<!doc")


_INSTEAD: Mapping[Planned | None, Callable[[Request], Awaitable[Response]]] = {
    Fault.RATE_LIMITED: _too_many,
    Fault.SERVER_ERROR: _broken,
    Fault.RESET_BEFORE: reset,
}
_AFTER: Mapping[Planned | None, Callable[[Request], Awaitable[Response]]] = {
    Fault.RESET_AFTER: reset,
    Fault.NO_ANSWER: silence,
    Fault.MALFORMED: _garbage,
}
