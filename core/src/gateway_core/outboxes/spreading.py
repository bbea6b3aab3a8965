"""The interface of an outbox whose accounts are spread over the processes that share it.

Each account is owned by one process at a time. The outbox decides by which: as processes come and
go, it offers an account to another process, and takes it from the process that owned it until then.
`backlog.owning.moving` gives an account up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from gateway_core.outboxes.interface import Outbox
from gateway_core.outboxes.records import Request


class Spreading(Outbox, Protocol):
    """An outbox whose accounts several processes own; this process owns some of them.

    spreads  whether accounts can be spread; an outbox without it has one owner
    id_slot  which of 128 parts of a millisecond's ids belong to this process alone. It may change
             after an account was lost
    offered  called on trio's thread when accounts may be available; set by the gateway. An extra
             call does no harm
    leaving  called on trio's thread with an account that this process should give to another; set
             by the gateway. No attempt of the account then begins here, and `release` is called
             once none is under way, unless `lost` is called before. An extra call does no harm

    wanted   set before `serves` by a gateway that has an instance source; called on trio's thread
             with an account that this process should own, that is not among those it serves, and
             that has something to do. The gateway then serves the account, or calls `lacks` because
             it cannot

    Here `recover` takes an account that is offered, and `Recovery.stored` says what the outbox has
    of it; if another process owns it, `recover` raises `OutboxError`. `release` gives the account
    up once all earlier records are written. For another process's account `append` raises
    `OutboxError`; `overview`, `scheduled` and `overdue` cover only the accounts that this process
    owns. If an account is lost or released, the gateway forgets requests for it that are not
    answered: the outbox repeats them to the account's next owner, even if that is this process.
    """

    spreads: bool
    id_slot: int
    offered: Callable[[], None] | None
    leaving: Callable[[str], None] | None
    wanted: Callable[[str], None] | None

    def serves(self, instance_ids: Collection[str]) -> None:
        """From now on, this process can own these accounts; no others are offered."""

    def offers(self, instance_id: str) -> bool:
        """Whether this process should own the account, and no other process owns it."""
        ...

    def is_known(self, instance_id: str) -> bool:
        """Whether every process knows the account by now, and this one knows who should own it."""
        ...

    def lacks(self, instance_id: str) -> None:
        """The source does not know a wanted account, so another process may own it."""

    def idles(self, instance_id: str) -> None:
        """The account, which is released next, has nothing to do: until it has, nobody owns it."""

    def ends(self) -> None:
        """Other processes should own this one's accounts as it releases them: it is ending."""

    def passed_on(self, request: Request) -> None:
        """No request for this one's account is answered here: another process should own that.

        Whoever owns the account next, even if that is this process, receives them all in order.
        """
