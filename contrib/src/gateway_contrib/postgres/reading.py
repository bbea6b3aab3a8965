"""Reads on the connection for reading: pages, single envelopes, and totals at the opening.

Its functions block, and read only committed rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import attrs
import psycopg

from gateway_contrib.durable.damage import (
    LAST,
    are_times,
    check_places,
    check_times,
    intact,
    unquoted,
    unreadable,
)
from gateway_contrib.durable.rows import (
    STEP_COLUMNS,
    Row,
    priority_of,
    receipt_of,
    ref_of,
    standings_of,
    stored_of,
)
from gateway_contrib.durable.sealing.contents import opened_entry
from gateway_contrib.durable.seals import Seals
from gateway_contrib.postgres.beside.keys import seqs_of
from gateway_contrib.postgres.beside.reading import state_at
from gateway_contrib.postgres.handed import Share
from gateway_contrib.postgres.names import name_of, text_out
from gateway_contrib.postgres.operators import suspensions
from gateway_core import Invalid
from gateway_core.outboxes import (
    STREAMS,
    Endings,
    FormatVersionError,
    Found,
    MessageRef,
    OutboxError,
    Overdue,
    Overview,
    Priority,
    Receipt,
    Recovery,
    Standing,
    StoredEntry,
    position_of,
)

Connection: TypeAlias = psycopg.Connection[Any]

MOST = 4_000_000
"""Bytes of one page's entries, whatever its number of rows."""
ENTRY = """seq, id, account, room, position, due, accepted_at, deadline, fingerprint, class, entry,
    shapes, 1, stream, sequence, coalesce(sequence, seq)"""
ORDER = "coalesce(sequence, seq)"
"""The order in which an account's owners accepted its envelopes; ids may be of other clocks."""
_PLACES = {"position": 4, "due": 5, "deadline": 7, ORDER: 15}
"""The indexes of the columns by which entries are ordered."""
_SIZED = """SELECT {entry} FROM (SELECT chosen.*, sum(octet_length(entry)) OVER (ORDER BY {order})
        - octet_length(entry) AS before FROM ({some}) chosen) sized
    WHERE before < {most} ORDER BY {order}"""

# Indexes have each stream of an account by position, and ended entries by sequence.
_HIGHEST = f"""SELECT greatest(max(p.position), (SELECT max(sequence) FROM history
        WHERE sequence < {LAST}))
    FROM generate_series(0, %(streams)s - 1) s(number) LEFT JOIN LATERAL
        (SELECT e.position FROM envelopes e WHERE e.account = %(account)s AND e.stream = s.number
            AND e.due IS NULL AND e.position < {LAST}
            ORDER BY e.position DESC LIMIT 1) p ON true"""  # noqa: S608 - constants


def sized(some: str, order: str) -> bytes:
    """SQL for as many of these entries as fit into `MOST` bytes, but for at least one."""
    return _SIZED.format(entry=ENTRY, order=order, some=some, most=MOST).encode()


def overview(connection: Connection) -> Overview:
    """Totals of what previous process runs left."""
    counts: Counter[str] = Counter()
    classes: Counter[Priority] = Counter()
    newest, scheduled = -1, 0
    sql = f"""SELECT coalesce(a.instance, e.account), e.stream, e.waits, e.count, e.newest
        FROM (SELECT account, stream, due IS NOT NULL AS waits, count(*) AS count,
                coalesce(max(position) FILTER (WHERE position < {LAST}), -1) AS newest
            FROM envelopes GROUP BY 1, 2, 3) e
        LEFT JOIN accounts a USING (account)"""  # noqa: S608 - constants
    for instance, stream, is_due, count, position in connection.execute(sql.encode()).fetchall():
        newest = max(newest, position)
        counts[text_out(instance)] += count
        classes[priority_of(stream)] += count
        scheduled += count if is_due else 0
    sql = f"SELECT max(sequence) FROM history WHERE sequence < {LAST}"  # noqa: S608 - constants
    row = connection.execute(sql.encode()).fetchone()
    newest = max(newest, (row[0] if row is not None else None) or -1)
    sql = """SELECT DISTINCT a.instance FROM groups g JOIN accounts a USING (account)
        WHERE g.stored AND g.ended_at IS NULL"""
    groups = [text_out(name) for (name,) in connection.execute(sql).fetchall()]
    return Overview(
        last_id=last_id(connection),
        sequence=newest,
        unfinished=dict(counts),
        classes=dict(classes),
        scheduled=scheduled,
        groups=tuple(groups),
    )


def last_id(connection: Connection) -> str:
    """The newest id of all envelopes and groups."""
    return max(_newest(connection, table) for table in ("envelopes", "history", "groups"))


def _newest(connection: Connection, table: str) -> str:
    sql = f"""SELECT id FROM {table} WHERE seq < {LAST} AND id ~ '^[0-9a-f]{{30}}$'
        ORDER BY seq DESC LIMIT 1"""  # noqa: S608 - constants
    row = connection.execute(sql.encode()).fetchone()
    return str(row[0]) if row is not None and position_of(row[0]) < LAST else ""


def recovery(connection: Connection, seals: Seals, instance: str) -> Recovery:
    """The state in which the instance's account was left."""
    asked = (name_of(instance),)
    sql = "SELECT operation, until, wait FROM closures WHERE account = %s"
    closures = connection.execute(sql, asked).fetchall()
    sql = "SELECT room, moved_to FROM moves WHERE account = %s ORDER BY moved_at"
    moves = connection.execute(sql, asked).fetchall()
    sql = "SELECT at, standings FROM spent WHERE account = %s"
    spent = connection.execute(sql, asked).fetchone()
    row = connection.execute(
        _HIGHEST.encode(), {"account": asked[0], "streams": len(STREAMS)}
    ).fetchone()
    return Recovery(
        last_id=last_id(connection),
        sequence=row[0] if row is not None else None,
        moves={text_out(room): text_out(to) for room, to in moves},
        closures={
            text_out(what): (until, wait)
            for what, until, wait in closures
            if are_times(until, wait)
        },
        spent=spent_of(instance, spent),
        suspended=suspensions.suspended(connection, seals, [instance]).get(instance),
    )


def spent_of(instance: str, row: Row | None) -> tuple[float, list[Standing]] | None:
    """When the account was released, and what it had spent then; None: nobody knows."""
    if row is None:
        return None
    try:
        with intact():
            check_times(row[0])
        return row[0], standings_of(row[1])
    except (FormatVersionError, Invalid) as error:  # the attempts of the last hour are counted
        unreadable(f"what {instance} has spent", error)
        return None


def page(
    connection: Connection,
    seals: Seals,
    instance_id: str,
    room: str | None,
    streams: Sequence[int],
    after: int,
    limit: int,
) -> list[StoredEntry]:
    """Unfinished entries that are not scheduled, by position; each stream is read by itself."""
    where = "" if room is None else "AND e.room = %(room)s"
    some = f"""SELECT e.* FROM unnest(%(streams)b::smallint[]) s(number) CROSS JOIN LATERAL
        (SELECT * FROM envelopes e WHERE e.account = %(account)s AND e.stream = s.number {where}
            AND e.due IS NULL AND e.position > %(after)s ORDER BY e.position LIMIT %(limit)s) e
        ORDER BY position LIMIT %(limit)s"""  # noqa: S608 - constants
    asked = {
        "account": name_of(instance_id), "streams": list(streams), "limit": limit,
        "room": room and name_of(room),
    }  # fmt: skip
    sql = sized(some, "position")
    while True:
        rows = connection.execute(sql, asked | {"after": after}).fetchall()
        stored = _read(connection, seals, rows)
        if stored or not rows:
            return stored
        after = rows[-1][4]


def scheduled(
    connection: Connection,
    seals: Seals,
    until: float,
    after: tuple[float, int],
    limit: int,
    share: Share | None = None,
) -> list[StoredEntry]:
    """Scheduled entries, by their times.

    share  the accounts whose entries are read; None: all
    """
    of, mine = _of(share)
    some = f"""SELECT * FROM envelopes e WHERE due IS NOT NULL AND due <= %s {of}
        AND (due, position) > (%s, %s) ORDER BY due, position LIMIT %s"""  # noqa: S608 - constants
    order = ("due", "position")
    return _stored(connection, seals, some, [until, *mine], after, limit, order, share)


def overdue(
    connection: Connection,
    seals: Seals,
    until: float,
    after: tuple[float, int],
    limit: int,
    share: Share | None = None,
) -> Overdue:
    """Overdue entries, by their deadlines. `share` as for `scheduled`."""
    of, mine = _of(share)
    some = f"""SELECT * FROM envelopes e WHERE deadline <= %s {of}
        AND (deadline, {ORDER}) > (%s, %s) ORDER BY deadline, {ORDER} LIMIT %s"""  # noqa: S608 - constants
    order = ("deadline", ORDER)
    stored = _stored(connection, seals, some, [until, *mine], after, limit, order, share)
    later = f"SELECT min(deadline) FROM envelopes e WHERE deadline > %s {of}"  # noqa: S608 - constants
    row = connection.execute(later.encode(), (until, *mine)).fetchone()
    return Overdue(stored=stored, next=row[0] if row is not None else None)


def _of(share: Share | None) -> tuple[str, tuple[Any, ...]]:
    """The SQL condition that an entry is of these accounts, and the values bound to it."""
    if share is None:
        return "", ()
    return """AND (SELECT a.member = %s FROM accounts a WHERE a.account = e.account)""", (
        share.member,
    )


def _stored(
    connection: Connection,
    seals: Seals,
    some: str,
    bound: Sequence[Any],
    after: Sequence[Any],
    limit: int,
    order: tuple[str, str],
    share: Share | None,
) -> list[StoredEntry]:
    """The next entries that this release can read; none only if there are no more entries."""
    sql = sized(some, ", ".join(order))
    while rows := connection.execute(sql, [*bound, *after, limit]).fetchall():
        stored = _read(connection, seals, rows)
        if share is not None:  # entries of an account that is just being taken are read later
            stored = [it for it in stored if share.has(it.entry.envelope.instance_id)]
        if stored:
            return stored
        after = [rows[-1][_PLACES[column]] for column in order]
    return []


def _read(connection: Connection, seals: Seals, rows: Sequence[Row]) -> list[StoredEntry]:
    """The entries that this release can read."""
    if not rows:
        return []
    seqs = [row[0] for row in rows]
    steps, grown = _steps(connection, seqs), _grown(connection, seqs)
    stored: list[StoredEntry] = []
    for row in rows:
        try:
            read = (*row[:8], text_out(row[8]), *row[9:])
            opened, text = opened_entry(seals, read), grown.get(row[0])
            if text is not None:
                text = (text[0], seals.text("text", row[0], text[1]))
            found = stored_of(opened, steps.get(row[0], ()), text)
            with intact():
                check_places(row[4], row[14])
            stored.append(found if row[14] is None else attrs.evolve(found, sequence=row[14]))
        except (FormatVersionError, Invalid) as error:  # the row stays where it is
            unreadable(row[1], error)
    return stored


def stored_at(connection: Connection, seals: Seals, seqs: Sequence[int]) -> list[StoredEntry]:
    """The unfinished entries of these numbers, in their order."""
    sql = f"SELECT {ENTRY} FROM envelopes WHERE seq = ANY (%b::bigint[]) ORDER BY seq"  # noqa: S608 - constants
    return _read(connection, seals, connection.execute(sql.encode(), (list(seqs),)).fetchall())


def _steps(connection: Connection, seqs: Sequence[int]) -> dict[int, list[Row]]:
    """The step rows of these entries."""
    steps: dict[int, list[Row]] = {}
    columns = ", ".join(STEP_COLUMNS)
    sql = f"SELECT {columns} FROM steps WHERE seq = ANY (%b::bigint[]) ORDER BY seq, serial"  # noqa: S608 - constants
    for row in connection.execute(sql.encode(), (list(seqs),)).fetchall():
        texts = [text_out(value) if value is not None else None for value in row[9:11]]
        steps.setdefault(row[0], []).append((*row[:9], *texts, row[11]))
    return steps


def _grown(connection: Connection, seqs: Sequence[int]) -> dict[int, tuple[int, str]]:
    """The newest grown texts of these entries; hardly any entry has one."""
    sql = "SELECT seq, number, text FROM grown WHERE seq = ANY (%b::bigint[])"
    rows = connection.execute(sql, (list(seqs),)).fetchall()
    return {seq: (number, text_out(text)) for seq, number, text in rows}


def look_up(
    connection: Connection, seals: Seals, what: str | tuple[str, str, str, str], since: float
) -> Found | None:
    """Find by id, with the message's newest ref, or by key, unless it ended before `since`."""
    with _one_moment(connection):
        return _look_up(connection, seals, what, since)


@contextmanager
def _one_moment(connection: Connection) -> Iterator[None]:
    """Read from one snapshot, so that a row that moves between tables meanwhile is found once."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


def _look_up(
    connection: Connection, seals: Seals, what: str | tuple[str, str, str, str], since: float
) -> Found | None:
    if not isinstance(what, str):
        seq = seqs_of(connection, seals, [what], since).get(what)
        return _find(connection, seals, seq) if seq is not None else None
    try:
        found = _find(connection, seals, position_of(what))
    except ValueError:  # it is not an id at all
        found = None
    if found is not None and found.envelope_id != what:
        found = None
    newest = _newest_ref(connection, seals, what)
    if newest is None:
        return found
    return attrs.evolve(found or Found(envelope_id=what), newest=newest)


def find(connection: Connection, seals: Seals, seq: int) -> Found | None:
    """Find an envelope or a group by its id's number. Raises `OutboxError` for a damaged one."""
    with _one_moment(connection):
        return _find(connection, seals, seq)


def _find(connection: Connection, seals: Seals, seq: int) -> Found | None:
    sql = "SELECT id, fingerprint, receipt, sequence FROM history WHERE seq = %s"
    row = connection.execute(sql, (seq,)).fetchone()
    if row is not None:
        name, fingerprint, text, sequence = row
        try:
            receipt = receipt_of(seals.open("receipt", seq, text))
            fingerprint = seals.text("fingerprint", seq, text_out(fingerprint))
        except (FormatVersionError, Invalid) as error:
            unreadable(name, error)
            why = f"how envelope {name} ended cannot be read: {unquoted(error)}"
            raise OutboxError(why) from None
        return Found(envelope_id=name, fingerprint=fingerprint, receipt=receipt, sequence=sequence)
    stored = stored_at(connection, seals, [seq])
    if stored:
        entry = stored[0].entry
        return Found(
            envelope_id=entry.id,
            fingerprint=entry.fingerprint,
            stored=stored[0],
            sequence=stored[0].sequence,
        )
    state = state_at(connection, seals, seq)
    if state is None:
        return None
    group = state.group
    return Found(envelope_id=group.id, fingerprint=group.fingerprint, group=state)


def _newest_ref(connection: Connection, seals: Seals, envelope_id: str) -> MessageRef | None:
    """The ref of that envelope's message after its last edit; None: nobody edited it."""
    if "\0" in envelope_id:
        return None
    row = connection.execute("SELECT ref FROM revisions WHERE id = %s", (envelope_id,)).fetchone()
    if row is None:
        return None
    try:
        return ref_of(seals.open("ref", envelope_id, row[0]))
    except (FormatVersionError, Invalid) as error:
        unreadable(envelope_id, error)
        return None


def endings(connection: Connection, seals: Seals, after: int, limit: int) -> Endings:
    """Endings after that number, without those that this release cannot read."""
    ended: list[tuple[int, Receipt]] = []
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    sql = "SELECT number, id, seq, receipt FROM history WHERE number > %s ORDER BY number LIMIT %s"
    source = connection.execute("SELECT token, forgotten, newest FROM source").fetchone()
    while not ended:
        rows = connection.execute(sql, (after, limit)).fetchall()
        ended = list(_receipts(seals, rows))
        if not rows:
            break
        after = rows[-1][0]
    connection.execute("COMMIT")
    token, forgotten, newest = source if source is not None else ("", 0, 0)
    return Endings(source=token, forgotten=forgotten, newest=newest, ended=ended)


def _receipts(seals: Seals, rows: Iterable[Row]) -> Iterable[tuple[int, Receipt]]:
    for number, name, seq, text in rows:
        try:
            yield number, receipt_of(seals.open("receipt", seq, text))
        except (FormatVersionError, Invalid) as error:
            unreadable(name, error)
