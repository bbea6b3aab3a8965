"""The verbs of the public face that concern many messages at once.

This module waits: for the outbox.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypedDict

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.contract.beside.buttons import Buttons
from gateway_core.contract.beside.polls import Poll
from gateway_core.contract.envelopes import (
    Envelope,
    Format,
    Json,
    OnFileError,
    OnUnknown,
    Order,
    Priority,
    Send,
)
from gateway_core.contract.errors import Invalid, Problem
from gateway_core.contract.files import File
from gateway_core.contract.problems import problems_in
from gateway_core.contract.validators import name_fault, shown
from gateway_core.files.fetching import FetchedFiles
from gateway_core.files.many import ManyFiles
from gateway_core.groups.job import Job
from gateway_core.groups.making import GroupDraft, broadcast_of, many_of
from gateway_core.groups.registry import Groups
from gateway_core.plugins.plain import plain
from gateway_core.submission.checks import ENVELOPES, problems_of

_NOTHING: Any = attrs.NOTHING
_ANY_ROOM = "-"
"""Stands for the room while the rest of a template is checked."""


class BroadcastFields(TypedDict, total=False):
    """The arguments of `broadcast` beside instance, rooms and text, in every kind of program."""

    key: str | None
    not_before: float | None
    ttl: float | None
    deadline: float | None
    priority: Priority
    order: Order
    format: Format
    on_unknown: OnUnknown
    extra: Mapping[str, Json] | None
    mentions: bool
    link_previews: bool
    silent: bool
    files: Sequence[File] | None
    on_file_error: OnFileError
    buttons: Buttons | None
    poll: Poll | None


@attrs.frozen(kw_only=True)
class Forecast:
    """What a broadcast would cost, before anything is accepted.

    members   rooms that would get the message, each once
    attempts  platform messages in total; `parts`: the texts of one room's messages
    bucket    the limit that decides how long it takes; empty: no limit is known
    seconds   the least time that this limit allows
    ttl       seconds that the broadcast has; `too_long`: whether that is less than `seconds`
    """

    members: int
    attempts: int
    parts: tuple[str, ...]
    bucket: str
    rate: float
    seconds: float
    ttl: float

    @property
    def too_long(self) -> bool:
        """Whether `broadcast` would raise `GroupTooLong`."""
        return self.seconds > self.ttl


class GroupVerbs:
    """The methods of a `Gateway` that concern groups. `_groups` accepts and finds groups."""

    _groups: Groups

    def _check_loop(self) -> None:
        raise NotImplementedError

    async def broadcast(
        self,
        instance: str,
        rooms: Iterable[str],
        text: str,
        *,
        key: str | None = None,
        not_before: float | None = None,
        ttl: float | None = None,
        deadline: float | None = None,
        priority: Priority = "bulk",
        order: Order = "room",
        format: Format = "markdown",  # noqa: A002 - the field's standard term
        on_unknown: OnUnknown = "retry",
        extra: Mapping[str, Json] | None = None,
        mentions: bool = False,
        link_previews: bool = False,
        silent: bool = False,
        files: Sequence[File] | None = None,
        on_file_error: OnFileError = "fail",
        buttons: Buttons | None = None,
        poll: Poll | None = None,
    ) -> Job:
        """Send a message to many rooms, each once, as the account's limits allow.

        rooms       ids of rooms, in the order of sending; a room that is named twice gets the
                    message once. A generator is read to its end before this returns
        key         a second call with the same key, text and rooms returns the same job
        not_before  POSIX time before which the message is sent to no room
        files       as in `send`; their bytes are stored once, and removed when no room needs them
                    any more
        ttl         seconds from the call after which rooms that do not have the message end
                    `expired`; None: the class's default, counted from `not_before` if that is
                    later. `deadline`: a POSIX time instead

        Returns once the whole group is accepted; with a durable outbox, that means stored. Only a
        few rooms are in memory at a time, and they never hold up a message of a higher class.

        Raises `Invalid` with the first twenty wrong rooms, `UnknownInstance`, `GroupTooLong`,
        `IdempotencyConflict` if the key was used for another text or other rooms,
        `InstanceSuspended`, `OutboxError` and `GatewayClosed`. Nothing is accepted then.
        """
        self._check_loop()
        template = _template(
            instance_id=instance,
            external_room_id=_ANY_ROOM,
            text=text,
            key=key,
            ttl=ttl,
            deadline=deadline,
            not_before=not_before,
            priority=priority,
            order=order,
            format=format,
            on_unknown=on_unknown,
            extra=_NOTHING if extra is None else extra,
            mentions=mentions,
            link_previews=link_previews,
            silent=silent,
            files=() if files is None else files,
            on_file_error=on_file_error,
            buttons=() if buttons is None else buttons,
            poll=poll,
        )
        return await self._broadcast(template, rooms)

    async def _broadcast(self, template: Send, rooms: object) -> Job:
        """Broadcast a template that has no room of its own."""
        accepted_at = self._groups.drafting.clock.wall()
        async with self._groups.drafting.needing(template.instance_id):
            return await self._broadcast_as(template, rooms, accepted_at)

    async def _broadcast_as(self, template: Send, rooms: object, accepted_at: float) -> Job:
        account = self._account_for(template)
        with FetchedFiles() as fetched:
            files = ManyFiles(self._groups.files, fetched)
            template = await files.fetch(
                plain(template), partial(account.hooks.validate, account.instance)
            )
            handed = self._groups.handed_for(template.instance_id)
            if handed is not None and isinstance(rooms, Iterable) and not isinstance(rooms, str):
                rooms = list(rooms)
            wanted = await self._wanted(files, template, rooms)
            if handed is not None:
                return Job(self._groups, await handed.broadcast(wanted, rooms))
            return await self._accepted(wanted, accepted_at)

    async def _wanted(self, files: ManyFiles, template: Send, rooms: object) -> GroupDraft:
        account = self._account_for(template)
        most = self._groups.drafting.config.max_parts
        return await broadcast_of(account, files, template, rooms, most)

    def _account_for(self, template: Send) -> InstanceState:
        """The account of a valid template. Raises the reason if a group of it is refused."""
        drafting = self._groups.drafting
        drafting.check_open()
        if problems := problems_of(template):
            raise Invalid(problems)
        account = drafting.account_for(template.instance_id)
        drafting.check_suspension(account)
        return account

    async def foresee_broadcast(self, template: Send, rooms: Iterable[str]) -> Forecast:
        """What `broadcast` would do with this message; its room is ignored. Accepts nothing.

        Raises as `broadcast` does, except for `GroupTooLong`.
        """
        self._check_loop()
        if not isinstance(template, Send):
            raise Invalid([Problem("template", f"must be a Send, not {shown(template)}")])
        template = attrs.evolve(template, external_room_id=_ANY_ROOM)
        async with self._groups.drafting.needing(template.instance_id):
            wanted = await self._wanted(ManyFiles(self._groups.files), template, rooms)
        accepted_at = self._groups.drafting.clock.wall()
        deadline = _deadline(self._groups, template, accepted_at)
        return Forecast(
            members=len(wanted.members),
            attempts=wanted.attempts,
            parts=tuple(wanted.template.text[slice(*part.span)] for part in wanted.plan),
            bucket=wanted.pace.bucket,
            rate=wanted.pace.rate,
            seconds=wanted.pace.seconds(wanted.attempts),
            ttl=deadline - max(accepted_at, template.not_before or 0.0),
        )

    async def submit_many(
        self,
        envelopes: Iterable[Envelope],
        *,
        group: str | None = None,
        not_before: float | None = None,
        priority: Priority = "bulk",
    ) -> Job:
        """Accept envelopes of one account as a group, to be sent in order.

        group       the key of the group; a second call with the same envelopes returns the same job
        not_before  POSIX time before which no envelope has its turn
        priority    the class of all envelopes

        Envelopes must have no `key` and no `not_before` of their own; their `ttl` counts from the
        call. An envelope that is listed twice is sent twice. Returns and raises as `broadcast`
        does.
        """
        self._check_loop()
        drafting = self._groups.drafting
        drafting.check_open()
        envelopes = _listed(envelopes)
        first = envelopes[0]
        template = _template(
            instance_id=first.instance_id,
            external_room_id=_ANY_ROOM,
            text=_ANY_ROOM,
            key=group,
            not_before=not_before,
            priority=priority,
        )
        accepted_at = drafting.clock.wall()
        async with drafting.needing(template.instance_id):
            return await self._submit_many(template, envelopes, accepted_at)

    async def _submit_many(
        self, template: Send, envelopes: Sequence[Envelope], accepted_at: float
    ) -> Job:
        """Accept the envelopes as a group; the template has the group's key, time and class."""
        drafting, account = self._groups.drafting, self._account_for(template)
        template = plain(template)
        group, not_before, priority = template.key, template.not_before, template.priority
        deadline = _deadline(self._groups, template, accepted_at)
        most = drafting.config.max_parts
        with FetchedFiles() as fetched:
            files = ManyFiles(self._groups.files, fetched)
            wanted = await many_of(account, files, template, envelopes, most, accepted_at, deadline)
            handed = self._groups.handed_for(template.instance_id)
            if handed is not None:
                state = await handed.submit_many(
                    wanted, group=group, not_before=not_before, priority=priority
                )
                return Job(self._groups, state)
            return await self._accepted(wanted, accepted_at, deadline=wanted.latest)

    async def _accepted(
        self, wanted: GroupDraft, accepted_at: float, deadline: float | None = None
    ) -> Job:
        if deadline is None:
            deadline = _deadline(self._groups, wanted.template, accepted_at)
        return Job(self._groups, await self._groups.accept(wanted, deadline, accepted_at))

    async def group(
        self, group_id: str | None = None, *, instance: str | None = None, key: str | None = None
    ) -> Job | None:
        """The handle of a group, by its id or by its account and key; None: it is not known.

        Ended groups are remembered for a time, like other keys and endings. Raises `Invalid` if
        neither is given, `OutboxError`, and `GatewayClosed` once a durable outbox has closed. In a
        process with `serve=False` an id alone may raise `OutboxForbidden`: its role may send as
        some instances only, and the group's instance is not known there yet.
        """
        self._check_loop()
        if group_id is not None and instance is None and key is None:
            what: Any = group_id
        elif group_id is None and instance is not None and key is not None:
            what = (instance, "", "group", key)
        else:
            raise Invalid([Problem("group", "needs an id, or an instance and a key")])
        names = [group_id] if group_id is not None else [instance, key]
        if fault := next(filter(None, map(name_fault, names)), None):
            raise Invalid([Problem("group", fault)])
        state = await self._groups.state(what)
        return None if state is None else Job(self._groups, state)

    async def groups(self, instance: str) -> list[Job]:
        """The groups of an account that are remembered, the oldest first. Raises `OutboxError`."""
        self._check_loop()
        found: list[Job] = []
        after = ""
        while page := await self._groups.listed(instance, after):
            found += [Job(self._groups, state) for state in page]
            after = page[-1].group.id
        return found


def _template(**fields: Any) -> Send:
    try:
        return Send(**fields)
    except ValueError as error:
        raise Invalid(problems_in(error)) from None


def _listed(envelopes: object) -> list[Envelope]:
    """The envelopes as a list. Raises `Invalid` unless the first is an envelope."""
    if isinstance(envelopes, Iterable) and not isinstance(envelopes, str | bytes):
        every = list(envelopes)
        if every and isinstance(every[0], ENVELOPES):
            return every
        if not every:
            raise Invalid([Problem("envelopes", "is empty: there is nothing to accept")])
        envelopes = every[0]
        raise Invalid([Problem("envelopes.0", f"must be an envelope, not {shown(envelopes)}")])
    raise Invalid([Problem("envelopes", f"must be a list or the like, not {shown(envelopes)}")])


def _deadline(groups: Groups, template: Send, accepted_at: float) -> float:
    """POSIX time at which members that have not ended expire."""
    if template.deadline is not None:
        return template.deadline
    if template.ttl is not None:
        return accepted_at + template.ttl
    of_class: float = getattr(groups.drafting.config.ttl, template.priority)
    return of_class + max(accepted_at, template.not_before or 0.0)
