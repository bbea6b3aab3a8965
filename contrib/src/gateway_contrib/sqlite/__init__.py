"""The embedded outbox: a database file that accepted envelopes survive in."""

from gateway_contrib.sqlite.outbox import SqliteOutbox
from gateway_contrib.sqlite.settings import SqliteSettings

__all__ = ["SqliteOutbox", "SqliteSettings"]
