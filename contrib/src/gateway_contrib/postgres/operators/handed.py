"""Lists for operators what was handed over and no owner has taken yet. Blocks."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec
import psycopg

from gateway_contrib.durable.operators.looking import COLUMNS, Which
from gateway_contrib.durable.rows import Row, decode
from gateway_contrib.durable.seals import Seals
from gateway_contrib.postgres.names import HANDED, text_in, text_out
from gateway_core import Invalid, OutboxError

Connection: TypeAlias = psycopg.Connection[Any]

_HANDED = """SELECT coalesce(own_id, id::text), instance, room,
        extract(epoch FROM handed_at)::float8 AS at, id::text, envelope
    FROM handed WHERE answered_at IS NULL AND kind = 'submit'
        AND (%(instance)s::text IS NULL OR instance = %(instance)s)
        AND (%(room)s::text IS NULL OR room = %(room)s)
        AND (%(older)s::float8 IS NULL OR extract(epoch FROM handed_at) <= %(older)s)
        AND (%(newer)s::float8 IS NULL OR extract(epoch FROM handed_at) >= %(newer)s)
    ORDER BY number LIMIT %(limit)s"""


def untaken(connection: Connection, seals: Seals, which: Which, limit: int) -> list[dict[str, Any]]:
    """These messages as rows of unfinished envelopes, in the order in which they were handed over.

    id  the one that the handover returned, by which `status` and `cancel` know the message
    """
    bound = {
        "instance": which.instance and text_in(which.instance),
        "room": which.room and text_in(which.room),
        "older": which.older, "newer": which.newer, "limit": limit,
    }  # fmt: skip
    rows = connection.execute(_HANDED, bound).fetchall()
    return [
        dict(zip(COLUMNS, (*plain, *_described(seals, place, envelope)), strict=True))
        for plain, place, envelope in map(_plain, rows)
    ]


def _plain(row: Row) -> tuple[Row, str, str]:
    """The columns that need no key, the row's place, and its envelope."""
    name, instance, room, at, place, envelope = row
    where = (text_out(instance), text_out(room))
    return (name, *where, "unfinished", "", "", at, None, "handed"), place, envelope


def _described(seals: Seals, place: str, stored: str) -> tuple[str | None, int | None]:
    """The message's class and the length of its text, as far as they can be read."""
    try:
        envelope = decode(seals.text(HANDED, place, stored))
        text = envelope.get("text")
        return envelope.get("priority", "normal"), len(text) if isinstance(text, str) else None
    except (Invalid, OutboxError, msgspec.DecodeError, AttributeError):
        return None, None
