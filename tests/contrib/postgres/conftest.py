"""A real server for each process of tests, and a database or a schema of its own for each test."""

import io
import itertools

import pytest
import trio

pytest.importorskip("psycopg", reason="gateway-contrib[postgres] is not installed")

import postgres_server

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings

_numbers = itertools.count()

EMPTY = """
DO $$ DECLARE named text; BEGIN
    FOR named IN SELECT tablename FROM pg_tables WHERE schemaname = '{schema}'
        AND tablename NOT IN ('format', 'accounts', 'source', 'shares')
    LOOP EXECUTE format('DELETE FROM {schema}.%I', named); END LOOP;
    IF to_regclass('{schema}.source') IS NOT NULL THEN
        DELETE FROM {schema}.accounts WHERE account <> '';
        UPDATE {schema}.accounts SET member = NULL, epoch = 0;
        UPDATE {schema}.source SET newest = 0, forgotten = 0;
    END IF;
END $$
"""


@pytest.fixture(scope="session")
def server():
    """Begun with the first test that needs it, and ended with the last."""
    if postgres_server.programs() is None:
        pytest.skip("not tried: there is no PostgreSQL server here (Debian's `postgresql`)")
    server = postgres_server.Server()
    try:
        yield server.start()
    finally:
        server.remove()


@pytest.fixture
def schema(server):
    """A name that no other test has, in the database `postgres`."""
    return f"gateway_{next(_numbers)}"


@pytest.fixture(scope="session")
def _emptying(server):
    """A connection that stays: a new one knows nothing of the tables, and takes as long again."""
    with server.connect() as connection:
        yield connection


@pytest.fixture
def emptied_schema(_emptying):
    """One schema for many tests, each of which finds it as new: making one takes longer."""
    name = "gateway_shared"
    _emptying.execute(EMPTY.replace("{schema}", name))
    return name


@pytest.fixture
def made_schema(server, emptied_schema, _emptying):
    """The same schema, which has its tables, and nobody owns it."""
    ((made,),) = _emptying.execute("SELECT to_regclass(%s)", (f"{emptied_schema}.format",))
    if made is None:
        trio.run(_make, PostgresOutbox(server.url(), PostgresSettings(schema=emptied_schema)))
    return emptied_schema


async def _make(outbox):
    async with outbox:
        pass


@pytest.fixture
def database(server):
    """A database that no other test has."""
    name = f"test_{next(_numbers)}"
    server.execute(f"CREATE DATABASE {name}")
    return name


@pytest.fixture
def tables(server, schema):
    """Every byte that the tables have, as they are sent to who reads them."""

    def read():
        content = io.BytesIO()
        with server.connect() as connection, connection.cursor() as cursor:
            names = cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s",
                                   (schema,)).fetchall()  # fmt: skip
            for (name,) in names:
                with cursor.copy(f"COPY {schema}.{name} TO STDOUT (FORMAT binary)") as copy:
                    for some in copy:
                        content.write(some)
        return content.getvalue()

    return read
