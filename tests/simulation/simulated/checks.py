"""Checks a world that has come to its end: receipts against the messages in the rooms."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from simulated.answers import Answers
from simulated.drawing import Setup
from simulated.filed import Filed
from simulated.heard import expect_answered_once
from simulated.ledger import Entry, Ledger, number_of, words_of
from simulated.members import Members
from simulated.platforms import Platforms

from gateway_contrib.emulators.rooms import Message
from gateway_core import Delete, Disposition, Edit, MessageRef, PartReceipt, Reason, Send

NONCE_LASTS = 120.0
NEVER_THERE = ("failed", "not_sent")


class Checks:
    """The final invariants of one world."""

    def __init__(self, setup: Setup, ledger: Ledger, platforms: Platforms) -> None:
        self._setup = setup
        self._ledger = ledger
        self._platforms = platforms
        self._expect = ledger.expect
        self._seen: dict[str, list[Message]] = defaultdict(list)
        for message in platforms.messages():
            for word in dict.fromkeys(words_of(" ".join([*message.revisions, message.text]))):
                self._seen[word].append(message)
        self._answers = Answers(setup, ledger, platforms)
        self._members = Members(setup, ledger, platforms)
        self._filed = Filed(setup, ledger, platforms)

    def all(self) -> None:
        """Check every invariant."""
        self._every_envelope_ended()
        self._nothing_unasked()
        self._no_foreseeable_refusal()
        self._no_secret()
        for entry in self._ledger.entries:
            if entry.receipt is not None:
                self._receipt(entry)
        self._newest_is_left()
        self._answered_once()
        self._members.judge()
        self._filed.judge()
        for entries in self._lanes().values():
            self._order(sorted(entries, key=lambda entry: entry.rank))
        for origin, changes in self._changes().items():
            self._newest_stands(changes)
            self._none_left_in_silence(origin, changes)

    def _every_envelope_ended(self) -> None:
        for entry in self._ledger.unfinished:
            self._ledger.wrong(f"{entry} never ended")

    def _nothing_unasked(self) -> None:
        """Every text that stands in a room was accepted."""
        accepted = {number_of(word) for entry in self._ledger.entries for word in entry.words[:1]}
        accepted.update(*(e.spoken.numbers for e in self._ledger.entries if e.spoken is not None))
        for word in self._seen:
            self._expect(number_of(word) in accepted, f"{word} was sent, but never accepted")

    def _no_foreseeable_refusal(self) -> None:
        """If nothing goes wrong, no platform has to answer with a 429."""
        if not self._setup.calm:
            return
        for url, emulator in self._platforms.emulators.items():
            refused = emulator.counters["rate_limited"]
            seen = refused == 0 or self._unforeseeable(url)
            self._expect(seen, f"{url} refused {refused} requests as too many")

    def _unforeseeable(self, url: str) -> bool:
        """Whether nobody could foresee the platform's refusals.

        Typing uses no limit, by decision of the adapter. Requests that leave evenly paced arrive in
        bunches if the way does not always take as long, and a platform that allows only a few at
        once refuses some of them. An album that is larger than what a bot may send in a second
        leaves a debt, whose length nobody knows.
        """
        setup = self._setup
        if "discord" in url and "call" in setup.load.kinds:
            return True
        if "telegram" in url and setup.files and setup.limits["bot"] < max(setup.files.files):
            return True
        jitters = len(set(setup.latency)) > 1
        few = {"telegram": setup.limits["bot"] < 30, "discord": setup.limits["discord_global"] < 50}
        return jitters and any(name in url and tight for name, tight in few.items())

    def _no_secret(self) -> None:
        seen = "\n".join([*self._ledger.trace, *self._ledger.secret_places])
        for secret in self._platforms.secrets:
            for form in (secret, secret.partition(":")[2] or secret):
                self._expect(form not in seen, "a secret was seen")

    def _answered_once(self) -> None:
        """Each event was answered once, however often it came and whoever answered it."""
        given = self._ledger.heard, self._platforms.messages(), self._expect
        expect_answered_once(*given, lambda text: set(map(number_of, words_of(text))))

    def _newest_is_left(self) -> None:
        """The newest of the messages that collapse is superseded by nothing."""
        newest: dict[Any, Entry] = {}
        for entry in self._ledger.entries:
            if entry.collapses is not None:
                newest[entry.collapses] = max(
                    newest.get(entry.collapses, entry), entry, key=lambda e: e.id
                )
        for entry in newest.values():
            gone = entry.receipt is not None and entry.receipt.disposition == "superseded"
            self._expect(not gone, f"{entry} is superseded, and is the newest")

    # -- one receipt

    def _receipt(self, entry: Entry) -> None:
        receipt = entry.receipt
        assert receipt is not None
        self._ledger.secret_places.append(repr(receipt))
        if receipt.disposition is Disposition.DELIVERED:
            arrived = ("delivered", "deleted", "unchanged")
            without = "without_files" in receipt.transforms  # then its part, if it has no text
            refused = [p for p in receipt.parts if without and p.files and p.outcome == "failed"]
            whole = all(p.outcome in arrived or p in refused for p in receipt.parts)
            self._expect(whole, f"{entry} is delivered, but not all of it")
        if receipt.disposition is Disposition.CANCELLED and not self._cut(entry):
            doubt = any(part.outcome == "unknown" for part in receipt.parts)
            doubt &= entry.spoken is None
            self._expect(not doubt, f"{entry} is cancelled, though it may be there")
        untouched = (Disposition.CANCELLED, Disposition.SHED, Disposition.SUPERSEDED)
        taken_back = entry.spoken is not None and entry.spoken.how == "delete"
        if receipt.disposition in untouched and not (taken_back or self._given_up(entry)):
            begun = any(call.moment > entry.reopened for call in entry.calls)
            self._expect(not begun, f"{entry} ended {receipt.disposition} after a call")
        raw = "" if receipt.verdict is None else receipt.verdict.raw
        foreign = receipt.disposition is Disposition.REJECTED and "not from the platform" in raw
        if foreign and receipt.verdict is not None:  # a hook that broke over it is the hook's fault
            foreign = receipt.verdict.reason is not Reason.HOOK_ERROR
        self._expect(not foreign, f"{entry} is rejected, as somebody else said")
        if receipt.disposition is Disposition.EXHAUSTED:
            tries = [
                self._ledger.tries[key] + self._ledger.perhaps[key]
                for key in {*self._ledger.tries, *self._ledger.perhaps}
                if key[0] == entry.id
            ]
            most = max(tries, default=0) if entry.spoken is None else sum(tries)
            enough = most >= self._setup.config.retries.attempts
            self._expect(enough, f"{entry} is exhausted after {most} tries")
        made = self._ledger.maker(entry.envelope)
        gone = receipt.verdict is not None and receipt.verdict.reason is Reason.MESSAGE_GONE
        earlier = made is not None and made.number < entry.number and not made.told
        if gone and made is not None and earlier and not entry.calls:
            after = made.ended_at <= entry.ended_at
            self._expect(after, f"{entry} ended before its message was sent")
        if entry.spoken is not None:
            self._answers.judge(entry, entry.spoken, receipt)
            return
        if self._ledger.groups.of(entry.envelope) is not None:
            return  # all members of a broadcast have one text: `members` knows their rooms
        for part in receipt.parts:
            self._part(entry, part)

    def _given_up(self, entry: Entry) -> bool:
        """Whether the envelope may have been ended although it had started.

        That happens when a gateway closes, when an instance leaves, or after a kill.
        """
        closed = not self._setup.durable and bool(self._setup.endings)
        left = any(what == "remove" for _, what, _ in self._setup.trouble.events)
        return closed or left or self._cut(entry)

    def _cut(self, entry: Entry) -> bool:
        """Whether the entry is an edit or a deletion that had begun in an earlier life.

        Such a change is not recorded before it begins. If a life is killed in the change's first
        moments, the next life cannot know that the change may have arrived.
        """
        earlier = any(call.life < self._ledger.life for call in entry.calls)
        return earlier and not isinstance(entry.envelope, Send)

    def _part(self, entry: Entry, part: PartReceipt) -> None:
        text = getattr(entry.envelope, "text", "")
        words = words_of(text[part.span[0] : part.span[1]])
        if not words or not isinstance(entry.envelope, Send | Edit):
            return
        copies = [len(self._seen[word]) for word in words]
        where = f"{entry} part {part.index} ({part.outcome})"
        if part.outcome == "delivered" and not self._platforms.may_be_unshown(entry.envelope):
            self._expect(min(copies) > 0, f"{where} is nowhere")
        if part.outcome in NEVER_THERE and not self._is_shared(entry) and not self._cut(entry):
            self._expect(max(copies) == 0, f"{where} is there")
        if entry.freed_by is not None:
            self._expect(part.outcome in NEVER_THERE, f"{where}, but its key was freed")
        self._copies(entry, words[0], where)

    def _is_shared(self, entry: Entry) -> bool:
        """Whether an equal text was sent by another envelope, after the key was freed."""
        words = entry.words[:1]
        others = [e for e in self._ledger.entries if e.words[:1] == words]
        streamed = entry.spoken is None and any(number_of(w) in self._ledger.spoken for w in words)
        return len(others) > 1 or streamed

    def _copies(self, entry: Entry, word: str, where: str) -> None:
        """There are at most so many copies, and never two unless the receipt says so."""
        found, receipt = self._seen[word], entry.receipt
        assert receipt is not None
        if len(found) < 2 or self._is_shared(entry):  # an edit may have cut it elsewhere
            return
        # An attempt of an edit may arrive before or after the edit is planned anew. It has, or had,
        # the words of the last parts as well, each of which may have been sent as often as any.
        late = isinstance(entry.envelope, Edit) and receipt.possible_duplicate
        most = late + max(1, self._setup.config.retries.max_ambiguous)
        self._expect(len(found) <= most, f"{where} stands {len(found)} times")
        said = receipt.possible_duplicate or self._is_of_two(entry)
        self._expect(said, f"{where} stands twice, and nobody said so")
        if entry.envelope.instance_id.startswith("discord") and not receipt.transforms:
            times = sorted(message.stored_at for message in found)
            self._expect(times[-1] - times[0] >= NONCE_LASTS, f"{where}: its nonce made two")

    def _is_of_two(self, entry: Entry) -> bool:
        """Whether each life edited the copy that it knew, and the send's receipt tells of two.

        The kill lost the answer to the send, and also the fact that the edit had begun.
        """
        made = self._ledger.maker(entry.envelope) if self._cut(entry) else None
        return made is not None and made.receipt is not None and made.receipt.possible_duplicate

    # -- one message

    def _changes(self) -> dict[str, list[Entry]]:
        """Edits and deletions that did something, by the envelope that made the message."""
        changes: dict[str, list[Entry]] = defaultdict(list)
        for entry in self._ledger.entries:
            done = entry.receipt is not None and (entry.calls or entry.receipt.delivered)
            if done and isinstance(entry.envelope, Edit | Delete):
                changes[self._origin(entry)].append(entry)
        return changes

    def _origin(self, entry: Entry) -> str:
        target = entry.envelope.target
        if isinstance(target, MessageRef):
            return target.envelope_id
        scope = (target.instance_id, target.external_room_id, "send", target.key)
        holder = self._ledger.holder(scope)
        return holder.id if holder is not None else ""

    def _newest_stands(self, changes: Sequence[Entry]) -> None:
        """The text of the last delivered edit can be read, unless a change is in doubt."""
        last = max(changes, key=lambda entry: entry.ended)
        doubtful = any(call.in_doubt for entry in changes for call in entry.calls)
        # A change that was given up with its instance goes on, and may be made after newer ones.
        doubtful |= any(
            e.receipt is not None and e.receipt.disposition == "unknown" for e in changes
        )
        whole = last.receipt is not None and last.receipt.delivered
        if doubtful or not whole or isinstance(last.envelope, Delete):
            return
        for word in words_of(last.envelope.text):
            stands = any(word in words_of(m.text) for m in self._seen[word] if not m.deleted)
            self._expect(stands, f"{last} is the newest, and {word} does not stand")
        self._nothing_else_stands(last, changes)

    def _nothing_else_stands(self, last: Entry, changes: Sequence[Entry]) -> None:
        """No part of the earlier texts is left, unless somebody else sent the same."""
        made = [e for e in self._ledger.entries if e.id == self._origin(last)]
        lost = any(call.in_doubt for entry in made for call in entry.calls)
        done = [p for e in (*made, *changes) if e.receipt is not None for p in e.receipt.parts]
        # An answer that could not be read names no message, so nobody can change that message.
        lost |= any(p.outcome == "delivered" and p.message_id is None for p in done)
        # A stream has posted another message then, and says so.
        streams = [e.receipt for e in made if e.spoken is not None and e.receipt is not None]
        lost |= any(receipt.possible_duplicate for receipt in streams)
        lost |= any(p.outcome == "unknown" for p in done)
        # And if a message was forgotten meanwhile, an edit knows only what its target says.
        lost |= self._setup.config.history < len(self._ledger.entries)
        now = set(words_of(last.envelope.text))
        for entry in () if lost or not made else (*made, *changes):
            for word in sorted(set(entry.words) - now):
                left = any(word in words_of(m.text) for m in self._seen[word] if not m.deleted)
                alone = not left or self._is_shared(entry)
                self._expect(alone, f"{word} of {entry} still stands beside {last}")

    def _none_left_in_silence(self, origin: str, changes: Sequence[Entry]) -> None:
        """If a change leaves an unchanged copy of its message, the change's receipt says so."""
        made = [e for e in self._ledger.entries if e.id == origin]
        for change in changes:
            receipt = change.receipt
            assert receipt is not None
            if not made or not change.calls or not receipt.delivered or receipt.possible_duplicate:
                continue
            begun, now = change.calls[0].moment, change.words
            before = [e for e in changes if e is not change and e.ended < begun]
            if self._setup.config.history < len(self._ledger.entries):
                before = []  # an old ref is taken if the message was forgotten meanwhile
            for entry in (*made, *before):
                words, until = entry.words, change.ended_at
                left = [word for word in words if self._was_left(word, until)]
                silent = bool(set(left) - set(now)) and not self._is_shared(entry)
                self._expect(not silent, f"{change} leaves {left} of {entry}, and nobody said so")

    def _was_left(self, word: str, until: float) -> bool:
        """Whether a message that was sent with the word by then still stands as it was sent.

        If a next run sends the message again afterwards, the message's own receipt says so.
        """
        there = [message for message in self._seen[word] if message.stored_at <= until]
        return any(not message.deleted and not message.revisions for message in there)

    # -- one lane

    def _lanes(self) -> dict[Any, list[Entry]]:
        lanes: dict[Any, list[Entry]] = defaultdict(list)
        for entry in self._ledger.entries:
            if entry.lane is not None:
                lanes[entry.lane].append(entry)
        return lanes

    def _order(self, entries: Sequence[Entry]) -> None:
        """Sends stand in the order of acceptance, their parts together, if nothing was late."""
        doubtful = any(call.in_doubt for entry in entries for call in entry.calls)
        receipts = [entry.receipt for entry in entries if entry.receipt is not None]
        doubtful |= any(part.outcome == "unknown" for r in receipts for part in r.parts)
        # Nobody waits for files that Slack shows later, if the account may not look when it does.
        doubtful |= any(p.files and p.message_id is None for r in receipts for p in r.parts)
        sends = [e for e in entries if isinstance(e.envelope, Send) and not e.parked and e.words]
        # All members of a broadcast have one text; their calls show which of them comes first.
        sends = [e for e in sends if self._ledger.groups.of(e.envelope) is None]
        if doubtful or len({e.words[0] for e in sends}) < len(sends):
            return
        index = self._positions()
        places = {
            entry: [index[word] for word in self._own_words(entry) if self._seen[word]]
            for entry in sends
            if entry.spoken is None
        }
        for entry in sends:
            if entry.spoken is not None:
                places[entry] = self._answers.place(entry.spoken, index)
        there = [entry for entry in sends if places[entry]]
        for entry in there:
            straight = sorted(places[entry]) == places[entry]
            self._expect(straight, f"the parts of {entry} stand out of order")
        for first, second in combinations(there, 2):
            before = max(places[first]) < min(places[second])
            after = max(places[second]) < min(places[first]) and not first.precedes(second)
            self._expect(before or after, f"{second} stands out of order with {first}")

    def _own_words(self, entry: Entry) -> list[str]:
        """The words that the entry may have sent itself: an edit appends missing parts."""
        text = getattr(entry.envelope, "text", "")
        parts = entry.receipt.parts if entry.receipt is not None else ()
        spans = [part.span for part in parts if part.outcome not in NEVER_THERE]
        return [word for start, end in spans for word in words_of(text[start:end])]

    def _positions(self) -> dict[str, int]:
        if not hasattr(self, "_index"):
            order: Counter[str] = Counter()
            self._index: dict[str, int] = {}
            for message in self._platforms.messages():
                first = [*message.revisions, message.text][0]
                for word in words_of(first):
                    order["words"] += 1
                    self._index.setdefault(word, order["words"])
        return self._index
