"""Draws what applications send besides single texts: answers to events, groups, files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

FILING = 2_269_170
"""Chosen so that worlds which are known to show something rare have no files."""

WITH_FILES = 0.2
"""The share of worlds with files."""

UPLOAD_FAULTS = ("refused", "too_large", "limited", "broken", "lost", "nowhere")
"""What happens to a request of an upload: its files are refused, or are too large; a limit refuses
it; the platform breaks; its answer is lost; Slack takes the files, and never shows them."""


@attrs.frozen(kw_only=True)
class Replying:
    """The events of a world, and the repliers that answer them.

    handlers, events  how many answer at once, and how many events come in
    again       share of deliveries that come once more, though they were answered
    reworded    share of answers that have other words when the event comes again
    answers     the values that are drawn for the number of answers to one event
    named       share of answers that are named, instead of numbered
    unquoted    share of events whose answers do not refer to the event's message
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
    """The groups of a world, and the senders that hand them in.

    senders, groups  how many hand in at once, and how many groups in all
    rooms       the values that are drawn for the number of rooms that nobody else writes to
    shared      whether rooms to which others write get the group's messages as well
    own_texts   share of groups whose members have envelopes of their own
    keyed       share of groups with a key; `again`: share of these that is handed in repeatedly
    classes     the values that are drawn for the class
    scheduled   share of groups that wait for a time
    ttls        the values that are drawn for `ttl`
    acts        what is done to a group meanwhile, one after the other
    pauses      between two of these acts
    patience    share of calls that hand a group in and are given up
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
    """In some worlds, groups are handed in, and are paused, cancelled and tried again."""
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


@attrs.frozen(kw_only=True)
class Filing:
    """The messages with files of a world.

    posters, messages  how many send at once, and how many messages in all
    files       the values that are drawn for the number of files of a message
    shared      share of files that several messages have, by the same name
    large       share of messages with large files, which an outbox stores beside its database,
                and which are read in pieces
    words       the values that are drawn for the length of a text, in words; 0: no text, if the
                message has a file of its own
    kinds       weights of what a poster does
    text_alone  share of messages whose text goes alone if their files are refused
    keyed       share of messages with a key
    patience    share of calls that are given up after a while
    caption     characters of the longest caption on Telegram
    share_after  seconds until Slack shows what it has taken
    cut         share of uploads whose connection is cut within the body
    faults      what else happens to a request of an upload, with the share of such requests
    groups      share of groups that have files
    addresses   for how many uploads Slack gives an address in a minute
    """

    posters: int
    messages: int
    files: Sequence[int]
    shared: float
    large: float
    words: Sequence[int]
    kinds: Mapping[str, float]
    text_alone: float
    keyed: float
    patience: float
    pauses: Sequence[float]
    caption: int
    share_after: float
    cut: float
    faults: Mapping[str, float]
    groups: float
    addresses: int


def draw_files(seed: int, *, calm: bool) -> Filing | None:
    """In some worlds messages have files, and uploads fail in the middle."""
    rng = Random(f"files {FILING}:{seed}")
    if rng.random() >= WITH_FILES:
        return None
    kinds = {"post": 4.0}
    for kind in ("again", "replace", "reword", "take_off", "remove", "cancel"):
        if rng.random() < 0.6:
            kinds[kind] = rng.choice([0.5, 1.5])
    faults = {what: rng.choice([0.0, 0.1, 0.3]) for what in UPLOAD_FAULTS}
    return Filing(
        posters=rng.choice([1, 2, 4]),
        messages=rng.choice([8, 16, 32]),
        files=rng.choice([(1,), (1, 2), (1, 2, 3, 4), (4,)]),
        shared=rng.choice([0.0, 0.3, 0.6]),
        large=rng.choice([0.0, 0.0, 0.3]),
        words=rng.choice([(0, 1), (1, 2), (0, 2, 12), (1, 12)]),
        kinds=kinds,
        text_alone=rng.choice([0.0, 0.5, 1.0]),
        keyed=rng.choice([0.0, 0.4]),
        patience=rng.choice([0.0, 0.2]),
        pauses=rng.choice([(0.0,), (0.0, 0.25, 0.5), (0.5, 2.0)]),
        caption=rng.choice([30, 40]),
        share_after=rng.choice([0.0, 0.25, 1.0, 3.0]),
        cut=0.0 if calm else rng.choice([0.0, 0.0, 0.1, 0.3]),
        faults={} if calm or rng.random() < 0.2 else faults,
        groups=rng.choice([0.0, 0.5, 1.0]),
        addresses=rng.choice([6, 20, 100]),
    )
