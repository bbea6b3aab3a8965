"""Holds one instance at run time: its hooks, sessions, limits, health and counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import partial
from typing import Any

import attrs

from gateway_core.accounts.health import Health
from gateway_core.accounts.sessions import Sessions
from gateway_core.contract.envelopes import Disposition, Receipt
from gateway_core.contract.instances import Instance
from gateway_core.contract.verdicts import Reason, Verdict
from gateway_core.plugins.front import ChannelHooks
from gateway_core.ratelimits.instance_limits import InstanceLimits

MOST_MOVED = 10_000
"""How many ids of moved rooms are remembered, the newest ones. For any other room the platform says
again where the room moved, which costs an attempt."""


SOURCED = "*"
"""Stands in metrics for every account that the `instance_source` gives."""


@attrs.define(eq=False)
class Counts:
    """The numbers counted for as long as the instance is there.

    answered      attempts that the platform accepted
    ended         all ended attempts by (partition, pressure at acceptance, class, reason); for
                  accepted ones, `none` and an empty reason
    foreseen      attempts that a limit refused while one of their buckets was closed already
    degradations  envelopes delivered with something lost of their look, by what was lost
    signs         by (`typing` or `acknowledge`, result); the result is `made`, `failed`, or `passed
                  over` if no token was free
    fed           members of groups that had their turn; `members`: those that ended, by how
    """

    accepted: int = 0
    recovered: int = 0
    answered: int = 0
    foreseen: int = 0
    unforeseen: int = 0
    possible_duplicates: int = 0
    refused: Counter[str] = attrs.field(factory=Counter)
    dispositions: dict[Disposition, int] = attrs.field(factory=partial(defaultdict, int))
    ended: dict[tuple[int, str, str, str], int] = attrs.field(factory=partial(defaultdict, int))
    degradations: Counter[str] = attrs.field(factory=Counter)
    signs: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    fed: int = 0
    members: Counter[Disposition] = attrs.field(factory=Counter)

    def refuse(self, error: BaseException) -> None:
        """An envelope was refused."""
        self.refused[type(error).__name__] += 1

    def answer(self, partition: int, pressure: str) -> None:
        """The platform accepted an attempt."""
        self.answered += 1
        self.ended[partition, pressure, "none", ""] += 1

    def fail(self, partition: int, pressure: str, verdict: Verdict) -> None:
        """An attempt failed."""
        self.ended[partition, pressure, verdict.error_class.value, verdict.reason.value] += 1

    def limit(self, *, foreseen: bool) -> None:
        """A limit refused an attempt."""
        self.foreseen += foreseen
        self.unforeseen += not foreseen

    def end(self, receipt: Receipt, *, copied: bool, member: bool) -> None:
        """An envelope ended, maybe the `member` of a group.

        copied  an attempt of its own may have made a copy
        """
        self.dispositions[receipt.disposition] += 1
        if member:
            self.members[receipt.disposition] += 1
        self.possible_duplicates += copied
        if receipt.degradations:
            self.degradations.update(set(receipt.degradations))
        for part in receipt.parts:
            if part.degraded:
                self.degradations["planned"] += 1
                break

    def add(self, other: Counts) -> None:
        """Add the counts of another account."""
        for field in attrs.fields(Counts):
            mine, more = getattr(self, field.name), getattr(other, field.name)
            if isinstance(more, int):
                setattr(self, field.name, mine + more)
            else:
                for key, count in more.items():
                    mine[key] += count

    @property
    def attempts(self) -> dict[tuple[str, str], int]:
        """Ended attempts by (class, reason); ("none", "") counts those that were answered."""
        sums: Counter[tuple[str, str]] = Counter()
        for (_, _, error_class, reason), count in self.ended.items():
            sums[error_class, reason] += count
        return dict(sums)


@attrs.define(eq=False, repr=False)
class InstanceState:
    """One instance at run time, shared by all partitions.

    sourced    the `instance_source` gave it: it may be forgotten
    lost       another process owned the account in between: no attempt of this state writes any
               more, even if this process owns the account again
    unfit      why its settings cannot be used; empty: they can
    addresses  the addresses of rooms that moved, by every id that they had, the last to move last
    arrived    the newest place in line of its lanes: no two lanes have the same place
    typing     by (room, thread): the component that shows there that an answer is being written
    signs      how many of its signs are under way
    """

    instance: Instance
    hooks: ChannelHooks
    sessions: Sessions
    limits: InstanceLimits
    health: Health
    counts: Counts = attrs.field(factory=Counts)
    unfit: str = ""
    sourced: bool = False
    lost: bool = False
    addresses: dict[str, str] = attrs.field(factory=dict)
    arrived: int = 0
    typing: dict[tuple[str, str | None], Any] = attrs.field(factory=dict)
    signs: int = 0

    @property
    def label(self) -> str:
        """Its name in metrics: sourced instances share one, since there may be any number."""
        return SOURCED if self.sourced else self.instance.id

    @property
    def is_hopeless(self) -> bool:
        """Whether it has never worked in this process, and cannot unless somebody repairs it.

        Its credentials are refused, or its adapter's `open_session` gives no session.
        """
        suspended = self.health.suspended
        return (
            suspended is not None
            and suspended.reason in (Reason.UNAUTHORIZED, Reason.HOOK_CONTRACT)
            and not (self.counts.answered or self.health.worked_at >= 0)
        )

    @property
    def is_at_rest(self) -> bool:
        """Whether it is suspended and no attempt is under way: nothing changes by itself."""
        return self.health.suspended is not None and not self.limits.attempts.in_flight

    def lose(self) -> None:
        """Another process owns the account."""
        self.lost = True

    def replace(self, instance: Instance, sessions: Sessions, now: int, *, resume: bool) -> None:
        """Use other settings: attempts get a new session, and limits are asked for anew."""
        self.sessions.close()
        self.instance, self.sessions, self.unfit = instance, sessions, ""
        self.limits.registry.renew()
        if resume:
            self.health.resume(now, "replace_instance")

    def move(self, room: str, moved_to: str) -> None:
        """Give a room a new id; the old one is an alias from now on."""
        for old, new in self.addresses.items():
            if new == room:
                self.addresses[old] = moved_to
        self.addresses.pop(room, None)
        self.addresses[room] = moved_to
        if len(self.addresses) > MOST_MOVED:
            del self.addresses[next(iter(self.addresses))]
