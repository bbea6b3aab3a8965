"""Notes every request that an emulator gets, in the order of the answers."""

from __future__ import annotations

import re
from collections.abc import Callable

import attrs
import trio

from gateway_contrib.emulators.wire import ASGIApp, Event, Receive, Scope, Send

_TELEGRAM_S_TOKEN = re.compile(r"(?<=/bot)\d+:[^/]+")


@attrs.frozen(kw_only=True)
class Asked:
    """One request, and how it was answered.

    path     as it was requested, with `***` instead of a Telegram token
    status   of the answer; None: the connection was cut, or the client left before
    seconds  how long it took, by the emulator's clock
    """

    verb: str
    path: str
    status: int | None
    seconds: float


def noting(app: ASGIApp, note: Callable[[Asked], None]) -> ASGIApp:
    """Wrap the application: `note` gets each request before the client has the whole answer."""

    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        begun, status, is_noted = trio.current_time(), None, False

        def note_it() -> None:
            nonlocal is_noted
            if is_noted:
                return
            is_noted = True
            note(
                Asked(
                    verb=scope["method"],
                    path=_TELEGRAM_S_TOKEN.sub("***", scope["path"]),
                    status=status,
                    seconds=trio.current_time() - begun,
                )
            )

        async def sending(event: Event) -> None:
            nonlocal status
            if event["type"] == "http.response.body" and not event.get("more_body"):
                note_it()
            await send(event)
            status = event.get("status", status)

        try:
            await app(scope, receive, sending)
        finally:
            note_it()

    return noted
