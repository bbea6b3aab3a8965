"""Follows groups: which members had their turn, and what the gateway must say of the groups.

It follows what callers hand in and hear, and what is accepted and ends.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import trio

from gateway_core import File, Progress

if TYPE_CHECKING:
    from simulated.group_rows import GroupKept
    from simulated.ledger import Entry, Ledger

SETTLED = ("delivered", "superseded", "cancelled")
"""The endings of members that are not tried again."""
HAIR = 1e-3
MOST_PASSES = 2
"""Most members that may begin while a higher class's message waits for the same account."""
YOUNG = 5.0
"""Seconds of waiting after which tokens are kept for a lane that others would take."""


@attrs.define(eq=False)
class Grouped:
    """Messages that are handed in as one group, once or again.

    rooms, texts, threads  of each member; `shared`: one text for all, the template's
    files         the files that all members have besides their text
    due, ttl      the time before which no member has its turn, and the members' seconds to live
    ids           of the group, one after the other: its key is free while no member had a turn
    accepted_at   POSIX time of the call that was accepted
    handing       how many callers hand it in just now; `cut`: some of them were killed
    withdrawn_at  when somebody who handed it in gave up, or was refused
    turns         the entries of each member
    paused, cancelled  as somebody asked; None: nobody knows whether that came through; `paused_at`:
                       when somebody heard that it is paused
    tries         how often failed members were to be tried again; `trying`: that may not be over;
                  `heard`: who asked for it heard that it will be done
    failed        the members that had failed then, and are to end once more; `tried_at`,
                  `tried_wall`: when that was, in the ledger's count of moments and in POSIX time;
                  `tried_until`: the moment of its answer, since it may count what failed meanwhile;
                  `tried_since`: when the first retry was that may not be over
    may_end       how often its end may still be reported
    """

    instance: str
    key: str | None
    rooms: Sequence[str]
    texts: Sequence[str]
    threads: Sequence[str | None]
    shared: bool
    priority: str
    due: float | None
    ttl: float | None
    files: Sequence[File] = ()
    ids: list[str] = attrs.field(factory=list)
    accepted_at: float = 0.0
    handing: int = 0
    cut: bool = False
    withdrawn_at: float | None = None
    turns: dict[int, list[Entry]] = attrs.field(factory=lambda: defaultdict(list))
    paused: bool | None = False
    paused_at: float = 0.0
    cancelled: bool | None = False
    trying: bool = False
    heard: bool = False
    tries: int = 0
    failed: list[Entry] = attrs.field(factory=list)
    tried_at: int = 0
    tried_until: int = 0
    tried_wall: float = 0.0
    tried_since: float = 0.0
    may_end: int = 1
    done: bool = False

    def __str__(self) -> str:
        return f"group {self.key} of {len(self.rooms)} {self.texts[0][:8]!r} {self.ids[-1:]}"

    def number_of(self, envelope: Any) -> int:
        """The number of the only member with the envelope's room and text; -1: there is none."""
        members = zip(self.rooms, self.texts, strict=True)
        said = envelope.external_room_id, envelope.text
        return next((number for number, one in enumerate(members) if one == said), -1)

    def newest(self) -> list[Entry]:
        """The last entry of each member that had a turn."""
        return [entries[-1] for entries in self.turns.values() if entries]

    def failing(self) -> list[Entry]:
        """The members' entries that have failed, and are not tried again already."""
        again = max(self.tried_at, self.tried_until) if self.trying else 0
        return [entry for entry in self.newest() if has_failed(entry) and entry.ended > again]

    def left_of_failed(self) -> list[Entry]:
        """The members' entries that are tried again, and have not ended since."""
        newest = [self.turns[self.number_of(entry.envelope)][-1] for entry in self.failed]
        return [entry for entry in newest if entry.receipt is None or entry.ended <= self.tried_at]

    def is_over(self, *, ended: bool) -> bool:
        """Whether it may have ended, if it says so."""
        return ended and not (self.trying and self.heard and self.left_of_failed())

    def counts(self) -> Counter[str]:
        """How the members that had their turn ended."""
        ends = (entry.receipt for entry in self.newest())
        return Counter(str(receipt.disposition) for receipt in ends if receipt is not None)

    def untaken(self) -> int:
        """How many members had no turn."""
        return len(self.rooms) - len(self.newest())


class GroupLedger:
    """All groups of one world."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._expect = ledger.expect
        self.all: list[Grouped] = []
        self._by_text: dict[str, Grouped] = {}
        self._by_id: dict[str, Grouped] = {}
        self._passes: Counter[str] = Counter()

    # -- handing in

    def hand_in(self, group: Grouped) -> None:
        """Somebody hands the group in, for the first time or again."""
        if group not in self.all:
            self.all.append(group)
            self._by_text.update(dict.fromkeys(group.texts, group))
        group.handing += 1
        self._ledger.note("group", "handed in", group)

    def heard(self, group: Grouped, name: str, accepted_at: float) -> None:
        """A caller hears that the group is accepted with that id. Same key, same group."""
        known = self._by_id.get(name)
        self._expect(known in (None, group), f"{group} is {known}")
        if known is not None:
            self._expect(name == group.ids[-1], f"{group} is what it was before: {name}")
            return
        freed = not group.ids or (group.cancelled is not False and not group.newest())
        self._expect(freed, f"{group} is accepted again as {name}")
        group.cancelled, group.paused, group.may_end = False, False, 1
        group.ids.append(name)
        self._by_id[name] = group
        group.accepted_at = accepted_at
        self._ledger.note("group", "accepted", group)

    def refused(self, group: Grouped) -> None:
        """A caller that handed the group in gave up, or was refused: nothing was accepted."""
        group.withdrawn_at = trio.current_time()

    # -- turns

    def of(self, envelope: Any) -> Grouped | None:
        """The group that an envelope is a member of."""
        return self._by_text.get(getattr(envelope, "text", "")) if self.all else None

    def unfinished(self) -> list[Entry]:
        """Members that had their turn and have not ended."""
        newest = (entry for group in self.all for entry in group.newest())
        return [entry for entry in newest if entry.receipt is None]

    def takes_turn(self, entry: Entry, member: tuple[str, int] | None) -> None:
        """A member became an entry: check that it was its turn."""
        group = self.of(entry.envelope)
        if group is None:
            self._expect(member is None, f"{entry} is of {member}, which nobody handed in")
            return
        number, expect = group.number_of(entry.envelope), self._expect
        durable = self._ledger.setup.durable
        as_told = not durable or (group.ids and member == (group.ids[-1], number))
        expect(number >= 0 and as_told, f"{entry} is {member}, and {number} of {group}")
        expect(group.ids, f"{entry} has a turn, and nobody accepted {group}")
        late = group.paused is True and self._ledger.asked_at(entry) > group.paused_at
        expect(not late, f"{entry} has a turn, and {group} is paused")
        expect(group.cancelled is not True, f"{entry} has a turn, and {group} is cancelled")
        early = group.due is not None and self._ledger.wall() < group.due - HAIR
        expect(not early or self._ledger.setup.jumps, f"{entry} has a turn before its time")
        before = group.turns[number]
        left = [lower for lower in range(number) if not group.turns[lower]]
        expect(not left, f"{entry} has its turn, and {left[:3]} before it had none")
        again = not durable and len(before) <= group.tries and all(map(has_failed, before))
        expect(not before or again, f"{entry} has a turn, and {_names(before)} had it")
        begun = group.tried_wall if before else group.accepted_at
        self._expect_time(group, entry, begun)
        before.append(entry)

    def _expect_time(self, group: Grouped, entry: Entry, begun: float) -> None:
        """An entry's time counts from its group's acceptance, or from when it was tried again.

        In memory, a group that is tried again has its whole time again.
        """
        late = entry.envelope.deadline - begun - self._length(group)
        longer = group.tries > 0 and not self._ledger.setup.durable
        most = self._ledger.wall() - begun if longer else 0.0
        earlier = begun - group.tried_since if begun == group.tried_wall else 0.0
        fits = -HAIR - earlier <= late <= most + HAIR or self._ledger.setup.jumps
        self._expect(fits, f"{entry} ends {late:.2f} s later than {group} has time")

    def _length(self, group: Grouped) -> float:
        """Seconds that the group's members have in all."""
        of_class = getattr(self._ledger.setup.config.ttl, group.priority)
        wait = max(0.0, (group.due or 0.0) - group.accepted_at)
        return float(of_class + wait if group.ttl is None else group.ttl)

    # -- what becomes of them

    def reopened(self, entry: Entry) -> float:
        """An outbox makes a failed entry unfinished again; returns the seconds that it has."""
        group = self.of(entry.envelope)
        asked = has_failed(entry) and group is not None and (group.trying or group.cut)
        self._expect(asked, f"{entry} is tried again, and nobody asked for it")
        return 0.0 if group is None else self._length(group)

    def try_again(self, group: Grouped) -> None:
        """Somebody wants failed members to be tried again."""
        if not group.trying:
            group.tried_since = self._ledger.wall()
        group.trying = True
        group.tries += 1
        group.may_end += 1
        group.failed = [entry for entry in group.newest() if has_failed(entry)]
        group.tried_at, group.tried_wall = self._ledger.moment(), self._ledger.wall()

    def told_end(self, name: str, event: Mapping[str, Any]) -> None:
        """The log says that a group has ended."""
        group = self._by_id.get(name)
        if group is None:
            self._ledger.wrong(f"group {name} ended, and nobody handed it in")
            return
        self._ledger.look_for_unseen()
        if name != group.ids[-1]:  # cancelled before any turn, and accepted again since
            told = f"{group} was {name}, which had no turn and has {event['delivered']} delivered"
            self._expect(not event["delivered"], told)
            return
        group.may_end -= 1
        self._expect(group.may_end >= 0, f"the end of {group} is told again")
        counts = group.counts()
        self._expect(
            event["delivered"] == counts["delivered"],
            f"{group} ended with {event['delivered']} delivered, and {counts} are",
        )
        self._expect_ended(group)

    def _expect_ended(self, group: Grouped) -> None:
        left = [entry for entry in group.newest() if entry.receipt is None]
        self._expect(not left, f"{group} has ended, and {_names(left)} has not")
        over = group.cancelled is not False or not group.untaken()
        self._expect(over, f"{group} has ended, and {group.untaken()} had no turn")

    # -- what is reported of a group

    def expect_progress(
        self, group: Grouped, progress: Progress, before: Mapping[str, int]
    ) -> None:
        """All counts add up, and agree with what was seen. `before`: the ends as of the call."""
        self._ledger.note("group", "progress", group, dict(progress.counts), progress.waiting)
        expect, after = self._expect, group.counts()
        expect(progress.members == len(group.rooms), f"{group} has {progress.members} members")
        parts = (progress.done, progress.waiting, progress.in_flight)
        whole = sum(parts) == progress.members and min(parts) >= 0
        expect(whole, f"{group} is {parts}, of {progress.members}")
        if group.trying:
            return
        told = Counter({str(how): count for how, count in progress.counts.items()})
        if progress.cancelled:
            told["cancelled"] -= group.untaken()
        for how in {*told, *before, *after}:
            fits = before.get(how, 0) <= told[how] <= after[how]
            expect(fits, f"{group} has {told[how]} {how}, and {before.get(how, 0)} to {after[how]}")
        failed = sum(n for how, n in told.items() if how not in SETTLED)
        expect(progress.failed == failed, f"{group} has {failed} failed, told {progress.failed}")
        for name in ("paused", "cancelled"):
            wanted = getattr(group, name)
            fits = wanted is None or wanted == getattr(progress, name)
            expect(fits, f"{group} is not {name} as asked: {wanted}")

    def waited(self, group: Grouped, progress: Progress, before: Mapping[str, int]) -> None:
        """A caller that waited for the group's end hears of the end."""
        self._expect(progress.ended, f"{group} did not end, and nobody waits for it")
        if group.trying:
            if self._ledger.ending and not self._ledger.setup.durable:
                return  # those that were to be tried again are cancelled as the gateway closes
            left = group.left_of_failed()
            self._expect(
                not (left and group.heard), f"{group} was tried again, but for {_names(left)}"
            )
        group.trying = False
        self.expect_progress(group, progress, before)
        self._expect_ended(group)

    # -- others that wait in between

    def begins(self, entry: Entry, waiting: Sequence[Entry]) -> None:
        """A member of a group takes its tokens while others wait for one of these tokens."""
        group = self.of(entry.envelope)
        if group is None or trio.current_time() - entry.accepted_at > YOUNG:
            return
        rank = self._ledger.rank_of_entry(entry)
        for other in waiting:
            if self._ledger.rank_of_entry(other) >= rank or other.spoken is not None:
                continue
            self._passes[other.id] += 1
            passes = self._passes[other.id]
            self._expect(passes <= MOST_PASSES, f"{other} waits, and {passes} of groups go before")

    # -- lives

    def close(self) -> None:
        """The gateway closes: without an outbox, members that had no turn are cancelled."""
        for group in () if self._ledger.setup.durable else self.all:
            group.cancelled = group.cancelled or None

    def fell(self) -> None:
        """The life was killed: requests about groups may have come through, or not."""
        for group in self.all:
            group.cut |= group.handing > 0
            group.handing = 0

    def born(self, kept: Mapping[str, GroupKept]) -> None:
        """Another life begins with these groups; their members were compared already."""
        for name, found in kept.items():
            if name not in self._by_id:
                self._take_in(name, found)
        for group in self.all:
            retrying = bool(group.ids) and group.ids[-1] in kept and kept[group.ids[-1]].retrying
            asked = group.trying or group.cut
            self._expect(asked or not retrying, f"{group} is kept as retried, and nobody asked")
            group.trying, group.may_end, group.cut = retrying, 1, False
            if group.ids:
                self._compare(group, kept)

    def _take_in(self, name: str, found: GroupKept) -> None:
        """A group was stored just before the kill: it is accepted, though nobody heard so."""
        for group in self.all:
            if any(f'"{text}"' in found.words for text in group.texts):
                self._ledger.note("group", "kept unheard", group)
                if not group.cut:
                    at = -1e9 if group.withdrawn_at is None else group.withdrawn_at
                    self._ledger.expect_soon(group, at, "was withdrawn")
                self.heard(group, name, found.accepted_at)
                return
        self._ledger.wrong(f"group {name} is kept, and nobody handed it in")

    def _compare(self, group: Grouped, kept: Mapping[str, GroupKept]) -> None:
        found, expect = kept.get(group.ids[-1]), self._expect
        if found is None:
            self._ledger.wrong(f"{group} is lost")
            return
        expect(found.size == len(group.rooms), f"{group} is kept with {found.size} members")
        taken = len(group.newest())
        expect(found.taken == taken, f"{found.taken} of {group} are kept as taken, not {taken}")
        for name in ("paused", "cancelled"):
            wanted, is_so = getattr(group, name), getattr(found, name)
            expect(wanted in (None, is_so), f"{group} was {name}: {wanted}, kept is {is_so}")
            setattr(group, name, is_so)
        told = Counter(dict(found.counts))
        if found.cancelled:
            told["cancelled"] -= group.untaken()
        same = +group.counts() == +told
        expect(same, f"{group} ended {dict(group.counts())}, kept is {dict(found.counts)}")


def _names(entries: Sequence[Entry]) -> str:
    return ", ".join(map(str, entries[:2]))


def has_failed(entry: Entry) -> bool:
    """Whether the entry ended in a way that allows another try."""
    return entry.receipt is not None and str(entry.receipt.disposition) not in SETTLED
