"""Checks that streams leave tokens to each other: a whole text waits for no passing state.

The check only counts, from the calls that were made and the limits that adapters declare. If a
stream fits into one message, every edit before its end shows a passing state. Each stream that
stands still owes one edit, which may be its last. So whenever a passing state is shown, the window
must have room for all edits that are owed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import attrs

from gateway_core import Limit

if TYPE_CHECKING:
    from simulated.ledger import Call, Entry, Ledger

LONGEST_WINDOW = 60.0
SOON = 1.0
"""Seconds within which an attempt that has its tokens is under way."""


@attrs.frozen(kw_only=True)
class As:
    """What the limits of an attempt depend on."""

    room: str
    thread: str | None
    operation: str
    envelope_id: str


def is_window(limit: Limit) -> bool:
    """Whether a limit allows `count` in any `per` seconds, rather than one after the other.

    For a learned limit, the platform says what is left, and when its window begins anew.
    """
    return limit.count > 1 and limit.pace == "window"


def expect_kept(ledger: Ledger, call: Call) -> None:
    """A passing state is shown only if the last edits of all standing streams still fit."""
    if ledger.setup.streams is None:
        return
    call.limits = ledger.limits(call.attempt.instance_id, call.attempt)
    first = is_first(call)
    if not first and not is_passing(call):
        return
    others = [e for e in ledger.streams(call.attempt.instance_id) if e is not call.entry]
    if first:
        _expect_affordable(ledger, call, others)
        return
    for limit in filter(is_window, call.limits):
        spent = len(spent_of(ledger, limit, call.attempt.instance_id, call.begun))
        owing = 1 + sum(_owes(ledger, entry, limit) for entry in others)
        kept = spent + 1 + owing <= limit.count
        ledger.expect(
            kept,
            f"{call.entry} shows a passing state after {spent} of {limit.count} in {limit.bucket}, "
            f"and {owing} edits are owed",
        )
    for entry in others:
        waits = entry.partition == call.entry.partition and _waits_to_end(ledger, entry, call)
        ledger.expect(not waits, f"{entry} is whole, and a passing state of {call.entry} goes")


def _expect_affordable(ledger: Ledger, call: Call, others: Sequence[Entry]) -> None:
    """A first message is posted only if a window has room for all edits that are owed then."""
    for limit in filter(is_window, limits_of(ledger, call.entry, "edit")):
        owing = 1 + sum(_owes(ledger, entry, limit) for entry in others)
        fits = owing <= limit.count
        text = f"{call.entry} is shown, and {owing} edits are owed of {limit.count}"
        ledger.expect(fits, f"{text} in {limit.bucket}")


def is_first(call: Call) -> bool:
    """Whether the call posts the first message of an open stream."""
    spoken, entry = call.entry.spoken, call.entry
    begins = spoken is not None and spoken.is_open and spoken.short
    return begins and call.attempt.operation == "send" and not entry.apart


def is_passing(call: Call) -> bool:
    """Whether the call certainly shows a passing state."""
    spoken = call.entry.spoken
    passes = spoken is not None and spoken.is_open and spoken.short
    return passes and call.attempt.operation == "edit"


def spent_of(ledger: Ledger, limit: Limit, instance_id: str, now: float) -> list[Call]:
    """The calls of this process run that still count against a limit."""
    since = max(now - limit.per, ledger.opened_at(instance_id))
    return [
        call
        for entry in ledger.entries
        if entry.envelope.instance_id == instance_id
        for call in entry.calls
        if call.life == ledger.life
        and (call.ended is None or call.ended > since)
        and any(other.bucket == limit.bucket for other in call.limits)
    ]


def _owes(ledger: Ledger, entry: Entry, limit: Limit) -> bool:
    """Whether a stream stands and may end at any time, and its edit uses the limit."""
    spoken = entry.spoken
    if spoken is None or not spoken.is_open or not spoken.short:
        return False
    drawn = limits_of(ledger, entry, "edit")
    return _stands(ledger, entry) and any(other.bucket == limit.bucket for other in drawn)


def _stands(ledger: Ledger, entry: Entry) -> bool:
    """Whether the stream's message is there, or on its way."""
    return any(
        (call.answered or call.ended is None)
        and call.life == ledger.life
        and call.attempt.operation == "send"
        for call in entry.calls
    )


def limits_of(ledger: Ledger, entry: Entry, operation: str) -> Iterable[Limit]:
    """The limits that an operation of the entry uses."""
    envelope = entry.envelope
    thread = entry.calls[-1].attempt.thread if entry.calls else envelope.thread_id
    name, room = envelope.instance_id, envelope.external_room_id
    room = entry.calls[-1].attempt.room if entry.calls else ledger.address_of(name, room)
    what = As(room=room, thread=thread, operation=operation, envelope_id=entry.id)
    return ledger.limits(name, what)  # type: ignore[arg-type]  # as far as it is asked


def _waits_to_end(ledger: Ledger, entry: Entry, call: Call) -> bool:
    """Whether a whole text waits for nothing but the limits that the passing state uses."""
    spoken, now = entry.spoken, call.begun
    if spoken is None or spoken.ended_at is None or not spoken.short or spoken.how == "delete":
        return False
    if spoken.ended_at > now - SOON or not _stands(ledger, entry) or entry.hold > now:
        return False
    last = entry.calls[-1]
    if last.begun >= spoken.ended_at or not last.answered or (last.ended or now) > now - SOON:
        return False
    if ledger.waits_for(entry, "edit") or ledger.setup.trouble.sessions:
        return False
    if ledger.rank_of_entry(entry) > ledger.rank_of_entry(call.entry):
        return False
    mine = {limit.bucket for limit in call.limits}
    own = [limit for limit in limits_of(ledger, entry, "edit") if limit.bucket not in mine]
    name = entry.envelope.instance_id
    return all(len(spent_of(ledger, limit, name, now)) < limit.count for limit in own)


def may_hold(ledger: Ledger, entry: Entry) -> bool:
    """Whether a stream that shows nothing yet may have to leave its place in the lane.

    While other streams of its account show something, they take turns. And its message is posted
    only if the edit that it owes from then on can be made as well.
    """
    name, now = entry.envelope.instance_id, ledger.now()
    for other in ledger.entries:
        same = other is not entry and other.spoken is not None
        if same and other.envelope.instance_id == name:
            begun = [call.begun for call in other.calls if call.life == ledger.life]
            # One that ended before its first call may have had its turn already.
            newest = max([*begun, other.ended_at])
            if other.receipt is None or newest > now - LONGEST_WINDOW:
                return True
    for limit in (*limits_of(ledger, entry, "send"), *limits_of(ledger, entry, "edit")):
        if limit.count > 1 and limit.pace != "even":
            spent = len(
                spent_of(ledger, limit, name, now - SOON)
            )  # at the edge of a window, calls still count
            if now - ledger.opened_at(name) < limit.per:  # as if half of it were spent
                spent += limit.count // 2
            if spent + 2 >= limit.count * 0.9:
                return True
    return False
