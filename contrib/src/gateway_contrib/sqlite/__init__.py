"""The embedded outbox: a database file that accepted envelopes survive in."""

from gateway_contrib.sqlite.files.slots import fault_of as fault_of_slots
from gateway_contrib.sqlite.outbox import SqliteOutbox
from gateway_contrib.sqlite.settings import SqliteSettings

__all__ = ["SqliteOutbox", "SqliteSettings", "fault_of_slots"]
