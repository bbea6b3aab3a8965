"""Checks groups that have ended: each room got its message once, as the members' receipts say."""

from __future__ import annotations

from collections.abc import Sequence

from simulated.drawing import Setup
from simulated.grouped import Grouped
from simulated.ledger import Entry, Ledger, words_of
from simulated.platforms import Platforms

from gateway_contrib.emulators.faults import Fault
from gateway_contrib.emulators.rooms import Message
from gateway_core import PartReceipt, Receipt

ARRIVED = ("delivered", "deleted", "unchanged")


class Members:
    """The final invariants of the groups of one world."""

    def __init__(self, setup: Setup, ledger: Ledger, platforms: Platforms) -> None:
        self._setup = setup
        self._ledger = ledger
        self._expect = ledger.expect
        self._platforms = platforms
        self._messages = platforms.messages() if ledger.groups.all else []

    def judge(self) -> None:
        """Check every group that was accepted."""
        for group in self._ledger.groups.all:
            if not group.ids:
                self._expect(not group.newest(), f"{group} was not accepted, and has members")
                continue
            over = group.cancelled is not False or not group.untaken()
            self._expect(over, f"{group} is over, and {group.untaken()} had no turn")
            for number in range(len(group.rooms)):
                self._member(group, number)

    def _member(self, group: Grouped, number: int) -> None:
        """Check one member's message, in its room and in the room that this became."""
        entries = group.turns[number]
        receipts = [entry.receipt for entry in entries if entry.receipt is not None]
        word = words_of(group.texts[number])[0]
        rooms = {group.rooms[number], *(receipt.moved_to for receipt in receipts)}
        rooms.update(call.attempt.room for entry in entries for call in entry.calls)
        rooms.add(group.threads[number])  # on Discord a thread is a room of its own
        found = [m for m in self._messages if m.room in rooms and word in _seen(m)]
        where = f"{word} of {entries[-1] if entries else group} in {group.rooms[number]}"
        arrived = [[p.outcome in ARRIVED for p in _with_first_word(r)] for r in receipts]
        sent = any(each and all(each) for each in arrived)
        unshown = any(self._platforms.may_be_unshown(entry.envelope) for entry in entries)
        self._expect(found or not sent or unshown, f"{where} does not stand")
        doubt = any(map(any, arrived)) or self._is_doubtful(entries, receipts)
        self._expect(doubt or not found, f"{where} stands, and is not sent")
        if len(found) > 1:
            self._copies(entries, receipts, found, where)

    def _copies(
        self,
        entries: Sequence[Entry],
        receipts: Sequence[Receipt],
        found: Sequence[Message],
        where: str,
    ) -> None:
        """At most so many copies for each try, and never two unless a receipt says so."""
        tries = 1 + max((entry.tried_again for entry in entries), default=0) + len(entries) - 1
        most = tries * max(1, self._setup.config.retries.max_ambiguous)
        most += Fault.MALFORMED in self._setup.trouble.platform
        self._expect(len(found) <= most, f"{where} stands {len(found)} times")
        said = any(receipt.possible_duplicate for receipt in receipts)
        self._expect(said, f"{where} stands twice, and nobody said so")

    @staticmethod
    def _is_doubtful(entries: Sequence[Entry], receipts: Sequence[Receipt]) -> bool:
        """Whether the message may have arrived, by its receipts or by an earlier try."""
        unknown = any(part.outcome == "unknown" for r in receipts for part in r.parts)
        again = any(entry.tried_again for entry in entries) or len(entries) > 1
        return unknown or (again and any(call.in_doubt for e in entries for call in e.calls))


def _with_first_word(receipt: Receipt) -> Sequence[PartReceipt]:
    """The parts that may have the first word; with files, that may be any part."""
    return receipt.parts if any(part.files for part in receipt.parts) else receipt.parts[:1]


def _seen(message: Message) -> list[str]:
    return words_of(" ".join([*message.revisions, message.text]))
