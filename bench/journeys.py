"""A latency that remembers each text's last request: when it came, and how long its trip took."""

from __future__ import annotations

import re
from contextvars import ContextVar

import trio

from gateway_contrib.emulators.wire import ASGIApp, Event, Latency, Receive, Scope, Send

asked: ContextVar[str] = ContextVar("asked", default="")
"""The name of the text that the current request would send."""


class Journeys(Latency):
    """Round trips of 20 to 80 ms; notes the last round trip of each text.

    names     a pattern that finds a text's name in a request's body
    trips     seconds of the last round trip by text: the drawn latency and the platform's own time
    arrivals  when the text's last request came in
    """

    def __init__(self, channel: str, names: re.Pattern[bytes]) -> None:
        super().__init__(0.020, 0.080, f"bench {channel}")
        self.trips: dict[str, float] = {}
        self.arrivals: dict[str, float] = {}
        self._names = names

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """The application with this latency in front of it."""

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
    """A `receive` that gives these events first, and then new ones."""
    events.reverse()

    async def again() -> Event:
        return events.pop() if events else await receive()

    return again


async def _all_of(receive: Receive) -> list[Event]:
    events = [await receive()]
    while events[-1].get("more_body"):
        events.append(await receive())
    return events
