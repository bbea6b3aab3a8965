"""Shows operators which process owns which account, and lets them change that."""

from __future__ import annotations

from functools import partial
from time import time as system_time
from typing import Any, TypeAlias

import attrs
import psycopg

from gateway_contrib.postgres.names import name_of, text_out
from gateway_contrib.postgres.operators.operating import Operator
from gateway_contrib.postgres.spreading.tables import CHANGED
from gateway_core.outboxes import OutboxError

Connection: TypeAlias = psycopg.Connection[Any]

_ACCOUNTS = """SELECT a.instance, m.name, extract(epoch FROM a.owned_since)::float8, a.epoch,
        a.pinned
    FROM accounts a LEFT JOIN members m USING (member) WHERE a.account <> '' ORDER BY a.instance"""
_UNOWNED = """WITH living AS (
        SELECT member FROM members
            WHERE renewed_at > clock_timestamp() - make_interval(secs => 1.1 * lease)
    ), owned AS (
        SELECT account, instance FROM accounts JOIN living USING (member)
    )
    SELECT a.instance FROM accounts a WHERE a.account <> ''
        AND NOT EXISTS (SELECT FROM owned o WHERE o.account = a.account)
        AND EXISTS (SELECT FROM envelopes e WHERE e.account = a.account
            AND greatest(e.accepted_at, e.due) < %(before)s)
    UNION SELECT h.instance FROM handed h WHERE h.answered_at IS NULL
        AND h.handed_at < to_timestamp(%(before)s)
        AND NOT EXISTS (SELECT FROM owned o WHERE o.instance = h.instance)
    ORDER BY 1"""
UNOWNED_FOR = 5.0
"""Seconds that a message has waited before its account is shown as one that nobody owns. A process
takes an account that has something to do within a fraction of a second."""


@attrs.frozen(kw_only=True)
class Owned:
    """An account. `member`: the name of the process that owns it; None: nobody owns it.

    since   POSIX time, by the server's clock, since when it is owned; None: nobody owns it
    epoch   the owner's number, counted from the first owner
    pinned  name of the process that is to own it, whatever the balance is; None: any
    """

    account: str
    member: str | None
    since: float | None
    epoch: int
    pinned: str | None


class Sharing(Operator):
    """An operator of an outbox whose accounts may be spread over processes."""

    def owned(self) -> list[Owned]:
        """All accounts, by their names."""
        return [
            Owned(
                account=text_out(instance), member=name, since=since if name else None,
                epoch=epoch, pinned=pinned,
            )
            for instance, name, since, epoch, pinned in self._rows_of(_ACCOUNTS)
        ]  # fmt: skip

    def shares(self) -> dict[str | None, list[str]]:
        """The accounts of each process that owns some, by its name; empty: one answers for all.

        None has the accounts that no running process owns though their messages wait.
        """
        found: dict[str | None, list[str]] = {}
        if any(part.accounts is not None for part in self.parts()):
            for each in self.owned():
                if each.member is not None:
                    found.setdefault(each.member, []).append(each.account)
            if unowned := self._rows_of(_UNOWNED, {"before": system_time() - UNOWNED_FOR}):
                found[None] = [text_out(instance) for (instance,) in unowned]
        return found

    def move(self, account: str, member: str | None) -> str:
        """Pin the account to the process, None: to none; returns the process's full name.

        Raises `OutboxError` if the outbox has no such account, no such process takes part, or it
        gives up its accounts.
        """
        name = None if member is None else self._named(member)
        if any(part.name == name and part.draining for part in self.parts()):
            raise OutboxError(
                f"{name!r} gives up its accounts: end that first, with drain-member --undo"
            )
        with self._typed("cannot be changed"):
            if not self._link.call(partial(_pin, account=account, name=name)):
                raise OutboxError(f"the outbox has no account {account!r}")
        return name or ""

    def drain(self, member: str, *, draining: bool) -> str:
        """Let the process own nothing, or its share again; its full name. Raises `OutboxError`."""
        name = self._named(member)
        with self._typed("cannot be changed"):
            self._link.call(partial(_drain, name=name, draining=draining))
        return name

    def is_last(self, member: str) -> bool:
        """Whether no process but the named one, by its full name, is there to take accounts."""
        return not any(
            part.accounts is not None and not part.draining
            for part in self.parts() if part.name != member
        )  # fmt: skip

    def _named(self, member: str) -> str:
        """The full name of the one process whose name is, or contains, `member`."""
        rows = self._rows_of("SELECT DISTINCT name FROM members WHERE weight IS NOT NULL")
        names = sorted(name for (name,) in rows)
        some = [name for name in names if name == member] or [it for it in names if member in it]
        if len(some) == 1:
            return str(some[0])
        known = "; ".join(some or names) or "none"
        why = "is no process that shares the accounts" if not some else "fits several processes"
        raise OutboxError(f"{member!r} {why}; there are: {known}")


def _pin(connection: Connection, account: str, name: str | None) -> int:
    with connection.transaction():
        sql = "UPDATE accounts SET pinned = %s WHERE account = %s"
        found = connection.execute(sql, (name, name_of(account))).rowcount
        connection.execute(CHANGED)
    return found


def _drain(connection: Connection, name: str, draining: bool) -> None:
    with connection.transaction():
        sql = "UPDATE members SET draining = %s WHERE name = %s AND weight IS NOT NULL"
        connection.execute(sql, (draining, name))
        connection.execute(CHANGED)
