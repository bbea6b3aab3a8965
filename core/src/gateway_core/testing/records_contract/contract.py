"""The contract of what an outbox stores beside entries, as tests: groups, bytes, growing texts.

    class TestMine(RecordsContract):
        @asynccontextmanager
        async def process_run(self):
            async with MyOutbox(...) as outbox:
                yield outbox

`killed_run` is as in `OutboxContract`.
"""

from __future__ import annotations

from gateway_core.testing.records_contract.again import AgainContract
from gateway_core.testing.records_contract.contents import BytesContract
from gateway_core.testing.records_contract.groups import GroupsContract
from gateway_core.testing.records_contract.texts import TextsContract


class RecordsContract(GroupsContract, AgainContract, BytesContract, TextsContract):
    """Tests of what every durable outbox stores beside entries."""
