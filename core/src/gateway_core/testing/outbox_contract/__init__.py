"""The contract of an outbox as tests: authors of an engine write a subclass for their outbox.

    class TestMine(OutboxContract):
        @asynccontextmanager
        async def process_run(self):
            async with MyOutbox(...) as outbox:
                yield outbox

Each `process_run` is one process: what one run stored, the next run must find. Three more methods
are optional; without one its tests are skipped, and the reason is printed:

killed_run  ends as a kill would: tests end the process between any two calls
filled      fills the store: tests check what a full store refuses
stalled     stalls the store: tests use a slow store, and one that answers after its caller gave up
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
    """Tests of what every durable outbox does."""


__all__ = ["START", "Entries", "OutboxContract", "StoreContract", "receipt_of", "texts"]
