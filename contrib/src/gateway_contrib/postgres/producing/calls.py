"""Calls the database for a process that delivers nothing, by its functions alone. Blocks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import attrs
import psycopg
from psycopg import errors

from gateway_contrib.durable.damage import unquoted, unreadable
from gateway_contrib.durable.rows import receipt_of
from gateway_contrib.durable.seals import Seals
from gateway_contrib.postgres.beside.adopting import PIECE, piece_place
from gateway_contrib.postgres.connections.failing import ANOTHER_KEY
from gateway_contrib.postgres.connections.migrations import changes, check_release, migrate
from gateway_contrib.postgres.names import ANSWER, HANDED, name_of, scope_of, text_out
from gateway_contrib.postgres.sealing.handing import HandingKeys
from gateway_core import Invalid
from gateway_core.outboxes import (
    Endings,
    FormatVersionError,
    News,
    OutboxError,
    Receipt,
    position_of,
)

Connection: TypeAlias = psycopg.Connection[Any]

_NEWS = """SELECT own_id, instance, room, kind, handed_at, answered_at, envelope_id, replayed,
    cancelled, refused, answer, receipt, receipt_of, stored FROM news(%b::bigint[])"""
_ROWS = "%b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[], %b::bytea[], %b::boolean[]"
_HAND = f"SELECT token, id FROM hand_all(%s, {_ROWS})"  # noqa: S608 - constants
_HAND_SEALED = f"SELECT token, id FROM hand_sealed(%s, %b::text[], %s, {_ROWS})"  # noqa: S608 - constants
_TIMES = 5
"""How often handing over is tried if the key to seal with changes meanwhile."""


@attrs.frozen(kw_only=True)
class Handing:
    """One row that is to be handed over.

    token  makes the row exist only once, however often it is handed over
    text   the envelope as JSON, a question, or the id of an envelope that is to be cancelled
    files  the bytes of its files, by their digests
    """

    token: UUID = attrs.field(factory=uuid4)
    kind: str = "submit"
    instance: str
    room: str = ""
    text: str
    scope: bytes | None = None
    awaited: bool = False
    files: Mapping[str, bytes] = attrs.field(factory=dict)


def counted(connection: Connection) -> Sequence[int]:
    """How many unfinished envelopes the owners count, by class."""
    row = connection.execute("SELECT counted()").fetchone()
    return row[0] if row is not None else ()


def prepare(connection: Connection, schema: str) -> bool:
    """Look for the schema, and make or upgrade it if that is allowed. Raises `OutboxError`.

    Returns False if another session holds the lock for that.
    """
    try:
        with connection.transaction():
            row = connection.execute("SELECT version, oldest FROM release()").fetchone()
    except (errors.UndefinedFunction, errors.InvalidSchemaName):
        row = None
    if row is None or row[0] < len(changes()):
        return _make(connection, schema)
    check_release(schema, *row)
    return True


def _make(connection: Connection, schema: str) -> bool:
    try:
        return migrate(connection, schema)
    except errors.InsufficientPrivilege as error:
        said = " ".join(str(error).split())
        raise OutboxError(
            f"the schema {schema} does not exist, is of an earlier release, or does not let this"
            f" role in: start the process that owns the outbox, which makes or upgrades it, or let"
            f" the role in with `{schema}.allow` ({said})"
        ) from error


def hand_all(
    connection: Connection, member: UUID, some: Sequence[Handing], keys: HandingKeys
) -> dict[UUID, str]:
    """Hand over all of the rows with their files, or none; returns their ids, by token.

    Raises `OutboxError` if the outbox knows none of these keys any more.
    """
    for left in reversed(range(_TIMES)):
        try:
            with connection.transaction():
                return _hand_all(connection, member, some, keys)
        except psycopg.Error as error:
            if error.sqlstate != ANOTHER_KEY or not left:
                raise
        keys.look_again(connection)
    raise AssertionError  # pragma: no cover - the last time raises


def _hand_all(
    connection: Connection, member: UUID, some: Sequence[Handing], keys: HandingKeys
) -> dict[UUID, str]:
    seals = keys.keyring(connection)
    sql, named = (_HAND_SEALED, [keys.ids, seals.first]) if keys.ids else (_HAND, [])
    columns = [
        [each.token for each in some],
        [each.kind for each in some],
        [each.instance for each in some],
        [each.room for each in some],
        [seals.seal(HANDED, str(each.token), each.text) for each in some],
        [each.scope and seals.hashed(each.scope) for each in some],
        [each.awaited for each in some],
    ]
    ids = dict(connection.execute(sql.encode(), [member, *named, *columns]).fetchall())
    for each in some:
        for digest, content in each.files.items():
            _hand_file(connection, seals, each.token, digest, content)
    return ids


def _hand_file(
    connection: Connection, seals: Seals, token: UUID, digest: str, content: bytes
) -> None:
    row = connection.execute("SELECT hand_file(%s, %s, %s)", (token, digest, len(content)))
    ((upload,),) = row.fetchall()
    if upload is None:
        return  # an earlier statement, whose answer was lost, has handed it over
    for number, start in enumerate(range(0, max(1, len(content)), PIECE)):
        piece = seals.seal_bytes(piece_place(digest, number), content[start : start + PIECE])
        if seals.first:
            sql = "SELECT hand_piece(%s, %s, %s, %s)"
            connection.execute(sql, (upload, number, piece, seals.first))
        else:
            connection.execute("SELECT hand_piece(%s, %s, %s)", (upload, number, piece))


def news(connection: Connection, seals: Seals, ids: Sequence[str]) -> list[News]:
    """The news about these; ids about which nothing is known are left out."""
    if not ids:
        return []
    by_number = {position_of(each): each for each in ids}
    rows = connection.execute(_NEWS, (list(by_number),)).fetchall()
    known = set(ids)
    return [_news(seals, row) for row in rows if row[0] in known]


def _news(seals: Seals, row: Sequence[Any]) -> News:
    name, instance, room, kind, handed_at, answered_at, envelope_id, replayed, cancelled = row[:9]
    refused, answer, receipt, receipt_seq, stored = row[9:]
    if refused is not None:
        refused = json.dumps({"kind": "Refused", "text": text_out(refused)})
    is_envelope, ended = kind == "submit", None
    try:
        answer = None if answer is None else text_out(seals.text(ANSWER, name, answer))
        if is_envelope and answer is not None:
            refused = answer
        if receipt is not None:
            ended = receipt_of(seals.open("receipt", receipt_seq, receipt))
    except (FormatVersionError, Invalid, OutboxError) as error:
        unreadable(name, error)
        text = f"how {name} ended cannot be read: {unquoted(error)}"
        refused = json.dumps({"kind": "OutboxError", "text": text})
        answer = json.dumps({"refused": text})
    return News(
        id=name,
        instance_id=text_out(instance),
        room=text_out(room),
        handed_at=handed_at,
        answered_at=answered_at,
        envelope_id=envelope_id,
        replayed=replayed,
        cancelled=cancelled,
        refused=refused,
        receipt=ended,
        stored=stored,
        answer=None if is_envelope else answer,
    )


def keyed(
    connection: Connection, seals: Seals, scope: tuple[str, str, str, str], since: float
) -> list[News]:
    """The news about the envelope that has the key; empty: no envelope has it."""
    plain = scope_of(scope)
    asked = (name_of(scope[0]), scope[0], [seals.hashed(plain), plain], since)
    row = connection.execute("SELECT keyed(%s, %s, %b::bytea[], %s)", asked).fetchone()
    if row is None or row[0] is None:
        return []
    rows = connection.execute(_NEWS, ([row[0]],)).fetchall()
    return [_news(seals, each) for each in rows]


class Withdrawal:
    """Cancels a handed-over row that no owner has answered; called again if the result was lost.

    done  whether the row was cancelled here
    """

    def __init__(self, handed_id: str) -> None:
        self._number = position_of(handed_id)
        self._asked = self.done = False

    def __call__(self, connection: Connection) -> None:
        """Cancel the row."""
        asked, self._asked = self._asked, True
        sql = "SELECT now, before FROM withdraw(%s)"
        ((now, before),) = connection.execute(sql, (self._number,)).fetchall()
        self.done = now or (before and asked)


def leave(connection: Connection, handed_ids: Sequence[str]) -> None:
    """Say that nobody waits for these any more."""
    numbers = [position_of(each) for each in handed_ids]
    connection.execute("SELECT leave(number) FROM unnest(%b::bigint[]) n(number)", (numbers,))


def ended_after(connection: Connection, seals: Seals, after: int, limit: int) -> Endings:
    """Endings after that number."""
    sql = """SELECT token, forgotten, newest, numbers, receipts_of, receipts
        FROM ended_after(%s, %s)"""
    row = connection.execute(sql, (after, limit)).fetchone()
    token, forgotten, newest, *ends = row if row is not None else ("", 0, 0, [], [], [])
    ended: list[tuple[int, Receipt]] = []
    for number, seq, text in zip(*(each or () for each in ends), strict=True):
        try:
            ended.append((number, receipt_of(seals.open("receipt", seq, text))))
        except (FormatVersionError, Invalid) as error:
            unreadable(f"that ended as number {number}", error)
    return Endings(source=token, forgotten=forgotten, newest=newest, ended=ended)
