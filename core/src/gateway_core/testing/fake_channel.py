"""A channel in memory for tests: it records attempts, and fails as a test's script says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from inspect import isawaitable
from itertools import count
from typing import Any, TypeAlias

import attrs
import trio

from gateway_core.contract.addresses import Address, Asked, Interaction
from gateway_core.contract.beside.buttons import Button, Rows
from gateway_core.contract.envelopes import Attempt, Edit, Envelope, Json, Part, Priority, Send
from gateway_core.contract.hookspecs import (
    CONTRACT_VERSION,
    Answer,
    Identity,
    Limit,
    Mark,
    Sign,
    Streaming,
    Traits,
    hookimpl,
)
from gateway_core.contract.instances import Instance, Secret
from gateway_core.contract.validators import is_finite
from gateway_core.contract.verdicts import Verdict
from gateway_core.testing.arguments import must, must_be, must_take, of, seconds, text

EVENT = "fake.event"
TYPING, NOTICED = "typing", "acknowledge"
"""The method names of the signs for typing and for an acknowledgement."""
BUTTONS = "fake.buttons"
"""The name of a message's field that contains its buttons."""
TYPES_EVERY = 5.0
"""Seconds after which typing is shown again."""


class Failure(Exception):
    """A script raises this exception to fail an attempt with this `verdict`."""

    def __init__(self, verdict: Verdict) -> None:
        must_be("verdict", verdict, Verdict)
        self.verdict = verdict
        super().__init__(verdict)

    def __str__(self) -> str:
        return self.verdict.raw or "the script's verdict"


@attrs.frozen
class FakeSettings:
    """The fake channel has no settings of its own."""

    name: str = attrs.field(default="", validator=text)


@attrs.frozen
class Made:
    """An attempt that reached the fake platform, and when (trio time)."""

    attempt: Attempt = attrs.field(validator=of(Attempt))
    at: float = attrs.field(validator=seconds)


Script: TypeAlias = Callable[[Attempt], Awaitable[Answer | None]]
"""Decides what an attempt does: it may raise, wait, or return an answer.

If it returns None, the channel carries the attempt out, for example stores the message.
"""


_ids = count(1)


def event(
    text: str = "hello",
    *,
    room: str = "room",
    thread: str | None = None,
    id: str | None = None,  # noqa: A002 - the event's own id
    user: str = "user",
    asked: Asked | None = None,
    pressed: str | None = None,
) -> dict[str, Any]:
    """An incoming event on the fake channel: somebody wrote `text`, or started an interaction.

    id       the event's own id, the same in each delivery; None: a new id
    asked    `command`, `press` or `form` for an interaction, with a reply token for 15 minutes;
             None: a message
    pressed  the value of the button that somebody pressed; sets `asked` to `press`

    Each call makes a new object, as each delivery of a webhook does.
    """
    own = f"event-{next(_ids)}" if id is None else id
    asked = asked if pressed is None else "press"
    fields = {"text": text, "room": room, "thread": thread, "user": user, "asked": asked}
    fields["pressed"] = pressed
    return {"type": EVENT, "id": own, **fields}


def failing(verdict: Verdict, *, times: int = 1, room: str | None = None) -> Script:
    """A script for `FakeChannel`: the first `times` attempts fail, and later attempts succeed.

    room  the room whose attempts fail, and are counted; None: all rooms
    """
    must_be("verdict", verdict, Verdict)
    must("times", times, "1 or more", fits=type(times) is int and times > 0)
    left = [times]

    async def script(attempt: Attempt) -> None:
        if left[0] and room in (None, attempt.room):
            left[0] -= 1
            raise Failure(verdict)

    return script


class FakeChannel:
    """An adapter whose platform is a dictionary.

    limits           a function that returns the limits of an attempt, by room and operation
    limits_by_class  a function that returns further limits, by the envelope's class
    latency          seconds that an attempt takes
    script           an async function, awaited in each attempt before the message is stored
    traits           what the channel can do
    streaming        how the channel shows streams natively; None: it cannot, so streams use edits

    An argument of the wrong kind raises a `TypeError`.

    Tests can inspect what happened, and set the account's state:

    made         the attempts that reached the platform, in order, without `typed` and `noticed`
    typed        the signs of typing
    noticed      the acknowledgements of interactions
    rooms        the texts in each room, by the room and the message's id
    files        the ids of each message's files, by the message's id; `contents` has each file's
                 bytes, by the file's id
    pressable    the rows of buttons of each message that has any, by the message's id
    drafts       the draft that a room shows, by room; a message sent to the room removes the draft
    growing      ids of messages that were started and not stopped yet
    reactions    the emoji on each message that has any, by room and the message's id
    pins         the ids of pinned messages, by room, the newest last
    probes       how many probes the platform received
    probe_error  the exception that a probe raises; None: the probe succeeds
    """

    GATEWAY_CONTRACT = CONTRACT_VERSION

    def __init__(
        self,
        *,
        limits: Callable[[str, str], Sequence[Limit]] = lambda _room, _operation: (),
        limits_by_class: Callable[[Priority], Sequence[Limit]] = lambda _priority: (),
        latency: float = 0.0,
        script: Script | None = None,
        traits: Traits = Traits(polls=True),  # noqa: B008 - frozen
        streaming: Streaming | None = None,
    ) -> None:
        must_take("limits", limits, "room", "operation", returns="Limits")
        must_take("limits_by_class", limits_by_class, "priority", returns="Limits")
        must("latency", latency, "seconds, 0 or more", fits=is_finite(latency) and latency >= 0)
        if script is not None:
            must_take("script", script, "attempt", returns="an awaitable")
        must_be("traits", traits, Traits)
        if streaming is not None:
            must_be("streaming", streaming, Streaming)
        self.limits = limits
        self.limits_by_class = limits_by_class
        self.latency = latency
        self.script = script
        self._traits = traits
        self._streaming = streaming
        self.drafts: dict[str, str] = {}
        self.growing: set[str] = set()
        self.reactions: dict[tuple[str, str], list[str]] = {}
        self.pins: dict[str, list[str]] = defaultdict(list)
        self.made: list[Made] = []
        self.typed: list[Made] = []
        self.noticed: list[Made] = []
        self.rooms: dict[str, dict[str, str]] = defaultdict(dict)
        self.files: dict[str, tuple[str, ...]] = {}
        self.contents: dict[str, bytes] = {}
        self.pressable: dict[str, Rows] = {}
        self.probes = 0
        self.probe_error: Exception | None = None
        self._count = 0

    def texts(self, room: str) -> list[str]:
        """The texts in a room, in order."""
        return list(self.rooms[room].values())

    @property
    def times(self) -> list[float]:
        """When each attempt of `made` was made, in trio's seconds.

        The wait for a limit or a retry ends a nanosecond late, so compare with `pytest.approx`.
        """
        return [made.at for made in self.made]

    @hookimpl
    def settings_type(self) -> type:
        """`FakeSettings`, which do nothing."""
        return FakeSettings

    @hookimpl
    def traits(self) -> Traits:
        """The traits that the test gave."""
        return self._traits

    @hookimpl
    def rate_limit(self, room: str, operation: str, priority: Priority) -> Sequence[Limit]:
        """The limits that the test's two functions return."""
        return [*self.limits(room, operation), *self.limits_by_class(priority)]

    @hookimpl
    def address(self, event: Any) -> Address | None:
        """The address of an event that `testing.event` made."""
        if not isinstance(event, dict) or event.get("type") != EVENT:
            return None
        own, asked = event["id"], event["asked"]
        answers = None
        if asked is not None:
            answers = Interaction(token=Secret(f"token of {own}"), id=own, asked=asked)
        return Address(
            external_room_id=event["room"],
            thread_id=event["thread"],
            reply_to=None if asked else own,
            key=own,
            user_id=event["user"],
            message_id=None if asked else own,
            interaction=answers,
            pressed=event.get("pressed"),
        )

    @hookimpl
    def typing(self, address: Address) -> Sign | None:
        """Typing is shown again every 5 seconds; for commands and forms, `acknowledge` shows it."""
        asked = address.interaction
        if asked is not None and asked.asked != "press":
            return None
        return Sign(method=TYPING, every=TYPES_EVERY)

    @hookimpl
    def acknowledge(self, address: Address, ephemeral: bool) -> Sign | None:
        """The acknowledgement of an interaction."""
        assert address.interaction is not None  # noqa: S101 - core asks of those alone
        return Sign(method=NOTICED, arguments={"id": address.interaction.id, "alone": ephemeral})

    @hookimpl
    def chunk(self, envelope: Envelope) -> Sequence[Part] | None:
        """All files in the first part, and a poll in its own; with neither, core's own plan."""
        if not isinstance(envelope, Send | Edit):
            return None
        text, files = envelope.text, envelope.files or ()
        poll = envelope.poll if isinstance(envelope, Send) else None
        if not files and poll is None:
            return None
        places = tuple(range(len(files)))
        parts = [Part(payload={"text": text}, span=(0, len(text)), files=places)]
        parts = parts if text or files else []
        if poll is not None:
            asked = {"text": poll.question, "poll": attrs.asdict(poll)}
            parts.append(Part(payload=asked, span=(len(text), len(text)), fixed=True))
        return parts

    @hookimpl
    def buttons(self, rows: Rows, extra: Mapping[str, Json]) -> Mapping[str, Json]:
        """Put the rows of buttons unchanged into the field `BUTTONS`."""
        others = {name: value for name, value in extra.items() if name != BUTTONS}
        named = [[attrs.asdict(button) for button in row] for row in rows]
        return {**others, BUTTONS: named} if rows else others

    @hookimpl
    async def probe(self, instance: Instance) -> Identity:
        """Succeeds, unless `probe_error` is set."""
        self.probes += 1
        await trio.lowlevel.checkpoint()
        if self.probe_error is not None:
            raise self.probe_error
        return Identity(id=instance.id, name=instance.id)

    @hookimpl
    async def send(self, attempt: Attempt) -> Answer:
        """Store the part's text under a new id."""
        answer = await self._attempt(attempt)
        if answer is not None:
            return answer
        return await self._store(attempt)

    async def _store(self, attempt: Attempt) -> Answer:
        self._count += 1
        message_id = str(self._count)
        self.rooms[attempt.room][message_id] = _text(attempt)
        self.drafts.pop(attempt.room, None)
        self._show_buttons(attempt, message_id)
        return Answer(message_id=message_id, files=await self._take_files(attempt, message_id))

    def _show_buttons(self, attempt: Attempt, message_id: str) -> None:
        """Note which buttons the message has from now on."""
        named = (attempt.extra or {}).get(BUTTONS, ())
        rows = tuple(tuple(Button(**button) for button in row) for row in named)
        self.pressable.pop(message_id, None)
        if rows:
            self.pressable[message_id] = rows

    async def _take_files(self, attempt: Attempt, message_id: str) -> tuple[str, ...]:
        """Store the files that the message has from now on; returns the platform's ids of them."""
        if attempt.keeps_files:
            return self.files.get(message_id, ())
        names = []
        for upload in attempt.files:
            name = upload.file.id or upload.known
            if name is None or name not in self.contents:
                async with upload.open() as pieces:
                    content = b"".join([piece async for piece in pieces])
                name = name or f"file-{len(self.contents) + 1}"  # other files were stored meanwhile
                self.contents[name] = content
            names.append(name)
        if attempt.part is not None and (attempt.files or message_id in self.files):
            self.files[message_id] = tuple(names)
        return tuple(names)

    @hookimpl
    async def edit(self, attempt: Attempt) -> Answer:
        """Replace the message's text, buttons and files, or only its buttons."""
        answer = await self._attempt(attempt)
        if answer is None:
            message_id = attempt.message_id or ""
            if attempt.part is not None:
                self.rooms[attempt.room][message_id] = _text(attempt)
            self._show_buttons(attempt, message_id)
            names = await self._take_files(attempt, message_id)
            answer = Answer(message_id=attempt.message_id, files=names)
        return answer

    @hookimpl
    async def delete(self, attempt: Attempt) -> Answer:
        """Forget the message."""
        answer = await self._attempt(attempt)
        if answer is None:
            self.rooms[attempt.room].pop(attempt.message_id or "", None)
            self.files.pop(attempt.message_id or "", None)
            self.pressable.pop(attempt.message_id or "", None)
        return answer or Answer(message_id=attempt.message_id)

    @hookimpl
    def streaming(self) -> Streaming | None:
        """The `streaming` that the test gave."""
        return self._streaming

    @hookimpl
    async def stream(self, attempt: Attempt) -> Answer:
        """Show a draft, or start, grow and stop a message."""
        answer = await self._attempt(attempt)
        if answer is not None:
            return answer
        if attempt.operation == "draft":
            self.drafts[attempt.room] = _text(attempt)
            return Answer()
        if attempt.operation == "start":
            answer = await self._store(attempt)
            self.growing.add(str(answer.message_id))
            return answer
        message_id = attempt.message_id or ""
        self.rooms[attempt.room][message_id] += _text(attempt)
        if attempt.operation == "stop":
            self._show_buttons(attempt, message_id)
            self.growing.discard(message_id)
        return Answer(message_id=message_id)

    @hookimpl
    def mark(self, mark: Mark) -> Sign:
        """A method named like the mark; every emoji is allowed."""
        return Sign(method=mark.what, arguments={"emoji": mark.emoji} if mark.emoji else {})

    @hookimpl
    async def call(self, attempt: Attempt) -> Answer:
        """Return the arguments. A mark is also put on its message or taken off."""
        answer = await self._attempt(attempt)
        if answer is None and attempt.message_id is not None:
            self._mark(attempt, attempt.message_id)
        return answer or Answer(result=dict(attempt.arguments))

    def _mark(self, attempt: Attempt, message: str) -> None:
        place = attempt.room, message
        marks = {
            "react": self.reactions.setdefault(place, []),
            "unreact": self.reactions[place],
            "pin": self.pins[attempt.room],
            "unpin": self.pins[attempt.room],
        }
        there = marks.get(str(attempt.method), [])
        mark = str(attempt.arguments.get("emoji", message))
        if mark in there:
            there.remove(mark)
        if attempt.method in ("react", "pin"):
            there.append(mark)
        if not self.reactions[place]:
            del self.reactions[place]

    @hookimpl
    def classify_error(self, error: Exception) -> Verdict | None:
        """The verdict of the script's `Failure`."""
        return error.verdict if isinstance(error, Failure) else None

    async def _attempt(self, attempt: Attempt) -> Answer | None:
        sign = attempt.method if not attempt.envelope_id else None
        made = {TYPING: self.typed, NOTICED: self.noticed}.get(sign or "", self.made)
        made.append(Made(attempt, trio.current_time()))
        if self.latency:
            await trio.sleep(self.latency)
        else:
            await trio.lowlevel.checkpoint()
        if self.script is None:
            return None
        answer = self.script(attempt)
        must(
            "script",
            answer,
            "an async function: what it returns is awaited",
            fits=isawaitable(answer),
        )
        return await answer


def _text(attempt: Attempt) -> str:
    payload: Mapping[str, object] = attempt.part.payload if attempt.part is not None else {}
    return str(payload.get("text", ""))
