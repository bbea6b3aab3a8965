"""The shared outbox: a schema in PostgreSQL, which one process owns while others stand by."""

from gateway_contrib.postgres.enqueue import aenqueue, enqueue
from gateway_contrib.postgres.outbox import PostgresOutbox
from gateway_contrib.postgres.settings import PostgresSettings

__all__ = ["PostgresOutbox", "PostgresSettings", "aenqueue", "enqueue"]
