"""The outbox in a file keeps the contract: with its worker thread, and without one."""

import shutil
from contextlib import asynccontextmanager

import pytest
import trio
from full_disk import full
from sealed import FIRST

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core.testing.outbox_contract import START, OutboxContract, StoreContract


class Runs:
    """Process runs with one file, whose disk may be full, or slow once it has written."""

    keys = ()
    written_before_it_stalls = True

    @pytest.fixture(autouse=True, params=[True, False], ids=["thread", "inline"])
    def file(self, request, tmp_path):
        self.path = tmp_path / "outbox.db"
        self.in_thread = request.param

    @asynccontextmanager
    async def process_run(self):
        settings = SqliteSettings(in_thread=self.in_thread, synchronous="NORMAL")
        async with SqliteOutbox(
            self.path, settings, wall_clock=lambda: START, keys=self.keys
        ) as outbox:
            yield outbox

    @asynccontextmanager
    async def killed_run(self):
        """What is on the disk as it is left goes on as another file."""
        async with self.process_run() as outbox:
            yield outbox
            folder = self.path.with_name(f"after {self.path.parent.name}")
            folder.mkdir()
            for file in self.path.parent.glob("outbox.db*"):
                shutil.copy(file, folder / file.name)
        self.path = folder / self.path.name

    @asynccontextmanager
    async def filled(self, outbox):
        with full(outbox):
            yield

    @asynccontextmanager
    async def stalled(self, outbox):
        """What writes does not come back, or does not come to it."""
        released, do = trio.Event(), outbox._in_thread

        async def wait():
            with trio.CancelScope(shield=True):
                await released.wait()

        async def slowly(work, limiter):
            if limiter is not outbox._writing:
                return await do(work, limiter)
            if not self.written_before_it_stalls:
                await wait()
            done = await do(work, limiter)
            await wait()
            return done

        outbox._in_thread = slowly
        try:
            yield
        finally:
            del outbox._in_thread
            released.set()


class TestSqliteOutbox(Runs, OutboxContract):
    """In plain text."""


class TestSealedSqliteOutbox(Runs, OutboxContract):
    """Likewise where its texts are sealed."""

    keys = (FIRST,)


class TestSqliteOutboxThatWritesLate(Runs, StoreContract):
    """Its disk is slow before it has written."""

    written_before_it_stalls = False
