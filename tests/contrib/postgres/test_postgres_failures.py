"""When the server, the network or the schema fails: said before acceptance, and it goes on."""

import signal
import subprocess
from contextlib import nullcontext, suppress
from functools import partial
from random import Random

import postgres_server
import psycopg
import pytest
import trio
from amounts import long_run
from postgres_proxy import between
from postgres_runs import locked, ran
from structlog.testing import capture_logs

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_contrib.postgres.writes.writing import CROSSED
from gateway_core import OutboxError
from gateway_core.outboxes import StepRecord
from gateway_core.testing.outbox_contract import Entries, receipt_of, texts

PATIENCE = 60.0


@pytest.fixture
def entry():
    return Entries()


def outbox_at(url, schema, **settings):
    settings = {"lease": 60, "schema": schema, "connect_for": 20} | settings
    return PostgresOutbox(url, PostgresSettings(**settings))


async def appended(outbox, one):
    """Stores the entry, however often the outbox cannot meanwhile."""
    with trio.fail_after(PATIENCE):
        while True:
            try:
                await outbox.append(one, lambda: None)
            except OutboxError:
                await trio.sleep(0.05)
            else:
                return


@pytest.mark.parametrize("lose", ["answer", "both", "request"])
async def test_a_lost_commit_is_decided(server, schema, entry, lose):
    """Its caller hears that the entry is there if, and only if, it is."""
    before, one, told = entry("before"), entry("one", key="k"), []
    with between(server) as (proxy, url):
        async with outbox_at(url, schema) as outbox:
            await outbox.append(before, lambda: None)
            proxy.lose = lose
            try:
                with trio.fail_after(PATIENCE):
                    await outbox.append(one, lambda: told.append("one"))
            except OutboxError as error:
                told.append(str(error))
            assert 1 == proxy.lost
            there = await outbox.find(one.id)
            await outbox.append(entry("after"), lambda: None)
    assert ("request" != lose) == bool(there)
    assert ["one"] == told if there else "lost a COMMIT" in told[0]
    async with outbox_at(server.url(), schema) as outbox:
        expected = ["before", *(["one"] if there else []), "after"]
        assert expected == texts(await outbox.page("bot"))


async def test_a_lost_commit_is_decided_after_a_takeover(server, schema, entry):
    """The one who was followed says what became of it as well."""
    one, told = entry("one"), []
    with between(server) as (proxy, url):
        async with outbox_at(url, schema) as outbox, trio.open_nursery() as nursery:
            proxy.lose = "answer"

            async def append():
                await outbox.append(one, lambda: told.append("one"))
                nursery.cancel_scope.cancel()

            nursery.start_soon(append)
            while not proxy.lost:  # noqa: ASYNC110 - what is looked at has no event
                await trio.sleep(0.01)
            proxy.cut()
            ran(server, schema, "DELETE FROM members")  # as whoever stands by would
            async with outbox_at(server.url(), schema) as other:
                assert ["one"] == texts(await other.page("bot"))
                assert [] == told
                proxy.join()
                with trio.fail_after(PATIENCE):
                    await trio.sleep_forever()
    assert ["one"] == told


@long_run
async def test_what_was_told_is_written_once_however_its_commit_was_lost(server, schema, entry):
    one, two = entry("one"), entry("two")
    with between(server) as (proxy, url):
        async with outbox_at(url, schema) as outbox:
            for each in (one, two):
                await outbox.append(each, lambda: None)
            for each, lose in ((one, "answer"), (two, "request")):
                proxy.lose = lose
                outbox.finished(receipt_of(each))
                with trio.move_on_after(PATIENCE):
                    while proxy.lose:  # noqa: ASYNC110 - what is looked at has no event
                        await trio.sleep(0.01)
                await appended(outbox, entry("other"))
            assert 2 == proxy.lost
            ended = (await outbox.endings(after=0)).ended
    assert [one.id, two.id] == [receipt.envelope_id for _, receipt in ended]


async def test_a_server_that_cannot_be_reached_refuses_and_comes_back(server, schema, entry):
    with between(server) as (proxy, url), capture_logs() as logs:
        async with outbox_at(url, schema) as outbox:
            one = entry("one")
            await outbox.append(one, lambda: None)
            proxy.cut()
            for _ in range(2):
                with pytest.raises(OutboxError, match=f"127.0.0.1:{proxy.port}/postgres"):
                    await outbox.append(entry("refused"), lambda: None)
                with pytest.raises(OutboxError, match="cannot"):
                    await outbox.page("bot")
            outbox.finished(receipt_of(one))
            proxy.join()
            await appended(outbox, entry("two"))
            assert ["two"] == texts(await outbox.page("bot"))
            assert (await outbox.find(one.id)).receipt.delivered
    events = [log["event"] for log in logs]
    assert "gateway.outbox_failed" == events[0]
    assert "gateway.outbox_works" == events[-1]


def told(logs):
    """What was logged of failures, the repetitions of one event left out."""
    names = [log["event"] for log in logs if "gateway.outbox_" in log["event"]]
    return [name for n, name in enumerate(names) if names[n - 1 : n] != [name]]


FAILED_AND_WORKS = ["gateway.outbox_failed", "gateway.outbox_works"]
READ_ONLY = """
CREATE FUNCTION read_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE 'the test says so' USING ERRCODE = '25006'; END $$;
CREATE TRIGGER read_only BEFORE INSERT ON {} EXECUTE FUNCTION read_only();
"""
WRITABLE = "DROP FUNCTION read_only CASCADE"


async def test_while_it_takes_nothing_it_does_not_work_although_it_can_be_read(
    server, schema, entry
):
    """Neither what the owner writes nor what a process hands over."""
    with between(server) as (proxy, url), capture_logs() as logs:
        async with outbox_at(url, schema) as outbox, outbox.handover() as handover:
            handover.waiting = lambda: ["0" * 30]
            handover.expect()
            await outbox.append(entry("one"), lambda: None)
            ran(server, schema, READ_ONLY.format("envelopes"))
            proxy.cut()
            await until(lambda: "cannot be read" in str(logs))
            with pytest.raises(OutboxError):
                await outbox.append(entry("refused"), lambda: None)
            proxy.join()
            await read_only(partial(outbox.append, entry("refused"), lambda: None))
            await trio.sleep(1.5)
            assert FAILED_AND_WORKS[:1] == told(logs)
            ran(server, schema, WRITABLE)
            await appended(outbox, entry("two"))
            await until(lambda: FAILED_AND_WORKS == told(logs))


async def test_a_process_that_cannot_hand_over_does_not_say_that_it_can_again(server, schema):
    with between(server) as (proxy, url), capture_logs() as logs:
        async with outbox_at(server.url(), schema):
            pass  # it makes the schema
        async with outbox_at(url, schema).handover() as handover:
            handover.waiting = lambda: ["0" * 30]
            handover.expect()
            ran(server, schema, READ_ONLY.format("handed"))
            proxy.cut()
            await until(lambda: "cannot be read" in str(logs))
            proxy.join()
            await read_only(partial(handover.tell, "bot", "{}"))
            await trio.sleep(1.5)
            assert FAILED_AND_WORKS[:1] == told(logs)
            ran(server, schema, WRITABLE)
            await handover.tell("bot", "{}")
            await until(lambda: FAILED_AND_WORKS == told(logs))


async def read_only(attempt):
    """Attempt it until the server says that it is read-only: at first the connection is lost."""
    said = ""
    while "read-only" not in said:
        try:
            await attempt()
        except OutboxError as error:
            said = str(error)


async def until(is_so):
    with trio.fail_after(PATIENCE):
        while not is_so():  # noqa: ASYNC110 - what is looked at has no event
            await trio.sleep(0.02)


@pytest.mark.parametrize("function", ["pg_terminate_backend", "pg_cancel_backend"])
async def test_somebody_ends_its_connections_or_statements(server, schema, entry, function):
    """Again and again while it writes: nothing that was acknowledged is lost, and it goes on."""
    stored = []
    async with outbox_at(server.url(), schema) as outbox:
        own = f"""SELECT {function}(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()
            AND application_name = 'gateway'"""  # noqa: S608 - a constant

        async def end_often():
            for _ in range(10):
                await trio.to_thread.run_sync(ran, server, schema, own)
                await trio.sleep(0.02)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_often)
            while True:
                one = entry(str(entry.count))
                try:
                    await outbox.append(one, lambda one=one: stored.append(one.id))
                except OutboxError:
                    await trio.sleep(0.01)
        await appended(outbox, entry("last"))
        with trio.fail_after(PATIENCE):
            there, after = [], -1
            while page := await outbox.page("bot", after=after):
                there += [one.entry.id for one in page]
                after = page[-1].position
    assert len(there) == len(stored) + 1
    assert stored == there[:-1]


@pytest.fixture
def unreachable_standby(server):
    """Every synchronous COMMIT waits for a standby that is not there."""

    def wait_for(names):
        server.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        server.execute("SELECT pg_reload_conf()")

    yield wait_for
    wait_for("")


async def test_a_wait_for_a_standby_that_somebody_ends_is_no_answer(
    server, schema, entry, unreachable_standby
):
    """The server says then that it is committed, with a warning; a standby may not have it."""
    url, told = server.url(options="-c%20synchronous_commit%3Don"), []
    waits = """SELECT pid, query_start, pg_cancel_backend(pid) FROM pg_stat_activity
        WHERE wait_event = 'SyncRep' AND application_name = 'gateway'"""

    async def append_all():
        for n in range(10_000):
            await outbox.append(entry(f"{n}"), lambda n=n: told.append(f"{n}"))

    async with outbox_at(url, schema) as outbox:
        async with trio.open_nursery() as nursery:
            await trio.to_thread.run_sync(unreachable_standby, "nobody")  # known to all in a moment
            nursery.start_soon(append_all)
            ended, before = set(), None
            try:
                with trio.fail_after(PATIENCE):
                    while len(ended) < 4:
                        ended |= set(await trio.to_thread.run_sync(ran, server, schema, waits))
                        before = list(told) if ended and before is None else before
                        await trio.sleep(0.01)
                assert before == told
            finally:
                await trio.to_thread.run_sync(unreachable_standby, "")
            with trio.fail_after(PATIENCE):
                while before == told:  # noqa: ASYNC110 - it has no event
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        found = texts(await outbox.page("bot"))
        assert told == found[: len(told)]


async def test_the_server_stops_and_crashes_and_begins_anew(schema, entry):
    """What was acknowledged before is there; the owner is the same."""
    if postgres_server.programs() is None:
        pytest.skip("not tried: there is no PostgreSQL server here (Debian's `postgresql`)")
    server = postgres_server.Server(safe=True)
    try:
        server.start()
        async with outbox_at(server.url(), schema) as outbox:
            await outbox.append(entry("before"), lambda: None)
            for number in (signal.SIGINT, signal.SIGQUIT):
                await trio.to_thread.run_sync(server.end, number)
                with pytest.raises(OutboxError):
                    await outbox.append(entry("refused"), lambda: None)
                server.start()  # it ends with the thread that begins it
                await appended(outbox, entry(f"after {number}"))
            assert ["before", "after 2", "after 3"] == texts(await outbox.page("bot"))
    finally:
        server.remove()


async def test_a_standby_logs_why_it_cannot_take_over_and_names_only_processes_as_owners(schema):
    """With `owner_wait` it gives up with the cause, too. An owner is named once."""
    if postgres_server.programs() is None:
        pytest.skip("not tried: there is no PostgreSQL server here (Debian's `postgresql`)")
    server = postgres_server.Server(safe=True)

    async def stands_by():
        async with outbox_at(server.url(), schema):
            pass

    async def gives_up():
        with pytest.raises(OutboxError) as refused:
            await outbox_at(server.url(), schema, owner_wait=2).__aenter__()
        reasons.append(str(refused.value))

    async def until(holds):
        with trio.fail_after(PATIENCE):
            while not holds():  # noqa: ASYNC110 - it has no event
                await trio.sleep(0.01)

    reasons = []
    try:
        server.start()
        with capture_logs() as logs:

            def told(event):
                return [log for log in logs if log["event"] == f"gateway.outbox_{event}"]

            def failed():
                return [log for log in told("failed") if "cannot be taken over" in log["error"]]

            async with outbox_at(server.url(), schema), trio.open_nursery() as nursery:
                nursery.start_soon(stands_by)
                await until(lambda: told("stands_by"))
                nursery.start_soon(gives_up)
                await until(lambda: len(told("stands_by")) == 2)
                await trio.to_thread.run_sync(server.end, signal.SIGINT)
                await until(lambda: reasons)
                server.start()  # it ends with the thread that begins it
                await until(lambda: told("works"))
                nursery.cancel_scope.cancel()
        assert "cannot be taken over" in reasons[0]
        assert 1 in [log["times"] for log in failed()]
        assert {True} == {", process " in log["owner"] for log in told("stands_by")}
        assert 2 == len(told("stands_by"))
    finally:
        server.remove()


async def test_what_the_database_refuses_fails_alone(server, schema, entry):
    """Neither the entries beside it nor what was told are held up by it, then or later."""
    one, wrong, two = entry("one"), entry("wrong"), entry("two")
    async with outbox_at(server.url(), schema) as outbox:
        ran(server, schema, "ALTER TABLE envelopes ADD CHECK (entry NOT LIKE '%wrong%')")
        told, refused = [], []

        async def append(each):
            try:
                await outbox.append(each, lambda: told.append(each.id))
            except OutboxError as error:
                refused.append(str(error))

        async with trio.open_nursery() as nursery:
            for each in (one, wrong, two):
                nursery.start_soon(append, each)
        assert (2, 1) == (len(told), len(refused))
        assert "refuses what is written" in refused[0]
        beyond = StepRecord(serial=0, number=2**70, started=True)
        with pytest.raises(OutboxError, match="refuses what is written"):
            await outbox.attempt_started(one.id, beyond)
        await outbox.attempt_started(two.id, StepRecord(serial=0, number=1, started=True))
        outbox.acknowledged(one.id, beyond)  # nobody waits: it is logged, and stops nothing
        outbox.finished(receipt_of(two))
        assert ["one"] == texts(await outbox.page("bot"))
        assert (await outbox.find(two.id)).receipt.delivered


@pytest.mark.parametrize("times", [1, CROSSED, CROSSED + 1])
@pytest.mark.parametrize("state", ["40001", "40P01"], ids=["serialisation", "deadlock"])
async def test_another_transaction_that_comes_between_refuses_if_it_does_so_each_time(
    server, schema, entry, state, times
):
    """Nothing of the batch is there then; what was told is written with the next."""
    one = entry("one")
    async with outbox_at(server.url(), schema) as outbox:
        await outbox.append(one, lambda: None)
        ran(server, schema, f"""CREATE SEQUENCE times;
            CREATE FUNCTION come_between() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF nextval('{schema}.times') <= {times} THEN
                    RAISE EXCEPTION 'came between' USING ERRCODE = '{state}';
                END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER come_between BEFORE INSERT ON envelopes
                FOR EACH ROW EXECUTE FUNCTION come_between()""")  # fmt: skip
        outbox.finished(receipt_of(one))
        refuses = times > CROSSED
        with pytest.raises(OutboxError, match="came between") if refuses else nullcontext():
            await outbox.append(entry("two"), lambda: None)
        await appended(outbox, entry("three"))
        wanted = ["three"] if refuses else ["two", "three"]
        assert wanted == texts(await outbox.page("bot"))
        assert (await outbox.find(one.id)).receipt.delivered


async def test_a_real_deadlock_is_ended_by_the_server(server, schema, entry):
    """Another transaction waits for what the owner holds, and holds what the owner waits for."""
    async with outbox_at(server.url(), schema) as outbox:
        await outbox.append(entry("one"), lambda: None)
        waits = """SELECT 1 FROM pg_stat_activity
            WHERE application_name = 'gateway' AND wait_event_type = 'Lock'"""
        with server.connect() as other, trio.fail_after(PATIENCE):
            other.execute("BEGIN")
            other.execute(f"LOCK TABLE {schema}.keys IN ACCESS EXCLUSIVE MODE")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(appended, outbox, entry("two", key="k"))
                while not await trio.to_thread.run_sync(ran, server, schema, waits):  # noqa: ASYNC110 - of a row
                    await trio.sleep(0.01)
                with suppress(psycopg.errors.DeadlockDetected):  # the server ends either of them
                    sql = f"SELECT 1 FROM {schema}.accounts WHERE account = '' FOR UPDATE"  # noqa: S608 - the test's own
                    await trio.to_thread.run_sync(other.execute, sql)
                other.execute("ROLLBACK")
        assert ["one", "two"] == texts(await outbox.page("bot"))


async def test_a_server_that_does_not_answer_is_not_waited_for(server, schema, entry):
    """Neither is a lock: a caller hears so, and nothing of it is there later."""
    async with outbox_at(server.url(), schema, lease=5) as outbox:
        await outbox.append(entry("one"), lambda: None)
        with (
            locked(server, schema, "envelopes"),
            trio.fail_after(PATIENCE),
            pytest.raises(OutboxError, match="held a lock for too long"),
        ):
            await outbox.append(entry("refused"), lambda: None)
        await appended(outbox, entry("two"))
        assert ["one", "two"] == texts(await outbox.page("bot"))


async def test_a_connection_that_says_nothing_is_broken_off(server, schema, entry):
    """The client has a deadline of its own: the server knows nothing of a COMMIT that is lost."""
    with between(server) as (proxy, url):
        async with outbox_at(url, schema, lease=5) as outbox:
            await outbox.append(entry("one"), lambda: None)
            proxy.lose = "silent"
            with trio.fail_after(PATIENCE), pytest.raises(OutboxError, match="lost a COMMIT"):
                await outbox.append(entry("two"), lambda: None)
            await appended(outbox, entry("three"))
            assert ["one", "three"] == texts(await outbox.page("bot"))


@pytest.fixture
def role(server):
    """A role with a password, over TCP."""
    server.execute("DROP ROLE IF EXISTS app")
    server.execute("CREATE ROLE app LOGIN PASSWORD 'right-secret'")
    return "app"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (lambda it: it.tcp_url("app", "wrong-secret"), "the password is wrong"),
        (lambda it: it.url("nowhere"), "the database does not exist"),
        (lambda it: it.tcp_url("app", "right-secret"), "the role lacks a privilege"),
        (lambda it: it.tcp_url("app", "right-secret").replace(str(it.port), "1"), "127.0.0.1:1/"),
    ],
    ids=["password", "database", "privilege", "port"],
)
async def test_why_it_cannot_be_opened_is_said_without_the_password(
    server, schema, role, url, words
):
    outbox = outbox_at(url(server), schema)
    with pytest.raises(OutboxError, match=words) as told, trio.fail_after(PATIENCE):
        await outbox.__aenter__()
    assert "secret" not in str(told.value)
    assert "secret" not in repr(told.value.__cause__)


async def test_a_plain_role_that_may_make_a_schema_suffices(server, database, role, entry):
    server.execute(f"GRANT CREATE ON DATABASE {database} TO {role}")
    url = server.tcp_url(role, "right-secret", database)
    for text in ("one", "two"):
        async with outbox_at(url, "gateway") as outbox:
            await outbox.append(entry(text), lambda: None)
    server.execute("SELECT gateway.send('bot', 'room', 'text')", database=database, user=role)
    async with outbox_at(url, "gateway") as outbox:
        (found,) = await outbox._look(lambda it: outbox._handed.look(it, 1.0))
        assert "text" == found.envelope.text


async def test_a_server_that_becomes_read_only_refuses(server, database, entry):
    async with outbox_at(server.url(database), "gateway") as outbox:
        await outbox.append(entry("one"), lambda: None)
        server.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        server.execute(end, database)
        with pytest.raises(OutboxError, match="read-only"):
            await outbox.append(entry("refused"), lambda: None)
        server.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")
        await appended(outbox, entry("two"))
        assert ["one", "two"] == texts(await outbox.page("bot"))


@pytest.fixture
def small_disk(server):
    """A database on a disk of 32 MB, and the folder of that."""
    folder = server.folder / "small"
    folder.mkdir()
    options = f"size=32m,mode=0700,uid={server.user}"
    mounting = ["mount", "-t", "tmpfs", "-o", options, "gateway-test", str(folder)]
    if subprocess.run(mounting, capture_output=True, check=False).returncode:
        folder.rmdir()
        pytest.skip("not tried: this user may not mount a disk in memory")
    try:
        server.execute(f"CREATE TABLESPACE small LOCATION '{folder}'")
        server.execute("CREATE DATABASE small TABLESPACE small")
        yield folder
    finally:
        server.execute("DROP DATABASE IF EXISTS small WITH (FORCE)")
        server.execute("DROP TABLESPACE IF EXISTS small")
        subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_disk_that_is_full_refuses_until_it_has_room(server, small_disk, entry):
    """A real one, with texts that cannot be compressed."""
    words, full = Random("full"), small_disk / "full"

    async def fill(outbox):
        for _ in range(100):
            await outbox.append(entry(words.randbytes(100_000).hex()), lambda: None)

    async with outbox_at(server.url("small"), "gateway") as outbox:
        one = entry("one")
        await outbox.append(one, lambda: None)
        with full.open("wb") as file, suppress(OSError):
            while True:
                file.write(b"x" * 65_536)
                file.flush()
        with pytest.raises(OutboxError, match="the server's disk is full; make room on it"):
            await fill(outbox)
        outbox.finished(receipt_of(one))
        full.unlink()
        await appended(outbox, entry("two"))
        assert (await outbox.find(one.id)).receipt.delivered
        assert "two" == texts(await outbox.page("bot", limit=1000))[-1]


async def test_a_process_has_three_connections(server, database, entry):
    async with outbox_at(server.url(database), "gateway") as outbox:
        async with trio.open_nursery() as nursery:
            for n in range(50):
                nursery.start_soon(outbox.append, entry(f"{n}"), lambda: None)
                nursery.start_soon(outbox.page, "bot")
        await trio.to_thread.run_sync(outbox._membership.renew)
        sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
        assert [(3,)] == server.execute(sql, database)


async def test_a_schema_that_is_newer_is_refused(server, schema, entry):
    async with outbox_at(server.url(), schema) as outbox:
        await outbox.append(entry("one"), lambda: None)
    ran(server, schema, "UPDATE format SET version = 900")  # a later release that we can go on with
    async with outbox_at(server.url(), schema) as outbox:
        assert ["one"] == texts(await outbox.page("bot"))
    ran(server, schema, "UPDATE format SET oldest = 899")
    with pytest.raises(OutboxError, match=r"has version 900, which needs a release that knows"):
        await outbox_at(server.url(), schema).__aenter__()


async def test_somebody_elses_schema_is_left_alone(server, schema):
    server.execute(f"CREATE SCHEMA {schema}")
    server.execute(f"CREATE TABLE {schema}.orders (id int)")
    with pytest.raises(OutboxError, match="has tables, but is no outbox"):
        await outbox_at(server.url(), schema).__aenter__()


async def test_many_processes_make_the_schema_at_once(server, schema):
    """One makes it, and the others find it."""
    outboxes = [outbox_at(server.url(), schema, owner_wait=0) for _ in range(6)]
    owners = []

    async def enter(outbox):
        try:
            async with outbox:
                owners.append(outbox)
                await done.wait()
        except OutboxError as error:
            refused.append(str(error))
            if 5 == len(refused):
                done.set()

    done, refused = trio.Event(), []
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            for outbox in outboxes:
                nursery.start_soon(enter, outbox)
    assert (1, 5) == (len(owners), len(refused))
    assert all("is owned by another process" in each for each in refused)


async def test_names_of_any_length_and_any_character(server, schema, entry):
    """Four of 1,024 characters are legal, each of which may need four bytes."""
    long, odd = "\U0001f600" * 1024, "a\0b\x1a\x1a0"
    entries = [
        entry("long", instance=long, room=long[::-1], key=long),
        entry("odd", instance=odd, room=odd, key=odd),
        entry("hash", instance="#x", room="#x", key="#x"),
        entry("text \0 \x1a", instance="bot", room="room"),
    ]
    async with outbox_at(server.url(), schema) as outbox:
        for one in entries:
            await outbox.append(one, lambda: None)
        outbox.moved(odd, odd, long)
    async with outbox_at(server.url(), schema) as outbox:
        for one in entries:
            name, room = one.envelope.instance_id, one.envelope.external_room_id
            (stored,) = await outbox.page(name, room=room)
            assert one == stored.entry
            if one.scope is not None:
                assert one.id == (await outbox.find(one.scope)).envelope_id
        assert {long, odd, "#x", "bot"} == set((await outbox.overview()).unfinished)
        assert {odd: long} == (await outbox.recover(odd)).moves
