"""A transport of httpx2 in the place of the sockets: what tests and applications may put there.

Only who puts one there needs httpx2: it is imported with the first of them. May import what `http`
may.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2

transport_factory: ContextVar[Callable[[], httpx2.AsyncBaseTransport] | None] = ContextVar(
    "transport_factory", default=None
)
"""Makes the transport of clients opened from here on; None: sockets, on the shared TLS context.

A transport of one's own must report `http11.send_request_headers.started` to the request's `trace`
extension before it writes: until then a failure counts as not dispatched. The timeouts of the
phases are in its `timeout` extension; only the total is kept for it.
"""
