"""The embedded outbox: a database file that accepted envelopes survive in."""

from gateway_contrib.sqlite.outbox import SqliteOutbox, SqliteSettings

__all__ = ["SqliteOutbox", "SqliteSettings"]
