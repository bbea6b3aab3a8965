"""Checks files: each is whole, in its room, and there as often as the receipt says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import attrs
from simulated.drawing import Setup
from simulated.grouped import Grouped
from simulated.ledger import Entry, Ledger, words_of
from simulated.members import ARRIVED
from simulated.platforms import Platforms
from simulated.uploads import SHARED

from gateway_contrib.emulators.rooms import Message
from gateway_core import Delete, Edit, File, Receipt, Send
from gateway_core.outboxes.stored_bytes import digest_of_bytes

WITHOUT = "without_files"
NEVER_THERE = ("failed", "not_sent")


@attrs.frozen(eq=False)
class Shown:
    """A file as a platform shows it, in one message."""

    name: str
    content: bytes | None
    message: Message


class Filed:
    """The final invariants of the files of one world."""

    def __init__(self, setup: Setup, ledger: Ledger, platforms: Platforms) -> None:
        self._setup = setup
        self._ledger = ledger
        self._expect = ledger.expect
        self._may_be_unshown = platforms.may_be_unshown
        self._messages = platforms.messages()
        self._shown: dict[str, list[Shown]] = defaultdict(list)
        for emulator in platforms.emulators.values():
            for room in emulator.rooms.names():
                for message in emulator.rooms.all(room):
                    for file in message.files:
                        seen = Shown(file.name, emulator.files.get(file.digest), message)
                        self._shown[file.name].append(seen)
        self._changes: dict[int, list[Entry]] = defaultdict(list)
        for entry in ledger.entries:
            made = ledger.maker(entry.envelope)
            if made is not None and entry.calls and isinstance(entry.envelope, Edit | Delete):
                self._changes[made.number].append(entry)

    def judge(self) -> None:
        """Check every file."""
        if self._setup.files is None:
            return
        self._whole()
        for entry in self._ledger.entries:
            envelope = entry.envelope
            if isinstance(envelope, Send) and envelope.files and entry.receipt is not None:
                self._accepted_as_asked(envelope.files)
                if self._ledger.groups.of(envelope) is None:
                    self._message(entry, envelope.files, entry.receipt)
            elif isinstance(envelope, Edit) and envelope.files:
                self._accepted_as_asked(envelope.files)
        for group in self._ledger.groups.all:
            if group.files and group.ids:
                for number in range(len(group.rooms)):
                    self._member(group, number)

    def _whole(self) -> None:
        """Every file at a platform was asked for, and has the bytes that it was asked with."""
        for name, found in self._shown.items():
            content = self._ledger.contents.get(name)
            self._expect(content is not None, f"{name} was sent, and nobody asked for it")
            for shown in found:
                whole = shown.content == content
                where = f"{name} in {shown.message.room}"
                self._expect(whole, f"{where} is not what was asked for: {shown.content!r:.60}")

    def _accepted_as_asked(self, files: Sequence[File]) -> None:
        for file in files:
            content = self._ledger.contents.get(file.name, b"")
            same = file.digest in ("", digest_of_bytes(content))
            self._expect(same or file.id is not None, f"{file.name} is stored as another")

    # -- a message

    def _message(self, entry: Entry, files: Sequence[File], receipt: Receipt) -> None:
        told = [place for part in receipt.parts for place in part.files]
        self._expect(len(set(told)) == len(told), f"{entry} has files twice: {told}")
        without = WITHOUT in receipt.transforms
        if receipt.delivered:
            sent = [p for part in receipt.parts if part.outcome in ARRIVED for p in part.files]
            lost = sorted(set(range(len(files))) - set(sent))
            self._expect(without or not lost, f"{entry} is delivered without its files {lost}")
        if without:
            asked = entry.envelope.on_file_error == "send_text"
            self._expect(asked, f"{entry} went without its files, and nobody wanted that")
            said = any(words.startswith("files refused") for words in receipt.degradations)
            self._expect(said, f"{entry} went without its files, and nobody said so")
        self._text(entry, receipt)
        alone = entry.envelope.on_file_error == "send_text" and bool(entry.words)
        ended = receipt.disposition == "rejected" and receipt.verdict is not None
        ended = ended and receipt.verdict.files_refused and alone  # type: ignore[union-attr]  # it has one
        self._expect(not ended, f"{entry} ended with its files, and its text was to go alone")
        for part in receipt.parts:
            for place in part.files:
                self._file(entry, files[place], part.outcome)
        self._together(entry, files, receipt)

    def _text(self, entry: Entry, receipt: Receipt) -> None:
        """Whatever became of the files, a message that is delivered has its whole text."""
        if not receipt.delivered or self._is_changed(entry):
            return
        if self._may_be_unshown(entry.envelope):
            return
        for word in entry.words:
            stands = any(word in words_of(message.text) for message in self._messages)
            self._expect(stands, f"{word} of {entry} does not stand, and is delivered")

    def _file(self, entry: Entry, file: File, outcome: str) -> None:
        """A file of only this message is in its room, and no more often than the receipt says."""
        receipt = entry.receipt
        assert receipt is not None
        if file.name in SHARED:
            return
        found = self._shown[file.name]
        where = f"{file.name} of {entry} ({outcome})"
        if outcome in ARRIVED and not self._is_changed(entry):
            hidden = self._may_be_unshown(entry.envelope)
            self._expect(found or hidden, f"{where} is nowhere")
        if outcome in NEVER_THERE and not self._is_again(entry):
            self._expect(not found, f"{where} is there")
        rooms = rooms_of(self._alike(entry), entry.envelope.thread_id)
        words = set(entry.words)
        for change in self._changes[entry.number]:
            words.update(change.words)
        for shown in found:
            here = shown.message.room in rooms
            self._expect(here, f"{where} stands in {shown.message.room}")
            strange = set(words_of(shown.message.text)) - words
            if not self._is_again(entry):  # the other message may have been changed
                text = f"{where} stands with the text of another: {strange}"
                self._expect(not strange, text)
        changes = self._changes[entry.number]
        if self._is_again(entry) or any(map(_is_undone, changes)):
            return  # an edit may have moved it to another message, and have ended halfway
        if changes:
            found = [shown for shown in found if not shown.message.deleted]
        most = max(1, self._setup.config.retries.max_ambiguous)
        self._expect(len(found) <= most, f"{where} stands {len(found)} times")
        said = receipt.possible_duplicate or len(found) < 2
        self._expect(said, f"{where} stands twice, and nobody said so")

    def _named(self, entry: Entry, files: Sequence[File], receipt: Receipt) -> None:
        """On Telegram each file is a message of its own, and has the name that it was sent by."""
        for part in receipt.parts if not self._is_changed(entry) else ():
            if len(part.files) != 1 or part.message_id is None or part.outcome not in ARRIVED:
                continue
            number, name = part.message_id.rpartition(":")[2], files[part.files[0]].name
            rooms = rooms_of([entry], entry.envelope.thread_id)
            found = [m for m in self._messages if m.id == number and m.room in rooms and m.files]
            shown = [message.files[0].name for message in found]
            self._expect(not shown or name in shown, f"{name} of {entry} is shown as {shown}")

    def _together(self, entry: Entry, files: Sequence[File], receipt: Receipt) -> None:
        """The files of one message are there together, in their order."""
        if entry.envelope.instance_id.startswith("telegram"):
            self._named(entry, files, receipt)
            return
        if self._is_changed(entry):
            return
        for part in receipt.parts:
            names = [files[place].name for place in part.files]
            own = next((name for name in names if name not in SHARED), None)
            if part.outcome not in ARRIVED or own is None:
                continue
            for shown in self._shown[own]:
                there = [file.name for file in shown.message.files]
                gone = shown.message.deleted
                self._expect(gone or there == names, f"{entry} stands with {there}, not {names}")

    def _is_changed(self, entry: Entry) -> bool:
        """Whether somebody edited or deleted the message, or it was sent again."""
        return bool(self._changes[entry.number]) or self._is_again(entry)

    def _is_again(self, entry: Entry) -> bool:
        """Whether another envelope sent the same message after its key was freed."""
        return len(self._alike(entry)) > 1

    def _alike(self, entry: Entry) -> list[Entry]:
        """The entry and those with its key, of which one after the other may have had the key."""
        key = entry.envelope.key
        return [e for e in self._ledger.entries if e is entry or (key and e.envelope.key == key)]

    # -- a group

    def _member(self, group: Grouped, number: int) -> None:
        """Check the files of one member, in its room."""
        entries = group.turns[number]
        receipts = [entry.receipt for entry in entries if entry.receipt is not None]
        rooms = {group.rooms[number], *rooms_of(entries, group.threads[number])}
        for place, file in enumerate(group.files):
            found = [shown for shown in self._shown[file.name] if shown.message.room in rooms]
            parts = [p for receipt in receipts for p in receipt.parts if place in p.files]
            where = f"{file.name} of {group} in {group.rooms[number]}"
            sent = any(part.outcome in ARRIVED for part in parts)
            hidden = any(self._may_be_unshown(entry.envelope) for entry in entries)
            self._expect(found or not sent or hidden, f"{where} is nowhere")
            if file.name in SHARED:
                continue
            tries = max((entry.tried_again for entry in entries), default=0) + max(1, len(entries))
            most = tries * max(1, self._setup.config.retries.max_ambiguous)
            self._expect(len(found) <= most, f"{where} stands {len(found)} times")
            said = any(receipt.possible_duplicate for receipt in receipts) or tries > 1
            self._expect(said or len(found) <= 1, f"{where} stands twice, and nobody said so")


def _is_undone(change: Entry) -> bool:
    return change.receipt is None or not change.receipt.delivered


def rooms_of(entries: Sequence[Entry], thread: str | None) -> set[str]:
    """The rooms where these entries may stand: theirs, the rooms these became, and the thread."""
    rooms = {entry.envelope.external_room_id for entry in entries}
    rooms.update(call.attempt.room for entry in entries for call in entry.calls)
    moved = [e.receipt.moved_to for e in entries if e.receipt is not None]
    return {*rooms, *(room for room in (*moved, thread) if room is not None)}
