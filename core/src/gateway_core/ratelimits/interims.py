"""Paces the passing states of streams by what their windows leave. Sans-I/O.

Each open stream still owes some attempts: the edit that completes what it shows, the parts that
are not there yet. So many tokens of each window are kept back, besides a share for everything
else; what remains is spread evenly over the window's time, and over the streams.

Only windows keep anything back: where tokens come one by one, an attempt of a higher rank is never
more than one of them late. There passing states have three quarters of the ticks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import attrs

from gateway_core.clock import NEVER, SECOND
from gateway_core.ratelimits.bucket import Bucket, PacedBucket
from gateway_core.ratelimits.window import SpacedBucket, WindowBucket

SHARE = 32
"""One token of so many that streams do not owe is left to other rooms and operations."""
ROOMY = 4
"""Streams show unfinished parts after their first one as long as they owe no more than this part
of a window."""
TICKS = 4 / 3
"""Ticks of an even pace for each passing state."""
LOOK = SECOND
"""How long until it is looked again at what only the end of attempts under way can change."""


Drawn: TypeAlias = WindowBucket | PacedBucket
"""A bucket that paces passing states."""


class Paced(Protocol):
    """A stream, as its windows see it."""

    shown_at: int
    paces: Any


@attrs.define(eq=False)
class Pace:
    """The open streams that draw on one window.

    owed     attempts that each of them still has to make there; `total`: all of them together
    wanting  those that have something to show
    last_at  when the last of them went to show something
    """

    bucket: Drawn
    owed: dict[Paced, int] = attrs.field(factory=dict)
    total: int = 0
    wanting: set[Paced] = attrs.field(factory=set)
    last_at: int = -NEVER

    def set(self, stream: Paced, owed: int) -> None:
        """The stream owes so many attempts from now on."""
        self.total += owed - self.owed.get(stream, 0)
        self.owed[stream] = owed

    def leave(self, stream: Paced) -> None:
        """The stream has ended, or draws on another window now."""
        self.total -= self.owed.pop(stream, 0)
        self.wanting.discard(stream)

    def earliest(self, stream: Paced, *, takes: bool, then: int, now: int, paced: bool) -> int:
        """When the stream may show its state, which perhaps takes a token, and owes `then` more."""
        bucket = self.bucket
        if isinstance(bucket, PacedBucket):
            return self._turn(stream, round(bucket.pace * TICKS), now) if takes and paced else now
        count = bucket.allowed
        kept = self.total - self.owed.get(stream, 0) + then
        rest = (count - kept) * (SHARE - 1) / SHARE
        if rest <= 0:
            return NEVER
        at = now
        if takes and paced:
            at = self._turn(stream, round(bucket.per / rest), now)
        free = bucket.free_for(kept + takes, now)
        return max(at, now + LOOK if free >= NEVER else free)

    def _turn(self, stream: Paced, step: int, now: int) -> int:
        """When the stream's turn is, where one goes every `step`: who showed last goes last."""
        mine = stream.shown_at
        before = sum(other.shown_at < mine for other in self.wanting)
        return max(now, self.last_at + step * (before + 1))

    @property
    def is_roomy(self) -> bool:
        """Whether one attempt more may be owed for the sake of a later part's look."""
        bucket = self.bucket
        return isinstance(bucket, PacedBucket) or (self.total + 1) * ROOMY <= bucket.allowed


def drawn(buckets: Iterable[Bucket]) -> list[Drawn]:
    """Those of these buckets that pace passing states; spaced ones do it by themselves."""
    return [
        bucket
        for bucket in buckets
        if isinstance(bucket, WindowBucket | PacedBucket) and not isinstance(bucket, SpacedBucket)
    ]


def pace_of(bucket: Drawn) -> Pace:
    """The window's pace, made with its first stream."""
    if bucket.streams is None:
        bucket.streams = Pace(bucket)
    pace: Pace = bucket.streams
    return pace


def stand(stream: Paced, owed: dict[Drawn, int], *, wanting: bool) -> None:
    """The stream draws on these windows, and owes so many attempts on each."""
    present = {pace_of(bucket): count for bucket, count in owed.items()}
    for pace in stream.paces:
        if pace not in present:
            pace.leave(stream)
    for pace, count in present.items():
        pace.set(stream, count)
        (pace.wanting.add if wanting else pace.wanting.discard)(stream)
    stream.paces = tuple(present)


def owes(stream: Paced, taken: Sequence[Drawn]) -> None:
    """The stream owes an attempt on these windows from now on, at the least."""
    for pace in stream.paces:
        if pace.bucket in taken:
            pace.set(stream, max(1, pace.owed.get(stream, 0)))


def leave(stream: Paced) -> None:
    """The stream has ended."""
    for pace in stream.paces:
        pace.leave(stream)
    stream.paces = ()


def earliest(
    stream: Paced,
    taken: Sequence[Drawn],
    owed: Mapping[Drawn, int],
    now: int,
    *,
    paced: bool,
) -> int:
    """When the stream may show its state: no later than `now` means at once.

    taken  the windows that the attempt draws on
    owed   what the stream owes on each of its windows once it is made
    paced  False: its turn has come already, and only what is kept back may hold it
    """
    at = now
    for pace in stream.paces:
        takes, then = pace.bucket in taken, owed.get(pace.bucket, 0)
        at = max(at, pace.earliest(stream, takes=takes, then=then, now=now, paced=paced))
    return at


def turn(stream: Paced, taken: Sequence[Drawn], now: int, *, paced: bool) -> int:
    """When it may show its state by an attempt that draws on no window of a final's."""
    paces = [pace for pace in stream.paces if pace.bucket in taken]
    return max(
        (p.earliest(stream, takes=True, then=0, now=now, paced=paced) for p in paces), default=now
    )


def kept(stream: Paced, bucket: Drawn) -> int:
    """What the other streams still owe there."""
    pace = pace_of(bucket)
    return pace.total - pace.owed.get(stream, 0)


def went(stream: Paced, taken: Sequence[Drawn], now: int) -> None:
    """The stream shows its state."""
    for pace in stream.paces:
        if pace.bucket in taken:
            pace.last_at = now
