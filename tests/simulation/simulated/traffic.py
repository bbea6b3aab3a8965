"""What applications send besides single messages: answers to events, and groups. As it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import attrs

REPLYING = 28_592
"""Chosen so that worlds which are known to show something rare answer no events."""

WITH_REPLIES = 0.15
"""The share of worlds in which events are answered."""

GROUPING = 275_364
"""Chosen so that worlds which are known to show something rare have no groups."""

WITH_GROUPS = 0.2
"""The share of worlds with groups."""


@attrs.frozen(kw_only=True)
class Replying:
    """The events of a world, and those who answer them.

    handlers, events  how many answer at once, and how many events come in
    again       share of deliveries that come once more, though they were answered
    reworded    share of answers whose words are others when the event comes again
    answers     what is drawn from for the number of answers to one event
    named       share of these that are named, instead of numbered
    unquoted    share that does not refer to the event's message
    found       share of calls that leave it to the gateway to find the account
    strange     share of events that belong to no conversation
    pauses      between two events of a handler
    patience    share of handlers that are given up after a while: their events come again
    ttls        what is drawn from for `ttl`
    """

    handlers: int
    events: int
    again: float
    reworded: float
    answers: Sequence[int]
    named: float
    unquoted: float
    found: float
    strange: float
    pauses: Sequence[float]
    patience: float
    ttls: Sequence[float | None]


@attrs.frozen(kw_only=True)
class Grouping:
    """The groups of a world, and those who hand them in.

    senders, groups  how many hand in at once, and how many groups in all
    rooms       what is drawn from for the number of rooms that nobody else writes to
    shared      whether the rooms of others get it as well
    own_texts   share of groups whose members have envelopes of their own
    keyed       share that has a key; `again`: share of these that is handed in again and again
    classes     what is drawn from for the class
    scheduled   share that waits for a time
    ttls        what is drawn from for `ttl`
    acts        what is done to one meanwhile, one after the other
    pauses      between two of these
    patience    share of those that hand one in and are given up
    """

    senders: int
    groups: int
    rooms: Sequence[int]
    shared: bool
    own_texts: float
    keyed: float
    again: float
    classes: Sequence[str]
    scheduled: float
    ttls: Sequence[float | None]
    acts: Sequence[tuple[str, ...]]
    pauses: Sequence[float]
    patience: float


def draw_replies(seed: int) -> Replying | None:
    """In some worlds events come in, are answered, and come again."""
    rng = Random(f"replies {REPLYING}:{seed}")
    if rng.random() >= WITH_REPLIES:
        return None
    return Replying(
        handlers=rng.choice([1, 2, 4]),
        events=rng.choice([2, 5, 10, 20]),
        again=rng.choice([0.2, 0.6]),
        reworded=rng.choice([0.0, 0.5, 1.0]),
        answers=rng.choice([(1,), (1, 2), (2, 3)]),
        named=rng.choice([0.0, 0.3]),
        unquoted=rng.choice([0.0, 0.5]),
        found=rng.choice([0.0, 0.5, 1.0]),
        strange=rng.choice([0.0, 0.1]),
        pauses=rng.choice([(0.0, 0.25), (0.0, 0.5, 2.0), (1.0, 3.0)]),
        patience=rng.choice([0.0, 0.2, 0.4]),
        ttls=rng.choice([(None,), (None, 3.0), (1.0, 5.0, 20.0)]),
    )


def draw_groups(seed: int) -> Grouping | None:
    """In some worlds messages are handed in by the group, which are held, ended and tried again."""
    rng = Random(f"groups {GROUPING}:{seed}")
    if rng.random() >= WITH_GROUPS:
        return None
    return Grouping(
        senders=rng.choice([1, 1, 2, 3]),
        groups=rng.choice([1, 2, 4]),
        rooms=rng.choice([(0, 3), (4, 12), (12, 30)]),
        shared=rng.random() < 0.6,
        own_texts=rng.choice([0.0, 0.3, 1.0]),
        keyed=rng.choice([0.5, 1.0]),
        again=rng.choice([0.3, 1.0]),
        classes=rng.choice([("bulk",), ("bulk",), ("bulk", "normal"), ("urgent", "bulk")]),
        scheduled=rng.choice([0.0, 0.3]),
        ttls=rng.choice([(None,), (None,), (None, 20.0), (5.0, 60.0)]),
        acts=rng.choice(
            [
                (("look",),),
                (("pause", "look", "resume"), ("look",)),
                (("pause", "resume", "cancel"), ("cancel",), ("look", "cancel", "look")),
                (("retry",), ("look", "retry", "pause", "retry", "resume"), ("cancel", "retry")),
                (("pause", "look", "resume", "retry"), ("pause", "cancel"), ("retry", "look")),
            ]
        ),
        pauses=rng.choice([(0.0, 0.25), (0.5, 1.0, 2.0), (2.0, 5.0)]),
        patience=rng.choice([0.0, 0.2]),
    )
