"""The commands of `gateway outbox`, each registered by its module."""

from __future__ import annotations

from gateway_contrib.cli.outbox import (  # noqa: F401 - importing them registers them
    backing_up,
    changing,
    looking,
    resealing,
    suspending,
    taking_part,
)
from gateway_contrib.cli.outbox.named import app

__all__ = ["app"]
