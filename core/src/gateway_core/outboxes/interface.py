"""Where accepted envelopes are stored until they end: the interface.

It serves engines on other machines as well. An outbox never decides: it stores what is reported
to it, in that order, and gives it back in the next process run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Protocol, Self

from gateway_core.contract.envelopes import Receipt
from gateway_core.outboxes.records import (
    STREAMS,
    Endings,
    Entry,
    Found,
    Group,
    GroupState,
    Member,
    Overdue,
    Overview,
    PastAttempt,
    Recovery,
    Request,
    StepRecord,
    StepShape,
    StoredEntry,
    Stream,
    What,
)
from gateway_core.outboxes.stored_bytes import Content
from gateway_core.ratelimits.spent import Standing


class Outbox(Protocol):
    """Stores accepted envelopes. Entered by the gateway before anything else, left last.

    requested  called on trio's thread with what operators ask; set by the gateway
    keys_for   seconds for which keys of ended envelopes are remembered; likewise

    lost           called on trio's thread with an account that another process owns from now on;
                   likewise. Nothing of it begins here then, what is under way is in doubt, and
                   `recover` is called until the account is had again
    arrived        called on trio's thread, within seconds, with an account for which another
                   process has stored a group, or asked to try a group's failures again; likewise.
                   Its owner feeds what is there then. One too often does no harm
    next_position  gives a position after all others; likewise. What the gateway that owns an
                   account appends has the position that follows from its id. What another process
                   appended has none until the owner's `page` comes to it: it gets this one then,
                   as its `position` and its `sequence`, in the order in which it arrived

    Plain methods never wait and never raise: what they record may be written later, but in
    order: what a later awaited call wrote is never there without it. Async ones may raise
    `OutboxError`; then what they asked has not happened.
    """

    requested: Callable[[Request], None] | None
    lost: Callable[[str], None] | None
    arrived: Callable[[str], None] | None
    next_position: Callable[[], int] | None
    keys_for: float

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def overview(self) -> Overview:
        """What previous runs left. Called once, before anything is appended."""
        ...

    async def recover(self, instance_id: str) -> Recovery:
        """Own the account from now on; the state in which its last owner left it.

        Called before anything of it is attempted, and again after each `release` and `lost`. For
        `ALL`: of what instances share. An embedded outbox is owned whole, from its opening on.
        Raises `OutboxError` that names the present owner.
        """
        ...

    async def attempts(
        self, *, since: float, instance_id: str | None = None, limit: int = 1000
    ) -> Sequence[PastAttempt]:
        """What is known of attempts since that POSIX time: of the newest, in their order.

        Of one instance, or of all. A killed process run told nobody what it had spent.
        """
        ...

    async def page(
        self,
        instance_id: str,
        *,
        room: str | None = None,
        streams: Sequence[Stream] = STREAMS,
        after: int = -1,
        limit: int = 1000,
    ) -> Sequence[StoredEntry]:
        """The next unfinished of an instance, or of one of its rooms, by their positions.

        Of the `streams` alone: reading one costs the same however many entries the others have.

        There may be fewer than `limit`, as an engine thinks fit; none: there are no more.

        Scheduled ones are not among them until they have `entered`.
        """
        ...

    async def scheduled(
        self, *, until: float, after: tuple[float, int] = (0.0, -1), limit: int = 1000
    ) -> Sequence[StoredEntry]:
        """Scheduled entries due by `until` (POSIX time), by (due, position)."""
        ...

    async def overdue(
        self, *, until: float, after: tuple[float, int] = (0.0, -1), limit: int = 1000
    ) -> Overdue:
        """Unfinished entries whose deadline is at `until` or before, by (deadline, sequence)."""
        ...

    async def find(self, what: What) -> Found | None:
        """What is known of an id or a key; None: nothing (any more).

        By an id, it says what edits made of the envelope's message as well. An end that was
        reported before is known.
        """
        ...

    async def endings(self, *, after: int, limit: int = 1000) -> Endings:
        """What ended after that number, also in former process runs; all that was told before.

        A number is given once an end can no longer be lost, and never to another one: whoever has
        stored it misses nothing that comes after it. An envelope that an operator has tried again
        gets another when it ends again; those that were erased are left out.
        """
        ...

    def answered(self, request: Request, answer: str) -> None:
        """It was carried out: stored with what a `discard` ended, or later, and never before."""

    async def erase(self, request: Request, in_flight: int) -> None:
        """Take all of a room out: payloads, history, keys, moves. The last step of a request."""

    async def append(self, entry: Entry, on_stored: Callable[[], None]) -> None:
        """Store the entry. The caller learns that it is accepted after this returns.

        `on_stored` is called before this returns, and in the order of the appends.
        Always a checkpoint: others have their turn before it returns.
        Raises `OutboxError`: the entry is not stored and the envelope is refused.

        A member of a group takes its turn by that, and the bytes that it names have a use more.
        Raises `OutboxError` as well for any other turn than the next one of its group (the lowest
        number that has none yet), for one of a group that was cancelled or is not there, and where
        bytes that it names are not there.
        """

    def withdraw(self, envelope_id: str) -> None:
        """The caller was cancelled during its append: forget the entry.

        An engine does so by itself where its append is cancelled; the use of the bytes that the
        entry names is over then, be it stored or not. Only what answers a `request` stays, if it
        is stored or being written: its next owner goes on with it.
        Of a member, the turn comes again; once its group was cancelled, it counts as cancelled.
        """

    def postponed(self, envelope_id: str, due: float, deadline: float) -> None:
        """A policy delays it: it is a scheduled entry from now on, with these POSIX times."""

    def entered(self, envelope_id: str, position: int) -> None:
        """It has this position now.

        A scheduled entry's time has come, or a change's message; or it takes the place of an older
        one, which ends.
        """

    def replanned(self, envelope_id: str, shapes: Sequence[StepShape]) -> None:
        """The entry has these steps from now on."""

    async def attempt_started(self, envelope_id: str, record: StepRecord) -> None:
        """Record that a try begins whose outcome may become unknown."""

    def covers(self, instance_id: str) -> bool:
        """Whether the account is this process's for certain at this moment.

        Looked at before each attempt, and once more as the first byte of a request is about to go
        out: nothing is sent where it is not. Without a lease that runs out, it always is.
        """
        ...

    def attempt_ended(self, envelope_id: str, record: StepRecord) -> None:
        """The try failed, or did not begin after all."""

    def acknowledged(self, envelope_id: str, record: StepRecord) -> None:
        """The step has its outcome."""

    def grew(self, envelope_id: str, text: str, number: int) -> None:
        """The message grew: its newest text is the one of the highest number.

        It is stored for as long as the entry, or its content where that may be tried again.
        """

    def finished(self, receipt: Receipt) -> None:
        """The envelope ended. Its key is remembered, or free (`frees_its_key`).

        Of a member, its group counts the disposition. A use of bytes ends with the payload: at
        once where it was delivered, superseded or cancelled, else with all that is remembered of
        it. An operator's `retry` takes the count back.
        """

    def moved(self, instance_id: str, room: str, moved_to: str) -> None:
        """A room has a new id."""

    def release(self, instance_id: str, at: float, standings: Sequence[Standing]) -> None:
        """The account is another's from that POSIX time on, and this is spent of its limits."""

    def closed(self, instance_id: str, operation: str, until: float, wait: float) -> None:
        """The platform wants no such operation (empty: none at all) until then, for `wait` s."""

    async def append_group(
        self,
        group: Group,
        members: Iterable[Sequence[Member]],
        on_stored: Callable[[], None],
    ) -> None:
        """Store a group with all of its members, which come chunk by chunk; as `append` does.

        All of it is there, or nothing. The members are numbered as they come, from 0 on, and never
        all in memory. The group's key is remembered as others are: from its end on, or free once
        it is cancelled before any member had its turn. It has a use of the bytes that it names
        until it has ended.

        Raises `OutboxError` as `append` does, and ValueError where the group's size is not the
        number of its members.
        """

    async def members(
        self, group_id: str, *, after: int = -1, limit: int = 1000
    ) -> Sequence[tuple[int, Member]]:
        """The next members after that number that have no entry yet, with their numbers.

        There may be fewer than `limit`, as an engine thinks fit; none: there are no more.
        """
        ...

    def paused(self, group_id: str, paused: bool) -> None:
        """The group's members shall wait, or go on; it is remembered, and nothing else changes."""

    def cancelled(self, group_id: str) -> None:
        """The group's members that have no entry get none any more, and count as cancelled.

        Nothing of it is to be tried again any more.
        """

    async def groups(
        self, instance_id: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[GroupState]:
        """How far the groups of an account are, by their ids, from after that one on.

        Those that have ended are among them until the history forgets them.
        """
        ...

    async def failed(
        self, group_id: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[Receipt]:
        """How members ended that were neither delivered nor superseded nor cancelled.

        By the ids of their envelopes, from after that one on, as far as the history remembers them.
        """
        ...

    async def retry(self, group_id: str) -> int:
        """What `failed` has of the group is to be tried again; how many members that are.

        It is remembered, over a kill too, until `reopen` has come to each of them. Raises
        `OutboxError` where it cannot be stored.
        """
        ...

    async def reopen(
        self, group_id: str, *, after: str = "", limit: int = 1000
    ) -> tuple[str, Sequence[StoredEntry]]:
        """The next that are to be tried again are unfinished: as an operator's `retry` has it.

        In the order of the ids of their envelopes, from that place on; the place to go on from,
        empty: there are no more. Their time begins anew, and what of them arrived is not sent
        again. Those of which the history has no content stay as they ended, and are to be tried
        again no more.
        """
        ...

    async def store_bytes(self, digest: str, content: Content) -> None:
        """Store bytes by their digest (`digest_of_bytes`). Of those that are there nothing is read.

        Once this returns they are on the disk, and stay for one use more: by an entry or a group
        that names them, or, where none comes, until the process run ends. With their last use they
        are gone; those that a killed run left without one, at the next opening.

        Raises ValueError where the digest is none, or another than that of the content, and
        `OutboxError`: nothing is stored then, nor where the caller is cancelled.
        """

    async def release_bytes(self, digest: str) -> None:
        """The use that `store_bytes` kept them for does not come: no entry will name them.

        Of bytes that are not there it does nothing. Raises `OutboxError`: then they stay as long as
        if nobody had said so.
        """

    async def read_bytes(self, digest: str, offset: int, limit: int) -> bytes:
        """So many of the stored bytes from that offset on; fewer at their end, none behind it.

        Raises `OutboxError` where they are not there, or damaged.
        """
        ...
