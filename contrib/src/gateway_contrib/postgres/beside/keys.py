"""Looks up idempotency keys; callers that come at the same time share one statement. Waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import psycopg
import trio

from gateway_contrib.durable.seals import Seals
from gateway_contrib.postgres.names import name_of, scope_of
from gateway_core.outboxes import OutboxError

Connection: TypeAlias = psycopg.Connection[Any]
Scope: TypeAlias = tuple[str, str, str, str]

# A hashed key is newer than a plain one, which was stored before there was a secret to hash with.
_SEQS = """SELECT DISTINCT ON (v.place) v.place, k.seq
    FROM unnest(%b::bigint[], %b::text[], %b::bytea[]) v(place, account, scope)
    JOIN keys k ON k.account = v.account AND k.scope = v.scope
    WHERE k.ended_at IS NULL OR k.ended_at >= %s ORDER BY v.place, k.hashed DESC"""


def seqs_of(
    connection: Connection, seals: Seals, scopes: Sequence[Scope], since: float
) -> dict[Scope, int]:
    """The envelopes or groups that have these keys, unless they ended before `since`. Blocks."""
    rows = []
    for place, scope in enumerate(scopes):
        plain = scope_of(scope)
        rows += [(place, name_of(scope[0]), it) for it in {seals.hashed(plain), plain}]
    asked = [list(column) for column in zip(*rows, strict=True)]
    found = connection.execute(_SEQS, (*asked, since)).fetchall()
    return {scopes[place]: seq for place, seq in found}


class _Together:
    """Keys that are looked up together, and the result."""

    def __init__(self) -> None:
        self.scopes: dict[Scope, None] = {}
        self.done = trio.Event()
        self.found: dict[Scope, int] = {}
        self.error: OutboxError | None = None


class Keys:
    """Looks up keys; a caller that comes while a look is under way takes part in the next one.

    look  calls its argument with the connection that reads; raises `OutboxError`
    """

    def __init__(self, look: Callable[[Callable[[Connection], Any]], Awaitable[Any]]) -> None:
        self._look = look
        self._turn = trio.Lock()
        self._next = _Together()

    async def known(self, seals: Seals, scope: Scope, since: float) -> bool:
        """Whether an envelope or a group has the key. Raises `OutboxError`."""
        together = self._next
        begins = not together.scopes
        together.scopes[scope] = None
        if begins:
            with trio.CancelScope(shield=True):  # others wait for it
                await self._ask(together, seals, since)
        await together.done.wait()  # all go on in one turn of the loop, and so share a batch
        if together.error is not None:
            raise OutboxError(str(together.error)) from together.error
        return scope in together.found

    async def _ask(self, together: _Together, seals: Seals, since: float) -> None:
        async with self._turn:
            self._next = _Together()
            scopes = list(together.scopes)
            try:
                together.found = await self._look(lambda it: seqs_of(it, seals, scopes, since))
            except OutboxError as error:
                together.error = error
            finally:
                together.done.set()
