"""Records what was handed over and what became of it, and checks the laws for that."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import trio
from sharing.plans import GRID

from gateway_contrib.durable.rows import decode, receipt_of
from gateway_core import Receipt
from gateway_core.outboxes import position_of

if TYPE_CHECKING:
    from sharing.member import Member
    from sharing.plans import Setup
    from sharing.server import Server, Transaction


SLOWEST = 0.97
"""The lowest rate of a member's clock."""


@attrs.define(eq=False)
class Entry:
    """A message, or a change of a message. `word`: by which it is known at the platform.

    begun, done  when its caller began, and when it was accepted; None: it was not, or nobody knows
    refused      its caller heard that it is not accepted
    handed       by an application, in a transaction of its own
    process      the process that it was handed in to
    """

    word: str
    instance: str
    room: str
    begun: float
    handed: bool = False
    done: float | None = None
    refused: bool = False
    id: str | None = None
    edits: str | None = None
    process: str = ""
    writes: list[int] = attrs.field(factory=list)
    epochs: list[int] = attrs.field(factory=list)
    receipt: Receipt | None = None

    def __str__(self) -> str:
        return f"{self.word} in {self.room}"


@attrs.frozen(eq=False)
class UnderWay:
    """A request of a member.

    begun  when its attempt began, before that was stored
    since  when its first byte went out
    """

    member: Member
    instance: str
    word: str
    begun: float
    since: float

    @property
    def ends(self) -> bool:
        """Whether the member is alive and was not stopped meanwhile, so that it could end it."""
        return not self.member.life.dead and self.member.stopped_until < self.since


@attrs.define(eq=False)
class Laws:
    """The laws of one world. `violations` says what did not hold.

    under_way    requests whose first byte went out, and that are not over
    interrupted  those that ended because their member was killed, or had lost the account
    suspended    accounts that operators suspended: since when, and who owned the account then
    resuming     suspended accounts that somebody has been asked to resume
    uncounted    whether an owner had tried a message that earlier ones had tried more than once
    """

    setup: Setup
    server: Server
    trace: list[str] = attrs.field(factory=list)
    violations: list[str] = attrs.field(factory=list)
    entries: dict[str, Entry] = attrs.field(factory=dict)
    happened: Counter[str] = attrs.field(factory=Counter)
    remainder: int = 0
    uncounted: bool = False
    owners: list[tuple[float, Any]] = attrs.field(factory=list)
    owning: dict[str, Any] = attrs.field(factory=dict)
    under_way: dict[int, UnderWay] = attrs.field(factory=dict)
    interrupted: list[UnderWay] = attrs.field(factory=list)
    suspended: dict[str, tuple[float, Any]] = attrs.field(factory=dict)
    resuming: set[str] = attrs.field(factory=set)

    def note(self, *what: Any) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{trio.current_time():9.3f} {' '.join(map(str, what))}")

    def expect(self, holds: bool, text: str) -> None:
        """Note a violation unless it holds."""
        if not holds:
            self.violations.append(text)
            self.note("VIOLATION", text)

    # -- while it lives

    def committed(self, transaction: Transaction) -> None:
        """Only the owner writes; nothing is there twice; the counts are right."""
        rows = self.server.rows
        (self._committed_share if self.setup.spread else self._committed_whole)(transaction)
        self._committed_suspensions(transaction)
        rows.touched.clear()
        for text in rows.doubled:
            self.expect(False, text)
        rows.doubled.clear()
        right = rows.appended == len(rows.envelopes) + len(rows.history) + rows.withdrawn
        self.expect(right, "accepted is not ended and unfinished")

    def _committed_whole(self, transaction: Transaction) -> None:
        rows = self.server.rows
        owner = rows.accounts[""].member
        if transaction.member is not None:
            name = getattr(transaction.session.whose, "name", "?")
            # A member that has left may have a COMMIT on its way: the next owner waits for that.
            mine = owner in (transaction.member, None)
            self.expect(mine, f"{name} writes after it was followed")
        if not self.owners or self.owners[-1][1] != owner:
            self.owners.append((trio.current_time(), owner))
            taking = rows.members.get(owner) if owner is not None else None
            self.note("owner", taking.name if taking is not None else None)
            self.happened["owners"] += taking is not None

    def _committed_share(self, transaction: Transaction) -> None:
        """A member that writes for an account owns the account."""
        rows, whose = self.server.rows, transaction.session.whose
        name = getattr(whose, "name", "?")
        if transaction.member is not None:
            for instance in sorted(rows.touched):
                owner = transaction.owners.get(instance, transaction.member)
                mine = owner == transaction.member
                self.expect(mine, f"{name} writes of {instance} after it was followed")
        slots = [it.slot for it in rows.members.values() if it.slot is not None]
        self.expect(len(slots) == len(set(slots)), f"two have one slot: {slots}")
        for instance, account in rows.accounts.items():
            before = transaction.owners.get(instance)
            if before == account.member:
                continue
            taking = rows.members.get(account.member) if account.member is not None else None
            self.note("owner", instance, taking.name if taking is not None else None)
            self.happened["owners"] += taking is not None
            if instance and before is not None and getattr(whose, "id", None) == before:
                self.happened["handovers"] += account.member is None
                whose.gave[instance] = account.epoch, trio.current_time()

    def _committed_suspensions(self, transaction: Transaction) -> None:
        """Note since when each account is suspended, and who owned it then."""
        rows, known = self.server.rows, self.suspended
        for instance in known.keys() - rows.suspended.keys():
            self.note("resumed", instance)
            del known[instance]
        for instance in rows.suspended.keys() - known.keys():
            self.note("suspended", instance)
            known[instance] = trio.current_time(), transaction.member
            self.resuming.discard(instance)

    def _may_send(self, member: Member, instance: str) -> bool:
        """Whether a member may send: on a suspended account, only the owner at that time may go on.

        That owner may hear late that the suspension is stored, and attempts that began before have
        their time. A member that is asked to resume the account does so at once, and stores that
        afterwards.
        """
        if instance not in self.suspended or instance in self.resuming:
            return True
        since, owner = self.suspended[instance]
        lease, timeout = self.setup.settings.lease, self.setup.config.attempt_timeout
        return member.id == owner and trio.current_time() <= since + timeout + 8 * lease

    def _alone(self, member: Member, instance: str) -> None:
        """What a former owner had under way is over once the next owner sends.

        A killed process has nothing under way; one that was stopped cannot end what it had.
        """
        for other in self.under_way.values():
            if other.instance == instance and other.member is not member and other.ends:
                text = f"{member.name} writes while {other.member.name} has {other.word} under way"
                self.expect(False, text)

    def _may_follow(self, member: Member, entry: Entry) -> None:
        """What a lost owner had under way may arrive until its recorded time is over.

        Until then the next owner sends nothing into that room. At Discord, which recognises a
        repeat, it sends at once. A change is not recorded, since a repeat of it does no harm.
        """
        if self.setup.ahead != (0.0,):
            return  # the recorded time is that of a wall clock
        patience = self.setup.config.retries.arrival
        for other in self.interrupted:
            lost = self.entries[other.word]
            same = (lost.instance, lost.room) == (entry.instance, entry.room)
            rest = trio.current_time() - other.begun
            if same and other.member is not member and rest < patience * SLOWEST:
                text = f"{member.name} writes {entry.word} {rest:.1f} s after"
                self.expect(False, f"{text} {other.member.name}, now lost, tried {lost.word}")

    def written(
        self, member: Member, instance: str, word: str | None, request: int, *, stopped: bool
    ) -> int:
        """The first byte of a request goes out; returns the account's epoch."""
        account = self.server.rows.accounts.get(instance if self.setup.spread else "")
        owns = account is not None and account.member == member.id
        self.note("write", member.name, instance, word or "", "" if owns else "NOT THE OWNER")
        if not owns and stopped:
            self.remainder += 1
            self.happened["remainder"] += 1
        probe = word is None
        self.expect(owns or stopped or probe, f"{member.name} writes {word} after it was followed")
        sends = probe or not owns or self._may_send(member, instance)
        self.expect(sends, f"{member.name} writes {word} of {instance}, which is suspended")
        entry = self.entries.get(word or "")
        epoch = account.epoch if account is not None and owns else -1
        if entry is not None and owns:
            entry.writes.append(len(self.trace))
            entry.epochs.append(epoch)
            unfinished = self.server.rows.envelopes
            self.uncounted |= any(
                len([it for it in each.epochs if it < epoch]) > 1
                for each in self.entries.values()
                if each.instance == instance and each.id and position_of(each.id) in unfinished
            )
        if owns and word is not None:
            self._alone(member, instance)
            if entry is not None and entry.edits is None:
                self._may_follow(member, entry)
            now = trio.current_time()
            begun = member.begun.get(word, now)
            self.under_way[request] = UnderWay(member, instance, word, begun, now)
        return epoch

    def answered(
        self, member: Member, instance: str, word: str | None, epoch: int, request: int
    ) -> None:
        """A request is over, at the latest when its account was given up.

        epoch  of the account as its first byte went out: of an earlier tenure, which was lost, a
               request may still be under way

        The time of an attempt and the wait for the attempt may both be over at the same instant. A
        probe is not judged, since it changes nothing at the platform.
        """
        request_of = self.under_way.pop(request, None)
        if request_of is not None:
            self._interrupts(request_of, epoch)
        given, at = member.gave.get(instance, (-2, 0.0))
        late = epoch == given and trio.current_time() > at + GRID
        idle = not late or word is None or member.life.dead
        self.expect(idle, f"{member.name} has given up {instance} with {word} in flight")

    def _interrupts(self, request: UnderWay, epoch: int) -> None:
        """Note a request of a member that was killed, or has lost the account meanwhile."""
        entry, member = self.entries.get(request.word), request.member
        account = self.server.rows.accounts.get(request.instance if self.setup.spread else "")
        owns = account is not None and (account.member, account.epoch) == (member.id, epoch)
        given, _ = member.gave.get(request.instance, (-2, 0.0))
        recognised = request.instance.startswith("discord")
        sends = entry is not None and entry.edits is None and not recognised
        if sends and epoch != given and (member.life.dead or not owns):
            self.interrupted.append(request)
            self.happened["interrupted"] += 1

    # -- at the end

    def judge(self, messages: Sequence[Any], limited: Mapping[str, int]) -> None:
        """Check everything at the end."""
        rows = self.server.rows
        refused = set()
        for row in rows.handed.values():
            text = decode(row.envelope).get("text", "") if row.kind == "submit" else ""
            word = text.split(" ")[0]
            if row.refused is not None and word.startswith("edit"):  # of what was refused itself
                refused.add(word)
                continue
            self.expect(row.refused is None, f"what was handed over is refused: {row.refused}")
        self.expect(not rows.envelopes, f"{len(rows.envelopes)} are unfinished")
        by_word: dict[str, list[Receipt]] = defaultdict(list)
        for past in rows.history.values():
            text = decode(past.kept.row[10])[0].get("text", "")
            by_word[text.split(" ")[0]].append(receipt_of(past.end[5]))
        seen: dict[str, list[Any]] = defaultdict(list)
        for message in messages:
            for text in {*message.revisions, message.text}:
                seen[text.split(" ")[0]].append(message)
        for entry in self.entries.values():
            if entry.word in refused:
                continue
            self._judge(entry, by_word[entry.word], seen[entry.word])
        self._judge_order()
        # An edit is not recorded before it is made: the next owner knows nothing of a killed one's.
        # Of a message that was tried more than once, the next owner counts the last attempt.
        counted = not self.setup.edits and not self.remainder and not self.uncounted
        if self.setup.tight and counted:
            self.expect(not any(limited.values()), f"refused by limits: {dict(limited)}")

    def _judge(self, entry: Entry, receipts: Sequence[Receipt], found: Sequence[Any]) -> None:
        if entry.refused:
            self.expect(not receipts, f"{entry} was refused, and is {receipts}")
            self.expect(not found, f"{entry} was refused, and stands")
            return
        if entry.done is not None:
            self.expect(
                len(receipts) == 1, f"{entry} was accepted, and ended {len(receipts)} times"
            )
        self.expect(len(receipts) <= 1, f"{entry} ended {len(receipts)} times")
        if not receipts:
            self.expect(not found, f"{entry} is not stored, and stands")
            return
        (receipt,) = receipts
        self.happened[str(receipt.disposition)] += 1
        if entry.edits is not None:
            return
        delivered = receipt.disposition == "delivered"
        doubt = any(part.outcome == "unknown" for part in receipt.parts)
        self.expect(bool(found) or not delivered, f"{entry} is delivered, and does not stand")
        self.expect(
            delivered or doubt or not found, f"{entry} stands, and is {receipt.disposition}"
        )
        most = self.setup.config.retries.max_ambiguous
        self.expect(len(found) <= most, f"{entry} stands {len(found)} times")
        if len(found) > 1:
            self.happened["copies"] += 1
            self.expect(receipt.possible_duplicate, f"{entry} stands twice, and nobody said so")

    def _judge_order(self) -> None:
        """A message that came into its room after another one is tried after that one.

        If accounts are spread, this holds for the messages that one process has accepted.
        """
        rooms: dict[Any, list[Entry]] = defaultdict(list)
        for entry in self.entries.values():
            if entry.done is not None and entry.writes and entry.edits is None:
                rooms[entry.instance, entry.room, entry.handed, entry.process].append(entry)
        for some in rooms.values():
            for one in some:
                for other in some:
                    if one.done is not None and one.done < other.begun:
                        late = max(one.writes) < min(other.writes)
                        self.expect(late, f"{other} overtakes {one}")


def word_of(body: bytes) -> str | None:
    """The word of the message in a request."""
    try:
        fields = json.loads(body)
    except ValueError:
        return None
    return _word_in(fields)


def _word_in(value: Any) -> str | None:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        words = (_word_in(each) for each in value)
        return next((word for word in words if word is not None), None)
    if isinstance(value, str) and value.startswith(("word", "edit")):
        return value.split(" ")[0]
    return None
