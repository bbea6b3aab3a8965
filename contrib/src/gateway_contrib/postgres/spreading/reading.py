"""Reads totals of all accounts, and of one that is taken. Blocks; reads only committed rows."""

from __future__ import annotations

from collections import Counter
from typing import Any, TypeAlias

import psycopg

from gateway_contrib.durable.damage import LAST
from gateway_contrib.durable.rows import priority_of
from gateway_contrib.postgres.names import name_of
from gateway_contrib.postgres.reading import last_id
from gateway_core.outboxes import Overview, Priority

Connection: TypeAlias = psycopg.Connection[Any]


def place_of_all(connection: Connection) -> Overview:
    """The newest id and position, after which new ones come; no totals of unfinished entries."""
    sql = f"""SELECT greatest((SELECT max(position) FROM envelopes WHERE position < {LAST}),
        (SELECT max(sequence) FROM history WHERE sequence < {LAST}))"""  # noqa: S608 - constants
    row = connection.execute(sql.encode()).fetchone()
    return Overview(last_id=last_id(connection), sequence=row[0] if row is not None else None)


def unfinished_of(connection: Connection, instance: str) -> Overview:
    """Totals of an account's unfinished entries."""
    sql = """SELECT stream, due IS NOT NULL, count(*) FROM envelopes WHERE account = %s
        GROUP BY 1, 2"""
    classes: Counter[Priority] = Counter()
    scheduled = 0
    for stream, is_due, count in connection.execute(sql, (name_of(instance),)).fetchall():
        classes[priority_of(stream)] += count
        scheduled += count if is_due else 0
    return Overview(
        unfinished={instance: classes.total()} if classes else {},
        classes=dict(classes),
        scheduled=scheduled,
    )
