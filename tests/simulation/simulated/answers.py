"""Checks streams that have ended: the receipt against the messages that stand in the room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from simulated.drawing import Setup
from simulated.ledger import Entry, Ledger, number_of, words_of
from simulated.platforms import Platforms
from simulated.spoken import Spoken

from gateway_contrib.emulators.faults import Fault
from gateway_contrib.emulators.rooms import Message
from gateway_core import Disposition, Receipt

BROKEN_OFF = "broken off: its program left it before its text was whole"
CUT = "cut: it needs more messages than allowed"
NOT_EDITED = "posted anew: its message took no edit"
ANEW = {NOT_EDITED, "posted anew: its message was gone"}
DISTURBING = ("cancel", "raise", "remove", "suspend", "replace")
"""Events after which a request may be under way whose answer nobody waits for."""


class Answers:
    """The final invariants of the streams of one world."""

    def __init__(self, setup: Setup, ledger: Ledger, platforms: Platforms) -> None:
        self._setup = setup
        self._ledger = ledger
        self._expect = ledger.expect
        self._messages = platforms.messages()

    def judge(self, entry: Entry, spoken: Spoken, receipt: Receipt) -> None:
        """Check one receipt."""
        mine = self._of(spoken)
        here = None
        rooms = [call.attempt.room for call in entry.calls]
        if len(set(rooms)) > 1 and not ANEW.isdisjoint(receipt.degradations):
            here = rooms[-1]  # the room has moved, and what was posted anew stayed where it was
        standing = [m for m in mine if not m.deleted and here in (None, m.room)]
        self._copies(entry, spoken, receipt, standing)
        if self._is_changed(entry):
            return
        unsettled = self._is_unsettled(entry)
        if receipt.disposition is Disposition.CANCELLED and spoken.how == "delete":
            fine = unsettled or self._is_given_up() or receipt.possible_duplicate or not standing
            self._expect(fine, f"{entry} was taken back, and stands")
        if receipt.delivered:
            self._how(entry, spoken, receipt)
            if not unsettled and CUT not in receipt.degradations:
                self._stands(entry, spoken, receipt, standing)

    def place(self, spoken: Spoken, index: Mapping[str, int]) -> list[int]:
        """The place of the stream's first message among all words of all messages."""
        mine = [at for word, at in index.items() if number_of(word) in spoken.numbers]
        return [min(mine)] if mine else []

    def _of(self, spoken: Spoken) -> list[Message]:
        """Every message that ever had a word of the stream."""
        return [
            message
            for message in self._messages
            if any(
                number_of(word) in spoken.numbers
                for word in words_of(" ".join([*message.revisions, message.text]))
            )
        ]

    def _is_changed(self, entry: Entry) -> bool:
        """Whether somebody edited or deleted the message; then that change's text is judged."""
        entries, maker = self._ledger.entries, self._ledger.maker
        return any(e.calls and maker(e.envelope) is entry for e in entries)

    def _is_unsettled(self, entry: Entry) -> bool:
        """Whether a request may have arrived after later ones, so that the text may be old."""
        trouble, setup = self._setup.trouble, self._setup
        cut_off = any(what in DISTURBING for _, what, *_ in trouble.events) or setup.endings
        slow = trouble.late or any(what == "stall" for _, what, *_ in trouble.weather)
        return bool(cut_off or slow) and any(call.in_doubt for call in entry.calls)

    def _is_given_up(self) -> bool:
        """Whether the stream may have been given up instead, with its gateway or its instance."""
        closed = not self._setup.durable and bool(self._setup.endings)
        return closed or any(what == "remove" for _, what, *_ in self._setup.trouble.events)

    def _how(self, entry: Entry, spoken: Spoken, receipt: Receipt) -> None:
        """The receipt says that the stream was broken off if it was, and only then."""
        broken = spoken.how in ("mark", "cut")
        said = BROKEN_OFF in receipt.degradations
        self._expect(said == broken, f"{entry} is {spoken.how}, and says {receipt.degradations}")

    def _stands(
        self, entry: Entry, spoken: Spoken, receipt: Receipt, standing: Sequence[Message]
    ) -> None:
        """The whole text stands, each word once and in its order, and no word of earlier texts."""
        found = [word for message in standing for word in words_of(message.text)]
        mine = [word for word in found if number_of(word) in spoken.numbers]
        whole = words_of(spoken.whole)
        gone = {
            word
            for message in self._messages
            if message.deleted and message.id in spoken.taken
            for word in words_of(message.text)
        }
        for word in whole:
            self._expect(word in mine or word in gone, f"{word} of {entry} does not stand")
        if receipt.possible_duplicate or NOT_EDITED in receipt.degradations:
            return
        stale = [word for word in mine if word not in whole]
        self._expect(not stale, f"{stale} of {entry} stand, and are not of its whole text")
        twice = [word for word in whole if mine.count(word) > 1]
        self._expect(not twice, f"{twice} of {entry} stand twice, and nobody said so")
        if not spoken.taken:
            self._expect(mine == whole, f"{entry} stands out of its order")

    def _copies(
        self, entry: Entry, spoken: Spoken, receipt: Receipt, standing: Sequence[Message]
    ) -> None:
        """A text stands at most so many times, and never twice unless the receipt says so."""
        most = max(1, self._setup.config.retries.max_ambiguous) + len(spoken.taken)
        most += NOT_EDITED in receipt.degradations  # the message that took no edit stays
        if Fault.MALFORMED in self._setup.trouble.platform:  # a message whose id nobody knows stays
            most += receipt.possible_duplicate
        for word in words_of(spoken.whole):
            found = [message for message in standing if word in words_of(message.text)]
            self._expect(len(found) <= most, f"{word} of {entry} stands {len(found)} times")
