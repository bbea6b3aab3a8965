"""Plans a stream whose message is started, appended to and stopped. Sans-I/O.

Text whose look may still change is held back, since appended text cannot be taken back. If
appending cannot give the message its whole text, the message is stopped, and edited from then on.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway_core.clock import NEVER
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.ending import Ending, Later, Planned
from gateway_core.deliveries.growing.growth import PEEK, Growth
from gateway_core.deliveries.growing.native import Native, is_plain_stop
from gateway_core.deliveries.steps import ARRIVED, Step
from gateway_core.ratelimits import interims
from gateway_core.scheduling.natively.choice import affords, owed
from gateway_core.scheduling.rooms import Lane
from gateway_core.text import settled


def plan_appended(
    delivery: Delivery,
    growth: Growth,
    native: Native,
    lane: Lane,
    now: int,
    recording: Callable[[Delivery], None] | None,
) -> Planned | None:
    """The operation of the stream's next step, or why there is none; None: it goes on by edits.

    recording  called with the delivery before its message is started, so that the next run knows
    """
    step = delivery.steps[0] if delivery.steps else None
    if step is None or step.message_id is None:
        planned = _started(delivery, growth, native, step, lane, now)
        if planned == "start" and recording is not None and growth.is_new_to_outbox("start"):
            recording(delivery)
        return planned
    if step.kind == "stop":
        return _stopped(delivery, growth, step, native)
    interims.stand(growth, owed(lane, now), wanting=growth.planned != growth.number)
    if not growth.is_open:
        return _stop(delivery, growth, native, step)
    if step.doubtful or now >= native.ends_at or not native.takes(growth.text):
        native.end()
        if step.doubtful:
            growth.repeat()
        return _stop(delivery, growth, native, step)
    return _appended(delivery, growth, native, step, lane, now)


def _started(
    delivery: Delivery, growth: Growth, native: Native, step: Step | None, lane: Lane, now: int
) -> Planned | None:
    """Start the message with the beginning of the text, as far as its look is final."""
    text = settled(growth.text) if growth.is_open else ""
    hopeless = not growth.is_open or (not text and len(growth.text) > PEEK)
    in_doubt = step is not None and (step.doubtful or step.outcome is not None)
    if hopeless or in_doubt or not native.takes(growth.text) or not affords(growth, lane, now):
        growth.show_by_edits()
        return None
    if not text:
        growth.waits()
        return Later(NEVER)
    interims.stand(growth, owed(lane, now), wanting=True)
    if step is None or step.kind != "start" or native.going != text:
        growth.plan_from_here()
        native.goes(text)
        step = growth.grown(step, "start", text, (0, len(text)))
        delivery.grow([step])
    native.begins(now)
    growth.show(step)
    growth.stands(interim=False)
    if not growth.granted:
        growth.go(now)
    return step.kind


def _appended(
    delivery: Delivery, growth: Growth, native: Native, step: Step, lane: Lane, now: int
) -> Planned:
    """Append the text whose look is final, once the stream's turn has come."""
    if growth.planned == growth.number and step.outcome in ARRIVED:
        growth.waits()
        return Later(native.ends_at, wakes=True)
    taken = interims.drawn(lane.buckets("append", now))
    held = interims.turn(growth, taken, now, paced=not growth.granted)
    if (held := max(held, native.held_until)) > now:
        growth.waits()
        return Later(min(held, native.ends_at))
    if growth.planned != growth.number or step.kind != "append":
        text = settled(growth.text)
        growth.plan_from_here()
        if len(text) <= len(native.stands):
            growth.waits()
            return Later(native.ends_at, wakes=True)
        native.goes(text)
        span = (len(native.stands), len(text))
        step = growth.grown(step, "append", text[span[0] :], span)
        delivery.grow([step])
    growth.show(step)
    growth.stands(interim=True)
    if not growth.granted:
        growth.go(now)
        interims.went(growth, taken, now)
    return step.kind


def _stop(delivery: Delivery, growth: Growth, native: Native, step: Step) -> Planned:
    """Stop the message, with the rest of its text if that makes it whole."""
    text, stands = growth.text, native.stands
    whole = growth.state in ("finished", "broken off") and not step.doubtful
    extra = growth.extra or None
    if whole and native.takes(text) and native.takes_fields(extra):
        growth.plan_from_here()
        native.goes(text)
        new = growth.grown(step, "stop", text[len(stands) :], (0, len(text)))
        new.extra = extra
    else:
        new = growth.grown(step, "stop", "", (0, len(stands)))
    delivery.grow([new])
    growth.show(None)
    growth.stands(interim=False)
    return new.kind


def _stopped(delivery: Delivery, growth: Growth, step: Step, native: Native) -> Planned | None:
    """Make the planned stop, end the delivery, or go on by edits (None)."""
    if step.outcome is None:
        plain = not native.ends or is_plain_stop(step)
        return step.kind if plain else _stop(delivery, growth, native, step)
    if growth.is_complete:
        return Ending(delivery.disposition())
    if growth.is_open and growth.planned == growth.number and native.stands:
        growth.decide(None)  # the message has all of the text so far
    else:
        growth.show_by_edits()
    return None
