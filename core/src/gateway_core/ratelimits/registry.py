"""Keeps the buckets of one instance by name; platforms may rename them. Sans-I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import attrs

from gateway_core.clock import SECOND
from gateway_core.contract.hookspecs import Limit
from gateway_core.contract.verdicts import BucketReport
from gateway_core.ratelimits.bucket import Bucket, PacedBucket
from gateway_core.ratelimits.limit_kinds import WindowBucket, bucket_for, reset_of
from gateway_core.ratelimits.spent import Standing, name_of

SWEEP = 4
SEVERAL_ROOMS = 3
TOGETHER = 2 * SECOND


@attrs.define(eq=False)
class _Kept:
    """What a previous process run left of a bucket, and that bucket once it is made."""

    standing: Standing
    since: int
    bucket: Bucket | None = None


_NOTHING_KEPT: Mapping[str, _Kept] = {}


class BucketRegistry:
    """The buckets of one instance by name, shared by all partitions.

    wide      the buckets that several instances share
    began_at  when the registry began to count; None: it knows what was spent before
    """

    def __init__(self, wide: BucketRegistry | None = None, began_at: int | None = None) -> None:
        self._wide = wide
        self._began_at = began_at
        self._kept: Mapping[str, _Kept] = _NOTHING_KEPT
        self._kept_until = 0
        self._buckets: dict[str, Bucket] = {}
        self._names: deque[str] | None = None  # names to look at, in turn
        self._alias: dict[str, str] = {}
        self._hit_rooms: dict[str, int] = {}
        self._old: set[str] | None = None
        self.version = 0

    def __len__(self) -> int:
        return len(self._buckets)

    def buckets(self, limits: Sequence[Limit], now: int) -> list[Bucket]:
        """The buckets that `limits` name: new ones are made, and each gets one more user."""
        if not limits:
            self._sweep(1, now)
            return []
        own = [limit for limit in limits if self._wide is None or limit.of != "gateway"]
        before = len(self._buckets)
        found = [self._bucket(limit, now) for limit in own]
        fresh = len(self._buckets) - before
        self._sweep(1 + SWEEP * fresh, now)  # those found have a user, so none is forgotten
        if self._wide is not None and len(own) < len(limits):
            found += self._wide.buckets([limit for limit in limits if limit.of == "gateway"], now)
        return found

    def _bucket(self, limit: Limit, now: int) -> Bucket:
        name = self._name(limit)
        bucket = self._buckets.get(name)
        if self._old and name in self._old:
            self._old.discard(name)
            bucket = self._renewed(name, limit)
        if bucket is None:
            bucket = self._made(name, limit, now)
        bucket.users += 1
        return bucket

    def _made(self, name: str, limit: Limit, now: int) -> Bucket:
        """A new bucket, with what is known of earlier buckets of its name."""
        kept = self._kept.get(name_of(name)) if self._kept else None
        known = None if kept is None else kept.bucket
        if known is not None and self._buckets.get(known.name) is known:
            self._alias[name] = known.name  # another name by which it is asked for
            known.asked = (*known.asked, name)
            return known
        bucket = bucket_for(limit)
        self._add(name, bucket)
        if kept is not None:
            kept.bucket = bucket
            bucket.restore(kept.standing, kept.since, now)
        elif self._began_at is not None and limit.of == "room" and isinstance(bucket, WindowBucket):
            bucket.start_carefully(self._began_at, now)
        if now > self._kept_until:
            self._kept = _NOTHING_KEPT
        return bucket

    def standings(self, now: int) -> list[Standing]:
        """How much of each bucket is spent, as far as it matters later.

        This includes what a previous process run spent of buckets that nobody has asked for since.
        """
        spent = [
            bucket.standing(now) for bucket in self._buckets.values() if not bucket.is_fresh(now)
        ]
        for kept in dict.fromkeys(self._kept.values()):
            left = kept.standing.left_after((now - kept.since) / SECOND)
            if kept.bucket is None and left is not None:
                spent.append(left)
        return spent

    def is_quiet(self, now: int, *, kept: bool) -> bool:
        """Whether a new registry in its place would allow no more than it does.

        kept  spent tokens and closures are stored for the new registry; a slower pace is not
        """
        buckets = self._buckets.values()
        slow = any(not bucket.is_at_its_pace(now) for bucket in buckets)
        return not slow and (kept or not self.standings(now))

    def restore(self, standings: Sequence[Standing], since: int) -> None:
        """Store what a previous run had spent, from `since` on: buckets get it when made."""
        known = dict(self._kept)
        for standing in standings:
            kept = _Kept(standing, since)
            lasts = max([standing.closed, standing.tick, *(at for at, _ in standing.back)])
            self._kept_until = max(self._kept_until, since + round(lasts * SECOND))
            known |= dict.fromkeys(standing.names, kept)
        self._kept = known

    def recall(self, limits: Sequence[Limit], at: int, count: int, now: int) -> None:
        """Count attempts of a previous process run that drew on these limits and ended at `at`."""
        for bucket in self.buckets(limits, now):
            bucket.users -= 1
            bucket.recall(at, count, now)

    def _add(self, name: str, bucket: Bucket) -> None:
        self._buckets[name] = bucket
        if self._names is None:
            self._names = deque()
        self._names.append(name)

    def _renewed(self, name: str, limit: Limit) -> Bucket | None:
        """The old bucket with the numbers of `limit`, or another in its place."""
        old, bucket = self._buckets.get(name), bucket_for(limit)
        if not isinstance(old, PacedBucket | WindowBucket) or old.limit == limit:
            return old
        if type(bucket) is type(old):
            old.renew(limit)
            return old
        bucket.name, bucket.asked = name, old.asked
        bucket.absorb(old)
        old.merged = self._buckets[name] = bucket
        return bucket

    def renew(self) -> None:
        """The settings changed: every limit is asked for again."""
        self._old = set(self._buckets)
        self.version += 1

    def _name(self, limit: Limit) -> str:
        return self._alias.get(limit.bucket, limit.bucket)

    def _sweep(self, most: int, now: int) -> None:
        """Look at a few buckets, and forget the idle ones, so that memory follows use."""
        names = self._names
        if names is None:
            return
        for _ in range(min(most, len(names))):
            name = names.popleft()
            bucket = self._buckets.get(name)
            if bucket is None:  # the bucket has another name now
                continue
            if bucket.idle(now):
                del self._buckets[name]
                if self._old:
                    self._old.discard(name)
                for asked in bucket.asked:
                    self._alias.pop(asked, None)
            else:
                names.append(name)

    def learn(self, reports: Sequence[BucketReport], now: int) -> list[Bucket]:
        """Apply the reports; return the buckets whose waiters must be looked at again."""
        changed = []
        for report in reports:
            bucket = self._named(report)
            if bucket is None:
                continue
            changed.append(bucket)
            if isinstance(bucket, WindowBucket):
                bucket.learn(report, now)
            reset = reset_of(report, now)
            if report.remaining == 0 and reset is not None:
                bucket.close(reset)
        return changed

    def _named(self, report: BucketReport) -> Bucket | None:
        """The bucket of a report; a provisional one gets its name here."""
        real, asked = self._buckets.get(report.bucket), report.provisional
        if asked is None or self._alias.get(asked) == report.bucket:
            return real
        provisional = self._buckets.pop(self._alias.get(asked, asked), None)
        self._alias[asked] = report.bucket
        if real is None:
            if provisional is None:
                return None
            real = provisional
            real.name = report.bucket
            self._add(real.name, real)
        elif provisional is not None:
            provisional.merged = real
            real.shared = real.shared or provisional.shared
            real.absorb(provisional)
            self.version += 1
        real.asked = (*real.asked, asked)
        return real

    def hit(self, room: str, now: int) -> bool:
        """Note a 429 of `room`; True: several rooms met one together, as at an account's limit."""
        self._hit_rooms[room] = now
        self._hit_rooms = {r: at for r, at in self._hit_rooms.items() if now - at <= TOGETHER}
        return len(self._hit_rooms) >= SEVERAL_ROOMS
