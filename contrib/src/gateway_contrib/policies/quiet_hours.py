"""Delays messages during quiet hours, in each room's own time zone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from datetime import time as time_of_day
from typing import Any, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs

from gateway_contrib.policies.arguments import function, names
from gateway_core import Envelope, Priority, Send
from gateway_core.authors import Delay, hookimpl


def _hour(argument: str, text: str) -> time_of_day:
    try:
        return time_of_day.fromisoformat(text)
    except (TypeError, ValueError):
        wanted = f"'{argument}' must be a time of day such as '22:00'"
        raise ValueError(f"{wanted}, not {text!r}") from None


def _start(text: str) -> time_of_day:
    return _hour("start", text)


def _end(text: str) -> time_of_day:
    return _hour("end", text)


def _zone(name: str, argument: str = "zone") -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, TypeError, ValueError):
        wanted = f"'{argument}' must be a time zone such as 'Europe/Berlin'"
        raise ValueError(f"{wanted}, not {name!r}") from None


def _zones(values: Mapping[str, str]) -> Mapping[str, ZoneInfo]:
    if not isinstance(values, Mapping):
        raise ValueError(f"'zones' must be a table of time zones, not {values!r}")  # noqa: TRY004 - as all checks of arguments
    return {room: _zone(name, f"zones.{room}") for room, name in values.items()}


def _rooms(values: Iterable[str] | None) -> frozenset[str] | None:
    return None if values is None else names("rooms", "ids of rooms", values)


def _passing(values: Iterable[str]) -> frozenset[str]:
    return names("passing", "classes", values, get_args(Priority))


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

    start: time_of_day = attrs.field(converter=_start)
    end: time_of_day = attrs.field(converter=_end, validator=_differ)
    zone: ZoneInfo = attrs.field(converter=_zone)
    zones: Mapping[str, ZoneInfo] = attrs.field(factory=dict, kw_only=True, converter=_zones)
    rooms: frozenset[str] | None = attrs.field(default=None, kw_only=True, converter=_rooms)
    passing: frozenset[str] = attrs.field(
        default=frozenset({"urgent"}), kw_only=True, converter=_passing
    )
    clock: Callable[[], float] = attrs.field(default=time.time, kw_only=True, validator=function)

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
