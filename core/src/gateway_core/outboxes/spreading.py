"""An outbox whose accounts are spread over the processes that share it: what it has beside others.

Each account is owned by one process at a time. Which one that is, the outbox decides: as processes
come and go, an account is offered to another one, and taken from whoever owns it until then.
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
    leaving  called on trio's thread with an account that this process should give to another;
             likewise. Nothing of it then begins here, and `release` is called once nothing of it is
             under way, unless `lost` is called before. An extra call does no harm

    wanted   set by a gateway to which a source gives accounts, before `serves`; called on trio's
             thread with an account that is to be this process's, is not among those that it serves,
             and has something to do. It is served then, or `lacks` says that it cannot be

    Here `recover` takes an account that is offered, and `Recovery.stored` says what the outbox has
    of it; if another process owns it, `recover` raises `OutboxError`. `release` gives the account
    up once all earlier records are written. For another process's account `append` raises
    `OutboxError`; `overview`, `scheduled` and `overdue` cover only the accounts that this process
    owns. What was `requested` of an account that is lost or released, and is not answered, is
    requested again of its next owner, this process included: the gateway forgets it.
    """

    spreads: bool
    id_slot: int
    offered: Callable[[], None] | None
    leaving: Callable[[str], None] | None
    wanted: Callable[[str], None] | None

    def serves(self, instance_ids: Collection[str]) -> None:
        """These are the accounts that this process can own, from now on: no other is offered."""

    def offers(self, instance_id: str) -> bool:
        """Whether the account is to be this process's, and no other process owns it."""
        ...

    def is_known(self, instance_id: str) -> bool:
        """Whether every process knows by now of such an account, and this one whose it is to be."""
        ...

    def lacks(self, instance_id: str) -> None:
        """An account that is wanted is unknown to the source: another process may have it."""

    def idles(self, instance_id: str) -> None:
        """An account is released next that has nothing to do: nobody is to own it until it has."""

    def passed_on(self, request: Request) -> None:
        """A request is not answered here: its account is to be another process's."""
