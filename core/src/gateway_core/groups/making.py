"""Makes a group from a caller's rooms or envelopes; each is checked before any is accepted.

This module waits: for the disk if there are files, and for the plan of a long text. After every
hundred members, other tasks have their turn.
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
from gateway_core.plugins.plain import plain
from gateway_core.submission.checks import checked, problems_of
from gateway_core.submission.preview import accepted_as, asked_for, planned_apart

AT_ONCE = 100
"""Members that are checked between two turns of the other tasks: two milliseconds."""
MOST_TOLD = 20
"""How many wrong members an error names; of the others it says how many there are."""
_DIGESTS = 1 << 128
_NO_KEY = "must be left out: all envelopes of a group have one key, `group`"
_NO_TIME = "must be left out: give it to `submit_many`, for the whole group"


@attrs.define(eq=False)
class GroupDraft:
    """The messages that are to be accepted as one group.

    asked      the template as its caller handed it in
    template   the message, as policies made it, of members without an envelope of their own; each
               member sends it to its own room
    plan       the template's parts
    attempts   platform messages of all members together, or calls
    content    a digest of all members, whatever their order
    latest     the latest deadline of members that have their own (POSIX time); 0: none has
    pace       the limit that decides how long it takes
    files      the files of all members
    own        the envelopes that the caller handed in, with their files looked at; of a broadcast
               none
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
        """The content's fingerprint: equal for the same text to the same rooms in any order."""
        own = "" if self.latest else fingerprint(self.asked)
        text = f"{own} {len(self.members)} {self.content:032x}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def add(
        self, asked_room: str, attempts: int, envelope: Envelope, asked: Envelope | None = None
    ) -> None:
        """Add a member, for which the caller named the room `asked_room`.

        envelope  the envelope that it sends
        asked     its own envelope as the caller handed it in; None: it sends the template
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
        ):  # policies make another message in each room: each member has its own
            if not self.members.own:
                self.members.give_each(_of_group(self.template))
            self.members.add(room, _of_group(envelope), moved_from)
        self.attempts += attempts
        own = "" if asked is None else fingerprint(asked)
        digest = hashlib.blake2b(f"{own} {asked_room}".encode(), digest_size=16).digest()
        self.content = (self.content + int.from_bytes(digest, "big")) % _DIGESTS

    def _is_of_template(self, envelope: Envelope) -> bool:
        """Whether `envelope` is the template in another room, as all members before are."""
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
    """How many tokens of each limit the plan takes."""
    return sum(part.cost for part in plan)


def _of_group(envelope: Send) -> Send:
    """The envelope without its key and its times, which the group has."""
    return attrs.evolve(envelope, key=None, ttl=None, deadline=None, not_before=None)


class Faults:
    """The members that are wrong: the first ones by name, of the others only how many."""

    def __init__(self) -> None:
        self._told: list[Problem] = []
        self._count = 0

    def note(self, place: str, problems: Iterable[Problem]) -> None:
        """Note the problems of a member; if there are none, nothing is noted."""
        words = "; ".join(map(str, problems))
        if words:
            self._count += 1
            if self._count <= MOST_TOLD:
                self._told.append(Problem(place, words))

    def check(self) -> None:
        """Raises `Invalid` if any member was wrong."""
        if self._count > MOST_TOLD:
            more = self._count - MOST_TOLD
            self._told.append(Problem("", f"and {more} more are wrong"))
        if self._told:
            raise Invalid(self._told)


async def broadcast_of(
    account: InstanceState, files: ManyFiles, template: Send, rooms: object, most_parts: int
) -> GroupDraft:
    """The template for every room, once for each however often it is named.

    Raises `Invalid` for a template that is wrong in itself, for no rooms, and with the first wrong
    rooms; then nothing is accepted.
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
        name = plain(room)
        if name in seen:
            continue
        seen.add(name)
        problems = await _add_room(wanted, name, most_parts)
        faults.note(f"rooms.{number}", _about(name, problems))
        if files.failed:
            break
    faults.check()
    if not seen:
        raise Invalid([Problem("rooms", "is empty: nobody would get it")])
    return wanted


def _refusal_of_files(account: InstanceState, template: Send) -> list[Problem]:
    """The channel's problems with the files in any room; none if a policy rewrites envelopes."""
    if "rewrite" in account.hooks.served:
        return []
    found = account.hooks.validate(account.instance, template)
    return [each for each in found if each.place.partition(".")[0] == "files"]


def _refusal_of(account: InstanceState, files: ManyFiles, asked: Envelope) -> Sequence[Problem]:
    """The channel's problems with an envelope as policies rewrite it, before files are fetched.

    Raises as `accepted_as` does.
    """
    envelope = accepted_as(account.hooks, account.instance, asked)
    return files.lasting(envelope, account.hooks.validate(account.instance, envelope))


async def _add_room(wanted: GroupDraft, room: str, most: int) -> Sequence[Problem]:
    """Add one room; returns the problems of the template there. Raises as `_planned`."""
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
    """The envelope as policies rewrite it, with the files that they gave it."""
    envelope = accepted_as(account.hooks, account.instance, asked)
    if envelope is asked:
        return envelope
    refusal = partial(account.hooks.validate, account.instance)
    return await files.look_at(await files.fetch(envelope, refusal), refusal)


def _content_of(envelope: Send) -> tuple[object, ...]:
    """The fields that the parts depend on and that a policy may change."""
    return envelope.text, envelope.files, envelope.poll


async def _planned(wanted: GroupDraft, envelope: Envelope, most: int) -> tuple[Part, ...]:
    """The envelope's parts. Raises `Invalid` for anything that is wrong in each room alike."""
    hooks, instance = wanted.account.hooks, wanted.account.instance
    plan, problems = await planned_apart(hooks, instance, envelope, most)
    of_room = [problem for problem in problems if problem.place == "external_room_id"]
    if len(of_room) < len(problems):
        raise Invalid(problems)
    if of_room:  # only this room is wrong: other rooms have the same parts
        plan = await hooks.chunk_apart(instance, envelope, "as_asked")
    return plan


def _about(room: str, problems: Iterable[Problem]) -> list[Problem]:
    """Problems of a room, each with its name once: some adapters' words begin with it."""
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

    deadline  POSIX time, for envelopes that have none of their own
    """
    wanted, faults = GroupDraft(account, files, template), Faults()
    fits = partial(account.hooks.validate, account.instance)
    refusal = partial(_refusal_of, account, files)
    for number, asked in _each("envelopes", envelopes):
        if number % AT_ONCE == 0:
            await trio.lowlevel.checkpoint()
        problems = _problems_of(account, asked)
        if problems:
            faults.note(f"envelopes.{number}", problems)
            continue
        try:
            whole = await files.fetch(checked(asked), fits)
            own = await files.look_at(whole, refusal)
            envelope = await _accepted_as(account, files, own)
        except Invalid as error:
            faults.note(f"envelopes.{number}", error.problems)
            if files.failed:
                break
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
    """The envelope with the group's class, and with its deadline as a time."""
    if envelope.deadline is not None:
        deadline = envelope.deadline
    elif envelope.ttl is not None:
        deadline = accepted_at + envelope.ttl
    return attrs.evolve(envelope, priority=priority, ttl=None, deadline=deadline)


def _each(name: str, values: object) -> Iterator[tuple[int, Any]]:
    """Each value with its number; raises `Invalid` unless `values` is a list or the like."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise Invalid([Problem(name, f"must be a list or the like, not {shown(values)}")])
    yield from enumerate(values)
