"""Writes answers to operators' requests, in the transaction that has the effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import psycopg

from gateway_contrib.postgres.names import text_in

Connection: TypeAlias = psycopg.Connection[Any]

_ANSWER = """UPDATE requests r SET done_at = v.at, answer = v.answer, envelope = NULL
    FROM unnest(%b::bigint[], %b::float8[], %b::text[]) v(number, at, answer)
    WHERE r.number = v.number"""


def write(connection: Connection, answers: Mapping[int, Sequence[Any]]) -> None:
    """Write, for each request's number, when it was answered and the answer as it is stored."""
    rows = [(number, at, text_in(answer)) for number, at, answer in answers.values()]
    if rows:
        connection.execute(_ANSWER, [list(column) for column in zip(*rows, strict=True)])
