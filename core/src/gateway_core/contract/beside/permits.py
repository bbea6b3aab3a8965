"""Whether a request may still be written: looked at as its first byte is about to go out."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar


def _always() -> bool:
    return True


MAY_WRITE: ContextVar[Callable[[], bool]] = ContextVar("MAY_WRITE", default=_always)
"""Set around an attempt: a connection may take longer to come about than the account is owned."""
