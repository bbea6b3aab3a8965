"""From the URL of a configuration to an outbox, and what is wrong with it, without the password."""

import subprocess
import sys

import pytest
import trio
from postgres_runs import ran
from structlog.testing import capture_logs

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_core import ConfigError, OutboxError, OutboxSettings, parse_config
from gateway_core.plugins.loader import outbox_at
from gateway_core.testing import FakeChannel, open_test_gateway, virtual_wall


def test_options_are_ours_and_the_rest_is_the_driver_s():
    url = "postgresql://app@db1,db2/app?lease=20&owner_wait=0&schema=mine&sslmode=require"
    outbox = outbox_at(url)
    assert isinstance(outbox, PostgresOutbox)
    assert PostgresSettings(lease=20, owner_wait=0, schema="mine") == outbox.settings
    options = outbox._writer.link._options
    assert "require" == options["sslmode"]
    assert "read-write" == options["target_session_attrs"]
    assert "db1,db2" == options["host"]


def test_what_is_the_driver_s_comes_to_it_as_it_was_written():
    """It knows no plus for a space."""
    url = "postgresql://app@db1,db2:5433/app?options=-c%20synchronous_commit%3Don&password=a+b%26c"
    options = outbox_at(url)._writer.link._options
    assert options["options"].endswith(" -c synchronous_commit=on")
    assert ("a+b&c", "db1,db2", ",5433") == (options["password"], options["host"], options["port"])


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://a:secret@h/d?lease=1", "lease"),
        ("postgresql://a:secret@h/d?lease=soon", "must be a number of seconds, not 'soon'"),
        (
            "postgresql://a:secret@h/d?schema=Mine",
            "postgresql: schema must be a name of at most",
        ),
        ("postgresql://a:secret@h/d?schema=pg_x", "pg_, which PostgreSQL reserves, not 'pg_x'"),
        ("postgresql://a:secret@h/d?nonsense=1", "nonsense"),
        ("postgresql://a:secret@secret@h/d", "has more than one @: write one in a password as %40"),
        ("postgresql://a:secret@h/", "names no database"),
        ("postgresql://", "names no database"),
        ("postgresql://?host=/run/postgresql", "names no database"),
        ("postgresql://a:b?secret@h/d", r"parameter: .*: write / \? # in a password as %2F %3F"),
        ("postgresql:/a:secret@h/d", "must have two slashes: postgresql://user@host/database"),
        ("postgresql://a:b/secret@h/d", "must have a port from 1 to 65535"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(url, words):
    with pytest.raises(ConfigError, match=words) as told:
        outbox_at(url)
    assert "secret" not in str(told.value)


async def test_no_error_shows_a_password_whose_at_sign_is_not_quoted():
    outbox = PostgresOutbox("postgresql://a:no-secret@secret@127.0.0.1:1/d")
    with pytest.raises(OutboxError, match=r"postgresql://127\.0\.0\.1:1/d") as told:
        await outbox.__aenter__()
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://a@h/d", "postgresql://h/d"),
        ("postgresql://a@h:1/d", "postgresql://h:1/d"),
        ("postgresql://a@h1:1,h2:2/d", "postgresql://h1:1,h2:2/d"),
        ("postgresql://a@h1,h2:2/d", "postgresql://h1,h2:2/d"),
        ("postgresql://a@h1,h2/d?port=5", "postgresql://h1:5,h2:5/d"),
        ("postgresql:///d?host=/run/postgresql", "postgresql:///run/postgresql/d"),
        ("postgresql:///d", "postgresql://localhost/d"),
    ],
)
def test_each_host_is_named_with_its_port(url, place):
    assert place == str(outbox_at(url).place)


@pytest.mark.parametrize(
    ("password", "query"),
    [("secret", ""), ("se/secret", ""), ("se?secret", ""), ("x", "?password=secret")],
)
def test_a_configuration_shows_no_password(password, query):
    url = f"postgresql://a:{password}@h/d{query}"
    assert "secret" not in repr(OutboxSettings(url=url))
    assert "postgresql://a:***@h/d" in repr(OutboxSettings(url=url))


@pytest.mark.parametrize("url", ["postgresql://a:secret@[h/d", "postgresql://a:[secret]@h/d"])
def test_what_is_no_url_is_said_with_its_place_and_the_other_mistakes(url):
    with pytest.raises(ConfigError) as told:
        parse_config({"outbox": url, "instances": {}, "partition_count": 0})
    assert ["outbox.url", "partition_count"] == [each.place for each in told.value.problems]
    assert "must be a URL: in a user or a password, write / ? # [ ] @ as %2F" in str(told.value)
    assert "secret" not in str(told.value)


WITHOUT = """
import sys
sys.modules["psycopg"] = None
from gateway_core import parse_config
parse_config({"outbox": "postgresql://a@h/d", "instances": {}})
"""


def test_without_the_extra_it_says_what_to_install():
    ended = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True,
                           check=False)  # fmt: skip
    assert "psycopg is missing: install 'gateway-contrib[postgres]'" in ended.stderr


async def test_a_database_that_cannot_have_every_text_is_refused(server, database):
    server.execute(f"DROP DATABASE {database}")
    server.execute(f"CREATE DATABASE {database} ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'")
    words = rf"outbox .*/{database} cannot be opened: its encoding is SQL_ASCII: .* ENCODING 'UTF8'"
    with pytest.raises(OutboxError, match=words):
        async with outbox_at(server.url(database)):
            pass


async def test_two_gateways_in_turn_send_each_message_once(server, schema):
    """The second stands by in `open_gateway`, and goes on with what the first leaves."""
    url = f"{server.url()}&schema={schema}&lease=60"
    first, second = FakeChannel(script=hang), FakeChannel()
    with trio.fail_after(120):
        async with (
            trio.open_nursery() as nursery,
            open_test_gateway(first, outbox=outbox_at(url), drain_timeout=0.0) as gateway,
        ):
            tickets = [await gateway.enqueue("bot", f"room{n}", f"text {n}") for n in range(3)]
            await trio.sleep(0.2)
            nursery.start_soon(serve, second, url, [ticket.id for ticket in tickets])
            await trio.sleep(0.2)
            assert [] == second.made
    assert [["text 0"], ["text 1"], ["text 2"]] == [second.texts(f"room{n}") for n in range(3)]


async def test_a_gateway_that_was_followed_sends_again_once_the_other_has_left(server, schema):
    """Meanwhile it accepts nothing; each message is sent once, by the one who owned it then."""
    url = f"{server.url()}&schema={schema}&lease=60"
    first, second = FakeChannel(), FakeChannel()
    with trio.fail_after(120), capture_logs() as logs:
        async with open_test_gateway(first, outbox=outbox_at(url)) as gateway:
            await gateway.send("bot", "room", "by the first")
            await anext(gateway.endings())  # it is known that it was sent
            for number in range(3):
                await gateway.enqueue("bot", "room", f"left {number}", not_before=late(0.5))
            ran(server, schema, "DELETE FROM members")  # as whoever stands by would
            async with open_test_gateway(second, outbox=outbox_at(url)) as other:
                with pytest.raises(OutboxError, match="another process"):
                    await gateway.enqueue("bot", "room", "refused")
                await other.send("bot", "room", "by the second")
                while len(second.made) < 4:  # noqa: ASYNC110 - of a process that this one follows
                    await trio.sleep(0.05)
                ticket = await other.enqueue("bot", "room", "later", not_before=late(3600.0))
            while True:
                try:
                    await gateway.send("bot", "room", "by the first again")
                except OutboxError:
                    await trio.sleep(0.1)
                else:
                    break
            waiting = await gateway.status(ticket.id)
            assert 1 == gateway.statistics().stored  # not what the second has sent
    assert ["by the first", "by the first again"] == first.texts("room")
    assert ["by the second", "left 0", "left 1", "left 2"] == sorted(second.texts("room"))
    assert "gateway.account_lost" in {log["event"] for log in logs}
    assert waiting.receipt is None


def late(seconds):
    return virtual_wall() + seconds


async def hang(_):
    await trio.sleep_forever()


async def serve(channel, url, names):
    async with open_test_gateway(channel, outbox=outbox_at(url)) as gateway:
        for name in names:
            while (await gateway.status(name)).receipt is None:  # noqa: ASYNC110 - of another run
                await trio.sleep(0.01)
