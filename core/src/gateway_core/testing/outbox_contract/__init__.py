"""The contract of an outbox as tests: authors of one subclass it and give their own.

    class TestMine(OutboxContract):
        @asynccontextmanager
        async def process_run(self):
            async with MyOutbox(...) as outbox:
                yield outbox

Each `process_run` is one process: what one stored, the next must find. Give `killed_run` as well,
which ends as a kill would: then all is tried with the end of the process between any two calls.
Give `filled` and `stalled`, and it is tried with a store that is full, and with one that is slow
or answers after its caller gave up. What is not given is skipped, and the reason printed.
"""

from gateway_core.testing.outbox_contract.accounts import AccountsContract
from gateway_core.testing.outbox_contract.endings import EndingsContract
from gateway_core.testing.outbox_contract.making import START, Entries, receipt_of, texts
from gateway_core.testing.outbox_contract.order import OrderContract
from gateway_core.testing.outbox_contract.stores import StoreContract
from gateway_core.testing.outbox_contract.trials import TrialsContract


class OutboxContract(
    OrderContract, EndingsContract, AccountsContract, TrialsContract, StoreContract
):
    """What every durable outbox does."""


__all__ = ["START", "Entries", "OutboxContract", "StoreContract", "receipt_of", "texts"]
