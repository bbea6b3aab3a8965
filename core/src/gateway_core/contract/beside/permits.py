"""Says whether a request may still be written; it is asked just before the first byte goes out."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar


def _always() -> bool:
    return True


MAY_WRITE: ContextVar[Callable[[], bool]] = ContextVar("MAY_WRITE", default=_always)
"""Set around an attempt: opening a connection may take longer than the account stays owned."""
