"""Simulates a full disk for an outbox in a file."""

from contextlib import contextmanager


@contextmanager
def full(outbox):
    """Let the outbox's file get no new pages; only its free pages can still be used."""
    database = outbox._writer._db
    pages = database.execute("PRAGMA page_count").get
    database.execute(f"PRAGMA max_page_count = {pages}")
    try:
        yield
    finally:
        database.execute("PRAGMA max_page_count = 1000000")
