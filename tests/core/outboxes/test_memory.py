from contextlib import asynccontextmanager

from gateway_core import MemoryOutbox
from gateway_core.testing.outbox_contract import OutboxContract


class TestMemoryOutbox(OutboxContract):
    def setup_method(self):
        self.outbox = MemoryOutbox(survives=True)

    @asynccontextmanager
    async def life(self):
        async with self.outbox:
            yield self.outbox


async def test_an_outbox_that_does_not_survive_forgets_with_its_block():
    async with MemoryOutbox() as outbox:
        assert not outbox.durable
    assert 0 == len(outbox)
