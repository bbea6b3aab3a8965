"""Performs, for the server, the statements that own an outbox, hand over to it, and write it.

A statement is known by the exact text that the product sends. A statement that is missing here
raises KeyError, and must be added to this file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from itertools import zip_longest
from typing import Any

import trio
from sharing.rows import Account, Handing, Kept, Past, Rows, Taking
from sharing.server import Answer, Server, Statement, Transaction

from gateway_contrib.postgres import handed, past
from gateway_contrib.postgres.connections.failing import FENCED
from gateway_contrib.postgres.names import name_of
from gateway_contrib.postgres.producing import calls
from gateway_contrib.postgres.writes import handed_answers

READ, WRITE = "-- read", "-- write"
"""Statements of this simulation alone: a function reads the rows, or writes at the COMMIT."""


class Diagnosis:
    """What the server says of an error besides its words."""

    def __init__(self, detail: str | None) -> None:
        self.message_detail = detail


class Fence(handed.psycopg.DatabaseError):
    """`begin_batch` refuses: another member owns the account."""

    sqlstate = FENCED

    def __init__(self, detail: str | None = None) -> None:
        super().__init__("another member owns it")
        self._detail = detail

    @property
    def diag(self) -> Any:
        """The diagnosis, which names the account."""
        return Diagnosis(self._detail)


class Twice(handed.psycopg.DatabaseError):
    """`begin_batch` refuses: a transaction with that number is committed."""

    sqlstate = "GW002"


STATEMENTS: dict[str, Statement] = {}


def statement(*texts: str) -> Any:
    """Let the function below perform these statements."""

    def take(do: Statement) -> Statement:
        STATEMENTS.update({" ".join(text.split()): do for text in texts})
        return do

    return take


# -- membership

ACCOUNT, MEMBER = "account", "member"


@statement("""SELECT a.member, m.name, m.lease, m.counter
    FROM accounts a LEFT JOIN members m USING (member) WHERE a.account = ''""")
async def owner(server: Server, _: Transaction, given: Any) -> Answer:
    """The owner of all accounts."""
    rows = server.rows
    member = rows.accounts[""].member
    taking = None if member is None else rows.members.get(member)
    if taking is None:
        return [(member, None, None, None)], 1
    return [(member, taking.name, taking.lease, taking.counter)], 1


@statement("SELECT 1 FROM accounts WHERE account = '' FOR UPDATE")
async def take_turn(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Allow one takeover at a time, and none while an owner writes."""
    await server.lock(transaction, (ACCOUNT, ""), "update of its epoch")
    return [(1,)], 1


@statement("DELETE FROM members WHERE member = %s AND counter = %s")
async def end_lease(server: Server, transaction: Transaction, given: Any) -> Answer:
    """End a member's lease, unless the member has renewed it."""
    member, counter = given
    await server.lock(transaction, (MEMBER, member), "update")
    taking = server.rows.members.get(member)
    if taking is None or taking.counter != counter:
        return [], 0
    server.writes(transaction, lambda rows: rows.members.pop(member, None))
    return [], 1


@statement("""INSERT INTO members (member, name, release, lease) VALUES (%s, %s, %s, %s)
    ON CONFLICT DO NOTHING""")
async def add_member(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Let a member take part."""
    member, name, _, lease = given
    server.writes(transaction, lambda rows: rows.members.setdefault(member, Taking(name, lease)))
    return [], 1


@statement("UPDATE accounts SET member = %s, epoch = epoch + 1, owned_since = clock_timestamp()")
async def take(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Let a member own all accounts."""
    (member,) = given
    for account in list(server.rows.accounts):
        await server.lock(transaction, (ACCOUNT, account), "update of its epoch")

    def write(rows: Rows) -> None:
        for account in rows.accounts.values():
            account.member, account.epoch = member, account.epoch + 1

    server.writes(transaction, write)
    return [], len(server.rows.accounts)


@statement(
    """DELETE FROM standbys WHERE process = %s
        OR seen_at < clock_timestamp() - make_interval(secs => %s)""",
    """INSERT INTO standbys (process, name, release) VALUES (%s, %s, %s)
        ON CONFLICT (process) DO UPDATE SET seen_at = clock_timestamp()""",
    "DELETE FROM batches WHERE noted_at < now() - make_interval(days => %s)",
)
async def nothing(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Do nothing: these rows are for people to look at, or matter only after days."""
    return [], 0


@statement("""UPDATE members SET counter = counter + 1, renewed_at = clock_timestamp()
    WHERE member = %s""")
async def renew(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Raise a member's counter."""
    (member,) = given
    await server.lock(transaction, (MEMBER, member), "no key update")
    if member not in server.rows.members:
        return [], 0

    def write(rows: Rows) -> None:
        rows.members[member].counter += 1

    server.writes(transaction, write)
    return [], 1


@statement("UPDATE members SET unfinished = %s WHERE member = %s")
async def say_count(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Store how many unfinished envelopes a member counts."""
    unfinished, member = given
    await server.lock(transaction, (MEMBER, member), "no key update")

    def write(rows: Rows) -> None:
        if member in rows.members:
            rows.members[member].unfinished = unfinished

    server.writes(transaction, write)
    return [], 1


@statement("SELECT counted()")
async def counted(server: Server, _: Transaction, given: Any) -> Answer:
    """How many unfinished envelopes all members count, by class."""
    counts = [it.unfinished for it in server.rows.members.values()]
    return [([sum(each) for each in zip_longest(*counts, fillvalue=0)],)], 1


@statement("DELETE FROM members WHERE member = %s")
async def leave(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Let a member no longer take part."""
    (member,) = given
    await server.lock(transaction, (MEMBER, member), "update")
    server.writes(transaction, lambda rows: rows.members.pop(member, None))
    return [], 1


@statement("UPDATE accounts SET member = NULL WHERE member = %s")
async def give_up(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Let a member's accounts have no owner."""
    (member,) = given
    mine = [name for name, it in server.rows.accounts.items() if it.member == member]
    for account in mine:
        await server.lock(transaction, (ACCOUNT, account), "no key update")

    def write(rows: Rows) -> None:
        for account in mine:
            rows.accounts[account].member = None

    server.writes(transaction, write)
    return [], len(mine)


@statement("DELETE FROM batches WHERE member = %s")
async def forget_batches(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Forget a member's batches, since nobody will ask for them."""
    (member,) = given

    def write(rows: Rows) -> None:
        for key in [key for key in rows.batches if key[0] == member]:
            del rows.batches[key]

    server.writes(transaction, write)
    return [], 0


# -- an owner's transactions


@statement("SELECT begin_batch(%s, %s, %b::text[], %b::bigint[])")
async def begin_batch(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Hold the rows of the batch's accounts until the end, and note the batch's number."""
    member, number, touched, seqs = given
    rows = server.rows
    await server.lock(transaction, (ACCOUNT, ""), "key share")
    if rows.accounts[""].member != member:
        raise Fence
    named = {rows.envelopes[seq].instance for seq in seqs if seq in rows.envelopes}
    known = {name_of(name): name for name in rows.accounts if name}
    for account in sorted({*touched, *map(name_of, named)} & known.keys()):
        name = known[account]
        await server.lock(transaction, (ACCOUNT, name), "key share")
        if rows.accounts[name].member != member:
            raise Fence(name)
    if not await _note(server, transaction, member, number):
        raise Twice("it is committed")

    def forget(rows: Rows) -> None:
        for key in [key for key in rows.batches if key[0] == member and key[1] < number]:
            del rows.batches[key]

    server.writes(transaction, forget)
    transaction.member = member
    return [(None,)], 1


async def _note(server: Server, transaction: Transaction, member: Any, number: int) -> bool:
    """Insert the number as a unique key; returns whether it was new."""
    await server.lock(transaction, ("batch", member, number), "update")
    if (member, number) in server.rows.batches:
        return False
    server.writes(transaction, lambda rows: rows.batches.setdefault((member, number)))
    return True


@statement("INSERT INTO batches VALUES (%s, %s) ON CONFLICT DO NOTHING")
async def note(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Note the number of a transaction once more."""
    member, number = given
    return [], int(await _note(server, transaction, member, number))


@statement("UPDATE batches SET noted_at = now() WHERE member = %s AND number = %s")
async def note_again(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Note a number again, so that something is committed after it."""
    server.writes(transaction, lambda _: None)
    return [], 1


@statement("SELECT seq FROM envelopes WHERE account = %s AND seq = ANY (%b::bigint[])")
async def of_account(server: Server, transaction: Transaction, given: Any) -> Answer:
    """The entries of an account."""
    account, seqs = given
    kept: dict[int, Kept] = server.rows.envelopes
    some = [(seq,) for seq in seqs if seq in kept and name_of(kept[seq].instance) == account]
    return some, len(some)


@statement(READ)
async def read(server: Server, transaction: Transaction, given: Any) -> Answer:
    """The result of a function of the rows."""
    return [(given(server.rows),)], 1


@statement(WRITE)
async def write(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Let a function change the rows at the COMMIT."""
    server.writes(transaction, given)
    return [], 0


# -- which attempts were made


def _classed(kept: Kept) -> Any:
    return kept.row[9]


@statement(past._ENDED)
async def ended_lately(
    server: Server, transaction: Transaction, given: Mapping[str, Any]
) -> Answer:
    """The entries that ended since then, the newest first."""
    some: Iterable[Past] = server.rows.history.values()
    found = [
        (each.kept.instance, _classed(each.kept), each.end[4], each.end[5], each.kept.seq)
        for each in some
        if each.end[4] > given["since"]
        and (each.end[4], each.kept.seq) < (given["at"], given["seq"])
        and given["account"] in (None, name_of(each.kept.instance))
    ]
    found.sort(key=lambda row: (row[2], row[4]), reverse=True)
    return found[: given["limit"]], len(found)


@statement(past._BEGUN)
async def begun(server: Server, transaction: Transaction, given: Mapping[str, Any]) -> Answer:
    """The unfinished entries with attempts, the newest first."""
    counts: dict[int, int] = {}
    for (seq, _), row in server.rows.steps.items():
        if row[2] > 0 and (row[3] > 0 or row[5] > 0 or row[9] is not None):
            counts[seq] = counts.get(seq, 0) + 1
    some = [
        (kept.instance, _classed(kept), counts[seq], kept.row[10], seq)
        for seq, kept in sorted(server.rows.envelopes.items(), reverse=True)
        if seq in counts and given["account"] in (None, name_of(kept.instance))
    ]
    return some[: given["limit"]], len(some)


# -- what is handed over


@statement(handed._MEMBERS)
async def for_members(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Whether a process waits for a row that was handed over."""
    return [(any(row.member is not None for row in server.rows.handed.values()),)], 1


def _look(rows: Iterable[Handing], server: Server, given: Any) -> Answer:
    xmax, open_ones = server.snapshot()
    head = (str(xmax), list(map(str, open_ones)))
    now, before, found = trio.current_time(), 0, []
    for row in sorted(rows, key=lambda row: row.number)[: given["limit"]]:
        text = None
        if row.number not in given["waiting"]:
            size = len(row.envelope.encode())
            if before < given["bytes"]:
                text = row.envelope if size <= given["longest"] else ""
            before += size
        found.append(
            (*head, row.number, row.id, row.kind, row.own_id, row.awaited, row.instance, text,
             now - row.handed_at)
        )  # fmt: skip
    return found or [(*head, *[None] * 8)], len(found)


@statement(handed._LOOK.format(some=handed._ALL.format(but="")))
async def look_at_all(server: Server, transaction: Transaction, given: Any) -> Answer:
    """All rows that wait."""
    waiting = [row for row in server.rows.handed.values() if not row.answered]
    return _look(waiting, server, given)


@statement(handed._LOOK.format(some=handed._NEW.format(but="")))
async def look_at_new(server: Server, transaction: Transaction, given: Any) -> Answer:
    """The waiting rows of transactions that began since then, or were open."""
    xmax, were_open = int(given["xmax"]), set(map(int, given["open"]))
    waiting = [
        row
        for row in server.rows.handed.values()
        if not row.answered and (row.transaction >= xmax or row.transaction in were_open)
    ]
    return _look(waiting, server, given)


@statement(handed_answers._FREE)
async def free(server: Server, transaction: Transaction, given: Any) -> Answer:
    """The rows that nobody else holds; they are held from now on."""
    found = []
    for number in sorted(given[0]):
        key = ("handed", number)
        if number in server.rows.handed and not server.is_held(transaction, key, "update"):
            await server.lock(transaction, key, "update")
            found.append((number,))
    return found, len(found)


@statement(handed_answers._ANSWER)
async def answer(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Write the answers into these rows."""

    *columns, held = given

    def write(rows: Rows) -> None:
        for number, _, name, refused, said, replayed in zip(*columns, strict=True):
            row = rows.handed[number]
            if number in held and not row.answered:
                row.answered, row.envelope_id = True, name
                row.refused, row.answer, row.replayed = refused, said, replayed

    server.writes(transaction, write)
    return [], len(given[0])


@statement(handed_answers._UNANSWERED)
async def unanswered(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Which of these rows are not answered yet."""
    rows = server.rows.handed
    found = [(number,) for number in given[0] if number in rows and not rows[number].answered]
    return found, len(found)


@statement(handed_answers._CLAIM)
async def claim(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Answer the rows that nobody has answered yet with these envelopes."""
    claimed = {}
    for number, _, name in zip(*given, strict=True):
        await server.lock(transaction, ("handed", number), "no key update")
        if not server.rows.handed[number].answered:
            claimed[number] = name

    def write(rows: Rows) -> None:
        for number, name in claimed.items():
            rows.handed[number].answered = True
            rows.handed[number].envelope_id = name

    server.writes(transaction, write)
    return [(number,) for number in claimed], len(claimed)


@statement(calls._HAND)
async def hand_all(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Hand over several rows, each with its own token; a row that is there stays as it is."""
    member, *columns = given
    ids = []
    for token, kind, instance, room, text, scope, awaited in zip(*columns, strict=True):
        await server.lock(transaction, ("token", token), "update")
        known = (row for row in server.rows.handed.values() if row.id == str(token))
        row = next(known, None)
        if row is None:
            number = server.next_handed()
            row = Handing(
                number=number,
                id=str(token),
                instance=instance,
                room=room,
                envelope=text,
                transaction=server.number(transaction),
                handed_at=trio.current_time(),
                kind=kind,
                own_id=_own_id(number),
                member=member,
                awaited=awaited,
                scope=scope,
            )
            server.writes(transaction, partial(_add_handed, row=row))
        ids.append((token, row.own_id))
    return ids, len(ids)


def _add_handed(rows: Rows, row: Handing) -> None:
    rows.handed[row.number] = row


def _own_id(number: int) -> str:
    """An id by the server's clock, unlike the ids that owners draw."""
    milliseconds = round((1_700_000_000 + trio.current_time()) * 1000)
    return f"{milliseconds:012x}{8192 + number % 8192:06x}{number:012x}"


@statement(handed_answers._TELL)
async def tell(server: Server, transaction: Transaction, given: Any) -> Answer:
    """Do nothing: nobody listens, since waiting processes look now and then."""
    return [], 0


__all__ = ["READ", "STATEMENTS", "WRITE", "Account", "Fence"]
