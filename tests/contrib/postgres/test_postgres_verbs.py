"""`edit`, `delete` and `cancel` as functions of the database, in the caller's own transaction."""

import psycopg
import pytest
import trio
from postgres_runs import ran

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_core.testing import FakeChannel, open_test_gateway, virtual_wall

PATIENCE = 60.0

pytestmark = pytest.mark.usefixtures("often")


@pytest.fixture
def schema(emptied_schema):
    return emptied_schema


@pytest.fixture
def outbox(server, schema):
    settings = PostgresSettings(schema=schema, lease=60, poll=0.01)
    return lambda: PostgresOutbox(server.url(), settings, wall_clock=virtual_wall)


@pytest.fixture
def call(server, schema):
    """Calls a function of the schema in a transaction of its own."""

    async def run(sql):
        ((found,),) = await trio.to_thread.run_sync(ran, server, schema, f"SELECT {sql}")
        return found

    return run


async def until(call, name, disposition):
    with trio.fail_after(PATIENCE):
        while (await call(f"status('{name}')"))["state"] != "ended":  # noqa: ASYNC110 - of a row
            await trio.sleep(0.02)
    assert disposition == (await call(f"status('{name}')"))["disposition"]


async def test_a_message_is_changed_by_its_key_and_taken_back(outbox, call):
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=outbox()):
        sent = await call("""send('bot', 'room', 'one', '{"key": "k"}')""")
        edited = await call("""edit('bot', 'room', 'k', 'two', '{"ttl": 60}')""")
        await until(call, sent, "delivered")
        await until(call, edited, "delivered")
        assert ["two"] == channel.texts("room")
        await until(call, await call("delete('bot', 'room', 'k')"), "delivered")
        assert [] == channel.texts("room")
        unknown = await call("edit('bot', 'room', 'no such key', 'three')")
        await until(call, unknown, "rejected")
        for sql, option in (
            ("""edit('bot', 'room', 'k', 'x', '{"text": "y"}')""", "options.text"),
            ("""edit('bot', 'room', 'k', 'x', '{"target": {}}')""", "options.target"),
            ("""delete('bot', 'room', 'k', '{"external_room_id": "y"}')""",
             "options.external_room_id"),
        ):  # fmt: skip
            contradicts = await call(sql)
            await until(call, contradicts, "rejected")
            assert option in (await call(f"status('{contradicts}')"))["reason"]


async def test_what_waits_is_cancelled_if_its_caller_commits(outbox, call, server, schema):
    channel = FakeChannel()
    not_before = virtual_wall() + 3000
    options = f"""{{"not_before": {not_before}}}"""
    async with open_test_gateway(channel, outbox=outbox()):
        names = [await call(f"send('bot', 'room', 'x', '{options}')") for _ in range(2)]
        with trio.fail_after(PATIENCE):
            for name in names:
                while (await call(f"status('{name}')"))["state"] == "handed":  # noqa: ASYNC110 - of a row
                    await trio.sleep(0.02)
        with server.connect() as connection, connection.transaction(force_rollback=True):
            sql = f"SELECT {schema}.cancel(%s)"
            assert (True,) == connection.execute(sql, (names[0],)).fetchone()
        assert await call(f"cancel('{names[1]}')")
        await until(call, names[1], "cancelled")
        assert "accepted" == (await call(f"status('{names[0]}')"))["state"]
        done = await call("send('bot', 'room', 'now')")
        await until(call, done, "delivered")
        assert await call(f"cancel('{done}')")
        assert not await call("cancel(gen_random_uuid())")
    assert ["now"] == channel.texts("room")


@pytest.mark.parametrize("together", [False, True])
async def test_what_no_owner_has_taken_is_cancelled_at_once(outbox, call, server, schema, together):
    """Whether its own transaction cancels it, or a later one while no owner runs."""
    async with outbox():
        pass
    others = await call("send('bot', 'room', 'goes out')")
    if together:
        sql = "SELECT cancel(s), s::text FROM send('bot', 'room', 'x') s"
        ((done, name),) = await trio.to_thread.run_sync(ran, server, schema, sql)
        assert done
    else:
        name = await call("send('bot', 'room', 'x')")
        assert await call(f"cancel('{name}')")
    await until(call, name, "cancelled")
    assert await call(f"cancel('{name}')")  # again
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=outbox()):
        await until(call, others, "delivered")
        await until(call, name, "cancelled")
    assert ["goes out"] == channel.texts("room")


async def test_a_cancellation_that_is_open_holds_back_its_message_alone(
    outbox, call, server, schema
):
    async with outbox():
        pass
    name = await call("send('bot', 'room', 'x')")
    channel = FakeChannel()
    with server.connect() as connection:
        with connection.transaction(force_rollback=True):
            connection.execute(f"SELECT {schema}.cancel(%s)", (name,))
            async with open_test_gateway(channel, outbox=outbox()) as gateway:
                assert (await gateway.send("bot", "room", "goes out")).delivered
                assert ["goes out"] == channel.texts("room")
        async with open_test_gateway(channel, outbox=outbox()):
            await until(call, name, "delivered")


async def test_the_longest_name_of_an_instance_may_be_granted(outbox, server, schema):
    async with outbox():
        pass
    name = "".join(chr(0x10000 + n * 7919 % 0xE0000) for n in range(1024))
    with server.connect() as connection:
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'long_web'").fetchone():
            connection.execute("CREATE ROLE long_web LOGIN")
        for _ in range(2):
            connection.execute(f"SELECT {schema}.allow('long_web', %s)", (name,))
    assert [(1,)] == ran(server, schema, "SELECT count(*) FROM grants")


async def test_a_role_whose_grants_are_all_taken_back_can_be_dropped(outbox, server, schema):
    async with outbox():
        pass
    with server.connect() as connection:
        connection.execute("CREATE ROLE short_web LOGIN")
        for instance in ("bot", "other"):
            connection.execute(f"SELECT {schema}.allow('short_web', %s)", (instance,))
        connection.execute(f"SELECT {schema}.disallow('short_web', 'bot')")
        with pytest.raises(psycopg.errors.DependentObjectsStillExist):
            connection.execute("DROP ROLE short_web")
        for instance in ("other", "no such one"):
            connection.execute(f"SELECT {schema}.disallow('short_web', %s)", (instance,))
        connection.execute("DROP ROLE short_web")
        connection.execute(f"SELECT {schema}.disallow('short_web', 'other')")


async def test_only_who_may_send_as_an_instance_may_change_its_messages(
    outbox, call, server, schema
):
    async with outbox():
        server.execute("CREATE ROLE editor LOGIN")
        await call("allow('editor', 'bot')")
        sent = await call("send('other', 'room', 'x')")
        with server.connect(user="editor") as connection:

            def done(sql):
                return connection.execute(f"SELECT {schema}.{sql}").fetchone()[0]

            assert done("edit('bot', 'room', 'k', 'x')")
            assert done("delete('bot', 'room', 'k')")
            for sql in ("edit('other', 'room', 'k', 'x')", "delete('other', 'room', 'k')"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match="may not send as"):
                    done(sql)
            assert not done(f"cancel('{sent}')")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                done("change('edit', 'bot', 'room', 'k', '{}')")
        server.execute("DROP OWNED BY editor")
        server.execute("DROP ROLE editor")


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("edit('bot', 'room', '', 'x')", "key must have"),
        ("edit('bot', 'room', 'k', NULL)", "text must not be NULL"),
        ("edit('bot', 'room', 'k', 'x', '[]')", "options must be a JSON object"),
        ("delete('bot', '', 'k')", "instance and room must have"),
    ],
)
async def test_what_is_wrong_is_said_at_once(outbox, call, sql, words):
    async with outbox():
        with pytest.raises(psycopg.errors.InvalidParameterValue, match=words):
            await call(sql)
