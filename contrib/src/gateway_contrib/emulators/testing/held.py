"""Holds an emulated platform for a test: its limits, its next failures, and its requests.

Call everything here in the loop that the emulator runs in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway_contrib.emulators.faults import Cut, Fault, FaultQueue, Planned, Said
from gateway_contrib.emulators.testing.platforms import PLATFORMS, limits_of
from gateway_contrib.emulators.testing.requests import Asked, noting
from gateway_contrib.emulators.wire import Receive, Scope, Send

UNLIMITED = "none"
"""Given instead of limits: there is no limit that a test would reach."""

MOST_REQUESTS = 10_000
"""How many requests are remembered; the oldest are forgotten first."""


class Held:
    """One emulated platform. `begin` replaces it with a new and empty one.

    rates       the share of requests that each fault hits, drawn from the seed
    wall_clock  Discord's POSIX time; None: the emulator's own
    tell        called with each request that was answered or cut
    """

    def __init__(
        self,
        channel: str,
        *,
        limits: Mapping[str, Any] | str | None = None,
        rates: Mapping[Fault, float] | None = None,
        seed: str = "0",
        wall_clock: Callable[[], float] | None = None,
        tell: Callable[[Asked], None] = lambda _: None,
    ) -> None:
        if channel not in PLATFORMS:
            raise ValueError(f"{channel} is not a platform; there are {', '.join(PLATFORMS)}")
        self.channel = channel
        self.platform = PLATFORMS[channel]
        self.url = ""
        self.webhook: str | None = None
        self._rates, self._seed = rates or {}, seed
        tells_time = wall_clock is not None and channel == "discord"
        self._more = {"wall_clock": wall_clock} if tells_time else {}
        self._tell = tell
        self._limits: Any = None
        self.begin(limits)

    @property
    def base_url(self) -> str:
        """The address of the API itself, for the gateway's setting `base_url`."""
        return f"{self.url}{self.platform.path}"

    def begin(self, limits: Mapping[str, Any] | str | None = None) -> None:
        """Begin anew: no rooms, no failures, no requests.

        `limits` are changes to the platform's own limits; None keeps the present limits. Raises
        ValueError for limits that do not exist.
        """
        if limits == UNLIMITED:
            self._limits = self.platform.unlimited
        elif isinstance(limits, Mapping):
            self._limits = limits_of(self.platform, limits)
        elif limits is not None:
            raise ValueError(f"limits: {limits!r} is neither a mapping nor {UNLIMITED!r}")
        self.faults = FaultQueue(seed=self._seed, rates=self._rates)
        more = self._more if self._limits is None else {**self._more, "limits": self._limits}
        self.emulator: Any = self.platform.emulator(faults=self.faults, **more)
        self.requests: list[Asked] = []
        self.locate(self.url)

    def locate(self, url: str) -> None:
        """Set the URL where the platform is served, for the addresses that it gives out."""
        self.url = url
        if url:
            self.webhook = self.platform.locate(self.emulator, url)

    def planned(
        self, fault: str | Planned, *, retry_after: float | None = None, share: float = 0.5
    ) -> Planned:
        """What a failure's name means on this platform. Raises ValueError for an unknown name.

        With `retry_after`, "rate_limited" asks for so many seconds; "cut" cuts the connection when
        `share` of a body has arrived.
        """
        if isinstance(fault, Said | Cut):
            return fault
        if fault == "cut":
            return Cut(share)
        if fault == Fault.RATE_LIMITED and retry_after is not None:
            return self.platform.refused(retry_after)
        try:
            return Fault(fault)
        except ValueError:
            raise ValueError(
                f"{fault} is not a failure; there are {', '.join([*Fault, 'cut'])}"
            ) from None

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The present platform as an ASGI application; its requests are noted."""
        app = self.emulator.app
        if scope["type"] == "http":
            app = noting(app, self._note)
        await app(scope, receive, send)

    def _note(self, asked: Asked) -> None:
        self.requests.append(asked)
        del self.requests[:-MOST_REQUESTS]
        self._tell(asked)
