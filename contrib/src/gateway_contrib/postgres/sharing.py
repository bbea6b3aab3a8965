"""The part of an outbox that shares its accounts with other processes.

If one process owns all accounts, this part does nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import attrs
import trio

from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.postgres import past, reading
from gateway_contrib.postgres.connections.connecting import Link
from gateway_contrib.postgres.connections.membership import Membership
from gateway_contrib.postgres.handed import Share
from gateway_contrib.postgres.names import ALL, PRIORITIES
from gateway_contrib.postgres.operators.serving import Serving
from gateway_contrib.postgres.spreading import many, tables
from gateway_contrib.postgres.spreading.member import SpreadMember
from gateway_contrib.postgres.spreading.reading import unfinished_of
from gateway_contrib.postgres.storing import Connection
from gateway_core.outboxes import (
    OUTBOX_FAILED,
    OutboxError,
    PastAttempt,
    Priority,
    Recovery,
    Request,
    Standing,
    log_event,
)

T = TypeVar("T")

AGAIN = 3.0
"""Seconds until the gateway is told once more of accounts that it can take or should give up."""
PAUSE = 1.0
"""Seconds until a process that other processes took for gone tries again to take part."""


class Sharing(Serving):
    """Owns accounts as `Spreading` describes.

    offered, leaving, wanted  as in `Spreading`
    id_slot           which ids of a millisecond this process draws, from 0 to 127: no other process
                      that owns accounts draws the same. It may change after all accounts were lost
    """

    spreads: bool

    def _begin(self) -> None:
        self.offered: Callable[[], None] | None = None
        self.leaving: Callable[[str], None] | None = None
        self.wanted: Callable[[str], None] | None = None
        self._spread: SpreadMember | None = None
        self._changed = trio.Event()
        self._gains = trio.Event()
        self._given = 0
        self._common_epoch: int | None = None

    def _member_by(self, link: Link) -> Membership:
        settings = self.settings
        if not self.spreads:
            return Membership(link, self.place, settings.lease)
        self._spread = SpreadMember(link, self.place, settings.lease, settings.weight)
        return self._spread

    def _gain(self, accounts: Iterable[str] = ()) -> None:
        """Look for waiting rows now: an account that finds nothing to do is soon given up again.

        It is not idle any more, though it was lost before that could be written.
        """
        self._writer.idle.difference_update(accounts)
        self._handed.gained()
        self._gains.set()

    # -- what the gateway says and asks

    @property
    def id_slot(self) -> int:
        """The slot of the member that this process is now."""
        return self._spread.slot if self._spread is not None else 0

    def serves(self, instance_ids: Collection[str]) -> None:
        """Serve these accounts; accounts without a row get one with the next look."""
        if self._spread is not None:
            self._spread.sourced = self.wanted is not None
            self._spread.serve(instance_ids)

    def is_known(self, instance_id: str) -> bool:
        """Whether the last look found the account's row and decided who is to own the account."""
        member = self._spread
        return member is None or (member.knows(instance_id) and instance_id in member.weighed)

    def lacks(self, instance_id: str) -> None:
        """With the next look, tell the others that this process cannot own the account."""
        if self._spread is not None:
            self._spread.lack(instance_id)

    def idles(self, instance_id: str) -> None:
        """Note that the account is idle; this is written with its release."""
        if self._spread is not None and instance_id in self._accounts:
            self._writer.idle.add(instance_id)

    def share_count(self, classes: Mapping[Priority, int]) -> Mapping[Priority, int]:
        """Note what to say at a next look; returns what the others counted at the last look."""
        self._membership.counts = tuple(classes.get(priority, 0) for priority in PRIORITIES)
        beside = () if self._spread is None else self._spread.beside
        return dict(zip(PRIORITIES, beside, strict=False))

    def ends(self) -> None:
        """With the next look, tell the others that they are to own this process's accounts."""
        if self._spread is not None:
            self._spread.end()

    def passed_on(self, request: Request) -> None:
        """Forget the account's requests; the process that owns it takes them with a next look."""
        self._leave_requests(request.instance_id)

    def offers(self, instance_id: str) -> bool:
        """Whether the last look offered the account to this process."""
        member = self._spread
        return (
            member is not None
            and member.owns
            and instance_id in member.share.take
            and instance_id not in self._accounts
        )

    async def recover(self, instance_id: str) -> Recovery:
        """Own the account; returns its last state. If the whole outbox was lost, own that again."""
        if self._spread is None:
            if not self._membership.owns:
                await self._own_again()
            found = await self._read(
                partial(reading.recovery, seals=self._keyring, instance=instance_id)
            )
            self._accounts.add(instance_id)
            return found
        if instance_id == ALL:
            return await self._read(partial(reading.recovery, seals=self._keyring, instance=ALL))
        epoch, tenure = None, self._tenure
        if instance_id not in self._accounts:
            epoch = await self._take(self._spread, instance_id)
        with self._looking_again(self._spread):
            found, stored = await self._read(
                lambda it: (
                    reading.recovery(it, self._keyring, instance_id),
                    unfinished_of(it, instance_id),
                )
            )
        if tenure != self._tenure or not self._spread.owns:  # this process's former member took it
            raise self._others()
        if epoch is not None:
            self._spread.took(instance_id, epoch)
            self._gain([instance_id])
            self._accounts.add(instance_id)
            self._spread.takeovers += 1
        return attrs.evolve(found, stored=stored)

    async def recover_many(
        self, instance_ids: Sequence[str], *, since: float, limit: int
    ) -> Sequence[tuple[str, Recovery, Sequence[PastAttempt]]]:
        """Own as many of the accounts as possible; returns each owned one with its last state."""
        member, tenure, wall = self._spread, self._tenure, self._wall()
        if member is None:
            if not self._membership.owns:
                await self._own_again()
            found, made = await self._read(
                partial(self._left, instances=instance_ids, since=since, limit=limit, wall=wall)
            )
            self._accounts.update(instance_ids)
            return [(name, it, made.get(name, ())) for name, it in found.items()]
        fresh = [name for name in instance_ids if name not in self._accounts]
        if not self._committer.idle:
            await self.flush()
        with self._looking_again(member):
            epochs = await self._apart(partial(many.take, member=member.member, instances=fresh))
            for name in set(fresh) - epochs.keys():
                member.not_offered(name)
            names = [name for name in instance_ids if name in epochs or name in self._accounts]
            found, made = await self._read(
                partial(self._left, instances=names, since=since, limit=limit, wall=wall)
            )
            stored = await self._look(partial(many.unfinished, instances=names))
        if tenure != self._tenure or not member.owns:  # this process's former member took them
            raise self._others()
        for name, epoch in epochs.items():
            member.took(name, epoch)
        if epochs:
            self._gain(epochs)
        self._accounts.update(epochs)
        member.takeovers += len(epochs)
        return [
            (name, attrs.evolve(it, stored=stored[name]), made.get(name, ()))
            for name, it in found.items()
        ]

    @staticmethod
    @contextmanager
    def _looking_again(member: SpreadMember) -> Iterator[None]:
        """If this fails, an account may be this process's in the database alone: look for that."""
        try:
            yield
        except BaseException:
            member.look_again()
            raise

    def _left(
        self,
        connection: Connection,
        instances: Sequence[str],
        since: float,
        limit: int,
        wall: float,
    ) -> tuple[Mapping[str, Recovery], Mapping[str, Sequence[PastAttempt]]]:
        """The state in which each account was left, and its attempts since then."""
        found = many.recoveries(connection, self._keyring, instances)
        if since == math.inf:
            return found, {}
        return found, past.attempts_of(connection, self._keyring, since, wall, instances, limit)

    async def _take(self, member: SpreadMember, instance_id: str) -> int:
        """Own the account; returns its new epoch."""
        if not self._committer.idle:  # write reports of the time when it was owned before
            await self.flush()
        take = partial(tables.take, member=member.member, instance=instance_id)
        try:
            return await self._apart(take)
        except OutboxError:
            member.not_offered(instance_id)
            raise

    def release(self, instance_id: str, at: float, standings: Sequence[Standing]) -> None:
        """Give the account up, with the batch that stores what it has spent."""
        if self._spread is not None and instance_id != ALL:
            if instance_id not in self._accounts:
                return
            self._given += 1
            self._let_go_of(instance_id)
        super().release(instance_id, at, standings)

    def covers(self, instance_id: str) -> bool:
        """Whether the lease runs and this process owns the account."""
        if self._spread is None or instance_id == ALL:
            return super().covers(instance_id)
        return instance_id in self._accounts and self._membership.covered

    # -- what this part needs itself

    @property
    def _shared_out(self) -> int:
        return 0 if self._spread is None else len(self._accounts)

    @property
    def _common(self) -> bool:
        return self._spread is None or self._spread.common

    @property
    def _share(self) -> Share | None:
        return None if self._spread is None else Share(self._spread.member, self._has)

    def _has(self, instance_id: str) -> bool:
        """Whether the account is owned by now; without a row, whether the common work is known.

        The database's condition decides who does the common work.
        """
        member = self._spread
        if member is None or (instance_id != ALL and member.knows(instance_id)):
            return instance_id in self._accounts
        return self._common_epoch is not None and self._common_epoch == member.common_epoch

    def _of_its_own(self, read: Callable[..., T]) -> Callable[..., T]:
        share = self._share
        return read if share is None else partial(read, share=share)

    def _check(self, instance_id: str = ALL) -> None:
        super()._check(instance_id)
        if self._spread is not None and instance_id != ALL and instance_id not in self._accounts:
            raise OutboxError(f"account {instance_id} belongs to another process")

    def _others(self) -> OutboxError:
        if self._spread is None:
            return super()._others()
        return OutboxError(
            f"outbox {self.place}: other processes took this one for gone, and have its accounts"
            " now"
        )

    def _make_known(self, connection: Connection) -> Keyring:
        if self.spreads and self._keys:  # only one process makes the secret for hashing keys
            connection.execute("LOCK TABLE keyring IN SHARE ROW EXCLUSIVE MODE")
        return super()._make_known(connection)

    async def _tidy(self) -> None:
        """Remove what killed runs have left; if accounts are spread, this is done later."""
        if self._spread is None:
            for left_over in (self._writer.groups, self._writer.contents):
                await self._apart(left_over.tidy)

    async def _tidy_up(self) -> None:
        """Remove former members' leftovers, if this member does the common work."""
        member = self._spread
        if member is not None and member.common and member.untidy:
            member.untidy = False
            try:
                await self._apart(self._writer.tidy, ALL)
            except BaseException:
                member.untidy = True
                raise

    # -- taking part

    def _let_go_of(self, account: str) -> None:
        super()._let_go_of(account)
        if self._spread is not None:
            self._spread.gave(account)
            self._leave_requests(account)

    def _leave_requests(self, account: str) -> None:
        self._handed.lost(account)
        self._desk.lost(account)

    def _change(self) -> None:
        self._changed.set()

    def _on_lost(self) -> None:
        super()._on_lost()
        self._change()

    async def _take_part_on(self) -> None:
        """Tell the gateway which accounts to take or give up; rejoin if taken for gone."""
        member = self._spread
        if member is None:
            return
        token = trio.lowlevel.current_trio_token()
        member.on_share = partial(token.run_sync_soon, self._change)
        why = ""
        while True:
            if member.owns:
                self._say(member)
            else:
                try:
                    await self._own_again()
                except OutboxError as error:
                    if why != str(error):
                        log_event(OUTBOX_FAILED, error=str(error))
                    why = str(error)
                    await trio.sleep(PAUSE)
                continue
            with trio.move_on_after(AGAIN):
                await self._changed.wait()
            self._changed = trio.Event()

    def _say(self, member: SpreadMember) -> None:
        for account in member.taken_away:
            self._lose(account)
        if member.common_epoch != self._common_epoch:
            if member.common_epoch is not None:  # it now gets requests of accounts without a row
                self._gain()
            self._common_epoch = member.common_epoch
        share = member.share
        if self.offered is not None and not share.take <= self._accounts:
            self.offered()
        if self.wanted is not None:
            for account in sorted(share.want):
                self.wanted(account)
        if self.leaving is not None:
            for account in sorted(share.give & self._accounts):
                self.leaving(account)
