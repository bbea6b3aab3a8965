"""Finds the message that an edit, a delete or a call concerns, as it stands now. Sans-I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from gateway_core.contract.envelopes import (
    CHANGES,
    Delete,
    Edit,
    Envelope,
    Json,
    KeyRef,
    MessageRef,
    Part,
    PartRef,
    Receipt,
    Target,
)
from gateway_core.contract.files import File
from gateway_core.contract.ids import id_of_time
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.ending import Ending, LongText, unsupported
from gateway_core.deliveries.idempotency import Keys, Known, scope_of_key
from gateway_core.deliveries.remembered import Scope
from gateway_core.deliveries.revisions import (
    Revisions,
    delete_steps,
    edit_steps,
    field_steps,
    fixed_in,
)
from gateway_core.deliveries.step_files import with_held
from gateway_core.deliveries.steps import Step, answering, standing

Fields: TypeAlias = Mapping[str, Json] | None
PlanWith: TypeAlias = Callable[[Edit, Sequence[File]], Ending | LongText | None]
"""The platform's own fields of a message; None: the message has none, or none are known."""


class Targets:
    """Resolves targets when an edit starts, and knows the newest revision of each message.

    A change is an edit or a delete.
    """

    def __init__(
        self,
        keys_of: Callable[[Scope], Keys],
        revisions: Revisions,
        deliveries: dict[str, Delivery],
    ) -> None:
        self._keys_of, self._revisions, self._deliveries = keys_of, revisions, deliveries
        self._edits: dict[str, Delivery] = {}
        self._begun: dict[str, Delivery] = {}
        self._under_way: dict[str, Delivery] = {}
        self._restored: dict[str, Delivery] = {}
        self._spilled: dict[Any, Delivery] = {}
        self._waiting: dict[str, str] = {}

    def comes(self, delivery: Delivery, now: int) -> None:
        """A change, or a call about a message, came in: remember the message until its end.

        A change that a previous run began goes on before other changes of its message begin.
        """
        target = _target(delivery)
        if (delivery.started or delivery.restored) and isinstance(delivery.envelope, CHANGES):
            delivery.changes(self._identity(delivery, now))
            first = self._under_way if delivery.started else self._restored
            first.setdefault(delivery.message, delivery)
        if isinstance(target, MessageRef):
            name = target.envelope_id
        else:
            known = self._known(delivery, target, now)
            name = known.envelope_id if known is not None else ""
        if name:
            self._waiting[delivery.id] = name
            self._revisions.want(name)

    def overtaken(self, delivery: Delivery, now: int) -> Delivery | None:
        """Note an edit that came in; return an edit of the same message that it makes useless.

        This is the older edit, if it still waits; or the new one, if it waited for its message and
        comes in after newer edits. None: the older edit changes something that the newer one does
        not change, or may have begun in a former run.
        """
        delivery.changes(self._identity(delivery, now))
        other = self._edits.get(delivery.message)
        if other is not None and other.receipt is None and _is_newer(other, delivery):
            return self._comes_late(delivery, other)
        self._edits[delivery.message] = delivery
        useless = other is not None and other.receipt is None and not self._perhaps_begun(other)
        return other if other is not None and useless and _covers(delivery, other) else None

    def origin(self, delivery: Delivery, now: int) -> Delivery | None:
        """The unfinished send that makes the message which the delivery concerns, if there is one.

        There may be one although the target names platform messages: a run that was killed may have
        reported them before the outbox had stored them, and this run sends them again.
        """
        target = _target(delivery)
        if isinstance(target, MessageRef):
            name = target.envelope_id
            return self._deliveries.get(name) or self._spilled.get(name)
        known = self._known(delivery, target, now)
        made = known.delivery if known is not None else self._spilled.get(scope_of_key(target))
        return made if made is not None and made.sequence < delivery.sequence else None

    def due(self, target: Target, now: int) -> float | None:
        """When the target's message is due, if it is parked here."""
        if isinstance(target, MessageRef):
            made = self._deliveries.get(target.envelope_id)
        else:
            scope = scope_of_key(target)
            known = self._keys_of(scope).find(scope, now)
            made = known.delivery if known is not None else None
        return made.due if made is not None and made.parked else None

    def knows(self, envelope_id: str) -> bool:
        """Whether this partition knows the message of that id, or waits for it."""
        under_way = envelope_id in self._deliveries or envelope_id in self._spilled
        return under_way or self._revisions.knows(envelope_id)

    def expect(self, delivery: Delivery) -> None:
        """A change waits for the message of this spilled delivery."""
        names = [delivery.id] if delivery.scope is None else [delivery.id, delivery.scope]
        self._spilled.update(dict.fromkeys(names, delivery))

        def forget() -> None:
            if delivery.receipt is not None:
                for name in names:
                    self._spilled.pop(name, None)

        delivery.on_end(forget)

    def expected(self, target: Target) -> Delivery | None:
        """The spilled delivery of the message that `target` names, for which changes wait."""
        name = target.envelope_id if isinstance(target, MessageRef) else scope_of_key(target)
        return self._spilled.get(name)

    def before(self, delivery: Delivery, change: Edit | Delete, now: int) -> Delivery | None:
        """The send of its message, or another change of it, that must end first; None: begin."""
        origin = self.origin(delivery, now)
        if origin is not None:
            return origin
        identity = self._identity(delivery, now)
        other = self._begun.get(identity) or self._under_way.get(identity, delivery)
        if other is not delivery:
            return other
        self._begun[identity] = delivery
        self._forget_edit(delivery)
        if self._under_way.get(delivery.message) is delivery:
            del self._under_way[delivery.message]
        if self._restored.get(delivery.message) is delivery:
            self._restored[identity] = self._restored.pop(delivery.message)
        delivery.changes(identity)
        if isinstance(change, Edit):
            self._edits.setdefault(identity, delivery)
        return None

    def has_begun(self, delivery: Delivery) -> bool:
        """Whether the change has begun, so that no other one changes its message."""
        return self._begun.get(delivery.message) is delivery

    def thread(self, delivery: Delivery, now: int) -> str | None:
        """The envelope's thread, else that of its message, which a key may name."""
        envelope, target = delivery.envelope, delivery.envelope.target
        if target is None or envelope.thread_id is not None:
            return envelope.thread_id
        if isinstance(target, MessageRef):
            return target.thread_id
        made = self.origin(delivery, now) or self._ref(delivery, target, now)
        return made.thread_id if made is not None else None

    def newest(self, delivery: Delivery, now: int) -> MessageRef | None:
        """The message as it stands; None: it was deleted, never arrived, or is not known."""
        target = _target(delivery)
        ref = self._ref(delivery, target, now) if isinstance(target, KeyRef) else target
        return self._revisions.newest(ref) if ref is not None else None

    def steps(
        self,
        delivery: Delivery,
        change: Edit | Delete,
        now: int,
        plan_with: PlanWith = lambda _edit, _files: None,
        fields_with: Callable[[Edit, Fields], Fields | Ending] = lambda _edit, fields: fields,
    ) -> list[Step] | Ending | LongText | None:
        """What the change means for the message as it stands; None: there is no such message.

        plan_with    plans an edit of the message as it is found, with the files that it has
                     afterwards; returns why this is not possible, or not yet; None: it is planned
        fields_with  returns the platform's own fields with an edit's buttons, or why this is not
                     possible
        """
        ref = self.newest(delivery, now)
        if ref is None or not ref.parts or _is_elsewhere(change, ref):
            return None
        text = _of_text(change)
        if text is not None and (fixed := fixed_in(ref)) is not None:
            return unsupported(f"target: {fixed}")
        files: Sequence[File] = ()
        if text is not None and _has_files(text, delivery.plan, ref):
            files = with_held(text.files, ref.parts)
            instead = plan_with(attrs.evolve(text, target=ref), files)
            if instead is not None:
                return instead
        fields = ref.extra if isinstance(change, Delete) else _fields(change, ref, fields_with)
        if isinstance(fields, Ending):
            return fields
        delivery.found(_announcing(ref, change.target))
        copies = _copies(ref, change.target)
        if isinstance(change, Delete):
            return delete_steps((*ref.parts, *copies))
        # If the gateway no longer knows the message, a stored ref may be old: every part is edited.
        known = self._revisions.knows(ref.envelope_id)
        if text is None:
            steps = field_steps(ref, fields or {})
        else:
            # Nobody knows which files a message has that perhaps no envelope made.
            bare = text.files is not None and not ref.envelope_id
            old = ref if known else _doubted(ref)
            steps = edit_steps(delivery.plan, old, fields, files, bare=bare)
        steps += delete_steps(copies, first=len(steps))
        if change.interaction is not None:
            answering(steps, change.interaction)
        return steps

    def call_steps(self, delivery: Delivery, now: int) -> list[Step] | None:
        """The step of a call about a message, its first part; None: there is no such message."""
        ref = self.newest(delivery, now)
        if ref is None or not ref.parts or _is_elsewhere(delivery.envelope, ref):
            return None
        delivery.found(_announcing(ref, _target(delivery)))
        return [Step("call", 0, message_id=ref.parts[0].message_id)]

    def resumed(self, delivery: Delivery, now: int) -> None:
        """A change goes on, or ends, with the steps that a previous run planned for its message."""
        if delivery.target is None and (ref := self.newest(delivery, now)) is not None:
            delivery.found(_announcing(ref, _target(delivery)))

    def sent(self, receipt: Receipt) -> None:
        """A send or a call ended: remember what arrived, so that it can be edited."""
        if receipt.ref is not None:
            self._revisions.record(receipt.ref, receipt.envelope_id)

    def recalled(self, target: Target, ref: MessageRef | None) -> None:
        """Record the message as the outbox knows it, perhaps outdated; a newer target wins."""
        if ref is None:
            return
        if isinstance(target, MessageRef) and target.revision > ref.revision:
            if not ref.possible_duplicate or not target.parts:
                return
            ref = _announcing(target, ref)
        self._revisions.recall(_doubted(ref), ref.envelope_id)

    def leaves(self, delivery: Delivery) -> None:
        """An envelope that concerns a message ended, or another process goes on with it."""
        self._forget_edit(delivery)
        wanted = self._waiting.pop(delivery.id, None)
        if wanted is not None:
            self._revisions.leave(wanted)
        for changing in (self._begun, self._under_way, self._restored):
            if changing.get(delivery.message) is delivery:
                del changing[delivery.message]

    def changed(self, delivery: Delivery, receipt: Receipt, now: int) -> None:
        """An edit or delete ended: the message has a new revision, or is gone."""
        self.leaves(delivery)
        if not delivery.started and not receipt.delivered:
            return
        # A change that began in a previous run has the steps that were planned there.
        target = delivery.target or self.newest(delivery, now)
        if target is None:
            return
        origin = target.envelope_id
        if not origin:
            self._revisions.changed_by_id(target, delivery.steps or ())
            return
        if receipt.ref is not None:
            self._revisions.record(attrs.evolve(receipt.ref, envelope_id=origin), origin)
        elif isinstance(delivery.envelope, Delete) and receipt.delivered:
            self._revisions.record(None, origin)
        elif isinstance(delivery.envelope, Delete) and delivery.steps is not None:
            left = standing(delivery.steps, target)  # some may be gone
            if _messages(left) < _messages(target.parts):
                ref = attrs.evolve(target, parts=left, revision=delivery.revision)
                self._revisions.record(ref, origin)

    def forget_room(self, instance_id: str, room: str) -> None:
        """Forget the room's messages: their refs carry the application's own fields."""
        self._revisions.forget_room(instance_id, room)

    def _known(self, delivery: Delivery, target: KeyRef, now: int) -> Known | None:
        """What the key stands for; None also if its envelope is newer than the change."""
        scope = scope_of_key(target)
        known = self._keys_of(scope).named(scope, now)
        return known if known is not None and known.sequence < delivery.sequence else None

    def _ref(self, delivery: Delivery, target: KeyRef, now: int) -> MessageRef | None:
        """The message that was sent with the key, once it has arrived."""
        known = self._known(delivery, target, now)
        if known is None or known.delivery is not None:
            return None
        if known.receipt is not None:
            return known.receipt.ref
        return self._revisions.newest(_only_named(target, known.envelope_id))

    def _comes_late(self, older: Delivery, newer: Delivery) -> Delivery | None:
        """An edit comes in after a newer one: return it if it is useless; else it begins first."""
        if self._perhaps_begun(older):
            return None
        if _covers(newer, older):
            return older
        if newer.started or self.has_begun(newer):
            return None if _is_of_buttons(newer) else older
        self._under_way.setdefault(older.message, older)
        return None

    def _perhaps_begun(self, edit: Delivery) -> bool:
        """Whether it has begun, as far as is known; the first of a former run may have done so."""
        return edit.started or self._restored.get(edit.message) is edit

    def _forget_edit(self, delivery: Delivery) -> None:
        if self._edits.get(delivery.message) is delivery:
            del self._edits[delivery.message]

    def _identity(self, delivery: Delivery, now: int) -> str:
        """One name for the message that is changed, whatever its target calls it."""
        target = _target(delivery)
        room = (target.instance_id, target.external_room_id)
        if isinstance(target, KeyRef):
            known = self._known(delivery, target, now)
            return known.envelope_id if known is not None else f"{room} key {target.key}"
        first = target.parts[0].message_id if target.parts else ""
        return target.envelope_id or f"{room} message {first}"


def _messages(parts: Sequence[PartRef]) -> int:
    """How many platform messages these are: each file of an album is one."""
    return sum(1 + len(part.more) for part in parts)


def _of_text(change: Edit | Delete) -> Edit | None:
    """The change, if it is an edit of the text, files or fields; None: of buttons only, or none."""
    if not isinstance(change, Edit) or (change.buttons is not None and change.only_buttons):
        return None
    return change


def _has_files(change: Edit, plan: Sequence[Part], ref: MessageRef) -> bool:
    """Whether an edit's text goes with files: its own, or those of its message, now or before."""
    named = any(part.files for part in plan)
    return named or bool(change.files) or any(part.files for part in ref.parts)


def _fields(
    edit: Edit, ref: MessageRef, fields_with: Callable[[Edit, Fields], Fields | Ending]
) -> Fields | Ending:
    """The platform's own fields of the message after the edit, or why it cannot have them."""
    fields = ref.extra if edit.extra is None else edit.extra
    return fields if edit.buttons is None else fields_with(edit, fields)


def _is_elsewhere(envelope: Envelope, ref: MessageRef) -> bool:
    """Whether a change or call by key goes to another room, where an id names another message."""
    return isinstance(envelope.target, KeyRef) and envelope.external_room_id != ref.external_room_id


def _target(delivery: Delivery) -> Target:
    """The message that the delivery concerns."""
    target = delivery.envelope.target
    assert target is not None  # noqa: S101 - nobody asks of another
    return target


def _only_named(target: KeyRef, envelope_id: str) -> MessageRef:
    """A ref to the message of that id, with only what its key says."""
    room = target.external_room_id
    return MessageRef(
        instance_id=target.instance_id, external_room_id=room, envelope_id=envelope_id
    )


def _covers(newer: Delivery, older: Delivery) -> bool:
    """Whether nothing is left of the older edit once the newer one is made."""
    new, old = newer.envelope, older.envelope
    if not isinstance(new, Edit) or not isinstance(old, Edit):
        return True
    if new.only_buttons:
        return old.only_buttons
    buttons = old.buttons is None or new.buttons is not None or new.extra is not None
    extra = old.extra is None or new.extra is not None
    return buttons and extra and (old.files is None or new.files is not None)


def _is_of_buttons(edit: Delivery) -> bool:
    """Whether the edit leaves the text of its message as it is."""
    return isinstance(edit.envelope, Edit) and edit.envelope.only_buttons


def _is_newer(edit: Delivery, other: Delivery) -> bool:
    """Whether `edit` is newer than `other`; a scheduled edit counts from its scheduled time."""
    if edit.envelope.not_before is None and other.envelope.not_before is None:
        return edit.sequence > other.sequence
    return _time_of(edit) > _time_of(other)


def _time_of(edit: Delivery) -> str:
    due = edit.envelope.not_before
    return edit.id if due is None else max(edit.id, id_of_time(due))


def _announcing(ref: MessageRef, other: Target) -> MessageRef:
    """The ref, marked as a possible duplicate if the message's other ref or target is so marked."""
    if ref.possible_duplicate or not getattr(other, "possible_duplicate", False):
        return ref
    return attrs.evolve(ref, possible_duplicate=True)


def _copies(ref: MessageRef, target: Target) -> tuple[PartRef, ...]:
    """Copies that the target names in addition to the message as it is known.

    A run that was killed may have reported a message before the outbox had stored it; the next run
    sent it again. Then target and ref have the same revision. If the target's revision is older, an
    edit has deleted the platform messages that only the target names.
    """
    if not isinstance(target, MessageRef) or target.revision != ref.revision:
        return ()
    known = {part.message_id for part in ref.parts}
    return tuple(part for part in target.parts if part.message_id not in known)


def _doubted(ref: MessageRef) -> MessageRef:
    """The ref without digests, since the content of its messages is uncertain."""
    return attrs.evolve(ref, parts=tuple(attrs.evolve(part, digest="") for part in ref.parts))
