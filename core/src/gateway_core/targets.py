"""Which message an edit or delete is of, and what stands of it now. Pure."""

from __future__ import annotations

import attrs

from gateway_core.envelopes import Delete, Edit, KeyRef, MessageRef, Receipt, Target
from gateway_core.flights import Flight, Step
from gateway_core.idempotency import Keys
from gateway_core.revisions import Revisions, delete_steps, edit_steps


class Targets:
    """Resolves targets when an edit starts, and keeps the newest revision of each message."""

    def __init__(self, keys: Keys, revisions: Revisions, flights: dict[str, Flight]) -> None:
        self._keys = keys
        self._revisions = revisions
        self._flights = flights
        self._edits: dict[str, Flight] = {}

    def overtaken(self, flight: Flight, edit: Edit) -> Flight | None:
        """Note a new edit; the one of the same message that waits before it, if one does."""
        identity = _identity(edit.target)
        older = self._edits.get(identity)
        self._edits[identity] = flight
        if older is None or older.receipt is not None or older.started:
            return None
        return older

    def origin(self, target: Target, now: int) -> Flight | None:
        """The unfinished send that makes the target, if there is one."""
        if isinstance(target, MessageRef):
            return None if target.parts else self._flights.get(target.envelope_id)
        known = self._keys.find(_scope(target), now)
        return known.flight if known is not None else None

    def newest(self, target: Target, now: int) -> MessageRef | None:
        """The message as it stands; None: it was deleted, never arrived, or is not known."""
        if isinstance(target, KeyRef):
            known = self._keys.find(_scope(target), now)
            if known is None or known.receipt is None or known.receipt.ref is None:
                return None
            target = known.receipt.ref
        return self._revisions.newest(target)

    def steps(self, flight: Flight, change: Edit | Delete, now: int) -> list[Step] | None:
        """What the change means for the message as it stands; None: there is no such message."""
        ref = self.newest(change.target, now)
        if ref is None or not ref.parts:
            return None
        flight.revision = ref.revision + 1
        if isinstance(change, Edit):
            return edit_steps(change, flight.plan, ref.parts)
        return delete_steps(ref.parts)

    def sent(self, receipt: Receipt) -> None:
        """A send ended: what arrived of it can be edited."""
        if receipt.ref is not None:
            self._revisions.record(receipt.ref, receipt.envelope_id)

    def changed(self, flight: Flight, change: Edit | Delete, receipt: Receipt, now: int) -> None:
        """An edit or delete ended: the message has a new revision, or is gone."""
        identity = _identity(change.target)
        if self._edits.get(identity) is flight:
            del self._edits[identity]
        newest = self.newest(change.target, now) if flight.started else None
        origin = newest.envelope_id if newest is not None else ""
        if not origin:
            return
        if receipt.ref is not None:
            self._revisions.record(attrs.evolve(receipt.ref, envelope_id=origin), origin)
        elif isinstance(change, Delete) and receipt.delivered:
            self._revisions.record(None, origin)


def _scope(target: KeyRef) -> tuple[str, str, str, str]:
    return (target.instance_id, target.external_room_id, "send", target.key)


def _identity(target: Target) -> str:
    """The message that an edit is of."""
    if isinstance(target, KeyRef):
        return f"key {target.key}"
    return target.envelope_id or f"message {target.parts[0].message_id if target.parts else ''}"
