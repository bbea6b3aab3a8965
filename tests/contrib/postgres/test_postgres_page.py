"""The page on PostgreSQL: its options stand there, and its snippets do what it says."""

import re
import runpy
from importlib import import_module
from pathlib import Path

import attrs
import psycopg
import pytest
import trio

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_contrib.postgres.opening import OPTIONS

PAGE = (Path(__file__).parents[3] / "docs/how-to/use-postgresql.md").read_text()
SNIPPETS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SQL = [code for language, code in SNIPPETS if language == "sql"]


def python(name):
    (code,) = [code for _, code in SNIPPETS if code.startswith(f"# {name}.py\n")]
    names = {}
    exec(code, names)  # noqa: S102 - the page's own
    return names


def test_every_option_stands_with_its_default_and_reason():
    tables = [part.split("\n\n", 1)[0] for part in PAGE.split("| why this default |\n")[1:]]
    found = [
        {name: default for name, default, *rest in rows if all(cell.strip() for cell in rest)}
        for rows in (re.findall(r"^\| `(\w+)` \| (.*?) \|(.*)\|(.*)\|$", table, re.MULTILINE)
                     for table in tables)
    ]  # fmt: skip
    wanted = {field.name: field.default for field in attrs.fields(PostgresSettings)}
    shown = {
        name: f"`{value:g}`" if (isinstance(value, float) and value < 1e5) or value == float("inf")
        else f"`{int(value)}`" if isinstance(value, float | int) else f"`{value}`"
        for name, value in wanted.items() if value is not None
    } | {"key_window": "as `idempotency_window`"}  # fmt: skip
    assert set(OPTIONS) == set(found[0])
    assert shown == found[0] | found[1]


@pytest.fixture
def connection(server, database):
    """To a database with the schema `gateway` and a table of orders."""

    async def make():
        async with PostgresOutbox(server.url(database), PostgresSettings(lease=60)):
            pass

    trio.run(make)
    with server.connect(database) as connection:
        connection.execute("CREATE TABLE orders (id int, shipped bool)")
        connection.execute("INSERT INTO orders VALUES (17, false)")
        yield connection


def handed(connection):
    rows = connection.execute("SELECT envelope::jsonb FROM gateway.handed").fetchall()
    shipped = connection.execute("SELECT shipped FROM orders").fetchone()[0]
    return shipped, [(it["instance_id"], it["external_room_id"], it["text"]) for (it,) in rows]


EXPECTED = (True, [("ops", "C024BE91L", "Order 17 shipped")])


def test_its_statements(server, database, connection):
    transaction, status, changes, allow = SQL
    connection.execute(transaction)
    assert EXPECTED == handed(connection)
    assert (None,) == connection.execute(status).fetchone()
    connection.execute(changes)
    kinds = "SELECT envelope::jsonb ->> 'kind' FROM gateway.handed ORDER BY number"
    assert [("send",), ("edit",), ("delete",)] == connection.execute(kinds).fetchall()
    if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'web'").fetchone():
        connection.execute("CREATE ROLE web LOGIN")
    connection.execute(allow)
    with server.connect(database, user="web") as web:
        web.execute("SELECT gateway.send('ops', 'room', 'text')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            web.execute("SELECT gateway.send('other', 'room', 'text')")


def test_its_programs(server, database, connection):
    python("shipping")["ship"](connection, 17)
    assert EXPECTED == handed(connection)
    connection.execute("TRUNCATE gateway.handed")
    connection.execute("UPDATE orders SET shipped = false")
    url = server.url(database).replace("postgresql://", "postgresql+psycopg://")
    sqlalchemy, orm = import_module("sqlalchemy"), import_module("sqlalchemy.orm")
    engine = sqlalchemy.create_engine(url)
    with orm.Session(engine) as session:
        python("shipping_sqlalchemy")["ship"](session, 17)
    engine.dispose()
    assert EXPECTED == handed(connection)
    assert callable(python("shipping_django")["ship"])


def test_its_worker_hands_over_and_tells_what_became_of_it(
    server, database, connection, tmp_path, monkeypatch
):
    url = server.url(database)
    settings = f'outbox = "{url}"\n[instances.ops]\nchannel = "slack"\ntoken = "xoxb-1"\n'
    (tmp_path / "gateway.toml").write_text(settings)
    monkeypatch.chdir(tmp_path)
    (code,) = [code for _, code in SNIPPETS if code.startswith("# worker.py\n")]
    (tmp_path / "worker.py").write_text(code)
    names = runpy.run_path("worker.py", run_name="worker")
    assert isinstance(names["app"], import_module("flask").Flask)
    web = names["app"].test_client()
    with names["gateway"]:
        sent = web.post("/orders/17/shipped")
        assert 202 == sent.status_code
        assert {"state": "handed"} == web.get(f"/messages/{sent.json['message']}").json
        assert 404 == web.get("/messages/nothing").status_code
    assert [("ops", "C024BE91L", "Order 17 shipped")] == handed(connection)[1]
