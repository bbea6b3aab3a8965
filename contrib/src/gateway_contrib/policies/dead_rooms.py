"""Sends nothing to rooms that accept no messages, such as rooms that are gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import attrs

from gateway_contrib.policies.arguments import function, many
from gateway_core import Envelope, Instance, Reason, Receipt, Scope
from gateway_core.authors import Problem, hookimpl
from gateway_core.settings import flag, number

REASONS = frozenset({Reason.FORBIDDEN, Reason.ROOM_GONE})
"""The reasons with which platforms refuse messages to a dead room."""


@attrs.frozen(kw_only=True)
class DeadRoom:
    """A room that accepts no messages.

    since   POSIX time at which this was noticed
    reason  why, and the platform's own words
    """

    instance_id: str
    room: str
    since: float
    reason: str
    raw: str = ""


def _known(values: Iterable[DeadRoom]) -> tuple[DeadRoom, ...]:
    return many("known", "DeadRoom", values, lambda value: isinstance(value, DeadRoom))


@attrs.define(eq=False)
class DeadRooms:
    """Remembers rooms that accept no messages, and stops messages to them before they are sent.

    known    dead rooms of a previous run, as `rooms` returned them
    refuse   True: an envelope is refused with `Invalid`; False: it is accepted and ends `shed`, so
             that one dead room does not make a broadcast fail
    again    seconds after which one envelope is let through, to test whether the room lives
    changed  called with a room that died or lives again, so that the application can store it
    clock    gives the POSIX time

    A delivered message revives its room, and so does `revive`.
    """

    known: tuple[DeadRoom, ...] = attrs.field(default=(), repr=False, converter=_known)
    refuse: bool = attrs.field(default=False, kw_only=True, validator=flag)
    again: float = attrs.field(default=86_400.0, kw_only=True, validator=number(above=0))
    changed: Callable[[DeadRoom, bool], None] = attrs.field(
        default=lambda _room, _dead: None, kw_only=True, validator=function
    )
    clock: Callable[[], float] = attrs.field(default=time.time, kw_only=True, validator=function)
    _dead: dict[tuple[str, str], DeadRoom] = attrs.field(factory=dict, init=False, repr=False)
    _tried: dict[tuple[str, str], float] = attrs.field(factory=dict, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._dead.update({(each.instance_id, each.room): each for each in self.known})

    @property
    def rooms(self) -> tuple[DeadRoom, ...]:
        """The dead rooms, the oldest first."""
        return tuple(self._dead.values())

    def revive(self, instance_id: str, room: str) -> bool:
        """Mark the room as alive, such as after an invitation; returns whether it was dead."""
        self._tried.pop((instance_id, room), None)
        dead = self._dead.pop((instance_id, room), None)
        if dead is not None:
            self.changed(dead, False)
        return dead is not None

    @hookimpl
    def validate(self, envelope: Envelope) -> list[Problem]:
        """If `refuse` is set, refuse an envelope for a dead room."""
        dead = self._in_its_way(envelope) if self.refuse else None
        if dead is None:
            return []
        words = f"{dead.reason}: {dead.raw}" if dead.raw else dead.reason
        return [Problem("external_room_id", f"takes no more messages ({words})")]

    @hookimpl
    def admit(self, envelope: Envelope) -> str | None:
        """Shed an envelope for a dead room, or let it through to test whether the room lives."""
        if self._in_its_way(envelope) is not None:
            return None if self.refuse else "shed"
        place = envelope.instance_id, envelope.external_room_id
        if place in self._dead:
            self._tried[place] = self.clock()
        return None

    def _in_its_way(self, envelope: Envelope) -> DeadRoom | None:
        """The envelope's room if it is dead; None: it lives, or it is time to test it again."""
        place = envelope.instance_id, envelope.external_room_id
        dead = self._dead.get(place)
        if dead is None:
            return None
        tried = self._tried.get(place, dead.since)
        return dead if self.clock() - tried < self.again else None

    @hookimpl
    def after_disposition(self, envelope: Envelope, receipt: Receipt) -> None:
        """Learn from the receipt that the envelope's room died, or that it lives."""
        place, verdict = (envelope.instance_id, receipt.external_room_id), receipt.verdict
        if receipt.delivered:
            self.revive(*place)
        elif verdict is not None and verdict.scope is Scope.ROOM and verdict.reason in REASONS:
            self._died(place, str(verdict.reason), verdict.raw)

    def _died(self, place: tuple[str, str], reason: str, raw: str) -> None:
        if place in self._dead:
            return
        dead = DeadRoom(
            instance_id=place[0], room=place[1], since=self.clock(), reason=reason, raw=raw
        )
        self._dead[place] = dead
        self.changed(dead, True)

    @hookimpl
    def room_moved(self, instance: Instance, room: str) -> None:
        """Mark the old id as alive, since its messages go to the room's new id."""
        self.revive(instance.id, room)
