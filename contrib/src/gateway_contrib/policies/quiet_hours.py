"""Delays messages during quiet hours, in each room's own time zone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from datetime import time as time_of_day
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs

from gateway_core import Envelope, Send
from gateway_core.authors import Delay, hookimpl


def _hour(text: str) -> time_of_day:
    try:
        return time_of_day.fromisoformat(text)
    except (TypeError, ValueError):
        raise ValueError(f"must be a time of day such as '22:00', not {text!r}") from None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, TypeError, ValueError):
        raise ValueError(f"must be a time zone such as 'Europe/Berlin', not {name!r}") from None


def _zones(names: Mapping[str, str]) -> Mapping[str, ZoneInfo]:
    return {room: _zone(name) for room, name in names.items()}


def _differ(policy: Any, _: object, end: time_of_day) -> None:
    if policy.start == end or end.tzinfo is not None or policy.start.tzinfo is not None:
        raise ValueError("'start' and 'end' must be two times of day, without a zone")


@attrs.define(eq=False)
class QuietHours:
    """Delays messages from `start` to `end`, times of day such as "22:00" and "07:30".

    zone     the time zone of rooms that `zones` does not name
    zones    the time zones of rooms, by their ids
    rooms    the rooms that have quiet hours; None: all
    passing  classes that are sent at any time
    clock    gives the POSIX time

    Answers (with `reply_to` or an interaction) are sent at any time, and so are edits, deletions
    and calls, which make no sound.
    """

    start: time_of_day = attrs.field(converter=_hour)
    end: time_of_day = attrs.field(converter=_hour, validator=_differ)
    zone: ZoneInfo = attrs.field(converter=_zone)
    zones: Mapping[str, ZoneInfo] = attrs.field(factory=dict, kw_only=True, converter=_zones)
    rooms: frozenset[str] | None = attrs.field(
        default=None, kw_only=True, converter=attrs.converters.optional(frozenset)
    )
    passing: frozenset[str] = attrs.field(
        default=frozenset({"urgent"}), kw_only=True, converter=frozenset
    )
    clock: Callable[[], float] = attrs.field(default=time.time, kw_only=True)

    @hookimpl
    def admit(self, envelope: Envelope) -> Delay | None:
        """During quiet hours, delay a message until they end."""
        if not isinstance(envelope, Send) or envelope.priority in self.passing:
            return None
        if envelope.reply_to is not None or envelope.interaction is not None:
            return None
        room = envelope.external_room_id
        if self.rooms is not None and room not in self.rooms:
            return None
        until = self.ends(self.clock(), self.zones.get(room, self.zone))
        return None if until is None else Delay(until)

    def ends(self, now: float, zone: ZoneInfo) -> float | None:
        """POSIX time at which the zone's quiet hours end; None: `now` is not in quiet hours."""
        here = datetime.fromtimestamp(now, zone)
        clock, day = here.time(), here.date()
        if self.start < self.end:
            quiet = self.start <= clock < self.end
        else:
            quiet = clock >= self.start or clock < self.end
            day += timedelta(days=clock >= self.start)
        end = datetime.combine(day, self.end, zone).timestamp()
        return end if quiet and end > now else None
