"""Performs, for the server, the statements by which accounts are spread over processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import trio
from sharing.rows import Account, Handing, Rows, Taking
from sharing.server import Answer, Server, Transaction
from sharing.statements import ACCOUNT, MEMBER, STATEMENTS, Fence, Twice, _look, _note, statement

from gateway_contrib.postgres import handed, past
from gateway_contrib.postgres.connections.failing import NOT_COMMON
from gateway_contrib.postgres.names import name_of
from gateway_contrib.postgres.operators import overtaken, suspensions
from gateway_contrib.postgres.producing import calls
from gateway_contrib.postgres.spreading import many, tables
from gateway_contrib.postgres.writes import writing
from gateway_core.outboxes import position_of

BEGIN_SHARE = writing._BEGIN_SHARE
SHARES, SLOT, NEW_ACCOUNT, SUSPENSION = "shares", "slot", "new account", "suspension"


class NotCommon(handed.psycopg.DatabaseError):
    """`begin_share` refuses: another member does the common work."""

    sqlstate = NOT_COMMON


def _named(rows: Rows, account: str) -> str | None:
    """The instance whose row has this account."""
    return next((name for name in rows.accounts if name_of(name) == account), None)


# -- who takes part


@statement(tables._LOOK)
async def look(server: Server, _: Transaction, given: Any) -> Answer:
    """The members that take part, and the version of what they are to own."""
    rows = server.rows
    found = [
        (
            rows.version,
            member,
            it.name,
            it.lease,
            it.counter,
            it.weight,
            it.ready,
            it.draining,
            it.unfinished,
        )
        for member, it in rows.members.items()
    ]
    return found or [(rows.version, *[None] * 8)], len(found)


@statement(tables._ACCOUNTS)
async def all_accounts(server: Server, _: Transaction, given: Any) -> Answer:
    """The owner of each account."""
    some = server.rows.accounts.items()
    return [(name, it.member, it.epoch, it.pinned) for name, it in some], len(some)


@statement(tables._BUSY)
async def busy_accounts(server: Server, _: Transaction, given: Any) -> Answer:
    """The owner of each account that is not idle, and of these idle ones."""
    (some,) = given
    rows = server.rows.accounts.items()
    found = [
        (name, it.member, it.epoch, it.pinned)
        for name, it in rows
        if not it.idle or name_of(name) in some
    ]
    return found, len(found)


@statement(tables._AWAITED)
async def awaited(server: Server, _: Transaction, given: Any) -> Answer:
    """The idle accounts for which something is handed over; operators leave no requests here."""
    waiting = {row.instance for row in server.rows.handed.values() if not row.answered}
    found = [(name,) for name, it in server.rows.accounts.items() if it.idle and name in waiting]
    return found, len(found)


@statement(tables._LACKS)
async def lacking(server: Server, _: Transaction, given: Any) -> Answer:
    """The accounts that each member cannot own."""
    some = server.rows.members.items()
    return [(member, it.lacks) for member, it in some if it.weight is not None], len(some)


@statement(tables.CHANGED)
async def changed(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Raise the version; another transaction that changes it waits."""
    await server.lock(transaction, SHARES, "no key update")

    def write(rows: Rows) -> None:
        rows.version += 1

    server.writes(transaction, write)
    return [], 1


@statement("SELECT 1 FROM accounts WHERE account = '' FOR SHARE")
async def hold_common(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Keep others from becoming the owner of all accounts meanwhile."""
    await server.lock(transaction, (ACCOUNT, ""), "share")
    return [(1,)], 1


@statement(tables._SLOT)
async def join(server: Server, transaction: Transaction, given: Mapping[str, Any]) -> Answer:
    """Let a member take part, with the slot that it had, or with the first free slot."""
    rows, member = server.rows, given["member"]
    used = {it.slot for it in rows.members.values()}
    slots = (given["before"], *range(given["slots"]))
    free = next((slot for slot in slots if slot not in used), None)
    if member in rows.members or free is None:
        return [], 0
    await server.lock(transaction, (SLOT, free), "update")
    if any(it.slot == free for it in server.rows.members.values()):
        raise handed.psycopg.errors.UniqueViolation("duplicate key value: slot")
    taking = Taking(given["name"], given["lease"], weight=given["weight"], slot=free)
    transaction.own[MEMBER, member] = taking
    server.writes(transaction, lambda rows: rows.members.setdefault(member, taking))
    return [], 1


@statement("SELECT slot FROM members WHERE member = %s")
async def slot_of(server: Server, transaction: Transaction, given: Any) -> Answer:
    """A member's slot, also of a row that this transaction is about to insert."""
    (member,) = given
    taking = server.rows.members.get(member) or transaction.own.get((MEMBER, member))
    return ([], 0) if taking is None else ([(taking.slot,)], 1)


@statement("UPDATE members SET lacks = %s, ready = true WHERE member = %s")
async def say_lacks(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Store what a member cannot own, which makes the member ready."""
    lacks, member = given
    await server.lock(transaction, (MEMBER, member), "no key update")

    def write(rows: Rows) -> None:
        if member in rows.members:
            rows.members[member].lacks, rows.members[member].ready = lacks, True

    server.writes(transaction, write)
    return [], 1


@statement("SELECT 1 FROM members WHERE member = %s FOR KEY SHARE")
async def hold_member(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Keep others from removing the member meanwhile."""
    (member,) = given
    await server.lock(transaction, (MEMBER, member), "key share")
    return ([(1,)], 1) if member in server.rows.members else ([], 0)


# -- who owns an account


@statement(tables._ADD)
async def add(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Add rows for accounts that have none, owned by nobody, or by the owner of all accounts."""
    common = server.rows.accounts[""].member
    taking = None if common is None else server.rows.members.get(common)
    whole = common if taking is not None and taking.weight is None else None
    count = 0
    for _, instance in sorted(zip(*given, strict=True)):
        if instance in server.rows.accounts:
            continue
        await server.lock(transaction, (NEW_ACCOUNT, instance), "update")
        if instance in server.rows.accounts:
            continue
        count += 1
        transaction.own[ACCOUNT, instance] = Account(whole, 0)
        server.writes(transaction, partial(_add, instance=instance, member=whole))
    return [], count


def _add(rows: Rows, instance: str, member: Any) -> None:
    rows.accounts.setdefault(instance, Account(member, 0))


def _account(server: Server, transaction: Transaction, account: str) -> tuple[str, Account] | None:
    """An account's row as this transaction sees it."""
    name = _named(server.rows, account)
    if name is not None:
        return name, server.rows.accounts[name]
    own = [(key[1], it) for key, it in transaction.own.items() if key[0] == ACCOUNT]
    return next(((name, it) for name, it in own if name_of(name) == account), None)


@statement("""SELECT a.member, a.epoch, m.name FROM accounts a LEFT JOIN members m USING (member)
    WHERE a.account = %s""")
async def owner_of(server: Server, transaction: Transaction, given: Any) -> Answer:
    """The account's owner, whether that member is there or gone."""
    found = _account(server, transaction, *given)
    if found is None:
        return [], 0
    member, epoch = found[1].member, found[1].epoch
    taking = None if member is None else server.rows.members.get(member)
    return [(member, epoch, None if taking is None else taking.name)], 1


@statement(tables._TAKE)
async def take(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Take an account if its row is still as it was seen."""
    member, account, epoch, before = given
    found = _account(server, transaction, account)
    if found is None:
        return [], 0
    name, _ = found
    await server.lock(transaction, (ACCOUNT, name), "update of its epoch")
    it = server.rows.accounts.get(name) or transaction.own[ACCOUNT, name]
    if it.epoch != epoch or it.member != before:
        return [], 0

    def write(rows: Rows) -> None:
        it = rows.accounts[name]
        it.member, it.epoch, it.idle = member, epoch + 1, False

    server.writes(transaction, write)
    return [], 1


@statement(many._OWNED)
async def owners_of(server: Server, transaction: Transaction, given: Any) -> Answer:
    """For all of these accounts: the owner, and whether the owner is there."""
    found = []
    for account in given[0]:
        known = _account(server, transaction, account)
        if known is not None:
            it = known[1]
            taking = None if it.member is None else server.rows.members.get(it.member)
            name = None if taking is None else taking.name
            found.append((account, it.epoch, it.member, name))
    return found, len(found)


@statement(many._TAKE)
async def take_many(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Take those accounts whose rows are as they were seen, and whose owner is not there."""
    member, *columns = given
    taken: list[tuple[str, int]] = []
    for account, epoch in zip(*columns, strict=True):
        found = _account(server, transaction, account)
        if found is None:
            continue
        name, _ = found
        await server.lock(transaction, (ACCOUNT, name), "update of its epoch")
        it = server.rows.accounts.get(name) or transaction.own[ACCOUNT, name]
        if it.epoch == epoch and (it.member is None or it.member not in server.rows.members):
            taken.append((name, epoch + 1))

    def write(rows: Rows) -> None:
        for name, epoch in taken:
            it = rows.accounts[name]
            it.member, it.epoch, it.idle = member, epoch, False

    server.writes(transaction, write)
    return [(name_of(name), epoch) for name, epoch in taken], len(taken)


@statement(past._TRIED)
async def tried(server: Server, transaction: Transaction, given: Mapping[str, Any]) -> Answer:
    """The accounts that lately made attempts."""
    rows, since = server.rows, given["since"]
    found = {each.kept.instance for each in rows.history.values() if each.end[4] > since}
    found |= {
        rows.envelopes[seq].instance
        for (seq, _), row in rows.steps.items()
        if row[2] > 0 and seq in rows.envelopes
    }
    return [(name_of(it),) for it in sorted(found) if name_of(it) in given["accounts"]], len(found)


def has_envelopes(rows: Rows, instance: str) -> bool:
    """Whether an envelope of the account is stored."""
    return any(kept.instance == instance for kept in rows.envelopes.values())


@statement("""UPDATE accounts SET member = NULL, idle = account = ANY (%b::text[])
    AND NOT EXISTS (SELECT 1 FROM envelopes e WHERE e.account = accounts.account)
    WHERE member = %s AND account = ANY (%b::text[])""")
async def give(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Give up the member's accounts among these, of which some are idle."""
    idle, member, accounts = given
    found = []
    for name, it in sorted(server.rows.accounts.items()):
        if name_of(name) in accounts and it.member == member:
            await server.lock(transaction, (ACCOUNT, name), "no key update")
            found += [name] if server.rows.accounts[name].member == member else []

    def write(rows: Rows) -> None:
        for name in found:
            it = rows.accounts[name]
            it.member, it.idle = None, name_of(name) in idle and not has_envelopes(rows, name)

    if found:
        server.writes(transaction, write)
    return [], len(found)


@statement(BEGIN_SHARE)
async def begin_share(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Hold the rows of the member and of the accounts until the end, and note the number."""
    member, number, touched, seqs = given
    await server.lock(transaction, (MEMBER, member), "key share")
    if member not in server.rows.members:
        raise Fence
    rows = server.rows
    of_seqs = {rows.envelopes[seq].instance for seq in seqs if seq in rows.envelopes}
    known = {name_of(name): name for name in rows.accounts}
    for account in sorted({*touched, *map(name_of, of_seqs)} & known.keys()):
        name = known[account]
        await server.lock(transaction, (ACCOUNT, name), "key share")
        if server.rows.accounts[name].member != member:
            if not name:
                raise NotCommon("another member does what is common")
            raise Fence(name)
    if not await _note(server, transaction, member, number):
        raise Twice("it is committed")

    def forget(rows: Rows) -> None:
        for key in [key for key in rows.batches if key[0] == member and key[1] < number]:
            del rows.batches[key]

    server.writes(transaction, forget)
    transaction.member = member
    return [(None,)], 1


@statement(writing._OR_GROUPS)
async def of_account(server: Server, transaction: Transaction, given: Any) -> Answer:
    """The entries of an account; there are no groups."""
    account, seqs, _, _ = given
    kept = server.rows.envelopes
    some = [(seq,) for seq in seqs if seq in kept and name_of(kept[seq].instance) == account]
    return some, len(some)


# -- operators


@statement("UPDATE accounts SET pinned = %s WHERE account = %s")
async def pin(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Pin an account to a process, or to none."""
    pinned, account = given
    name = _named(server.rows, account)
    if name is None:
        return [], 0
    await server.lock(transaction, (ACCOUNT, name), "no key update")

    def write(rows: Rows) -> None:
        rows.accounts[name].pinned = pinned

    server.writes(transaction, write)
    return [], 1


@statement("UPDATE members SET draining = %s WHERE name = %s AND weight IS NOT NULL")
async def drain(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Let a process own nothing, or its share again."""
    draining, name = given
    some = [member for member, it in server.rows.members.items() if it.name == name]
    for member in some:
        await server.lock(transaction, (MEMBER, member), "no key update")

    def write(rows: Rows) -> None:
        for member in some:
            if member in rows.members:
                rows.members[member].draining = draining

    server.writes(transaction, write)
    return [], len(some)


@statement("UPDATE members SET draining = true WHERE member = %s")
async def end(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Let a member that is ending own nothing more."""
    (member,) = given
    await server.lock(transaction, (MEMBER, member), "no key update")

    def write(rows: Rows) -> None:
        if member in rows.members:
            rows.members[member].draining = True

    server.writes(transaction, write)
    return [], int(member in server.rows.members)


@statement(overtaken.ASKED)
async def asked_about(server: Server, transaction: Transaction, given: Any) -> Answer:
    """The questions about an account that wait for longer than that."""
    instance, age = given
    found = [
        (row.number, row.id, row.envelope)
        for row in server.rows.handed.values()
        if row.kind == "ask" and not row.answered and row.instance == instance
        and row.handed_at < trio.current_time() - age
    ]  # fmt: skip
    return found, len(found)


@statement(suspensions.STORE)
async def suspend(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Suspend an account from now on."""
    account, instance, *row = given
    await server.lock(transaction, (SUSPENSION, account), "no key update")
    server.writes(transaction, lambda rows: rows.suspend(instance, tuple(row)))
    return [], 1


@statement(suspensions.FORGET)
async def resume(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Resume an account."""
    (account,) = given
    await server.lock(transaction, (SUSPENSION, account), "update")
    name = next((it for it in server.rows.suspended if name_of(it) == account), None)
    if name is not None:
        server.writes(transaction, lambda rows: rows.suspend(name, None))
    return [], int(name is not None)


# -- what is handed over, and what became of it


def _mine(server: Server, me: Any, some: Iterable[Handing]) -> list[Handing]:
    accounts = server.rows.accounts
    common = accounts[""].member == me
    return [
        row
        for row in some
        if (accounts[row.instance].member == me if row.instance in accounts else common)
    ]


@statement(handed._LOOK.format(some=handed._MINE.format(some=handed._ALL.format(but=""))))
async def look_at_all(server: Server, transaction: Transaction, given: Any) -> Answer:
    """All rows that wait, for the accounts that the member owns."""
    waiting = [row for row in server.rows.handed.values() if not row.answered]
    return _look(_mine(server, given["me"], waiting), server, given)


@statement(handed._LOOK.format(some=handed._MINE.format(some=handed._NEW.format(but=""))))
async def look_at_new(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Like `look_at_all`, only rows of transactions that began since then, or were open."""
    xmax, were_open = int(given["xmax"]), set(map(int, given["open"]))
    waiting = [
        row
        for row in server.rows.handed.values()
        if not row.answered and (row.transaction >= xmax or row.transaction in were_open)
    ]
    return _look(_mine(server, given["me"], waiting), server, given)


@statement("SELECT id, secret FROM sealed_with()")
async def sealed_with(server: Server, transaction: Transaction, given: Any) -> Answer:
    """No keys: nothing is sealed."""
    return [], 0


@statement("SELECT oldest FROM release()")
async def release(server: Server, transaction: Transaction, given: Any) -> Answer:
    """The schema is of this release."""
    return [(0,)], 1


@statement(calls._NEWS)
async def news(server: Server, transaction: Transaction, given: Any) -> Answer:
    """What became of the requests and envelopes with these numbers."""
    rows, found = server.rows, []
    by_own = {position_of(it.own_id): it for it in rows.handed.values() if it.own_id is not None}
    for number in given[0]:
        row = by_own.get(number)
        if row is not None:
            seq = None if row.envelope_id is None else position_of(row.envelope_id)
            past = None if seq is None else rows.history.get(seq)
            ended = (None, None) if past is None else (past.end[5], seq)
            found.append(
                (row.own_id, row.instance, row.room, row.kind, row.handed_at,
                 row.handed_at if row.answered else None, row.envelope_id, row.replayed,
                 row.cancelled, row.refused, row.answer, *ended, seq in rows.envelopes)
            )  # fmt: skip
        elif (kept := rows.envelopes.get(number)) is not None:
            found.append(_of_owner(kept.row, None, None, stored=True))
        elif (past := rows.history.get(number)) is not None:
            found.append(_of_owner(past.kept.row, past.end[5], number, stored=False))
    return found, len(found)


def _of_owner(row: Any, receipt: Any, seq: Any, *, stored: bool) -> tuple[Any, ...]:
    head = (row[1], row[2], row[3], "submit", row[6], row[6], row[1], False, False, None, None)
    return (*head, receipt, seq, stored)


@statement("SELECT keyed(%s, %s, %b::bytea[], %s)")
async def keyed(server: Server, transaction: Transaction, given: Any) -> Answer:
    """The number of the envelope that has the key."""
    account, instance, scopes, since = given
    for scope in scopes:
        known = server.rows.keys.get((account, scope))
        if known is not None and (known[1] is None or known[1] >= since):
            return [(known[0],)], 1
    waiting = sorted(
        (it.number, it.own_id)
        for it in server.rows.handed.values()
        if it.scope in scopes and it.instance == instance and not it.answered
    )
    return [(position_of(waiting[0][1]) if waiting else None,)], 1


@statement("SELECT now, before FROM withdraw(%s)")
async def withdraw(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Withdraw a request: whether it is cancelled now, and whether it was cancelled before."""
    row = await _withdrawn(server, transaction, given[0])
    if row is None:
        return [(False, False)], 1
    return [(not row.answered, row.cancelled)], 1


async def _withdrawn(server: Server, transaction: Transaction, own: int) -> Handing | None:
    some = (it for it in server.rows.handed.values() if it.own_id is not None)
    row = next((it for it in some if position_of(it.own_id or "") == own), None)
    if row is None:
        return None
    await server.lock(transaction, ("handed", row.number), "update")
    if not row.answered:
        server.writes(transaction, partial(_cancel, number=row.number))
    return row


def _cancel(rows: Rows, number: int) -> None:
    rows.handed[number].answered = rows.handed[number].cancelled = True
    rows.handed[number].left = True


@statement("SELECT leave(number) FROM unnest(%b::bigint[]) n(number)")
async def leave(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Cancel requests; for those that an owner has taken, ask the owner to do so."""
    for own in given[0]:
        row = await _withdrawn(server, transaction, own)
        if row is None or not row.answered or row.envelope_id is None or row.left:
            continue
        same = row.envelope_id
        server.writes(transaction, partial(_leave, number=row.number))
        if any(
            it.envelope_id == same and not it.left and it is not row
            for it in server.rows.handed.values()
        ):
            continue
        number = server.next_handed()
        asked = Handing(
            number=number, id=f"leave {number}", instance=row.instance, room=row.room,
            envelope=same, transaction=server.number(transaction), handed_at=server.now(),
            kind="leave",
        )  # fmt: skip
        server.writes(transaction, partial(_ask, row=asked))
    return [], len(given[0])


def _leave(rows: Rows, number: int) -> None:
    rows.handed[number].left = True


def _ask(rows: Rows, row: Handing) -> None:
    rows.handed[row.number] = row


__all__ = ["BEGIN_SHARE", "STATEMENTS"]
