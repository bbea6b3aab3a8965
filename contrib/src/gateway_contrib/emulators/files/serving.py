"""Serves stored files: a picture is shown, everything else is saved and never run.

A file's bytes may come from anybody, and an emulator's page has the same origin. So the media type
is that of the bytes and not of the file's name, only pictures are shown in place, and a browser may
neither guess another type nor run anything that it finds in the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway_contrib.emulators.files.kinds import PICTURES, UNKNOWN, recognised
from gateway_contrib.emulators.files.store import File, FileStore

SAFE: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}
"""Headers of a file's answer."""

PAGE_SAFE: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; base-uri 'none'"
    ),
}
"""Headers of an emulator's page, which has no scripts, and only pictures of its own."""

_GONE = PlainTextResponse("The file is not there, or not any more.", 404, SAFE)


def file_response(data: bytes | None, name: str) -> Response:
    """The bytes under a name, or 404 if there are none."""
    if data is None:
        return _GONE
    kind = recognised(data).media_type
    shown = kind in PICTURES
    how = "inline" if shown else "attachment"
    disposition = f"{how}; filename*=UTF-8''{quote(name, safe='')}"
    headers = {**SAFE, "Content-Disposition": disposition}
    return Response(data, 200, headers, media_type=kind if shown else UNKNOWN.media_type)


def page_route(store: FileStore) -> Route:
    """The route from which an emulator's page gets its pictures: `/files/{digest}`."""

    async def serve(request: Request) -> Response:
        digest = request.path_params["digest"]
        return file_response(store.get(digest), digest)

    return Route("/files/{digest}", serve, methods=["GET"])


def download_route(path: str, store: FileStore, find: Callable[[Request], File | None]) -> Route:
    """A route from which a platform's clients get files; `find` returns the request's file."""

    async def serve(request: Request) -> Response:
        file = find(request)
        return file_response(store.get(file.digest) if file else None, file.name if file else "")

    return Route(path, serve, methods=["GET"])
