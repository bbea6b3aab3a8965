"""The outbox in a file keeps the contract of groups, bytes and texts that grow."""

import shutil
from contextlib import asynccontextmanager

import pytest
from sealed import FIRST

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core.testing import RecordsContract
from gateway_core.testing.outbox_contract import START


class TestSqliteRecords(RecordsContract):
    keys = ()

    in_thread = True

    @pytest.fixture(autouse=True)
    def file(self, tmp_path):
        self.path = tmp_path / "outbox.db"

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
            shutil.copytree(self.path.parent, folder)
        self.path = folder / self.path.name


class TestSealedSqliteRecords(TestSqliteRecords):
    """Likewise where all of it is sealed, and without a worker thread."""

    keys = (FIRST,)
    in_thread = False
