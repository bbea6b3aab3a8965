"""Finds an envelope that somebody asks about: in memory, in the outbox, or ended.

This module waits only for the outbox. What memory knows is reported as of the moment of the call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import trio

from gateway_core.backlog.intake import cause_of
from gateway_core.backlog.pager import Pager
from gateway_core.clock import Clock
from gateway_core.contract.envelopes import KeyRef, Receipt
from gateway_core.contract.errors import Invalid, Problem
from gateway_core.contract.validators import name_fault
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.idempotency import scope_of_key
from gateway_core.engine.instances.instance_registry import InstanceRegistry
from gateway_core.engine.partition import Partition
from gateway_core.outboxes.interface import Outbox
from gateway_core.outboxes.records import Found
from gateway_core.submission.status import Status, status_ended, status_of
from gateway_core.submission.tickets import Ticket


@attrs.define(eq=False)
class Lookup:
    """Answers questions about the envelopes in all partitions and in the outbox."""

    _partitions: Sequence[Partition]
    _partition_of: Callable[[str, str], Partition]
    _registry: InstanceRegistry
    _pager: Pager | None
    _outbox: Outbox | None
    _clock: Clock

    # -- at once, from memory

    def known(self, what: Ticket | KeyRef | str) -> Status | None:
        """The envelope's status, if memory knows it; None: the outbox may know it."""
        found: Delivery | Receipt | None
        if isinstance(what, KeyRef):
            check_ref(what)
            keys = self._partition_of(what.instance_id, what.external_room_id).keys
            key = keys.find(scope_of_key(what), self._clock.now())
            found = None if key is None else key.delivery or key.receipt
        else:
            found = self._find(id_of(what, "a Ticket, a KeyRef or an envelope's id"))
        if isinstance(found, Delivery):
            return status_of(found, self._clock.now(), self._clock.wall())
        return None if found is None else status_ended(found)

    def withdraw_known(self, envelope_id: str) -> bool | None:
        """End an envelope `cancelled` if it has not started; None: it is not in memory."""
        return self._withdraw(envelope_id)

    def withdraw_held(self, delivery: Delivery) -> bool:
        """End a delivery `cancelled` if it has not started; whether it was ended.

        A ticket keeps its delivery in memory, even if the envelope is spilled.
        """
        return bool(self._withdraw(delivery.id))

    async def is_of(self, envelope_id: str, instance_id: str) -> bool:
        """Whether the envelope with that id belongs to the instance. Raises `OutboxError`."""
        found = self._find(envelope_id)
        if isinstance(found, Delivery):
            return found.envelope.instance_id == instance_id
        if found is not None:
            return found.instance_id == instance_id
        stored = None if self._outbox is None else await self._outbox.find(envelope_id)
        if stored is not None and stored.stored is not None:
            return stored.stored.entry.envelope.instance_id == instance_id
        return stored is not None and (
            stored.receipt is not None and stored.receipt.instance_id == instance_id
        )

    async def leave(self, envelope_id: str) -> bool:
        """End an envelope `cancelled` for which no other process waits; whether it was ended.

        It goes on if it has started, or if somebody waits for it in this process.
        """
        found = self._find(envelope_id)
        if isinstance(found, Delivery) and found.joined:
            return False
        return await self.withdraw(envelope_id)

    def _find(self, envelope_id: str) -> Delivery | Receipt | None:
        """The envelope's delivery, or its receipt if it ended; None: no partition knows it."""
        for partition in self._partitions:
            ended = partition.completion.history
            found = partition.deliveries.get(envelope_id) or ended.get(envelope_id)
            if found is not None:
                return found
        return None

    def _withdraw(self, envelope_id: str) -> bool | None:
        """Do what `withdraw_held` does, by an id; None: the envelope is not in memory."""
        found = self._find(envelope_id)
        if isinstance(found, Delivery):
            envelope = found.envelope
            partition = self._partition_of(envelope.instance_id, envelope.external_room_id)
            return partition.completion.withdraw(found)
        if found is not None:
            return False
        spilled = self._pager.spilled.get(envelope_id) if self._pager is not None else None
        if spilled is None or self._pager is None:
            return None
        return self._pager.withdraw(spilled)

    # -- with the outbox's help: an envelope may come in or end during the look-up

    async def status(self, what: Ticket | KeyRef | str) -> Status | None:
        """The envelope's status at the time of the call; None: not known (any more)."""
        await trio.lowlevel.checkpoint_if_cancelled()
        status = self.known(what)
        if status is not None or self._outbox is None:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return status
        await trio.lowlevel.checkpoint()
        found = await self._outbox.find(
            scope_of_key(what) if isinstance(what, KeyRef) else id_of(what, "an envelope's id")
        )
        status = self.known(what)
        if status is None and found is not None:  # the envelope may have freed its key meanwhile
            status = self.known(found.envelope_id) or self._stored(found)
        return status

    def _stored(self, found: Found) -> Status | None:
        """The status of an envelope that is only in the outbox."""
        if found.receipt is not None:
            return status_ended(found.receipt)
        if found.stored is None:  # only the newest edit of its message is known
            return None
        due, wall = found.stored.entry.due, self._clock.wall()
        return Status(
            envelope_id=found.envelope_id,
            state="unfinished",
            cause=cause_of(found.stored, self._registry, wall),
            estimate=due - wall if due is not None and due > wall else None,
        )

    async def withdraw(self, what: Ticket | str) -> bool:
        """End the envelope `cancelled` if it has not started; whether it was ended."""
        envelope_id = id_of(what, "a Ticket or an envelope's id")
        await trio.lowlevel.checkpoint_if_cancelled()
        done = self._withdraw(envelope_id)
        ended = isinstance(what, Ticket) and what.ended
        if done is not None or self._pager is None or ended:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return bool(done)
        await trio.lowlevel.checkpoint()
        found = await self._pager.look_up(envelope_id)
        done = self._withdraw(envelope_id)
        if done is None and found is not None:
            delivery = self._pager.join(found)
            done = delivery is not None and self._pager.withdraw(delivery)
        return bool(done)


def id_of(what: object, wanted: str) -> str:
    """The envelope's id. Raises `Invalid` for another value; `wanted` says what it must be."""
    if isinstance(what, Ticket):
        return what.id
    if not isinstance(what, str):
        raise Invalid([Problem("what", f"must be {wanted}, not {type(what).__name__}")])
    return what


def check_ref(ref: KeyRef) -> None:
    """Raises `Invalid` for a key that no envelope can have."""
    values = ((name, getattr(ref, name)) for name in ("instance_id", "external_room_id", "key"))
    faults = ((name, name_fault(value)) for name, value in values if value != "")
    if problems := [Problem(f"what.{name}", fault) for name, fault in faults if fault]:
        raise Invalid(problems)
