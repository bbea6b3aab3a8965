"""The interface of an outbox, which stores accepted envelopes until they end.

It serves engines on other machines as well. An outbox never decides: it stores what is reported
to it, in that order, and gives it back in the next process run. `testing.OutboxContract` and
`testing.RecordsContract` are the tests that an engine must pass.
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
    """Stores accepted envelopes. The gateway enters it before anything else, and leaves it last.

    requested  called on trio's thread with operators' requests; set by the gateway
    keys_for   seconds for which keys of ended envelopes are remembered; set by the gateway

    lost           called on trio's thread with an account that another process owns from now on;
                   set by the gateway. No attempt of the account then begins here, attempts under
                   way are in doubt, and `recover` is called until this process owns the account
                   again. With `ALL`, the gateway forgets all requests that it was given: the
                   outbox is owned again, and gives anew those that are not answered
    arrived        called on trio's thread, within seconds, with an account for which another
                   process has stored a group, or asked to retry a group's failures; set by the
                   gateway. The owner then feeds the group. An extra call does no harm
    next_position  returns a position after all others; set by the gateway. An entry that the
                   account's owner appends has the position that follows from its id. An entry that
                   another process appended has none until the owner's `page` reaches it; it then
                   gets this one as its `position` and `sequence`, in order of arrival

    Plain methods never wait and never raise. Their records may be written later, but in order: the
    outbox never has what a later awaited call wrote without these records. Async methods may raise
    `OutboxError`; then what they asked for has not happened.

    An engine may have one more method, `async store_suspension(instance_id, suspension, age)`. It
    stores that an operator has suspended an account that this process owns (a `Suspension`), or has
    resumed it (None), until the next call says otherwise. It returns once this cannot be lost any
    more. `recover` gives the suspension back as `suspended`. An operator asked for it `age` seconds
    ago; what other processes asked about the account before that is answered by it. Without this
    method a suspension ends with the process.

    An engine may also have `async flush()`, which returns once everything that was reported so far
    is stored, and raises `OutboxError` if it cannot be stored now. The gateway calls it now and
    then while it ends the whole backlog of an account, so that the endings do not hold up what
    other accounts store.
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
        """Totals of what previous runs left. Called once, before anything is appended."""
        ...

    async def recover(self, instance_id: str) -> Recovery:
        """Own the account from now on; returns the state in which its last owner left it.

        Called before anything of the account is attempted, and again after each `release` and
        `lost`. `ALL` means the state that instances share. An embedded outbox is owned as a whole,
        from its opening on. Raises `OutboxError`, which names the current owner.
        """
        ...

    async def attempts(
        self, *, since: float, instance_id: str | None = None, limit: int = 1000
    ) -> Sequence[PastAttempt]:
        """What is known about the newest attempts since that POSIX time, in order.

        Of one instance, or of all. A killed process run has not stored what it had spent.
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
        """The next unfinished entries of an instance, or of one of its rooms, by position.

        Only entries of the `streams`; reading one stream costs the same however many entries the
        others have. An engine may return fewer than `limit`; an empty page means that there are no
        more. Scheduled entries are not included until they have `entered`.
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
        """What is known about an id or a key; None: nothing (any more).

        For an id, it also says how edits changed the envelope's message. An end that was reported
        before this call is known.
        """
        ...

    async def endings(self, *, after: int, limit: int = 1000) -> Endings:
        """Endings after the number `after`, also of previous runs, with all reported before.

        An ending gets its number once it can no longer be lost, and no other ending gets that
        number. So a reader who has stored a number misses no later ending. An envelope that an
        operator retried gets another number when it ends again; erased envelopes are left out.
        """
        ...

    def answered(self, request: Request, answer: str) -> None:
        """The request was carried out. Stored with a `discard`'s endings, or after them."""

    async def erase(self, request: Request, in_flight: int) -> None:
        """Remove all data of a room: payloads, history, keys, moves. A request's last step."""

    async def append(self, entry: Entry, on_stored: Callable[[], None]) -> None:
        """Store the entry. Its caller learns of the acceptance after this returns.

        `on_stored` is called before this returns, and in the order of the appends. Always a
        checkpoint: other tasks run before it returns. Raises `OutboxError`: the entry is not stored
        and the envelope is refused.

        For a group's member, this is its turn. The call adds a use to the bytes that the entry
        names. It also raises `OutboxError` for a member that is not the next of its group (the
        lowest number without an entry), for a group that was cancelled or is not there, and if
        bytes that the entry names are not there.
        """

    def withdraw(self, envelope_id: str) -> None:
        """Forget the entry, since the caller was cancelled during its append.

        An engine does this by itself if its append is cancelled. The entry's use of bytes then
        ends, whether it was stored or not. Only an entry that answers a `request` stays if it is
        stored or being written, since its next owner goes on with it. A group's member has its turn
        again, unless the group was cancelled; then it counts as cancelled.
        """

    def postponed(self, envelope_id: str, due: float, deadline: float) -> None:
        """A policy delays the entry, which from now on is scheduled with these POSIX times."""

    def entered(self, envelope_id: str, position: int) -> None:
        """The entry has this position now.

        A scheduled entry is due, or the message of a change is there, or the entry replaces an
        older one, which ends.
        """

    def replanned(self, envelope_id: str, shapes: Sequence[StepShape]) -> None:
        """The entry has these steps from now on."""

    async def attempt_started(self, envelope_id: str, record: StepRecord) -> None:
        """Record that an attempt begins whose outcome may become unknown."""

    def covers(self, instance_id: str) -> bool:
        """Whether this process certainly owns the account at this moment.

        Checked before each attempt, just before the first byte of a request goes out, and before
        each block of a streamed body; if it is false, nothing is sent. Attempts under way are
        broken off when it is false and the lease that `tenure` returns is over. Without a lease
        that can expire, it is always true.
        """
        ...

    def attempt_ended(self, envelope_id: str, record: StepRecord) -> None:
        """The attempt failed, or did not begin after all."""

    def acknowledged(self, envelope_id: str, record: StepRecord) -> None:
        """The step has its outcome."""

    def grew(self, envelope_id: str, text: str, number: int) -> None:
        """The message grew; the text with the highest number is the newest.

        The text is stored as long as the entry, or as long as its content if that may be tried
        again.
        """

    def finished(self, receipt: Receipt) -> None:
        """The envelope ended. Its key is remembered, or free (`frees_its_key`).

        The group of a member counts the disposition. A use of bytes ends with the payload: at once
        for delivered, superseded and cancelled envelopes, otherwise when the envelope is forgotten.
        An operator's `retry` takes the count back.
        """

    def moved(self, instance_id: str, room: str, moved_to: str) -> None:
        """A room has a new id."""

    def release(self, instance_id: str, at: float, standings: Sequence[Standing]) -> None:
        """Give the account up at that POSIX time; `standings`: what is spent of its limits."""

    def closed(self, instance_id: str, operation: str, until: float, wait: float) -> None:
        """The platform refuses this operation (empty: all operations) until then, for `wait` s."""

    async def append_group(
        self,
        group: Group,
        members: Iterable[Sequence[Member]],
        on_stored: Callable[[], None],
    ) -> None:
        """Store a group with all of its members, which arrive in chunks; as `append` does.

        Either all of it is stored or nothing. Members are numbered from 0 in order of arrival, and
        are never all in memory. The group's key is remembered like others: from its end on, or it
        is free once the group is cancelled before any member had its turn. The group uses the bytes
        that it names until it has ended.

        Raises `OutboxError` as `append` does, and ValueError if the group's size is not the number
        of its members.
        """

    async def members(
        self, group_id: str, *, after: int = -1, limit: int = 1000
    ) -> Sequence[tuple[int, Member]]:
        """The next members after that number without an entry, with their numbers.

        An engine may return fewer than `limit`; an empty page means that there are no more.
        """
        ...

    def paused(self, group_id: str, paused: bool) -> None:
        """Pause the group's members or let them go on; it is stored, and nothing else changes."""

    def cancelled(self, group_id: str) -> None:
        """Members of the group without an entry get none any more, and count as cancelled.

        No failed member is to be tried again any more.
        """

    async def groups(
        self, instance_id: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[GroupState]:
        """The states of an account's groups, by id, after the id `after`.

        Ended groups are included until the history forgets them.
        """
        ...

    async def failed(
        self, group_id: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[Receipt]:
        """Receipts of members that ended neither delivered nor superseded nor cancelled.

        By the ids of their envelopes, after the id `after`, as far as the history remembers them.
        """
        ...

    async def retry(self, group_id: str) -> int:
        """Mark the group's `failed` members to be tried again; returns how many they are.

        The mark is remembered, even after a kill, until `reopen` has processed each of them. Raises
        `OutboxError` if it cannot be stored.
        """
        ...

    async def reopen(
        self, group_id: str, *, after: str = "", limit: int = 1000
    ) -> tuple[str, Sequence[StoredEntry]]:
        """Make the next members to be tried again unfinished, as an operator's `retry` does.

        In the order of their envelopes' ids, from the place `after` on. Returns the place to go on
        from; empty: there are no more. The members' time to live starts again, and parts that
        arrived are not sent again. Members whose content the history has forgotten stay as they
        ended, and are no longer to be tried again.
        """
        ...

    async def store_bytes(self, digest: str, content: Content) -> None:
        """Store bytes by their digest (`digest_of_bytes`); known ones are not read again.

        Stored bytes that are missing, or have another size than theirs, are replaced.

        Once this returns they are on the disk, and stay for one more use: by an entry or group that
        names them, or, if there is none, until the process run ends. They are removed with their
        last use; bytes that a killed run left unused are removed at the next opening.

        Raises ValueError if the digest is invalid or not that of the content, and `OutboxError`.
        Then nothing is stored, nor if the caller is cancelled.
        """

    async def release_bytes(self, digest: str) -> None:
        """End the use that `store_bytes` kept them for, since no entry will name them.

        Does nothing if the bytes are not there. Raises `OutboxError`; then they stay as long as
        without this call.
        """

    async def read_bytes(self, digest: str, offset: int, limit: int) -> bytes:
        """Up to `limit` of the stored bytes from `offset` on; fewer at their end, none after it.

        Raises `BytesLost` if they are not there or damaged: their message's files are then refused.
        Raises any other `OutboxError` if they cannot be read now: the attempt is repeated.
        """
        ...
