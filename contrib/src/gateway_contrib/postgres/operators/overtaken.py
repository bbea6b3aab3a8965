"""Answers questions about an account's suspension that a newer wish has overtaken. Blocks.

A question may wait in the table while the account has no owner, or until its owner has looked. The
next owner would else carry it out after a newer wish.
"""

from __future__ import annotations

import json
from typing import Any, TypeAlias

import psycopg

from gateway_contrib.durable.seals import Seals
from gateway_contrib.postgres.names import HANDED, text_in
from gateway_contrib.postgres.writes.handed_answers import write_answers
from gateway_core import Invalid
from gateway_core.outboxes import OF_SUSPENSION, OutboxError, Suspension

Connection: TypeAlias = psycopg.Connection[Any]

ASKED = """SELECT number, id, envelope FROM handed
    WHERE answered_at IS NULL AND kind = 'ask' AND instance = %s
        AND handed_at < clock_timestamp() - make_interval(secs => %s)"""


def answer(
    connection: Connection, seals: Seals, instance: str, suspension: Suspension | None, age: float
) -> None:
    """Answer what was asked earlier than `age` seconds ago, in the transaction of the newer wish.

    suspension  the newer wish; None: the account is resumed
    """
    rows = connection.execute(ASKED, (text_in(instance), age)).fetchall()
    numbers = [number for number, name, stored in rows if _is_of_suspension(seals, name, stored)]
    if numbers:
        told = json.dumps({"suspended": suspension is not None})
        write_answers(connection, seals, {each: (each, 0.0, told, "ask") for each in numbers})


def _is_of_suspension(seals: Seals, name: Any, stored: str) -> bool:
    try:
        return seals.text(HANDED, str(name), stored).startswith(OF_SUSPENSION)
    except (Invalid, OutboxError):  # its own look reports it
        return False
