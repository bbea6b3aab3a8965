"""The outbox in PostgreSQL keeps the contract, on a real server."""

from postgres_runs import Runs

from gateway_core.testing import RecordsContract
from gateway_core.testing.outbox_contract import OutboxContract, StoreContract


class TestPostgresOutbox(Runs, OutboxContract):
    """Entries, their ends, accounts; a store that is full or slow; kills."""


class TestPostgresThatWritesLate(Runs, StoreContract):
    """Its server is slow before it has written."""

    written_before_it_stalls = False


class TestPostgresRecords(Runs, RecordsContract):
    """Groups, bytes, and texts that grow."""
