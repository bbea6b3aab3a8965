"""Latency that remembers: which text was asked for, when, and how long its way was."""

from __future__ import annotations

import re
from contextvars import ContextVar

import trio

from gateway_contrib.emulators.wire import ASGIApp, Event, Latency, Receive, Scope, Send

asked: ContextVar[str] = ContextVar("asked", default="")
"""The text that the request at hand would send, by its name."""


class Journeys(Latency):
    """Round trips of 20 to 80 ms; what the last one of each text took, and when it began.

    names     what names a text in a request's body
    trips     seconds by text: what was drawn, and the platform's own time
    arrivals  when the text's last request came in
    """

    def __init__(self, channel: str, names: re.Pattern[bytes]) -> None:
        super().__init__(0.020, 0.080, f"bench {channel}")
        self.trips: dict[str, float] = {}
        self.arrivals: dict[str, float] = {}
        self._names = names

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """The application behind that latency."""

        async def distant(scope: Scope, receive: Receive, send: Send) -> None:
            events = await _all_of(receive)
            begun = trio.current_time()
            name = self._name(events)
            asked.set(name)
            there, back = self.halves()

            async def delayed(event: Event) -> None:
                if event["type"] == "http.response.start":
                    await trio.sleep(back)
                    self.arrivals[name] = begun
                    self.trips[name] = trio.current_time() - begun
                await send(event)

            await trio.sleep(there)
            await app(scope, _again(events, receive), delayed)

        return distant

    def _name(self, events: list[Event]) -> str:
        found = self._names.search(b"".join(event.get("body", b"") for event in events))
        return found[0].decode() if found else ""


def _again(events: list[Event], receive: Receive) -> Receive:
    """Those events, and then what comes."""
    events.reverse()

    async def again() -> Event:
        return events.pop() if events else await receive()

    return again


async def _all_of(receive: Receive) -> list[Event]:
    events = [await receive()]
    while events[-1].get("more_body"):
        events.append(await receive())
    return events
