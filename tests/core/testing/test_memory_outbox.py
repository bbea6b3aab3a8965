from contextlib import asynccontextmanager

from gateway_core.testing import MemoryOutbox
from gateway_core.testing.outbox_contract import OutboxContract


class TestMemoryOutbox(OutboxContract):
    def setup_method(self):
        self.outbox = MemoryOutbox()

    @asynccontextmanager
    async def process_run(self):
        async with self.outbox:
            yield self.outbox
