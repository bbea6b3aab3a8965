"""Sends the gateway's log to standard error: warnings and worse, or everything on request."""

from __future__ import annotations

import logging
import sys
from typing import Annotated, Any

import structlog
from cyclopts import Parameter

Verbose = Annotated[
    bool, Parameter(name=("--verbose", "-v"), negative=(), help="Show the gateway's whole log.")
]


class _ErrorStream:
    """Writes to the current `sys.stderr`, since a live table may have replaced it."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def set_up_log(*, verbose: bool, level: int = logging.WARNING) -> None:
    """Send log events of `level` or worse to standard error; `verbose`: all events."""
    stream: Any = _ErrorStream()
    least = logging.DEBUG if verbose else level
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.PrintLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(stream=stream, level=least, force=True)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
