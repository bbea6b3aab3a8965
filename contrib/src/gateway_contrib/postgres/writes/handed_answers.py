"""Answers, in the owner's transaction, the requests that applications handed over, and tells so.

An entry answers its request in the transaction that stores it. Nothing waits for a row that another
transaction holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import attrs
import psycopg

from gateway_contrib.durable.seals import Seals
from gateway_contrib.postgres.names import ANSWER, answer_place, text_in
from gateway_core.outboxes import position_of

Connection: TypeAlias = psycopg.Connection[Any]

_ANSWER = """UPDATE handed h SET answered_at = clock_timestamp(), waiting = false, envelope = '',
        seq = v.seq, envelope_id = v.id, refused = v.refused, answer = v.answer,
        replayed = v.replayed
    FROM unnest(%b::bigint[], %b::bigint[], %b::text[], %b::text[], %b::text[], %b::boolean[])
        v(number, seq, id, refused, answer, replayed)
    WHERE h.number = v.number AND h.answered_at IS NULL AND h.number = ANY (%b::bigint[])"""
_FREE = """SELECT number FROM handed WHERE number = ANY (%b::bigint[]) ORDER BY number
    FOR UPDATE SKIP LOCKED"""
_UNANSWERED = """SELECT number FROM handed WHERE number = ANY (%b::bigint[])
    AND answered_at IS NULL"""
_CLAIM = """UPDATE handed h SET answered_at = clock_timestamp(), waiting = false, envelope = '',
        seq = v.seq, envelope_id = v.id
    FROM unnest(%b::bigint[], %b::bigint[], %b::text[]) v(number, seq, id)
    WHERE h.number = v.number AND h.answered_at IS NULL RETURNING h.number"""
_TELL = """SELECT pg_notify('gateway_' || member,
        CASE WHEN count(*) > %s THEN '' ELSE string_agg(own::text, ',') END)
    FROM handed WHERE member IS NOT NULL
        AND (seq = ANY (%b::bigint[]) OR number = ANY (%b::bigint[]))
    GROUP BY member"""
TOLD = 350
"""Numbers that a notice may name, since it has 8,000 bytes; if there are more, it names none."""


def write_answers(
    connection: Connection, seals: Seals, answers: Mapping[int, tuple[Any, ...]]
) -> bool:
    """Write the gateway's answers into the rows, in the same batch as their effects.

    Returns false if another transaction held one of the rows, which it may be withdrawing.

    The answer to a submitted envelope is JSON: the accepted envelope or the one that has its key,
    or why there is none. A row that was withdrawn meanwhile stays withdrawn; a row that is just
    being withdrawn is looked at again later.
    """
    rows: list[tuple[Any, ...]] = []
    for number, (_, _, answer, kind) in answers.items():
        if kind != "submit":
            rows.append((number, None, None, None, text_in(answer), False))
            continue
        said = json.loads(answer)
        name = said.get("accepted")
        seq = position_of(name) if name is not None else None
        refused = None if name is not None else text_in(str(said.get("refused", answer)))
        error = text_in(said["error"]) if "error" in said else None
        rows.append((number, seq, name, refused, error, said.get("ended", False)))
    if rows:
        if seals.first:
            rows = _sealed(connection, seals, rows)
        columns = [list(column) for column in zip(*rows, strict=True)]
        free = _free(connection, columns[0])
        connection.execute(_ANSWER, [*columns, free])
        return len(free) == len(rows)
    return True


def _sealed(
    connection: Connection, seals: Seals, rows: Iterable[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    told = [row[0] for row in rows if row[3] is not None or row[4] is not None]
    sql = "SELECT number, own_id FROM handed WHERE number = ANY (%b::bigint[])"
    names = dict(connection.execute(sql, (told,)).fetchall()) if told else {}
    return [
        (*row[:3], *sealed_words(seals, answer_place(row[0], names.get(row[0])), *row[3:5]), row[5])
        for row in rows
    ]


def sealed_words(
    seals: Seals, place: str, refused: str | None, answer: str | None
) -> tuple[str | None, str | None]:
    """The reason of the refusal without quoted content, and the whole answer, sealed."""
    if refused is not None:
        answer = answer or json.dumps({"kind": "Refused", "text": refused})
        refused = _unquoting(refused, answer)
    return refused, None if answer is None else seals.seal(ANSWER, place, answer)


def _unquoting(refused: str, answer: str) -> str:
    """The kind of the error and the places that it names, without any quoted content."""
    said = json.loads(answer)
    kind = refused.partition(":")[0] if said["kind"] == "Refused" else said["kind"]
    kind = kind if kind.isidentifier() else "Refused"
    places = ", ".join(place for place, _ in said.get("problems", ()) if place)
    return f"{kind}: {places}" if places else kind


@attrs.frozen
class Claiming:
    """An entry that answers a request.

    seq, id  the entry's number and id
    after    the request that must be answered first; 0: none
    """

    seq: int
    id: str
    after: int


def claim(
    connection: Connection, claims: Mapping[int, Claiming]
) -> tuple[set[int], set[int], set[int]]:
    """Answer these requests, in this order, by the entries that the same transaction stores.

    Returns the requests that are no longer waiting; those that another transaction holds, which may
    be withdrawing them (nobody waits for that transaction, since it may stay open); and those whose
    predecessor is not answered yet.

    claims  the entries, by the numbers of the requests
    """
    free = set(_free(connection, list(claims)))
    before = {each.after for each in claims.values()} - claims.keys() - {0}
    unanswered = set(claims)
    if before:
        found = connection.execute(_UNANSWERED, (list(before),)).fetchall()
        unanswered |= {number for (number,) in found}
    held, early = claims.keys() - free, set()
    for number, it in claims.items():
        if it.after in unanswered:
            early.add(number)
        elif number in free:
            unanswered.discard(number)
    taken = [number for number in claims if number in free and number not in early]
    columns = [[claims[number].seq for number in taken], [claims[number].id for number in taken]]
    rows = connection.execute(_CLAIM, [taken, *columns]).fetchall()
    gone = set(taken) - {number for (number,) in rows}
    return gone, held - early, early


def _free(connection: Connection, numbers: list[int]) -> list[int]:
    """Lock these rows, apart from those that another transaction holds; returns the locked ones."""
    return [number for (number,) in connection.execute(_FREE, (numbers,)).fetchall()]


def tell(connection: Connection, seqs: Iterable[int], numbers: Iterable[int]) -> None:
    """Notify each process that waits for one of these, once this transaction is committed.

    seqs     numbers of the envelopes that ended
    numbers  numbers of the rows that were answered
    """
    connection.execute(_TELL, (TOLD, list(seqs), list(numbers)))
