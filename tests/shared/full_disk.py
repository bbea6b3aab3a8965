"""A disk that takes no more, for an outbox in a file."""

from contextlib import contextmanager


@contextmanager
def full(outbox):
    """No page more than there are, once those are used up that are free."""
    database = outbox._writer._db
    pages = database.execute("PRAGMA page_count").get
    database.execute(f"PRAGMA max_page_count = {pages}")
    try:
        yield
    finally:
        database.execute("PRAGMA max_page_count = 1000000")
