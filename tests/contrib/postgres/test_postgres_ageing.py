"""What is old is forgotten in steps, however much of it there is."""

import pytest
import trio

from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_contrib.postgres.beside.contents import Contents
from gateway_contrib.postgres.beside.keeping import Keeping
from gateway_contrib.postgres.writes import ageing

FILL = """
INSERT INTO history (account, seq, id, number, room, disposition, reason, raw, accepted_at,
        deadline, ended_at, fingerprint, receipt, stream)
    SELECT 'bot', n, n::text, n, 'room', 'delivered', '', '', n, n, n, '', '', 1
    FROM generate_series(1, 12) n;
INSERT INTO keys SELECT 'bot', n::text::bytea, 'room', n, n FROM generate_series(1, 12) n;
INSERT INTO revisions SELECT 'bot', n::text, 'room', n, '' FROM generate_series(1, 12) n;
INSERT INTO requests (kind, asked_at, done_at) SELECT 'retry', n, n FROM generate_series(1, 12) n;
INSERT INTO handed (kind, instance, room, envelope, handed_by, answered_at, waiting, own, seq)
    SELECT 'submit', 'bot', 'room', '', '', to_timestamp(n), false, n, n
    FROM generate_series(1, 12) n;
INSERT INTO handed (kind, instance, room, envelope, handed_by, answered_at, waiting, own)
    SELECT 'ask', 'bot', 'room', '', '', to_timestamp(n), false, n
    FROM generate_series(101, 112) n;
"""
TABLES = ("history", "keys", "revisions", "requests", "handed")


@pytest.fixture
def filled(server, emptied_schema):
    """A connection to a schema with twelve old rows of each kind, and steps of five."""

    async def make():
        async with PostgresOutbox(server.url(), PostgresSettings(schema=emptied_schema)):
            pass

    trio.run(make)
    with server.connect() as connection:
        connection.execute(f"SET search_path = {emptied_schema}")
        connection.execute(FILL)
        yield connection


def forgetting_at():
    return ageing.Forgetting(Contents(Keyring(), Keeping()))


def counted(connection):
    sql = "SELECT count(*) FROM "
    return [connection.execute(sql + table).fetchone()[0] for table in TABLES]


def test_each_step_forgets_a_bounded_number_of_each_kind(filled, monkeypatch):
    """Else the statement of a gateway that was away for long would take longer than it may."""
    monkeypatch.setattr(ageing, "AT_ONCE", 5)
    forgetting, bounds = forgetting_at(), ageing.Bounds(history=99, keys=99, refs=99)
    assert forgetting.step(filled, bounds)
    assert [7, 7, 7, 7, 14] == counted(filled)
    assert forgetting.step(filled, bounds)
    assert [2, 2, 2, 2, 4] == counted(filled)
    while forgetting.step(filled, bounds):
        pass
    forgetting.step(filled, bounds)
    assert [0, 0, 0, 0, 0] == counted(filled)


def test_rows_whose_end_is_remembered_hold_up_nothing_that_comes_after_them(filled, monkeypatch):
    """They are passed over, a step's worth at once, and go when their end does."""
    monkeypatch.setattr(ageing, "AT_ONCE", 5)
    forgetting, bounds = forgetting_at(), ageing.Bounds(history=99, keys=99, refs=99)
    filled.execute("UPDATE history SET ended_at = 100 WHERE number <= 11")
    left = "SELECT seq FROM handed WHERE kind = 'submit' ORDER BY seq"
    for _ in range(3):
        forgetting.step(filled, bounds)
    assert [(n,) for n in range(1, 12)] == filled.execute(left).fetchall()
    later = ageing.Bounds(history=101, keys=99, refs=99)
    for _ in range(9):
        forgetting.step(filled, later)
    assert [] == filled.execute(left).fetchall()


@pytest.mark.parametrize("kind", ["ask", "submit"])
def test_rows_that_another_transaction_holds_hold_up_nothing(filled, server, emptied_schema, kind):
    """Whoever handed them over may hold them for as long as a transaction may stay open."""
    forgetting, bounds = forgetting_at(), ageing.Bounds(history=99, keys=99, refs=99)
    left = "SELECT answered_at FROM handed WHERE kind = %s ORDER BY 1"
    filled.execute("SET lock_timeout = 100")
    with server.connect() as other, other.transaction():
        other.execute(f"SET LOCAL search_path = {emptied_schema}")
        (held,) = other.execute(f"{left} LIMIT 1 FOR UPDATE", (kind,)).fetchall()
        for _ in range(3):
            forgetting.step(filled, bounds)
        assert [held] == filled.execute(left, (kind,)).fetchall()
    for _ in range(3):
        forgetting.step(filled, bounds)
    assert [] == filled.execute(left, (kind,)).fetchall()
