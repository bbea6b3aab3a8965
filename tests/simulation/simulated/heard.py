"""Follows the events that came in, and checks the answers to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from simulated.drawing import Place
    from simulated.ledger import Entry, Ledger

    from gateway_contrib.emulators.rooms import Message

MOST_DELIVERIES = 5
"""How often an event comes at most."""


@attrs.define(eq=False)
class Heard:
    """An event of a platform: a message that somebody wrote.

    said     its JSON
    room, thread, quoted, natural  what an answer to it has: its room, its thread, the message that
             it refers to, and the event's own id as its adapter makes a key of it
    names    the names of its answers; None: the answer is numbered
    texts    what was answered, by the answer's key: the numbers of all texts that were tried
    coming   how often it may still come in; `handled`: all its answers were given
    """

    place: Place
    said: Mapping[str, Any]
    room: str
    thread: str | None
    quoted: str | None
    natural: str
    names: Sequence[str | None]
    texts: dict[str, list[int]] = attrs.field(factory=lambda: defaultdict(list))
    first: dict[str, str] = attrs.field(factory=dict)
    coming: int = MOST_DELIVERIES
    handled: bool = False

    def key(self, number: int) -> str:
        """The key of the answer with that number, as the page about answers says."""
        name = self.names[number]
        if name is not None:
            return f"{self.natural}={name}"
        before = sum(other is None for other in self.names[:number])
        return f"{self.natural}#{before + 1}" if before else self.natural

    def scope(self, key: str) -> tuple[str, str, str, str]:
        """The scope in which the key is unique."""
        return self.place.instance, self.room, "send", key


@attrs.frozen
class Asked:
    """An answer that was asked for: to which event, under which key."""

    heard: Heard
    key: str

    def expect_in(self, entry: Entry, ledger: Ledger) -> None:
        """The answer goes to where its event came from, and its key is made of the event's id."""
        envelope, heard = entry.envelope, self.heard
        where = envelope.instance_id, envelope.external_room_id, envelope.thread_id
        came = heard.place.instance, heard.room, heard.thread
        ledger.expect(where == came, f"{entry} answers {came} at {where}")
        same = envelope.key == self.key and envelope.reply_to == heard.quoted
        ledger.expect(same, f"{entry} answers {self.key} as {envelope.key}, {envelope.reply_to}")


def expect_answered_once(
    events: Iterable[Heard],
    messages: Iterable[Message],
    expect: Callable[[object, str], None],
    numbers_of: Callable[[str], set[int]],
) -> None:
    """For one event and one key, at most one of the texts that were tried was sent."""
    sent = {number for message in messages for number in numbers_of(message.text)}
    for heard in events:
        for key, numbers in heard.texts.items():
            said = sorted(sent.intersection(numbers))
            expect(len(said) < 2, f"{key} is answered {len(said)} times: {said}")
