"""Lets tests and applications put a transport of httpx2 in place of the sockets.

Only they need httpx2, which is imported when the first such client is made. May import what `http`
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
"""Makes the transport of clients that are opened from now on; None: sockets, with the shared TLS
context.

Your own transport must report `http11.send_request_headers.started` to the request's `trace`
extension before it writes; until then a failure counts as not dispatched. The request's `timeout`
extension has the timeouts of the phases, which the transport must keep; the client keeps only the
total.
"""
