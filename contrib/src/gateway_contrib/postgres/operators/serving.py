"""The part of an outbox that carries out operators' requests, or passes them to its gateway."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from gateway_contrib.durable.rows import Row
from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.postgres.handed import Share
from gateway_contrib.postgres.names import ALL, name_of, text_out
from gateway_contrib.postgres.operators import overtaken, suspensions
from gateway_contrib.postgres.operators.requests import Desk
from gateway_contrib.postgres.owning import Owning
from gateway_contrib.postgres.sealing.anew import Resealing
from gateway_contrib.postgres.sealing.known import keyring_at
from gateway_contrib.postgres.storing import Connection
from gateway_contrib.postgres.writes import reopening
from gateway_core.outboxes import OutboxError, Request, Suspension

if TYPE_CHECKING:  # its library is an extra
    from gateway_contrib.durable.sealing.ciphers import Key


class Serving(Owning):
    """Owns the database, and answers operators' requests."""

    requested: Callable[[Request], None] | None
    _keyring: Keyring
    _keys: tuple[Key, ...]
    _desk: Desk

    @property
    def _common(self) -> bool:
        """Whether this process does the work common to all accounts; here it owns them all."""
        return True

    @property
    def _share(self) -> Share | None:
        """The accounts that this process owns; None: all."""
        return None

    async def _know_keys(self) -> None:
        """Open what is sealed, and seal with the first key from now on. Raises `OutboxError`."""
        self._keyring = await self._apart(self._make_known)
        self._writer.seal_with(self._keyring)
        self._desk.seal_with(self._keyring)
        self._handed.seal_with(self._keyring)

    def _make_known(self, connection: Connection) -> Keyring:
        """Make the first key known to the schema; returns the keyring."""
        return keyring_at(connection, self._keys, self.place, owner=True)

    async def _own_again(self) -> None:
        """Own the outbox again, with its keys, since another owner may have given it keys."""
        await super()._own_again()
        self._desk.anew()
        try:
            await self._know_keys()
        except OutboxError:  # another process, which has the keys, may own it
            await self._give_back()
            raise

    async def _serve(self) -> bool:
        """Carry out new requests; returns whether there is more to do at once."""
        if self._membership.owns:
            look = partial(self._desk.look, share=self._share, common=self._common)
            for row in await self._look(look):
                await self._serve_one(row)
            if self._common:
                await self._reseal_on()
            else:
                self._desk.leave_resealing()
        return self._desk.resealing is not None

    async def _serve_one(self, row: Row) -> None:
        number, kind, _, instance, *_ = row
        wall, desk, writer = self._wall(), self._desk, self._writer
        account = name_of(text_out(instance)) if instance else None
        if kind == "reseal":
            desk.begin_resealing(number)
        elif kind == "retry":
            retry = partial(desk.retry, writer=writer, row=row, wall=wall)
            stored = await self._apart(retry, account)
            for each in stored:
                self._ask(Request(kind="retry", stored=each))
        else:
            if kind == "withdraw":
                found: Request | str | None = desk.withdrawal(row)
            else:
                found = await self._look(partial(desk.hand_on, row=row))
            if isinstance(found, Request):
                self._ask(found)
            elif found is not None:
                self._answer_asked(Request(kind=kind, number=number), found)
            elif kind == "discard":
                discard = partial(desk.discard, writer=writer, row=row, wall=wall)
                await self._apart(discard, account)

    def _ask(self, request: Request) -> None:
        if self.requested is not None:
            self.requested(request)

    def _answer_asked(self, request: Request, answer: str) -> None:
        """Write the answer with the next batch, which has the envelopes that the request ended."""
        super().answered(request, answer)

    async def erase(self, request: Request, in_flight: int) -> None:
        """Erase everything of a room, and answer the request."""
        if not self._committer.idle:
            await self.flush()
        writer, wall = self._writer, self._wall()
        place = (request.instance_id, request.room)

        def erase(connection: Connection) -> None:
            count = reopening.erase(connection, writer.groups, writer.contents, *place)
            answer = f"{count} rows erased, {in_flight} in flight"
            self._desk.erased(connection, request, wall, answer)

        await self._apart(erase, name_of(request.instance_id))

    async def store_suspension(
        self, instance_id: str, suspension: Suspension | None, age: float = 0.0
    ) -> None:
        """Store it for an account that this process owns, in a transaction of its own.

        Answers come first: the next owner repeats a request whose answer is not written, and must
        not undo a newer one. For the same reason, this answers what was asked before and was not
        taken yet.
        """
        self._check(instance_id)
        if not self._committer.idle:
            await self.flush()
            self._check(instance_id)
        seals = self._keyring

        def store(connection: Connection) -> None:
            overtaken.answer(connection, seals, instance_id, suspension, age)
            suspensions.store(connection, instance_id, suspension)

        await self._apart(store, name_of(instance_id))

    # -- sealing anew

    async def _reseal_on(self) -> None:
        """Go on sealing everything anew if a request asks for it."""
        resealing = self._desk.resealing
        if resealing is None:
            return
        try:
            more = await self._apart(resealing.step, ALL)
        except BaseException:
            resealing.begin_again()
            raise
        if not more:
            for number in self._desk.end_resealing():
                self._answer_asked(Request(kind="reseal", number=number), resealing.told)

    async def reseal(self) -> str:
        """Seal everything anew; returns what was done, in words. Raises `OutboxError`."""
        resealing = Resealing(self._keyring)
        while await self._apart(resealing.step):
            pass
        return resealing.told
