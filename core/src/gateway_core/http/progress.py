"""Tracks how far a request came, when its phase must end, and what a failure of it means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs
import trio

from gateway_core.contract.beside.permits import MAY_WRITE, UNOWNED
from gateway_core.contract.errors import TransportError, UnreadableSource
from gateway_core.http.answers import UnreadableBody

ROUNDING = 0.01
"""Seconds by which a phase may end early: a deadline is not moved for less than this."""

_WRITING = "send_request_headers.started"  # A transport's trace event before the first byte.
_LATE = {
    "pool": "PoolTimeout: all connections were in use for",
    "connect": "ConnectTimeout: no connection within",
    "write": "WriteTimeout: the request could not be written within",
    "read": "ReadTimeout: nothing came for",
    "source": "SourceTimeout: nothing more of the body could be read within",
}


@attrs.frozen(kw_only=True)
class Timeouts:
    """Seconds for each phase of a request, and for all of it together.

    connect  name lookup, TCP and TLS, and a proxy's tunnel
    write    writing the request; for a streamed body, reading each block and waiting until the
             system accepts more of it, so that a slow upload goes on
    read     each read of the answer; at least 30 for Telegram, whose server itself sleeps
    pool     waiting for a connection while all are in use
    total    the whole request; it ends an answer of one byte per second. For a streamed body, the
             time before it, and again the time after it
    """

    connect: float = attrs.field(default=10.0, validator=attrs.validators.gt(0))
    write: float = attrs.field(default=30.0, validator=attrs.validators.gt(0))
    read: float = attrs.field(default=35.0, validator=attrs.validators.gt(0))
    pool: float = attrs.field(default=10.0, validator=attrs.validators.gt(0))
    total: float = attrs.field(default=60.0, validator=attrs.validators.gt(0))


class Progress:
    """One request's progress. Its `scope` surrounds the request; each phase moves its deadline.

    A request begins in the phase `read`, since on an open connection it is written at once.

    phase    the phase whose timeout runs
    through  the proxy that the request is connecting through, as words
    written  the first byte may have gone out
    status   the answer's status, once its head was read
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self.timeouts = timeouts
        self.phase = "read"
        self.through = ""
        self.written = False
        self.status: int | None = None
        now = trio.current_time()
        self._end = now + timeouts.total
        self.scope = trio.CancelScope(deadline=min(now + timeouts.read, self._end))

    def enter(self, phase: str) -> None:
        """Start the phase's own timeout, within the total."""
        self.phase = phase
        deadline = min(trio.current_time() + self._bound(), self._end)
        if not 0.0 <= deadline - self.scope.deadline < ROUNDING:
            self.scope.deadline = deadline

    def _bound(self) -> float:
        """Seconds of the phase's own timeout; the phase `source` has the timeout of `write`."""
        name = "write" if self.phase == "source" else self.phase
        bound: float = getattr(self.timeouts, name)
        return bound

    def begins_to_write(self) -> None:
        """The first byte goes out next. Raises `TransportError` if the account may not be owned."""
        if not MAY_WRITE.get()():
            raise TransportError(UNOWNED, dispatched="no")
        self.written = True

    def goes_on_writing(self) -> None:
        """More of the body goes out next. Raises `TransportError` like `begins_to_write`."""
        if not MAY_WRITE.get()():
            raise TransportError(UNOWNED, dispatched="unknown")

    def streams(self) -> None:
        """A body is written block by block from now on; the total does not run meanwhile."""
        self._end = math.inf

    def streamed(self) -> None:
        """No more of the body is written; the total starts again for the wait for the answer."""
        self._end = trio.current_time() + self.timeouts.total
        self.enter("read")

    def moved(self) -> None:
        """A transport of httpx2 took more of the body; the total, its only bound, starts again."""
        self._end = trio.current_time() + self.timeouts.total
        self.enter("total")

    def late(self) -> str:
        """The words for an error when the deadline has passed."""
        if self._end - self.scope.deadline < ROUNDING:
            return f"no answer within {self.timeouts.total:g} s"
        through = self.through if self.phase == "connect" else ""
        return f"{_LATE[self.phase]} {self._bound():g} s{through}"

    async def trace(self, event: str, _told: Mapping[str, Any]) -> None:
        """Called by a transport of httpx2 with each event of the request."""
        if event.endswith(_WRITING):
            self.begins_to_write()

    def failure(self, text: str, *, of_source: bool = False) -> TransportError:
        """The error for a failure at this point, of the connection or of the body's source."""
        if self.status is not None:
            return UnreadableBody(text, status=self.status)
        kind = UnreadableSource if of_source else TransportError
        return kind(text, dispatched="unknown" if self.written else "no")
