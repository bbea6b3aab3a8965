"""Says whether a request may still be written; it is asked just before any bytes go out."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar


def _always() -> bool:
    return True


MAY_WRITE: ContextVar[Callable[[], bool]] = ContextVar("MAY_WRITE", default=_always)
"""Set around an attempt: opening a connection may take longer than the account stays owned."""

UNOWNED = "another process may own the account now"
"""Why a request is not written, or not to its end."""
