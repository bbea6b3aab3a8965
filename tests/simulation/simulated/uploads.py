"""Makes uploads fail: connections are cut in the middle, and each request may be refused."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import httpx2
import trio
from simulated.lives import check
from simulated.ports import Ports

from gateway_contrib.emulators.wire import RESET
from gateway_core.testing import Network

TELEGRAM = ("sendPhoto", "sendDocument", "sendMediaGroup", "editMessageMedia")
ASKS, BYTES, SHARES, LOOKS = "asks", "bytes", "shares", "looks"
"""The requests of an upload to Slack: get an address, post bytes, share files, look where."""
SLACK = {
    "/files.getUploadURLExternal": ASKS,
    "/upload/v1/": BYTES,
    "/files.completeUploadExternal": SHARES,
    "/files.info": LOOKS,
}
NEEDED = 2.0
"""Seconds that the refusal by a limit names."""

_TELEGRAM: Mapping[str, tuple[int, str]] = {
    "refused": (400, "Bad Request: IMAGE_PROCESS_FAILED"),
    "too_large": (413, "Request Entity Too Large"),
    "limited": (429, f"Too Many Requests: retry after {NEEDED:.0f}"),
}
_DISCORD: Mapping[str, tuple[int, Any]] = {
    "refused": (400, {"code": 50046, "message": "Invalid Asset"}),
    "too_large": (413, {"code": 40005, "message": "Request entity too large"}),
    "limited": (429, {"message": "Slow.", "retry_after": NEEDED, "global": False}),
}
_SLACK: Mapping[str, Mapping[str, str]] = {
    ASKS: {"refused": "blocked_file_type", "too_large": "file_upload_size_restricted"},
    SHARES: {"refused": "storage_limit_reached", "too_large": "file_update_failed"},
    LOOKS: {"refused": "missing_scope"},
}
_WAIT = {"retry-after": f"{NEEDED:.0f}"}
_BROKEN = 502, "<html><title>502 Bad Gateway</title></html>"


def stage_of(channel: str, scope: Mapping[str, Any], what: str) -> str | None:
    """Which request of an upload this is; None: it belongs to no upload."""
    if channel == "telegram":
        return "upload" if what in TELEGRAM else None
    if channel == "slack":
        return next((stage for path, stage in SLACK.items() if path in scope["path"]), None)
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    return "upload" if kinds and kinds[0].startswith(b"multipart/") else None


class UploadFaults:
    """Draws what happens to each request of an upload in one world.

    blind   whether a look was refused: what Slack took then counts as delivered, unseen
    hidden  whether Slack took files that it never shows
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._files = ports.setup.files
        self._random = ports.setup.generator("uploads")
        self._cuts = ports.setup.generator("cuts")
        self.hidden = False
        self.blind = False

    def next(self, channel: str, stage: str) -> str | None:
        """What happens to the next request; None: nothing."""
        if self._files is None or not self._ports.on:
            return None
        number = self._random.random()
        for what, share in self._files.faults.items():
            number -= share / 2 if channel == "slack" else share
            if number < 0:
                if what == "nowhere" and stage != SHARES:
                    return None
                if what == "refused" and stage == LOOKS and self.hidden:
                    return None  # an account that may not look takes unshown files for delivered
                self.hidden |= what == "nowhere"
                self.blind |= what == "refused" and stage == LOOKS
                self._note(what, stage)
                return what
        return None

    def share(self) -> float | None:
        """At which share of its body the next upload is cut; None: it is not cut."""
        if self._files is None or not self._ports.on or self._cuts.random() >= self._files.cut:
            return None
        self._note("cut", "body")
        return self._cuts.choice([0.0, 0.3, 0.5, 0.9, 1.0])

    def _note(self, what: str, stage: str) -> None:
        self._ports.ledger.faults += 1
        self._ports.ledger.note("upload", what, stage)


def answer_of(channel: str, stage: str, what: str) -> tuple[int, Any, Mapping[str, str]] | None:
    """The answer that replaces the platform's; None: the platform gets the request."""
    if what in ("lost", "nowhere"):
        return None
    if what == "broken":
        return *_BROKEN, {}
    return _ANSWERS[channel](stage, what)


def _of_telegram(_: str, what: str) -> tuple[int, Any, Mapping[str, str]]:
    status, words = _TELEGRAM[what]
    body: dict[str, Any] = {"ok": False, "error_code": status, "description": words}
    if what == "limited":
        body["parameters"] = {"retry_after": math.ceil(NEEDED)}
    return status, body, {}


def _of_discord(_: str, what: str) -> tuple[int, Any, Mapping[str, str]]:
    more = {**_WAIT, "x-ratelimit-scope": "shared", "via": "1.1 google"}
    return *_DISCORD[what], more if what == "limited" else {}


def _of_slack(stage: str, what: str) -> tuple[int, Any, Mapping[str, str]]:
    if what == "limited":
        return 429, {"ok": False, "error": "ratelimited"}, _WAIT
    if stage == BYTES:
        return 413 if what == "too_large" else 400, "no", {}
    return 200, {"ok": False, "error": _SLACK[stage].get(what, "internal_error")}, {}


_ANSWERS = {"telegram": _of_telegram, "slack": _of_slack, "discord": _of_discord}


def cut_off(scope: Mapping[str, Any]) -> None:
    """Reset the request's connection, so that nobody hears what was done."""
    scope["extensions"][RESET]()


async def silent(event: Any) -> None:
    """A replacement for `send` that loses the answer."""
    del event
    await trio.lowlevel.checkpoint()


class Cutting(httpx2.AsyncBaseTransport):
    """A transport of the network whose connections are reset in the middle of some uploads."""

    def __init__(self, network: Network, faults: UploadFaults) -> None:
        self._below = network.transport()
        self._faults = faults

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Pass the request on, or cut its connection."""
        share = None
        if not isinstance(request.stream, httpx2.SyncByteStream):
            share = self._faults.share()
        if share is None:
            return await self._below.handle_async_request(request)
        check()
        trace = request.extensions.get("trace")
        if trace is not None:
            await trace("http11.send_request_headers.started", {})
        await _written(request, share)
        raise httpx2.WriteError("connection reset by peer")

    async def aclose(self) -> None:
        """Close the network's transport."""
        await self._below.aclose()


async def _written(request: httpx2.Request, share: float) -> None:
    """Take this share of the body."""
    wanted, size = share * int(request.headers["content-length"]), 0
    async with _pieces(request.stream) as pieces:
        async for piece in pieces:
            size += len(piece)
            if size >= wanted:
                return


@asynccontextmanager
async def _pieces(stream: Any) -> AsyncIterator[AsyncIterator[bytes]]:
    pieces = aiter(stream)
    try:
        yield pieces
    finally:
        if hasattr(pieces, "aclose"):
            await pieces.aclose()


# -- the bytes

_PNG = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\x0dIHDR" + b"\x00\x00\x00\x02\x00\x00\x00\x03"
LARGE = 70_000
"""Bytes of a large file: an outbox stores it beside its database, and reads it in two pieces."""
SHARED = ("logo.png", "terms.txt", "copy.txt", "mark.png")
"""Names of files that several messages have."""
ALIKE = {"copy.txt": "terms.txt"}
"""Files with the same bytes as another file, by their names."""


def content_of(name: str, *, large: bool = False) -> bytes:
    """The bytes of the file with a name; most names have bytes of their own."""
    name = ALIKE.get(name, name)
    head = _PNG if name.endswith(".png") else b""
    body = head + name.encode()
    return body.ljust(LARGE, b".") if large else body


def drawn_name(rng: Random, number: int) -> str:
    """The name of a file that only one message has."""
    return f"f{number}.{rng.choice(['png', 'png', 'txt', 'pdf'])}"


__all__ = ["Cutting", "UploadFaults", "answer_of", "content_of", "cut_off", "stage_of"]
