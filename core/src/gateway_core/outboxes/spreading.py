"""An outbox whose accounts are spread over the processes that share it: what it has beside others.

Each account is owned by one process at a time. Which one that is, the outbox decides: as processes
come and go, an account is offered to another one, and taken from whoever owns it until then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from gateway_core.outboxes.interface import Outbox


class Spreading(Outbox, Protocol):
    """An outbox of which this process owns some accounts, and others the others.

    spreads  whether that is so; an outbox without it is owned whole
    id_slot  which of 128 parts of a millisecond's ids are this process's: no other one has it. It
             may be another one once an account was lost
    offered  called on trio's thread once there may be accounts to be had; set by the gateway. One
             too often does no harm
    leaving  called on trio's thread with an account of this process that another one is to have;
             likewise. Nothing of it begins here from then on, and `release` is called once nothing
             of it is under way, or `lost` before that. One too often does no harm

    Here `recover` takes an account that is offered, and says in `Recovery.stored` what the outbox
    has of it; it raises `OutboxError` where another process has it. `release` gives it up, once all
    that was told before is written. Of an account that is another process's `append` raises
    `OutboxError`, and `overview`, `scheduled` and `overdue` are of the accounts that are owned.
    """

    spreads: bool
    id_slot: int
    offered: Callable[[], None] | None
    leaving: Callable[[str], None] | None

    def serves(self, instance_ids: Collection[str]) -> None:
        """These are the accounts that this process can own, from now on: no other is offered."""

    def offers(self, instance_id: str) -> bool:
        """Whether the account is to be this process's, and no other process owns it."""
        ...
