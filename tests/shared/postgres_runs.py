"""Process runs with one schema of a real server, which may be full or slow: for the contract."""

from contextlib import asynccontextmanager, contextmanager

import pytest
import trio

from gateway_contrib.durable import committer
from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_core.testing.outbox_contract import START

FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON envelopes FOR EACH ROW
    WHEN (length(NEW.entry) > 50000) EXECUTE FUNCTION full_disk();
CREATE TRIGGER full_disk BEFORE INSERT ON moves FOR EACH ROW
    WHEN (length(NEW.moved_to) > 5000) EXECUTE FUNCTION full_disk();
"""
ROOM = """
DROP TRIGGER full_disk ON envelopes; DROP TRIGGER full_disk ON moves; DROP FUNCTION full_disk();
"""


def ran(server, schema, sql):
    """Run a statement in the schema on another connection; returns its rows."""
    return server.ran(schema, sql)


@contextmanager
def locked(server, schema, table="batches"):
    """Lock the table, so that no one can write to it."""
    with server.connect() as connection, connection.transaction():
        connection.execute(f"LOCK TABLE {schema}.{table} IN ACCESS EXCLUSIVE MODE")
        yield


class Runs:
    """Process runs for the contract, with a lease that does not expire even under load."""

    written_before_it_stalls = True

    @pytest.fixture(autouse=True)
    def place(self, server, emptied_schema, monkeypatch):
        self.server, self.schema = server, emptied_schema
        self.monkeypatch = monkeypatch

    @asynccontextmanager
    async def process_run(self):
        settings = PostgresSettings(schema=self.schema, lease=60)
        outbox = PostgresOutbox(self.server.url(), settings, wall_clock=lambda: START)
        async with outbox:
            yield outbox

    @asynccontextmanager
    async def killed_run(self):
        """A run whose connections end when it is left, and cannot be made again; the lease ends."""
        with self.monkeypatch.context() as patch:
            async with self.process_run() as outbox:
                yield outbox
                for link in outbox._links:
                    patch.setitem(link._options, "dbname", "is not there")
                    link.sever()
                patch.setattr(committer, "LONGEST_PAUSE", 0.01)
        ran(self.server, self.schema, "DELETE FROM members")

    @asynccontextmanager
    async def filled(self, outbox):
        """Let the server refuse large data with the error of a full disk."""
        ran(self.server, self.schema, FULL)
        try:
            yield
        finally:
            ran(self.server, self.schema, ROOM)

    @asynccontextmanager
    async def stalled(self, outbox):
        """Hold the server's answer back, or let the write wait for another connection's lock."""
        if not self.written_before_it_stalls:
            with locked(self.server, self.schema):
                yield
            return
        released, do = trio.Event(), outbox._in_thread

        async def slowly(work, limiter):
            done = await do(work, limiter)
            if limiter is outbox._writing:
                with trio.CancelScope(shield=True):
                    await released.wait()
            return done

        outbox._in_thread = slowly
        try:
            yield
        finally:
            del outbox._in_thread
            released.set()
