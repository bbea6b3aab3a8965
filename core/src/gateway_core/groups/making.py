"""Makes a group of what a caller gives: rooms or envelopes, each looked at before any is accepted.

This module waits for the disk, where there are files, and for the plan of a long text; else for
nothing: others have their turn between a hundred rooms and the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import attrs
import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.contract.envelopes import Envelope, Part, Priority, Send
from gateway_core.contract.errors import Invalid, Problem
from gateway_core.contract.hookspecs import Limit
from gateway_core.contract.validators import name_fault, shown
from gateway_core.deliveries.idempotency import fingerprint
from gateway_core.files.many import ManyFiles
from gateway_core.groups.pace import Pace, pace_of
from gateway_core.groups.packed import PackedMembers
from gateway_core.submission.checks import checked, problems_of
from gateway_core.submission.preview import accepted_as, asked_for, planned_apart

AT_ONCE = 100
"""Members that are looked at between two turns of the other tasks: two milliseconds."""
MOST_TOLD = 20
"""Wrong members that are named; how many there are is told as well."""
_DIGESTS = 1 << 128
_NO_KEY = "must be left out: all envelopes of a group have one key, `group`"
_NO_TIME = "must be left out: give it to `submit_many`, for the whole group"


@attrs.define(eq=False)
class GroupDraft:
    """What is to be accepted as one group.

    asked      the template as its caller handed it in
    template   what members send that have no envelope of their own, as policies made it; its room
               is each member's
    plan       its parts
    attempts   platform messages of all members together, or calls
    content    a digest of all members, whatever their order
    latest     the latest deadline of members that have their own (POSIX time); 0: none has
    pace       the limit that decides how long it takes
    files      those of all members
    own        what callers handed in for members, with its files looked at; of a broadcast nothing
    """

    account: InstanceState
    files: ManyFiles
    asked: Send
    template: Send = attrs.field(
        default=attrs.Factory(lambda self: self.asked, takes_self=True), init=False
    )
    plan: tuple[Part, ...] = ()
    members: PackedMembers = attrs.field(factory=PackedMembers)
    attempts: int = 0
    content: int = 0
    latest: float = 0.0
    pace: Pace = attrs.field(factory=Pace)
    own: list[Envelope] = attrs.field(factory=list, init=False)
    _limits: tuple[Limit, ...] = ()
    _room: str = ""
    _limits_known: bool = False

    @property
    def fingerprint(self) -> str:
        """Of its content: the same text to the same rooms is the same, in whatever order."""
        own = "" if self.latest else fingerprint(self.asked)
        text = f"{own} {len(self.members)} {self.content:032x}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def add(
        self, asked_room: str, attempts: int, envelope: Envelope, asked: Envelope | None = None
    ) -> None:
        """One more member, whose room its caller named so.

        envelope  what it sends
        asked     what its caller handed in as its own; None: the template
        """
        room = envelope.external_room_id
        moved_from = None if room == asked_room else asked_room
        if asked is not None:
            self.own.append(asked)
            self.members.add(room, envelope, moved_from)
        elif moved_from is None and self._is_of_template(envelope):
            self.members.add(room)
        elif isinstance(
            envelope, Send
        ):  # policies make another message of it in each room: each has its own
            if not self.members.own:
                self.members.give_each(_of_group(self.template))
            self.members.add(room, _of_group(envelope), moved_from)
        self.attempts += attempts
        own = "" if asked is None else fingerprint(asked)
        digest = hashlib.blake2b(f"{own} {asked_room}".encode(), digest_size=16).digest()
        self.content = (self.content + int.from_bytes(digest, "big")) % _DIGESTS

    def _is_of_template(self, envelope: Envelope) -> bool:
        """Whether it is the template in another room, as all members before are."""
        if "rewrite" not in self.account.hooks.served:
            return True
        there = attrs.evolve(self.template, external_room_id=envelope.external_room_id)
        return not self.members.own and envelope == there

    def look_at_limits(self, envelope: Envelope) -> None:
        """Learn the pace from the first member, and from the first in another room."""
        room, account = envelope.external_room_id, self.account
        if room == self._room or self._limits_known:
            return
        thread = envelope.thread_id if account.hooks.traits.independent_threads else None
        address = account.addresses.get(room, room)
        limits = account.hooks.rate_limit(
            account.instance, address, thread, asked_for(envelope), envelope.priority
        )
        if not self._room:
            self._room, self._limits, self.pace = room, limits, pace_of(limits, None)
        else:
            self.pace, self._limits_known = pace_of(self._limits, limits), True


def _cost(plan: Sequence[Part]) -> int:
    """How many tokens of each limit it takes."""
    return sum(part.cost for part in plan)


def _of_group(envelope: Send) -> Send:
    """Without the key and the times, which are the group's."""
    return attrs.evolve(envelope, key=None, ttl=None, deadline=None, not_before=None)


class Faults:
    """What is wrong with members: the first ones by name, the others by their number."""

    def __init__(self) -> None:
        self._told: list[Problem] = []
        self._count = 0

    def note(self, place: str, problems: Iterable[Problem]) -> None:
        """A member is wrong; nothing is, where there are no problems."""
        words = "; ".join(map(str, problems))
        if words:
            self._count += 1
            if self._count <= MOST_TOLD:
                self._told.append(Problem(place, words))

    def check(self) -> None:
        """Raises `Invalid` if any was wrong."""
        if self._count > MOST_TOLD:
            more = self._count - MOST_TOLD
            self._told.append(Problem("", f"and {more} more are wrong"))
        if self._told:
            raise Invalid(self._told)


async def broadcast_of(
    account: InstanceState, files: ManyFiles, template: Send, rooms: object, most_parts: int
) -> GroupDraft:
    """The template to every room, each once however often it is named.

    Raises `Invalid` for a template that is wrong in itself, for no rooms, and with the first of
    those rooms that are wrong: nothing is accepted then.
    """
    whole = attrs.evolve(template, files=tuple(template.files))
    template = await files.look_at(whole, partial(_refusal_of_files, account))
    wanted, faults = GroupDraft(account, files, template), Faults()
    seen = set[str]()
    for number, room in _each("rooms", rooms):
        if number % AT_ONCE == 0:
            await trio.lowlevel.checkpoint()
        fault = name_fault(room) or ("has a line break" if "\n" in str(room) else None)
        if fault is not None or not isinstance(room, str):
            faults.note(f"rooms.{number}", [Problem("", fault or "must be a text")])
            continue
        if room in seen:
            continue
        seen.add(room)
        problems = await _add_room(wanted, room, most_parts)
        faults.note(f"rooms.{number}", _about(room, problems))
    faults.check()
    if not seen:
        raise Invalid([Problem("rooms", "is empty: nobody would get it")])
    return wanted


def _refusal_of_files(account: InstanceState, template: Send) -> list[Problem]:
    """What the channel has against its files in any room; nothing, where policies may say more."""
    if "rewrite" in account.hooks.served:
        return []
    found = account.hooks.validate(account.instance, template)
    return [each for each in found if each.place.partition(".")[0] == "files"]


def _refusal_of(account: InstanceState, asked: Envelope) -> Sequence[Problem]:
    """What the channel has against what policies make of an envelope. Raises as `accepted_as`."""
    envelope = accepted_as(account.hooks, account.instance, asked)
    return account.hooks.validate(account.instance, envelope)


async def _add_room(wanted: GroupDraft, room: str, most: int) -> Sequence[Problem]:
    """The template to one room more; what is wrong with it there. Raises as `_planned`."""
    account, asked = wanted.account, attrs.evolve(wanted.asked, external_room_id=room)
    is_first = not (wanted.plan or len(wanted.members))
    try:
        whole = checked(asked) if is_first else asked
        envelope = await _accepted_as(account, wanted.files, whole)
    except Invalid as error:
        return error.problems
    assert isinstance(envelope, Send)  # noqa: S101 - policies may not make another of it
    if "\n" in envelope.external_room_id:
        return [Problem("external_room_id", "has a line break")]
    if is_first:
        wanted.template, wanted.plan = envelope, await _planned(wanted, envelope, most)
    parts, problems = _cost(wanted.plan), account.hooks.validate(account.instance, envelope)
    if _content_of(envelope) != _content_of(wanted.template):
        plan, problems = await planned_apart(account.hooks, account.instance, envelope, most)
        parts = _cost(plan)
    wanted.look_at_limits(envelope)
    if not problems:
        wanted.add(room, parts, envelope)
    return problems


async def _accepted_as(account: InstanceState, files: ManyFiles, asked: Envelope) -> Envelope:
    """What is accepted in place of an envelope, with files that policies gave it looked at."""
    envelope = accepted_as(account.hooks, account.instance, asked)
    if envelope is asked:
        return envelope
    return await files.look_at(envelope, partial(account.hooks.validate, account.instance))


def _content_of(envelope: Send) -> tuple[object, ...]:
    """What its parts depend on, and a policy may change."""
    return envelope.text, envelope.files, envelope.poll


async def _planned(wanted: GroupDraft, envelope: Envelope, most: int) -> tuple[Part, ...]:
    """The parts. Raises `Invalid` for anything that is wrong in each room alike."""
    hooks, instance = wanted.account.hooks, wanted.account.instance
    plan, problems = await planned_apart(hooks, instance, envelope, most)
    of_room = [problem for problem in problems if problem.place == "external_room_id"]
    if len(of_room) < len(problems):
        raise Invalid(problems)
    if of_room:  # another room says how many parts there are
        plan = await hooks.chunk_apart(instance, envelope, "as_asked")
    return plan


def _about(room: str, problems: Iterable[Problem]) -> list[Problem]:
    """Problems of a room, which is named once: some adapters' words begin with it."""
    named = repr(room)
    return [
        Problem(
            "" if each.place == "external_room_id" else each.place,
            each.text if each.text.startswith(named) else f"{named} {each.text}",
        )
        for each in problems
    ]


async def many_of(
    account: InstanceState,
    files: ManyFiles,
    template: Send,
    envelopes: object,
    most_parts: int,
    accepted_at: float,
    deadline: float,
) -> GroupDraft:
    """Envelopes of one account, each a member; raises `Invalid` as `broadcast_of` does.

    deadline  POSIX time, of those that have none of their own
    """
    wanted, faults = GroupDraft(account, files, template), Faults()
    refusal = partial(_refusal_of, account)
    for number, asked in _each("envelopes", envelopes):
        if number % AT_ONCE == 0:
            await trio.lowlevel.checkpoint()
        problems = _problems_of(account, asked)
        if problems:
            faults.note(f"envelopes.{number}", problems)
            continue
        try:
            whole = await files.fetch(checked(asked), refusal)
        except Invalid as error:  # no host is asked for more then
            faults.note(f"envelopes.{number}", error.problems)
            break
        try:
            own = await files.look_at(whole, refusal)
            envelope = await _accepted_as(account, files, own)
        except Invalid as error:
            faults.note(f"envelopes.{number}", error.problems)
            continue
        envelope = _timed(envelope, template.priority, accepted_at, deadline)
        plan, problems = await planned_apart(account.hooks, account.instance, envelope, most_parts)
        faults.note(f"envelopes.{number}", problems)
        if not problems:
            wanted.latest = max(wanted.latest, envelope.deadline or 0.0)
            wanted.add(own.external_room_id, max(1, _cost(plan)), envelope, own)
            wanted.look_at_limits(envelope)
    faults.check()
    if not len(wanted.members):
        raise Invalid([Problem("envelopes", "is empty: there is nothing to accept")])
    return wanted


def _problems_of(account: InstanceState, envelope: Any) -> list[Problem]:
    """What is wrong with an envelope as a member of a group of the account."""
    problems = problems_of(envelope)
    if problems:
        return problems
    if envelope.instance_id != account.instance.id:
        text = f"must be {account.instance.id!r}, as in the first envelope: a group has one account"
        problems.append(Problem("instance_id", text))
    if envelope.key is not None:
        problems.append(Problem("key", _NO_KEY))
    if envelope.not_before is not None:
        problems.append(Problem("not_before", _NO_TIME))
    return problems


def _timed(envelope: Envelope, priority: Priority, accepted_at: float, deadline: float) -> Envelope:
    """The envelope of the group's class, with its deadline as a time."""
    if envelope.deadline is not None:
        deadline = envelope.deadline
    elif envelope.ttl is not None:
        deadline = accepted_at + envelope.ttl
    return attrs.evolve(envelope, priority=priority, ttl=None, deadline=deadline)


def _each(name: str, values: object) -> Iterator[tuple[int, Any]]:
    """Each value with its number; raises `Invalid` for what is not several."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise Invalid([Problem(name, f"must be a list or the like, not {shown(values)}")])
    yield from enumerate(values)
