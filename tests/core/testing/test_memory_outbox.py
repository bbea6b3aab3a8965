from contextlib import asynccontextmanager

import attrs

from gateway_core.outboxes import StepRecord
from gateway_core.testing import MemoryOutbox, RecordsContract
from gateway_core.testing.outbox_contract import OutboxContract


class TestMemoryOutbox(OutboxContract, RecordsContract):
    def setup_method(self):
        self.outbox = MemoryOutbox()

    @asynccontextmanager
    async def process_run(self):
        async with self.outbox:
            yield self.outbox

    killed_run = process_run  # it has all that it was told


def test_a_record_of_a_step_that_never_began_is_all_zero():
    """An engine may leave out what its file does not have."""
    nothing = attrs.asdict(StepRecord(serial=3))
    assert {"serial": 3, "outcome": None, "message_id": None} == {
        name: value for name, value in nothing.items() if value not in (0, ())
    }
