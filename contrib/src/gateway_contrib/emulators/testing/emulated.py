"""Gives a test one emulated platform: its addresses, its next failures, and what arrived."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import attrs

from gateway_contrib.emulators.faults import Cut, Fault, Planned, Said
from gateway_contrib.emulators.rooms import Message
from gateway_contrib.emulators.screen import Sight
from gateway_contrib.emulators.testing.held import UNLIMITED, Held
from gateway_contrib.emulators.testing.requests import Asked
from gateway_contrib.emulators.wire import ASGIApp

T = TypeVar("T")


class Home(Protocol):
    """The loop that an emulator runs in, which may differ from the test's loop."""

    @property
    def app(self) -> ASGIApp:
        """The emulator as an ASGI application, for the test's own loop."""

    def ask(self, function: Callable[[], T]) -> T:
        """Call a function in the emulator's loop, and wait for what it returns."""

    def advance(self, seconds: float) -> None:
        """Move the emulator's time on."""


class _People:
    """The emulator's `people`; their methods are called in the emulator's loop."""

    def __init__(self, home: Home, held: Held) -> None:
        self._home = home
        self._held = held

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._held.emulator.people, name)

        def called(*args: Any, **fields: Any) -> Any:
            return self._home.ask(lambda: method(*args, **fields))

        return called


class Emulated:
    """One emulated platform in a test. Nothing here waits longer than the emulator takes to answer.

    url       where it is served; `base_url` adds the path of the API; `token` is a valid token
    app       the platform as an ASGI application, under trio and under asyncio
    webhook   the URL of an incoming webhook, if the platform has webhooks
    people    what users do: `people.say(room, text)` and more; see the page on emulators
    """

    def __init__(self, home: Home, held: Held) -> None:
        self._home = home
        self._held = held
        self.url = held.url
        self.base_url = held.base_url
        self.token = held.platform.token
        self.app = home.app
        self.people: Any = _People(home, held)

    @property
    def webhook(self) -> str | None:
        """The URL of an incoming webhook; None on a platform without webhooks."""
        return self._held.webhook

    # -- how it behaves

    def limit(self, **limits: Any) -> None:
        """Begin anew, with these limits instead of the platform's own.

        The page on emulators lists their names. Raises ValueError for a limit that does not exist.
        """
        self._home.ask(lambda: self._held.begin(limits))

    def unlimit(self) -> None:
        """Begin anew, without limits that a test would reach."""
        self._home.ask(lambda: self._held.begin(UNLIMITED))

    def refuse(self, *, retry_after: float, times: int = 1) -> None:
        """Answer the next messages with a 429 that asks for so many seconds."""
        self.fail(Fault.RATE_LIMITED, retry_after=retry_after, times=times)

    def fail(
        self, failure: str | Planned, *, times: int = 1, retry_after: float | None = None
    ) -> None:
        """Let the next requests that would change a message fail, after failures that wait already.

        `failure` is the name of a fault (`server_error`, `no_answer`, …), "cut", or an answer word
        for word. Raises ValueError for an unknown name.
        """
        planned = self._held.planned(failure, retry_after=retry_after)
        self._home.ask(lambda: self._held.faults.add(planned, times))

    @property
    def failures(self) -> list[Fault | Said | Cut]:
        """The failures that have met no request yet."""
        return self._home.ask(lambda: self._held.faults.waiting)

    def heal(self) -> None:
        """Forget the failures that wait."""
        self._home.ask(self._held.faults.clear)

    def advance(self, seconds: float) -> None:
        """Move the platform's time on by so many seconds at once: limits end, messages expire.

        Your own program's time is not moved. Raises RuntimeError under pytest-trio, where the
        platform uses the test's own clock.
        """
        self._home.advance(seconds)

    # -- what arrived

    @property
    def rooms(self) -> list[str]:
        """The rooms that have had a message, in the order of their first messages."""
        return self._home.ask(self._held.emulator.rooms.names)

    def messages(self, room: str | int) -> list[Message]:
        """Copies of the messages that a reader of the room sees now, in order."""
        return self._home.ask(
            lambda: [
                attrs.evolve(message, revisions=[*message.revisions])
                for message in self._held.emulator.rooms.conversation(str(room))
            ]
        )

    def texts(self, room: str | int) -> list[str]:
        """The texts that a reader of the room sees now, in order."""
        return [message.text for message in self.messages(room)]

    def sights(self, room: str | int | None = None) -> list[Sight]:
        """What was seen besides messages so far: typing, drafts, ephemeral answers."""
        where = None if room is None else str(room)
        return self._home.ask(lambda: self._held.emulator.screen.log(where))

    @property
    def requests(self) -> list[Asked]:
        """Every request that was answered or cut, in the order of the answers and cuts."""
        return self._home.ask(lambda: [*self._held.requests])

    @property
    def counters(self) -> Mapping[str, int]:
        """The numbers of requests, stored, edited, deleted, rate_limited, faults and more."""
        return self._home.ask(self._held.emulator.counters.copy)

    @property
    def limited(self) -> Mapping[str, int]:
        """The 429s that the limits gave, by method or route; injected 429s are not counted."""
        return self._home.ask(self._held.emulator.limited.copy)

    def ask(self, function: Callable[[Any], T]) -> T:
        """Call a function with the emulator, in its own loop, and wait for what it returns.

        For all else that an emulator can do: `ask(lambda telegram: telegram.remove_room("7"))`.
        """
        return self._home.ask(lambda: function(self._held.emulator))
