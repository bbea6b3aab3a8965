"""Remembers the newest revision of each message, and plans the steps that change it. Sans-I/O."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence

import attrs

from gateway_core.contract.envelopes import Json, MessageRef, Part, PartRef
from gateway_core.contract.files import File
from gateway_core.deliveries.step_files import StepFiles, files_against, files_gone, files_of
from gateway_core.deliveries.steps import Step

FEW = 4
"""How many of the oldest messages are looked at in one go."""


class Revisions:
    """The newest refs of one partition's messages by envelope id, bounded by number.

    At most `most` as they were sent, and `most` that were edited or deleted, which a stored ref no
    longer describes. Messages for which a change waits are remembered in addition.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._sent: OrderedDict[str, MessageRef | None] = OrderedDict()
        self._changed: OrderedDict[str, MessageRef | None] = OrderedDict()
        self._wanted: Counter[str] = Counter()
        self._by_id = ChangedById(most)

    def __len__(self) -> int:
        return len(self._sent) + len(self._changed)

    def knows(self, envelope_id: str) -> bool:
        """Whether the message's fate is remembered."""
        return envelope_id in self._changed or envelope_id in self._sent

    def newest(self, ref: MessageRef) -> MessageRef | None:
        """The message as known here, else the ref; None: it was deleted, or never arrived."""
        known = self._changed if ref.envelope_id in self._changed else self._sent
        found = known.get(ref.envelope_id, ref if ref.parts else None)
        return self._by_id.corrected(found) if found is not None and ref.envelope_id else found

    def changed_by_id(self, target: MessageRef, steps: Sequence[Step]) -> None:
        """A change of a message, of which the target knows no envelope, ended with these steps."""
        self._by_id.note(target, steps)

    def record(self, ref: MessageRef | None, envelope_id: str) -> None:
        """Remember the message as it is now; None: it is gone."""
        if ref is not None:
            self._by_id.settle(ref)
        self.recall(ref, envelope_id)

    def recall(self, ref: MessageRef | None, envelope_id: str) -> None:
        """Remember the message as it was, before what was changed by its id since."""
        as_sent = ref is not None and not ref.revision and envelope_id not in self._changed
        known = self._sent if as_sent else self._changed
        known[envelope_id] = ref
        known.move_to_end(envelope_id)
        if not as_sent:
            self._sent.pop(envelope_id, None)
        self._trim(known)

    def want(self, envelope_id: str) -> None:
        """A change of the message waits: remember the message until `leave`, even beyond `most`."""
        self._wanted[envelope_id] += 1

    def leave(self, envelope_id: str) -> None:
        """One of those changes has ended."""
        self._wanted[envelope_id] -= 1
        if not self._wanted[envelope_id]:
            del self._wanted[envelope_id]

    def _trim(self, known: OrderedDict[str, MessageRef | None]) -> None:
        """Forget the oldest messages that nobody wants, while there are too many."""
        looked = 0
        while len(known) > self._most and looked < FEW:
            oldest = next(iter(known))
            if oldest in self._wanted:
                known.move_to_end(oldest)
                looked += 1
            else:
                del known[oldest]

    def forget_room(self, instance_id: str, room: str) -> None:
        """Forget the messages of a room."""
        self._by_id.forget_room(instance_id, room)
        for known in (self._sent, self._changed):
            for name, ref in list(known.items()):
                if ref and (ref.instance_id, ref.external_room_id) == (instance_id, room):
                    del known[name]


@attrs.frozen
class Left:
    """What an edit by id left on a message: the payload, as in its ref, and the `extra`."""

    payload: Mapping[str, Json] | None
    extra: Mapping[str, Json] | None


class ChangedById:
    """Messages that were changed by their ids alone, as from an event's address; at most `most`.

    Such a change does not know the envelope that made the message, whose remembered revision
    therefore says something else of it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # None: it was only deleted
        self._left: OrderedDict[tuple[str, str, str], Left | None] = OrderedDict()

    def note(self, target: MessageRef, steps: Sequence[Step]) -> None:
        """Such a change of the target ended with these steps."""
        for step in steps:
            if not step.number or step.did_nothing or step.message_id is None:
                continue
            name = _named(target, step.message_id)
            if step.kind == "edit":
                self._left[name] = Left(step.payload, step.extra or None)
            elif step.kind == "delete":
                self._left.setdefault(name, None)
            else:
                continue
            self._left.move_to_end(name)
        while len(self._left) > self._most:
            self._left.popitem(last=False)

    def corrected(self, ref: MessageRef) -> MessageRef:
        """The ref without what such changes made untrue of it."""
        if not self._left or not ref.parts:
            return ref
        parts = tuple(self._corrected(ref, part) for part in ref.parts)
        last = self._left.get(_named(ref, parts[-1].message_id))
        return attrs.evolve(ref, parts=parts, extra=ref.extra if last is None else last.extra)

    def _corrected(self, ref: MessageRef, part: PartRef) -> PartRef:
        """The part without its digest, and with the payload that it has, if it was changed so."""
        names = [_named(ref, name) for name in (part.message_id, *part.more)]
        if not any(name in self._left for name in names):
            return part
        left = self._left.get(names[0])
        return attrs.evolve(part, digest="", payload=part.payload if left is None else left.payload)

    def settle(self, ref: MessageRef) -> None:
        """The ref says how its messages stand after a later change."""
        if self._left:
            for part in ref.parts:
                for name in (part.message_id, *part.more):
                    self._left.pop(_named(ref, name), None)

    def forget_room(self, instance_id: str, room: str) -> None:
        """Forget the messages of a room."""
        for name in list(self._left):
            if name[:2] == (instance_id, room):
                del self._left[name]


def _named(ref: MessageRef, message_id: str) -> tuple[str, str, str]:
    return ref.instance_id, ref.external_room_id, message_id


def edit_steps(
    plan: Sequence[Part],
    ref: MessageRef,
    fields: Mapping[str, Json] | None,
    files: Sequence[File] = (),
    *,
    bare: bool = False,
) -> list[Step]:
    """Old parts against the new plan: edit what changed, append what is new, delete the rest.

    fields  the platform's own, for the last part; the part that was the last one loses them
    files   those that the plan's parts name by their places
    bare    as `files_against` has it
    """
    old, last = ref.parts, len(plan) - 1
    steps: list[Step] = []
    gone: list[PartRef] = []
    for index, part in enumerate(plan):
        extra: Mapping[str, Json] | None = {} if index == len(old) - 1 else None
        if index == last:
            extra = fields
        if index >= len(old):
            fresh = files_of(part, files)
            steps.append(Step("send", len(steps), part=part, extra=extra or None, files=fresh))
            continue
        known = old[index]
        against = files_against(part, files, known, bare=bare)
        if against is not None and against.of_album(known):
            steps += _album_steps(part, against.files, known, extra, serial=len(steps))
            gone += _messages(known)[len(against.files) :]
            continue
        step = Step(
            "edit",
            len(steps),
            part=part,
            extra=extra,
            message_id=known.message_id,
            files=against,
            said=known.payload,
        )
        if known.digest and known.digest == step.digest:
            step.end("unchanged")
        steps.append(step)
    return steps + delete_steps((*gone, *old[len(plan) :]), first=len(steps))


def _album_steps(
    part: Part,
    files: Sequence[File],
    known: PartRef,
    extra: Mapping[str, Json] | None,
    *,
    serial: int,
) -> list[Step]:
    """One edit for each file of an album, since each is a message of its own."""
    steps = []
    part = attrs.evolve(part, cost=1)
    for place, (file, message) in enumerate(zip(files, _messages(known), strict=False)):
        one = StepFiles((file,))
        one.compare(message.files)
        step = Step(
            "edit",
            serial + place,
            part=part,
            extra=extra,
            message_id=message.message_id,
            files=one,
            place=place,
        )
        if one.held and place != part.captioned:
            step.end("unchanged")
        steps.append(step)
    return steps


def _messages(album: PartRef) -> list[PartRef]:
    """The messages of an album, each with its file."""
    names = (album.message_id, *album.more)
    known = len(album.files) == len(names)
    return [
        PartRef(message_id=name, files=album.files[place : place + known])
        for place, name in enumerate(names)
    ]


def field_steps(ref: MessageRef, fields: Mapping[str, Json]) -> list[Step]:
    """Give the last part other fields of the platform's own; everything else stays as it is."""
    steps, last = [], len(ref.parts) - 1
    for index, known in enumerate(ref.parts):
        held = StepFiles(known.files, held=True, more=known.more) if known.files else None
        extra = fields if index == last else None
        said = None if known.payload is None else Part(payload=known.payload, repeated=True)
        step = Step(
            "edit",
            index,
            part=said,
            message_id=known.message_id,
            extra=extra,
            files=held,
            said=known.payload,
        )
        if index < last:
            step.end("unchanged")
        steps.append(step)
    return steps


def fixed_in(ref: MessageRef) -> str | None:
    """Why no edit can change the message; None: an edit can."""
    if not any(part.fixed for part in ref.parts):
        return None
    what = "a message with a poll or the like, or of several messages that a call made,"
    return f"{what} cannot be edited: delete it, and send another"


def delete_steps(parts: Sequence[PartRef], *, first: int = 0) -> list[Step]:
    """One step for each message, the newest first, so that the rest never looks cut off."""
    steps: list[Step] = []
    for part in parts:
        for message in _messages(part) if part.more else (part,):
            name, files = message.message_id, files_gone(message)
            steps.append(Step("delete", first + len(steps), message_id=name, files=files))
    return steps[::-1]
