"""What applications hand over in their own transactions is sent if, and only if, those commit."""

import json
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from math import inf, nan

import postgres_programs
import psycopg
import pytest
import trio
from postgres_runs import ran
from psycopg.rows import dict_row, namedtuple_row, scalar_row, tuple_row
from sealed import FIRST
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from gateway_contrib.durable.sealing.known import keys_in
from gateway_contrib.postgres import PostgresOutbox, PostgresSettings, aenqueue, enqueue, handed
from gateway_contrib.postgres.handed import _LOOK, _NEW, Share
from gateway_core import (
    Call,
    Delete,
    Edit,
    ErrorClass,
    File,
    Invalid,
    KeyRef,
    Reason,
    Send,
    Verdict,
)
from gateway_core.testing import FakeChannel, failing, open_test_gateway, virtual_wall

PATIENCE = 60.0
NAMES = {"instance_id": "bot", "external_room_id": "room"}
OF_ANOTHER = """{"kind": "send", "version": 1, "instance_id": "other", "external_room_id": "room",
    "text": "x"}"""


def outbox_at(server, schema, keys=(), **settings):
    settings = PostgresSettings(**{"lease": 60, "schema": schema, "poll": 0.01} | settings)
    return PostgresOutbox(server.url(), settings, wall_clock=virtual_wall, keys=keys)


@asynccontextmanager
async def gateway_on(server, schema, channel, **settings):
    async with open_test_gateway(channel, outbox=outbox_at(server, schema), **settings) as gateway:
        yield gateway


@pytest.fixture
def made(made_schema):
    return made_schema


def status(server, schema, name):
    ((found,),) = ran(server, schema, f"SELECT status('{name}')")
    return found


async def until(server, schema, name, state="ended"):
    with trio.fail_after(PATIENCE):
        while (found := status(server, schema, name))["state"] != state:  # noqa: ASYNC110 - a row
            await trio.sleep(0.02)
    return found


async def arrived(channel, number):
    with trio.fail_after(PATIENCE):
        while len(channel.texts("room")) < number:  # noqa: ASYNC110 - it has no event
            await trio.sleep(0.02)


def send(connection, schema, text, /, **options):
    sql = f"SELECT {schema}.send('bot', 'room', %s, %s)"
    return connection.execute(sql, (text, json.dumps(options))).fetchone()[0]


async def test_it_is_sent_if_and_only_if_its_transaction_commits(server, made):
    """Also where nobody owned the outbox as it was handed over."""
    channel = FakeChannel()
    with server.connect() as own:
        with own.transaction():
            first = send(own, made, "before")
        assert {"state": "handed"} == status(server, made, first)
        async with gateway_on(server, made, channel):
            with own.transaction(force_rollback=True):
                never = send(own, made, "rolled back")
            with own.transaction():
                last = send(own, made, "committed")
            await until(server, made, first)
            assert "delivered" == (await until(server, made, last))["disposition"]
            assert status(server, made, never) is None
    assert ["before", "committed"] == channel.texts("room")


async def test_a_transaction_that_stays_open_stops_nothing(server, made):
    """It is taken when it commits, though others that are numbered later were taken before."""
    channel = FakeChannel()
    async with gateway_on(server, made, channel):
        with server.connect() as slow, server.connect() as quick:
            with slow.transaction():
                late = send(slow, made, "late")
                for n in range(3):
                    name = send(quick, made, f"quick {n}")
                    await until(server, made, name)
            await until(server, made, late)
    assert ["quick 0", "quick 1", "quick 2", "late"] == channel.texts("room")


async def test_order_is_kept_where_the_outbox_fails_between_two(server, made):
    """What cannot be accepted now is tried again, and what came after it in its room waits."""
    ran(server, made, f"""CREATE SEQUENCE times;
        CREATE FUNCTION come_between() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('{made}.times') IN (1, 4) THEN
                RAISE EXCEPTION 'came between' USING ERRCODE = '40001';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER come_between BEFORE INSERT ON envelopes
            FOR EACH ROW EXECUTE FUNCTION come_between()""")  # fmt: skip
    expected, channel = [f"text {n}" for n in range(5)], FakeChannel()
    with server.connect() as own:
        for text in expected:
            send(own, made, text)
    async with gateway_on(server, made, channel):
        await arrived(channel, len(expected))
    assert expected == channel.texts("room")


async def test_many_messages_of_one_room_share_commits_and_keep_their_order(server, made):
    channel, many = FakeChannel(), 300
    with server.connect() as own:
        own.execute(f"SET search_path = {made}")
        with own.transaction():
            for number in range(many):
                send(own, made, f"{number}")
        async with gateway_on(server, made, channel):
            await arrived(channel, many)
        ((commits,),) = own.execute("SELECT count(DISTINCT xmin::text) FROM handed").fetchall()
    assert [f"{number}" for number in range(many)] == channel.texts("room")
    assert commits < 0.8 * many


async def test_later_messages_of_a_room_wait_for_one_that_somebody_is_about_to_withdraw(
    server, made
):
    channel = FakeChannel()
    with server.connect() as own, server.connect() as another:
        own.execute(f"SET search_path = {made}")
        names = [send(own, made, f"{number}") for number in range(6)]
        another.execute(f"SET search_path = {made}")
        another.execute("BEGIN")
        held = "SELECT 1 FROM handed WHERE id = ANY (%s) FOR UPDATE"
        another.execute(held, ([names[2], names[4]],))
        async with gateway_on(server, made, channel):
            await arrived(channel, 2)
            await trio.sleep(0.3)
            assert ["0", "1"] == channel.texts("room")
            withdrawn = "UPDATE handed SET answered_at = now(), waiting = false WHERE id = %s"
            another.execute(withdrawn, (names[4],))
            another.execute("COMMIT")
            await arrived(channel, 5)
    assert ["0", "1", "2", "3", "5"] == channel.texts("room")


async def test_a_look_takes_what_is_new_and_no_more(server, made):
    """However many there are that it has taken before, and however long a transaction is open."""
    outbox = outbox_at(server, made)
    async with outbox:
        with server.connect() as slow, server.connect() as quick:

            async def look():
                found = await outbox._look(lambda it: outbox._handed.look(it, 1.0))
                return [one.envelope.text for one in found]

            assert [] == await look()
            with slow.transaction():
                send(slow, made, "late")
                for n in range(3):
                    send(quick, made, f"{n}")
                assert ["0", "1", "2"] == await look()
                assert [] == await look()
                send(quick, made, "3")
                assert ["3"] == await look()
            assert ["late"] == await look()
            send(quick, made, "4")
            assert ["4"] == await look()


async def test_a_look_under_way_as_an_account_is_had_takes_none(server, made):
    """It looks for what is new, and older rows of the account come first."""

    class Gaining:
        def __init__(self, connection):
            self.connection = connection

        def execute(self, *words):
            found = self.connection.execute(*words)
            handed.gained()
            return found

    outbox = outbox_at(server, made)
    async with outbox:
        handed = outbox._handed
        share = Share(outbox._membership.member, lambda _instance: True)
        assert [] == await outbox._look(lambda it: handed.look(it, 1.0, share))
        with server.connect() as own:
            send(own, made, "new")
        assert [] == await outbox._look(lambda it: handed.look(Gaining(it), 1.0, share))
        (found,) = await outbox._look(lambda it: handed.look(it, 1.0, share))
        assert "new" == found.envelope.text


async def test_what_is_taken_at_once_is_bounded_in_bytes(server, made, monkeypatch):
    """Whoever hands over a thousand texts of a megabyte fills no memory; one alone is taken."""
    monkeypatch.setattr(handed, "BYTES", 3_000)
    outbox = outbox_at(server, made)
    async with outbox:
        with server.connect() as own:
            own.execute(f"SET search_path = {made}")
            for n in range(4):
                send(own, made, f"{n}" * 1_000)
            send(own, made, "4" * 9_000)
            taken = []

            async def look():
                found = await outbox._look(lambda it: outbox._handed.look(it, 1.0))
                taken.extend(one.number for one in found)
                return "".join(one.envelope.text[0] for one in found)

            def answer(*numbers):
                sql = "UPDATE handed SET answered_at = now() WHERE number = ANY (%s)"
                own.execute(sql, (list(numbers),))
                outbox._handed.answered(numbers)

            assert ["012", ""] == [await look(), await look()]
            answer(*taken[:2])
            assert ["34", ""] == [await look(), await look()]
            answer(*taken[2:4])
            send(own, made, "last")
            assert "" == await look()
            answer(*taken[3:])
            assert ["l", ""] == [await look(), await look()]


async def test_a_row_without_bounds_is_not_even_read(server, made, monkeypatch):
    """Whoever calls `hand_all` itself may write a gigabyte; the owner refuses it by its length."""
    monkeypatch.setattr(handed, "LONGEST", 2_000)
    channel = FakeChannel()
    with server.connect() as own:
        huge = send(own, made, "x" * 2_000)
        good = send(own, made, "good")
    async with gateway_on(server, made, channel):
        assert "more than 2000 bytes" in (await until(server, made, huge))["reason"]
        await until(server, made, good)
    assert ["good"] == channel.texts("room")


async def test_a_look_costs_the_same_however_much_was_answered(server, made):
    """Also while a transaction stays open, for which the server keeps all that it may see."""
    outbox, pages = outbox_at(server, made), []

    async def look():
        await outbox._look(lambda it: outbox._handed.look(it, 1.0))
        asked = {"limit": 500, "xmax": outbox._handed._open[0], "open": outbox._handed._open[1]}
        asked |= {"bytes": 1, "longest": 1, "waiting": [], "passed": []}
        some = _LOOK.format(some=_NEW.format(but=""))
        sql = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {some}"
        ((plan,),) = await outbox._look(lambda it: it.execute(sql, asked).fetchall())
        return plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"]

    async with outbox:
        with server.connect() as slow, slow.transaction():
            send(slow, made, "late")
            for _ in range(3):
                ran(server, made, """INSERT INTO handed (instance, room, envelope, handed_by)
                    SELECT 'bot', 'room', '', '' FROM generate_series(1, 5000)""")  # fmt: skip
                ran(server, made, "UPDATE handed SET answered_at = now(), waiting = false")
                ran(server, made, "ANALYZE handed")
                await look()
                pages.append(await look())
    assert max(pages) < 20


async def test_what_is_wrong_ends_rejected_where_its_sender_reads_why(server, made):
    channel = FakeChannel()
    with server.connect() as own:
        sql = f"SELECT {made}.send(%s, 'room', 'text', %s)"
        wrong = [
            (own.execute(sql, (instance, options)).fetchone()[0], words)
            for instance, options, words in (
                ("nobody", "{}", "nobody"),
                ("bot", '{"ttl": "soon"}', "ttl"),
                ("bot", '{"nonsense": 1}', "nonsense"),
                ("bot", '{"instance_id": "other", "priority": "high"}', "priority"),
                ("bot", '{"instance_id": "other"}', "options.instance_id: contradicts"),
                ("bot", '{"text": "other"}', "options.text: contradicts the argument"),
                ("bot", '{"kind": "delete"}', "options.kind: contradicts the argument"),
                ("bot", '{"thread": "1", "thread_id": "2"}', "options.thread_id: contradicts"),
            )
        ]
        hand = f"SELECT {made}.hand('bot', 'room', %s)"
        for text, words in (
            ("no json", "DecodeError"), ("[]", ""),
            (OF_ANOTHER, "it is of instance 'other'"),
            ('{"kind": "send", "version": 900}', "900"),
            ("[" * 200_000, "RecursionError"),
            (OF_ANOTHER.replace("other", "bot").replace('"x"', '"x", "files": [{"source": "/"}]'),
             "files.0: cannot be read by the gateway"),
        ):  # fmt: skip
            wrong.append((own.execute(hand, (text,)).fetchone()[0], words))
        repeated = {**NAMES, "text": "good", "thread_id": None}  # contradicts no argument
        good = send(own, made, "good", **repeated)
    with capture_logs() as logs:
        async with gateway_on(server, made, channel):
            await until(server, made, good)
            for name, _ in wrong:
                await until(server, made, name)
    refused = [log for log in logs if log["event"] == "gateway.request_refused"]
    assert len(wrong) == len(refused)
    assert {"nobody", "bot"} == {log["instance"] for log in refused}
    assert "UnknownInstance" in {log["error"] for log in refused}
    async with gateway_on(server, made, channel):
        for name, words in wrong:
            ended = await until(server, made, name)
            assert "rejected" == ended["disposition"]
            assert words in ended["reason"]
            assert "configured" not in ended["reason"]  # whom else it could name is not told
    assert ["good"] == channel.texts("room")


@pytest.mark.parametrize("source", [__file__, b"bytes"])
def test_a_file_that_another_process_would_have_to_read_is_refused(source):
    """Whoever owns the outbox reads nothing of its own disk for who may only hand over."""
    of_disk = Send(
        instance_id="bot", external_room_id="room", text="x", files=[File(source, name="x.txt")]
    )
    with pytest.raises(Invalid, match=r"^files\.0: .*URL as `source`, or its `id`"):
        enqueue(None, of_disk)


@pytest.mark.parametrize("keys", [(), (FIRST,)])
async def test_its_sender_reads_that_the_room_may_show_it_twice(server, made, keys):
    lost = Verdict(
        error_class=ErrorClass.RETRYABLE, reason=Reason.OUTCOME_UNKNOWN, dispatched="unknown"
    )
    channel = FakeChannel(script=failing(lost))
    with server.connect() as own:
        names = [send(own, made, text) for text in ("perhaps twice", "once")]
    async with open_test_gateway(channel, outbox=outbox_at(server, made, keys)):
        ended = [await until(server, made, name) for name in names]
    assert ["delivered"] * 2 == [each["disposition"] for each in ended]
    expected = [None, None] if keys else [True, False]
    assert expected == [each["possible_duplicate"] for each in ended]


async def test_keys_join_replay_and_conflict_in_their_order(server, made):
    channel = FakeChannel()
    with server.connect() as own:
        names = [send(own, made, text, key="k") for text in ("one", "one", "another")]
    async with gateway_on(server, made, channel):
        ended = [await until(server, made, name) for name in names]
    assert ["delivered", "delivered", "rejected"] == [each["disposition"] for each in ended]
    assert ended[0]["id"] == ended[1]["id"]
    assert "IdempotencyConflict" in ended[2]["reason"]
    assert ["one"] == channel.texts("room")


async def test_an_owner_that_ends_before_its_answer_leaves_one_message(server, made):
    """Its envelope is stored, and the next owner takes the row again."""
    channel = FakeChannel()
    with server.connect() as own:
        name = send(own, made, "one")
    async with gateway_on(server, made, channel):
        await until(server, made, name)
    sql = "UPDATE handed SET answered_at = NULL, waiting = true, seq = NULL, envelope = %s"
    envelope = Send(instance_id="bot", external_room_id="room", text="one")
    again = json.dumps({"kind": "send", "version": 1, "instance_id": "bot",
                        "external_room_id": "room", "text": envelope.text})  # fmt: skip
    ran(server, made, sql.replace("%s", f"'{again}'"))
    async with gateway_on(server, made, channel):
        assert "delivered" == (await until(server, made, name))["disposition"]
    assert ["one"] == channel.texts("room")


async def test_a_ttl_counts_from_the_insert(server, made):
    channel = FakeChannel()
    with server.connect() as own:
        late = send(own, made, "late", ttl=30)
        good = send(own, made, "good", ttl=3600)
    ran(server, made, "UPDATE handed SET handed_at = handed_at - interval '1 minute'")
    async with gateway_on(server, made, channel):
        assert "delivered" == (await until(server, made, good))["disposition"]
        assert "expired" == (await until(server, made, late))["disposition"]


async def test_what_the_outbox_cannot_take_now_is_taken_later(server, made):
    channel = FakeChannel()
    refuse = """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'no' USING ERRCODE = '53100'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON envelopes EXECUTE FUNCTION refuse();"""
    async with gateway_on(server, made, channel):
        ran(server, made, refuse)
        with server.connect() as own:
            name = send(own, made, "one")
        await trio.sleep(0.5)
        assert {"state": "handed"} == status(server, made, name)
        ran(server, made, "DROP TRIGGER refuse ON envelopes")
        assert "delivered" == (await until(server, made, name))["disposition"]


@pytest.fixture
def roles(server, made):
    """`web` may send as `bot`; `staff`, a member of it, likewise; `guest` may not."""
    with server.connect() as own:
        for name in ("web", "staff", "guest"):
            if not own.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone():
                own.execute(f"CREATE ROLE {name} LOGIN")
        own.execute("GRANT web TO staff")
        own.execute(f"SELECT {made}.allow('web', 'bot')")
    return made


def test_a_grant_names_an_instance(server, roles):
    """To ask about none is to ask about all."""
    with (
        server.connect() as own,
        pytest.raises(psycopg.errors.CheckViolation, match="grants_name_an_instance"),
    ):
        own.execute(f"SELECT {roles}.allow('guest', '')")
    with (
        server.connect(user="guest") as own,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied for schema"),
    ):
        own.execute(f"SELECT {roles}.status(gen_random_uuid())")


def test_a_role_sends_as_the_instances_that_are_granted_to_it(server, roles):
    for name in ("web", "staff"):
        with server.connect(user=name) as own:
            sent = send(own, roles, "allowed")
            assert {"state": "handed"} == own.execute(
                f"SELECT {roles}.status(%s)", (sent,)
            ).fetchone()[0]
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"role {name} may not"):
                own.execute(f"SELECT {roles}.send('other', 'room', 'text')")
            for table in ("handed", "envelopes", "grants"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    own.execute(f"TABLE {roles}.{table}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                own.execute(f"SELECT {roles}.begin_batch(gen_random_uuid(), 1, '{{}}', '{{}}')")
    with server.connect(user="guest") as own, pytest.raises(psycopg.errors.InsufficientPrivilege):
        send(own, roles, "refused")
    ran(server, roles, "SELECT disallow('web', 'bot')")
    with server.connect(user="web") as own, pytest.raises(psycopg.errors.InsufficientPrivilege):
        send(own, roles, "refused")


def test_a_role_that_is_set_is_the_one_that_counts(server, roles):
    """As poolers and frameworks do it, with one login for all."""
    with server.connect() as own:
        own.execute("SET ROLE guest")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            send(own, roles, "refused")
        own.execute("SET ROLE web")
        send(own, roles, "allowed")


def test_nobody_s_table_or_function_takes_the_place_of_ours(server, roles):
    """The search path of whoever calls it changes nothing."""
    with server.connect(user="web") as own:
        own.execute("CREATE TEMP TABLE handed (LIKE pg_class)")
        own.execute("CREATE TEMP TABLE grants (role text, instance text)")
        own.execute("INSERT INTO grants VALUES ('web', '*')")
        own.execute("SET search_path = pg_temp, public")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            own.execute(f"SELECT {roles}.send('other', 'room', 'text')")
        send(own, roles, "allowed")
    assert [(1,)] == ran(server, roles, "SELECT count(*) FROM handed")


@pytest.mark.parametrize(
    ("instance", "room", "options"),
    [("", "room", "{}"), ("x" * 1025, "room", "{}"), ("bot", "", "{}"), ("bot", "room", "[]"),
     ("bot", "room", json.dumps({"extra": "x" * 1_000_000}))],
    ids=["no instance", "long", "no room", "options", "large"],
)  # fmt: skip
def test_what_can_be_known_at_once_is_refused_at_once(server, made, instance, room, options):
    with server.connect() as own, pytest.raises(psycopg.errors.InvalidParameterValue):
        own.execute(f"SELECT {made}.send(%s, %s, 'text', %s)", (instance, room, options))


ENVELOPE = Send(
    instance_id="bot", external_room_id="room", text="100% \\ %s", key="k", extra={"a": [1, None]}
)


async def handed_is(server, schema, name, envelope):
    """The owner gives the gateway the same envelope, and knows by what id it was handed over."""
    async with outbox_at(server, schema) as outbox:
        (found,) = await outbox._look(lambda it: outbox._handed.look(it, 1.0))
        assert envelope == found.envelope
        assert [(name,)] == ran(server, schema, "SELECT id::text FROM handed")


def _of_nothing(_cursor):
    return lambda _values: None


@pytest.mark.parametrize("as_cursor", [False, True])
@pytest.mark.parametrize("rows", [tuple_row, dict_row, scalar_row, namedtuple_row, _of_nothing])
@pytest.mark.parametrize("cursors", [psycopg.Cursor, psycopg.ClientCursor, psycopg.RawCursor])
async def test_enqueue_with_psycopg(server, made, cursors, rows, as_cursor):
    """Whatever rows the application's connection makes, and whatever placeholders it takes."""
    with psycopg.connect(server.url(), row_factory=rows, cursor_factory=cursors) as own:
        with own.transaction(force_rollback=True):
            enqueue(own, ENVELOPE, schema=made)
        with own.transaction():
            name = enqueue(own.cursor() if as_cursor else own, ENVELOPE, schema=made)
    await handed_is(server, made, name, ENVELOPE)


class Safe(str):
    """A text of a template engine, which may stand in a page as it is."""

    __slots__ = ()


class Total(int):
    """A number of an application."""


@pytest.mark.parametrize("rows", [tuple_row, dict_row])
async def test_enqueue_of_texts_and_numbers_with_classes_of_their_own(server, made, rows):
    extra = {Safe("a"): [Total(1), Safe("b")]}
    names = {"instance_id": Safe("bot"), "external_room_id": Safe("room"), "key": Safe("k")}
    wanted = Send(**names, text=Safe("x"), extra=extra)
    with psycopg.connect(server.url(), row_factory=rows) as own:
        name = enqueue(own, wanted, schema=made)
    await handed_is(server, made, name, wanted)


def test_enqueue_with_asyncio(server, made):
    import asyncio  # noqa: PLC0415, TID251 - what an application runs on

    async def main():
        connection = await psycopg.AsyncConnection.connect(server.url(), row_factory=scalar_row)
        async with connection, connection.transaction():
            first = await aenqueue(connection, ENVELOPE, schema=made)
            async with connection.cursor() as cursor:
                return first, await aenqueue(cursor, ENVELOPE, schema=made)

    assert set(asyncio.run(main())) == {
        name for (name,) in ran(server, made, "SELECT id::text FROM handed")
    }


@pytest.mark.parametrize("program", ["DJANGO", "SQLALCHEMY"])
def test_enqueue_in_the_transactions_of_others(server, made, program):
    """What their transaction takes back was never handed over; with keys it is sealed."""
    (key,) = keys_in([FIRST])
    sealed = "INSERT INTO keyring VALUES ('its id', ''); UPDATE format SET oldest = 7"
    ran(server, made, sealed.replace("its id", key.id))
    words = [sys.executable, postgres_programs.__file__, program, server.url(), made]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "" == ended.stderr
    names = {name for (name,) in ran(server, made, "SELECT id::text FROM handed")}
    assert names == set(ended.stdout.split())
    sealed = ran(server, made, "SELECT 1 FROM handed WHERE envelope LIKE '~%'")
    assert 0 < len(sealed) < len(names)


async def test_enqueue_of_changes(server, made):
    """Of a message that is named by its key."""
    channel = FakeChannel()
    target = KeyRef(instance_id="bot", external_room_id="room", key="k")
    names = {"instance_id": "bot", "external_room_id": "room"}
    changes = [
        Send(**names, text="first", key="k"), Edit(**names, target=target, text="second"),
        Delete(**names, target=target),
    ]  # fmt: skip
    with server.connect() as own:
        handed = [enqueue(own, change, schema=made) for change in changes]
    async with gateway_on(server, made, channel):
        ended = [(await until(server, made, name))["disposition"] for name in handed]
    assert ["delivered"] * 3 == ended


def test_what_cannot_be_enqueued_is_refused_before_anything_is_asked():
    wrong = Send(instance_id="b\0t", external_room_id="room", text="x")
    with pytest.raises(Invalid, match="NUL"):
        enqueue(None, wrong)
    with pytest.raises(ValueError, match="schema"):
        enqueue(None, ENVELOPE, schema="a; DROP TABLE b")


BY_KEY = KeyRef(**NAMES, key="k")


@pytest.mark.parametrize(
    ("envelope", "words"),
    [
        (Send(**NAMES, text="x", not_before=inf), "not_before: must be a finite number of seconds"),
        (Send(**NAMES, text="x", not_before=nan), "not_before: must be a finite number of seconds"),
        (Send(**NAMES, text="x", not_before=datetime.now(UTC)), "not_before: must be a finite"),
        (Send(**NAMES, text="x", ttl=nan), "ttl: must be a finite number of seconds"),
        (Send(**NAMES, text="x", ttl=inf), "ttl: must be a finite number of seconds"),
        (Send(**NAMES, text="x", deadline=-inf), "deadline: must be a finite number of seconds"),
        (Send(**NAMES, text=b"abc"), "text: must be a text, not bytes"),
        (Send(**NAMES, text=None), "text: must be a text, not NoneType"),
        (Send(**NAMES, text=5), "text: must be a text, not int"),
        (Send(**NAMES, text="a\0b"), "text: .*NUL"),
        (Send(**NAMES, text="x", extra={"a": nan}), "extra.a: must be a finite number"),
        (Send(**NAMES, text="x", extra={"a": b"abc"}), "extra.a: must be plain JSON, not bytes"),
        (Send(**NAMES, text="x", files=["x.png"]), "files.0: must be a File, not str"),
        (Edit(**NAMES, target=BY_KEY, text="x", not_before=inf), "not_before: must be a finite"),
        (Edit(**NAMES, target="k", text="x"), "target: must be a MessageRef or a KeyRef"),
        (Delete(**NAMES, target=BY_KEY, ttl=nan), "ttl: must be a finite number of seconds"),
        (Call(**NAMES, method="wave", arguments={"a": inf}), "arguments.a: must be a finite"),
        ("x", "envelope: must be a Send, Edit, Delete or Call, not 'x'"),
        ([ENVELOPE], "envelope: must be a Send, Edit, Delete or Call"),
        (None, "envelope: must be a Send, Edit, Delete or Call, not None"),
    ],
)
def test_what_every_gateway_refuses_is_not_handed_over(envelope, words):
    """As JSON some of it would be another message, one that is sent at once."""
    with pytest.raises(Invalid, match=f"^{words}"):
        enqueue(None, envelope)
    with pytest.raises(Invalid, match=f"^{words}"):
        aenqueue(None, envelope).send(None)


@pytest.mark.parametrize("given", [None, "postgresql://h/d", object()])
def test_enqueue_without_a_transaction_says_what_it_needs(given):
    words = f"a connection, cursor or session that is in a transaction, not {type(given).__name__}"
    with pytest.raises(TypeError, match=words):
        enqueue(given, ENVELOPE)
    with pytest.raises(TypeError, match=words):
        aenqueue(given, ENVELOPE).send(None)


async def test_enqueue_and_aenqueue_name_the_one_that_takes_the_connection(server):
    with server.connect() as plain, plain.cursor() as cursor:
        for given in (plain, cursor, Session()):
            words = f"^{type(given).__name__} is synchronous: use `enqueue`$"
            with pytest.raises(TypeError, match=words):
                await aenqueue(given, ENVELOPE)
        connection = psycopg.AsyncConnection(plain.pgconn)
        for given in (connection, connection.cursor(), AsyncSession()):
            words = f"^{type(given).__name__} is asynchronous: use `await aenqueue`$"
            with pytest.raises(TypeError, match=words):
                enqueue(given, ENVELOPE)


def test_enqueue_with_a_key_that_is_no_secret_says_so():
    with pytest.raises(ValueError, match=r"keys\.0 must be a Secret, not str"):
        enqueue(None, ENVELOPE, keys=["x"])
