"""Decides which message requests fail and how: an emulator asks a seeded plan once for each."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Mapping
from enum import StrEnum
from random import Random
from types import MappingProxyType
from typing import Any, TypeAlias

import attrs
from starlette.responses import Response


class Fault(StrEnum):
    """One way in which a platform fails a request that would change a message.

    RATE_LIMITED   refused by a limit that nobody could foresee
    SERVER_ERROR   502 with a body of HTML; nothing was stored
    RESET_BEFORE   the connection is cut and nothing was stored
    RESET_AFTER    the message was stored, then the connection is cut
    NO_ANSWER      the message was stored, then silence for an hour
    MALFORMED      the message was stored; 200 with a body that nobody can read
    TOKEN_REVOKED  from now on the token is refused, until it is restored
    ROOM_GONE      from now on the room does not exist for this bot
    FOREIGN_PAGE   a proxy or portal answers instead of the platform, with the next of
                   `FOREIGN_PAGES`; nothing was stored
    """

    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    RESET_BEFORE = "reset_before"
    RESET_AFTER = "reset_after"
    NO_ANSWER = "no_answer"
    MALFORMED = "malformed"
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 - the name of a fault
    ROOM_GONE = "room_gone"
    FOREIGN_PAGE = "foreign_page"


@attrs.frozen(kw_only=True, eq=False)
class Said:
    """An answer that is sent word for word instead of the platform's own; nothing is stored.

    For answers that a real platform was seen to give, but that no emulator gives by itself. A
    `body` of bytes is sent as it is, any other `body` as JSON.
    """

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = attrs.field(factory=dict)

    def response(self) -> Response:
        """The answer as a response to send."""
        raw = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return Response(raw, self.status, dict(self.headers))


FOREIGN_PAGES: tuple[Said, ...] = (
    Said(status=403, body=b"error code: 1020"),
    Said(status=408, body=b"<html><body><h1>408 Request Time-out</h1></body></html>"),
    Said(status=503, body=b"no healthy upstream"),
    Said(status=401, body=b"<html><title>401 Authorization Required</title></html>"),
    Said(status=302, headers={"location": "https://portal.example/login"}),
    Said(status=404, body=b"default backend - 404"),
    Said(status=425, body=b"Too Early"),
    Said(status=403, body={"message": "Forbidden"}),
    Said(status=499),
    Said(status=511, body=b"<html><title>Network Authentication Required</title></html>"),
    Said(status=521, body=b"error code: 521"),
)
"""Answers of proxies, front doors and portals that did not pass the request on."""


@attrs.frozen
class Cut:
    """The connection is cut when this share of the body has arrived; nothing was stored.

    If the network delivers the body as a whole, the connection is cut after the body.
    """

    share: float = 0.5


Planned: TypeAlias = Fault | Said | Cut


class FaultPlan:
    """Says for each request in turn which fault to inject; None: no fault.

    seed    of the draws; the same seed gives the same faults
    rates   the share of requests (0 to 1) that each fault hits
    script  faults, or answers word for word, by the request's number, counted from 0; the
            script wins over the rates
    limit   how many faults there may be in all; None: any number
    """

    def __init__(
        self,
        *,
        seed: str = "0",
        rates: Mapping[Fault, float] = MappingProxyType({}),
        script: Mapping[int, Planned] = MappingProxyType({}),
        limit: int | None = None,
    ) -> None:
        if min(rates.values(), default=0) < 0 or sum(rates.values()) > 1:
            raise ValueError("the rates must be shares that add up to at most 1")
        self.counts: Counter[Fault] = Counter()
        self._random = Random(f"faults:{seed}")  # noqa: S311 - a plan to repeat, not a secret
        # In the order of the faults' definition: a mapping's own order must not change the plan.
        self._rates = {fault: rates[fault] for fault in Fault if fault in rates}
        self._script = dict(script)
        self._limit = limit
        self._number = 0
        self._given = 0

    def next(self) -> Planned | None:
        """What to do to the next request that would change a message."""
        number, self._number = self._number, self._number + 1
        # One draw per request, used or not, so that a script changes none of the later draws.
        drawn = self._drawn(self._random.random())
        fault = self._script.get(number, drawn)
        if fault is None or self._limit == self._given:
            return None
        self._given += 1
        return self._counted(fault)

    def _counted(self, fault: Planned) -> Planned:
        """Count the fault and return it; for `FOREIGN_PAGE`, return the next page instead."""
        if not isinstance(fault, Fault):
            return fault
        self.counts[fault] += 1
        if fault is Fault.FOREIGN_PAGE:
            return FOREIGN_PAGES[(self.counts[fault] - 1) % len(FOREIGN_PAGES)]
        return fault

    def stop(self) -> None:
        """No more faults from now on."""
        self._limit = self._given

    def _drawn(self, draw: float) -> Fault | None:
        for fault, rate in self._rates.items():
            draw -= rate
            if draw < 0:
                return fault
        return None


class FaultQueue(FaultPlan):
    """A plan with a queue of faults for the next requests; the queue wins over the rates."""

    def __init__(
        self, *, seed: str = "0", rates: Mapping[Fault, float] = MappingProxyType({})
    ) -> None:
        super().__init__(seed=seed, rates=rates)
        self._waiting: deque[Planned] = deque()

    @property
    def waiting(self) -> list[Planned]:
        """The queued faults that have met no request yet."""
        return list(self._waiting)

    def add(self, fault: Planned, times: int = 1) -> None:
        """Queue the fault for so many further requests, after the faults that wait already."""
        self._waiting.extend([fault] * times)

    def clear(self) -> None:
        """Empty the queue; the rates stay."""
        self._waiting.clear()

    def next(self) -> Planned | None:
        """What to do to the next request that would change a message."""
        return self._counted(self._waiting.popleft()) if self._waiting else super().next()
