"""Paces the passing states of streams by the tokens that their windows have left. Sans-I/O.

Each open stream still owes some attempts: the edit that completes its shown text, and the parts
that are not posted yet. Each window keeps back a token for each of these attempts, and a share for
everything else. The remaining tokens are spread evenly over the window's time, and over the
streams.

Only windows keep tokens back. If tokens come one by one, an attempt of a higher rank is never more
than one token late; there passing states have three quarters of the ticks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import attrs

from gateway_core.clock import NEVER, SECOND
from gateway_core.ratelimits.bucket import Bucket, PacedBucket
from gateway_core.ratelimits.limit_kinds import SpacedBucket, WindowBucket

SHARE = 32
"""Of the tokens that streams do not owe, one in so many is left to other rooms and operations."""
ROOMY = 4
"""Streams show unfinished parts after their first one as long as they owe no more than one in so
many tokens of a window."""
TICKS = 4 / 3
"""Ticks of an even pace for each passing state."""
LOOK = SECOND
"""How long until a stream looks again, if only the end of attempts under way can help it."""


Drawn: TypeAlias = WindowBucket | PacedBucket
"""A bucket that paces passing states."""


class Paced(Protocol):
    """A stream, as its windows see it."""

    shown_at: int
    paces: Any


@attrs.define(eq=False)
class Pace:
    """The open streams that draw on one window.

    owed     how many attempts each stream still has to make there; `total`: all of them together
    wanting  the streams that have something to show
    last_at  when a stream last went to show something
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
        """When the stream may show its state, if that `takes` a token and it owes `then` more."""
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
        """When the stream's turn is, if one goes every `step`: the last to show goes last."""
        mine = stream.shown_at
        before = sum(other.shown_at < mine for other in self.wanting)
        return max(now, self.last_at + step * (before + 1))

    @property
    def is_roomy(self) -> bool:
        """Whether one more attempt may be owed, to show the unfinished end of a later part."""
        bucket = self.bucket
        return isinstance(bucket, PacedBucket) or (self.total + 1) * ROOMY <= bucket.allowed


def drawn(buckets: Iterable[Bucket]) -> list[Drawn]:
    """The buckets among these that pace passing states; spaced ones do it by themselves."""
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
    """Note that the stream draws on these windows, and owes so many attempts on each."""
    present = {pace_of(bucket): count for bucket, count in owed.items()}
    for pace in stream.paces:
        if pace not in present:
            pace.leave(stream)
    for pace, count in present.items():
        pace.set(stream, count)
        (pace.wanting.add if wanting else pace.wanting.discard)(stream)
    stream.paces = tuple(present)


def owes(stream: Paced, taken: Sequence[Drawn]) -> None:
    """Note that the stream owes at least one attempt on these windows from now on."""
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
    owed   what the stream owes on each of its windows once the attempt is made
    paced  False: its turn has come already, and only tokens that are kept back may delay it
    """
    at = now
    for pace in stream.paces:
        takes, then = pace.bucket in taken, owed.get(pace.bucket, 0)
        at = max(at, pace.earliest(stream, takes=takes, then=then, now=now, paced=paced))
    return at


def turn(stream: Paced, taken: Sequence[Drawn], now: int, *, paced: bool) -> int:
    """When the stream may show its state by an attempt that uses no window of a final text."""
    paces = [pace for pace in stream.paces if pace.bucket in taken]
    return max(
        (p.earliest(stream, takes=True, then=0, now=now, paced=paced) for p in paces), default=now
    )


def kept(stream: Paced, bucket: Drawn) -> int:
    """How many attempts the other streams still owe on the bucket."""
    pace = pace_of(bucket)
    return pace.total - pace.owed.get(stream, 0)


def went(stream: Paced, taken: Sequence[Drawn], now: int) -> None:
    """Note that the stream shows its state now."""
    for pace in stream.paces:
        if pace.bucket in taken:
            pace.last_at = now
