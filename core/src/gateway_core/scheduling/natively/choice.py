"""Decides whether a stream is shown natively, also by its account's limits. Sans-I/O."""

from __future__ import annotations

from collections import Counter

from gateway_core.contract.envelopes import Send
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.growing.growth import UNEDITED, Growth
from gateway_core.deliveries.growing.native import Native
from gateway_core.ratelimits import interims
from gateway_core.ratelimits.bucket import PacedBucket
from gateway_core.ratelimits.interims import Drawn
from gateway_core.scheduling.rooms import Lane


def choose(delivery: Delivery, growth: Growth, lane: Lane, now: int) -> None:
    """Decide how a stream is shown, once it has text or when it goes on after a restart."""
    steps, envelope = delivery.steps or (), delivery.envelope
    started = any(s.kind == "start" and s.message_id is not None for s in steps)
    if started or not growth.is_open:
        growth.decide(Native.restored() if started else None)
        return
    account = lane.room.account
    how = None
    if not steps and isinstance(envelope, Send) and envelope.interaction is None:
        how = account.hooks.streaming(account.instance, envelope)
    native = None if how is None else Native(how)
    if native is not None and not native.is_draft:
        # It needs a text: a status alone can be taken back only from a message that is edited.
        # It needs the text as written: what policies add at its end would not stay at the end.
        fits = growth.text.strip() and growth.text == growth.written and native.takes(growth.text)
        if not (fits and affords(growth, lane, now)):
            native = None
    if native is None and not account.hooks.has("edit"):
        growth.show_whole(UNEDITED)
    growth.decide(native)


def affords(growth: Growth, lane: Lane, now: int) -> bool:
    """Whether the stream may start a message now, and is sure of the attempt that stops it."""
    owed: Counter[Drawn] = Counter()
    for operation in ("start", "stop"):
        buckets = lane.buckets(operation, now)
        if any(bucket.closed_until > now for bucket in buckets):
            return False
        owed.update(interims.drawn(buckets))
    return all(
        isinstance(bucket, PacedBucket)
        or bucket.free_for(interims.kept(growth, bucket) + count, now) <= now
        for bucket, count in owed.items()
    )


def owed(lane: Lane, now: int) -> dict[Drawn, int]:
    """What a stream with an appended message owes: its stop, and an edit to set it right."""
    counts: Counter[Drawn] = Counter(dict.fromkeys(interims.drawn(lane.buckets("append", now)), 0))
    for operation in ("stop", "edit"):
        counts.update(interims.drawn(lane.buckets(operation, now)))
    return dict(counts)
