"""Controls an emulator over HTTP: shows what arrived, acts as people, and plans failures.

For tests in any language, beside the platform's own API. Requests to the control are neither
limited nor noted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

import attrs
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from gateway_contrib.emulators.faults import Cut, Planned, Said
from gateway_contrib.emulators.rooms import Message
from gateway_contrib.emulators.testing.held import Held
from gateway_contrib.emulators.wire import ASGIApp, Receive, Scope, Send

PREFIX = "/emulator"

DOING = frozenset({"command", "complete", "press", "say", "stop_stream"})
"""The methods of `people` that may be called: those whose arguments JSON can express."""

_FAULT = {"fault", "times", "retry_after", "share", "status", "body", "headers"}


class _Wrong(Exception):
    """The request cannot be performed; the words say why."""


def controlled(held: Held) -> ASGIApp:
    """The held platform, with its control below `/emulator`."""
    control = _Control(held).app

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        ours = scope["type"] == "http" and (path == PREFIX or path.startswith(f"{PREFIX}/"))
        await (control if ours else held.app)(scope, receive, send)

    return app


class _Control:
    """The routes below `/emulator`."""

    def __init__(self, held: Held) -> None:
        self._held = held
        routes = [
            Route(PREFIX, self._state),
            Mount(
                PREFIX,
                routes=[
                    Route("/rooms", self._rooms),
                    Route("/rooms/{room:path}", self._room),
                    Route("/requests", self._requests),
                    Route("/failures", self._fail, methods=["POST"]),
                    Route("/failures", self._heal, methods=["DELETE"]),
                    Route("/people/{what}", self._people, methods=["POST"]),
                    Route("/restart", self._restart, methods=["POST"]),
                ],
            ),
        ]
        self.app = Starlette(routes=routes, exception_handlers={_Wrong: _wrong})

    async def _state(self, _: Request) -> Response:
        held, emulator = self._held, self._held.emulator
        return _json(
            {
                "channel": held.channel,
                "url": held.url,
                "base_url": held.base_url,
                "token": held.platform.token,
                "webhook": held.webhook,
                "counters": dict(emulator.counters),
                "limited": dict(emulator.limited),
                "failures": [_name(fault) for fault in held.faults.waiting],
            }
        )

    async def _rooms(self, _: Request) -> Response:
        rooms = self._held.emulator.rooms
        return _json({name: [*map(_shown, rooms.conversation(name))] for name in rooms.names()})

    async def _room(self, request: Request) -> Response:
        conversation = self._held.emulator.rooms.conversation(request.path_params["room"])
        return _json([*map(_shown, conversation)])

    async def _requests(self, _: Request) -> Response:
        return _json([attrs.asdict(asked) for asked in self._held.requests])

    async def _fail(self, request: Request) -> Response:
        given = await _given(request, _FAULT)
        times = given.get("times", 1)
        if type(times) is not int or times < 1:
            raise _Wrong(f"times: {times!r} is not a whole number above 0")
        self._held.faults.add(_tried(lambda: self._planned(given)), times)
        return await self._state(request)

    def _planned(self, given: Mapping[str, Any]) -> Planned:
        if "status" in given:
            body = given.get("body", "")
            return Said(
                status=int(given["status"]),
                body=body.encode() if isinstance(body, str) else body,
                headers=given.get("headers", {}),
            )
        wait, share = given.get("retry_after"), float(given.get("share", 0.5))
        return self._held.planned(
            str(given.get("fault")), retry_after=None if wait is None else float(wait), share=share
        )

    async def _heal(self, request: Request) -> Response:
        self._held.faults.clear()
        return await self._state(request)

    async def _people(self, request: Request) -> Response:
        what, people = request.path_params["what"], self._held.emulator.people
        if what not in DOING or not hasattr(people, what):
            there = sorted(name for name in DOING if hasattr(people, name))
            raise _Wrong(f"{what} is not an action here; there are {', '.join(there)}")
        act = getattr(people, what)
        given = await _given(request, {*signature(act).parameters})
        done = _tried(lambda: act(**given))
        return _json(getattr(done, "event", done))

    async def _restart(self, request: Request) -> Response:
        given = await _given(request, {"limits"})
        _tried(lambda: self._held.begin(given.get("limits")))
        return await self._state(request)


def _shown(message: Message) -> dict[str, Any]:
    """A message as JSON."""
    return {
        "id": message.id,
        "room": message.room,
        "text": message.text,
        "thread": message.thread,
        "reply_to": message.reply_to,
        "user": message.user,
        "edited": message.edited_at is not None,
        "revisions": message.revisions,
        "files": [
            {"name": file.name, "media_type": file.media_type, "size": file.size}
            for file in message.files
        ],
        "fields": message.fields,
    }


def _name(fault: Planned) -> str:
    match fault:
        case Said():
            return f"answer {fault.status}"
        case Cut():
            return "cut"
    return fault.value


def _tried(work: Callable[[], Any]) -> Any:
    """The work's result; if the work raises, the exception's words become the answer."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - the emulators refuse by exceptions of their own
        raise _Wrong(str(error)) from None


async def _given(request: Request, known: set[str] | None = None) -> Mapping[str, Any]:
    """The JSON object in the body; an empty body is an empty object."""
    raw = await request.body()
    given = _tried(lambda: _parsed(raw))
    unknown = sorted(set(given) - known) if known is not None else []
    if unknown:
        raise _Wrong(f"{', '.join(unknown)}: unknown; there are {', '.join(sorted(known or ()))}")
    return dict(given)


def _parsed(raw: bytes) -> Mapping[str, Any]:
    given = json.loads(raw or b"{}")
    if not isinstance(given, dict):
        raise TypeError("the body is not a JSON object")
    return given


def _json(content: Any) -> Response:
    # The fields that a message was posted with may hold values that JSON cannot express.
    return Response(json.dumps(content, default=str), media_type="application/json")


async def _wrong(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)
