"""Processes that only hand over to a sealed outbox: nobody reads it, and no key is one too new."""

from contextlib import asynccontextmanager
from functools import partial

import psycopg
import pytest
import trio
import trio.lowlevel
from amounts import amount
from postgres_runs import ran
from sealed import FIRST, SECOND, words_in
from structlog.testing import capture_logs

from gateway_contrib.cli.ending import Ended
from gateway_contrib.cli.outbox.resealing import reseal
from gateway_contrib.durable.sealing.known import keys_in
from gateway_contrib.postgres import PostgresOutbox, PostgresSettings, aenqueue, enqueue, handed
from gateway_contrib.postgres.names import scope_of
from gateway_contrib.postgres.producing import calls, handover
from gateway_contrib.postgres.producing.calls import Handing
from gateway_contrib.postgres.sealing import anew, unopened
from gateway_contrib.postgres.sealing.handing import HandingKeys
from gateway_contrib.postgres.sealing.known import keyring_at
from gateway_core import (
    File,
    IdempotencyConflict,
    KeyRef,
    OutboxError,
    Refused,
    Send,
    Verdict,
)
from gateway_core.authors import Answer
from gateway_core.groups import feeding, job
from gateway_core.testing import Failure, FakeChannel, open_test_gateway, virtual_wall

TEXT, EDITED, KEY, RAW, BYTES, ROOM = (
    "Zebra crossing text", "Zebra edited anew", "zebra-key-4711", "zebra said no", "zebra-bytes-12",
    "zebra-room-of-a-group",
)  # fmt: skip
TEXTS = (TEXT, EDITED, KEY, RAW, BYTES)
WORDS = (*TEXTS, ROOM)
"""A room of a group can be read once its turn has come, as every room that something is sent to."""
CONTENT = (BYTES.encode() * 50_000)[:600_000]
REFUSED = Verdict(error_class="non_retryable", reason="unclassified", raw=RAW)
PATIENCE = 60.0
"""Seconds that nothing takes unless it hangs."""

pytestmark = pytest.mark.usefixtures("often")


@pytest.fixture
def schema(emptied_schema):
    return emptied_schema


def id_of(secret):
    return keys_in([secret])[0].id


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(handover, "FLOOR", 0.05)
    for module in (job, feeding):
        monkeypatch.setattr(module, "AGAIN", 0.05)


@pytest.fixture
def place(server, schema, tables):
    return Place(server, schema, tables)


class Place:
    """One schema, and whoever opens it with which keys."""

    def __init__(self, server, schema, tables):
        self.server, self.schema, self.tables = server, schema, tables
        self.channel = FakeChannel(script=script)

    def outbox(self, *keys, url=None):
        settings = PostgresSettings(schema=self.schema, lease=60, poll=0.01)
        url = url or self.server.url()
        return PostgresOutbox(url, settings, wall_clock=virtual_wall, keys=keys)

    def owner(self, *keys):
        return self.serving(self.outbox(*keys))

    def serving(self, outbox):
        settings = {"drain_timeout": 0.0, "attempt_timeout": 3600.0}
        return open_test_gateway(self.channel, outbox=outbox, **settings)

    @asynccontextmanager
    async def producer(self, *keys, url=None):
        outbox = self.outbox(*keys, url=url)
        with trio.fail_after(PATIENCE):
            async with open_test_gateway(FakeChannel(), outbox=outbox, serve=False) as gateway:
                yield gateway

    async def owned(self, *keys):
        """Once, so far."""
        async with self.outbox(*keys):
            pass

    async def refuses(self, why, *keys):
        """That a process with these keys hands over."""
        with pytest.raises(OutboxError, match=why):
            async with self.producer(*keys):
                pass

    def ran(self, sql):
        return ran(self.server, self.schema, sql)

    def knows(self, *keys):
        """The schema knows the first of these keys by now, as of another process that owns."""
        with self.server.connect() as own:
            own.execute(f"SET search_path = {self.schema}")
            with own.transaction():
                keyring_at(own, keys_in(keys), self.schema, owner=True)

    @property
    def sealed_with(self):
        """The ids of keys with which what waits is sealed; what is plain begins with {."""
        sql = "SELECT DISTINCT substr(envelope, 2, 8) FROM handed WHERE answered_at IS NULL"
        return {name for (name,) in self.ran(sql)}

    @property
    def known(self):
        return {name for (name,) in self.ran("SELECT id FROM keyring")}


async def script(attempt):
    text = str(attempt.payload)
    if "hangs" in text:
        await trio.sleep_forever()
    if "refused" in text:
        raise Failure(REFUSED)
    if attempt.operation == "call:method":
        return Answer(result={"said": RAW})
    return None


def message(text, room="room", **fields):
    return Send(instance_id="bot", external_room_id=room, text=f"{TEXT} {text}", **fields)


def scope(text):
    """Of its key, for who would try guesses of it."""
    return scope_of(("bot", "room", "send", f"{KEY} {text}"))


def key_of(text, room="room"):
    return KeyRef(instance_id="bot", external_room_id=room, key=f"{KEY} {text}")


async def until(holds):
    """Wait until what another process does is seen."""
    with trio.fail_after(PATIENCE):
        while not holds():  # noqa: ASYNC110 - what is looked at has no event
            await trio.sleep(0.01)


async def all_kinds(producer, nursery):
    """Handed over: what is keyed, edited and called, fails, has a file; and a group."""
    tickets = [await producer.submit(message("first", key=f"{KEY} first"))]
    tickets += [
        await producer.enqueue("bot", "file", TEXT, files=[File(CONTENT, name="a.bin")]),
        await producer.submit(message("refused", "fails")),
    ]
    nursery.start_soon(producer.edit, key_of("first"), EDITED)
    nursery.start_soon(producer.call, "bot", "called", "method", {"option": RAW})
    nursery.start_soon(partial(producer.broadcast, "bot", [ROOM], f"{TEXT} all", key=KEY))
    return tickets


@pytest.mark.parametrize("keys", [(FIRST,), ()], ids=["sealed", "plain"])
async def test_no_word_of_what_is_handed_over_can_be_read(place, keys):
    """Neither while it waits, nor answered, nor ended. Without keys the search finds all of it.

    Nobody has owned the schema before, so its first key is this process's.
    """
    async with place.producer(*keys) as producer, trio.open_nursery() as nursery:
        first, file, failed = await all_kinds(producer, nursery)
        await until(lambda: place.ran("SELECT 1 FROM handed OFFSET 5"))
        if keys:
            assert [] == words_in(place.tables(), *WORDS)
            assert {id_of(FIRST)} == place.sealed_with
            assert scope("first") not in place.tables()
        else:
            assert set(WORDS) == set(words_in(place.tables(), *WORDS))
            assert scope("first") in place.tables()
            nursery.cancel_scope.cancel()
            return
        async with place.owner(*keys):
            receipts = [await each.receipt() for each in (first, file, failed)]
            await producer.submit(message("another", key=f"{KEY} first"))
            with pytest.raises(IdempotencyConflict) as raised:
                await producer.send("bot", "room", "another", key=f"{KEY} first")
            assert (f"{KEY} first", first.id) == (raised.value.key, raised.value.envelope_id)
            await producer.submit(message("hangs", "hangs", key=f"{KEY} hangs"))
            assert [] == words_in(place.tables(), *TEXTS)
            assert RAW == receipts[2].verdict.raw
            assert first.id == (await producer.status(key_of("first"))).receipt.envelope_id
            called = await producer.call("bot", "called", "method", {"option": RAW})
            assert {"said": RAW} == called.result
            (group,) = await producer.groups("bot")
            assert (KEY, f"{TEXT} all") == (group.key, place.channel.texts(ROOM)[0])
            endings = producer.endings()
            assert receipts[0] in [(await anext(endings)).receipt for _ in range(3)]
        assert [] == words_in(place.tables(), *TEXTS)
        assert [EDITED] == place.channel.texts("room")
        (part,) = receipts[1].parts
        assert [CONTENT] == [
            place.channel.contents[name] for name in place.channel.files[part.message_id]
        ]


async def test_a_process_that_has_the_new_key_first_waits_with_it_for_the_owner(place):
    """It seals with the old one until an owner has both, and from then on with the new one."""
    async with place.owner(FIRST):
        pass
    async with place.producer(SECOND, FIRST) as producer:
        early = await producer.submit(message("early"))
        assert {id_of(FIRST)} == place.sealed_with
        async with place.owner(FIRST):
            assert (await early.receipt()).delivered
        async with place.owner(SECOND, FIRST):
            ticket = await producer.submit(message("by the new one"))
            assert (await ticket.receipt()).delivered
        late = await producer.submit(message("late", key=f"{KEY} late"))
        assert {id_of(SECOND)} == place.sealed_with
        assert late.id == (await producer.status(key_of("late"))).envelope_id
        async with place.owner(SECOND, FIRST):
            assert (await late.receipt()).delivered


async def test_a_process_that_has_only_the_old_key_hands_over_until_all_is_sealed_anew(place):
    """It cannot read what the owner writes, and says so; then it is told which key it lacks."""
    new, old = id_of(SECOND), id_of(FIRST)
    await place.owned(FIRST)
    async with place.producer(FIRST) as producer:
        outbox = place.outbox(SECOND, FIRST)
        async with place.serving(outbox):
            ticket = await producer.submit(message("one"))
            with pytest.raises(
                OutboxError, match=f"is sealed with key {new}, which another process gave"
            ):
                await ticket.receipt()
            with pytest.raises(OutboxError, match=f"with key {new}"):
                await producer.send("bot", "room", f"{TEXT} two")
            await place.refuses(f"with key {new}, which outbox.keys lacks .*{old}", FIRST)
            assert "rows sealed anew" in await outbox.reseal()
            assert {new} == place.known
            with pytest.raises(OutboxError, match=f"take messages.*with key {new}, which outbox"):
                await producer.submit(message("never"))
    assert [f"{TEXT} one", f"{TEXT} two"] == place.channel.texts("room")


async def test_keys_are_given_to_the_owner_of_a_plain_outbox_first(place):
    """Others are refused until then; who has none goes on in plain, and reads no receipt."""
    await place.owned()
    async with place.producer() as plain:
        await place.refuses(f"does not have key {id_of(FIRST)} yet: add the key", FIRST)
        async with place.owner(FIRST):
            await place.refuses(r"sealed with key \w{8}: add it to outbox.keys")
            await place.refuses(f"{id_of(FIRST)}, which outbox.keys lacks", SECOND)
            with pytest.raises(
                OutboxError, match=f"sealed with key {id_of(FIRST)}, which another process gave"
            ):
                await plain.send("bot", "room", f"{TEXT} plain")
            async with place.producer(FIRST) as sealed:
                assert (await sealed.send("bot", "room", f"{TEXT} sealed")).delivered
    assert [f"{TEXT} plain", f"{TEXT} sealed"] == place.channel.texts("room")


@pytest.mark.parametrize("taken", [True, False][: amount("states of what is sealed anew")])
async def test_all_that_was_handed_over_is_sealed_anew_while_more_is(place, taken):
    """By processes with both keys and with the old one, in transactions, and by SQL before it."""
    await place.owned()
    with place.server.connect() as own:
        own.execute(f"SELECT {place.schema}.send('nobody', 'room', '{TEXT}')")
    await answered(place)
    async with place.producer() as plain:
        early = await plain.submit(message("early", key=f"{KEY} early"))
    await place.owned(FIRST)
    outbox = place.outbox(SECOND, FIRST)
    async with (
        place.producer(FIRST) as old,
        place.producer(SECOND, FIRST) as both,
        place.serving(outbox) if taken else outbox,
        trio.open_nursery() as nursery,
    ):
        handed = 0

        async def hand_over(submit):
            nonlocal handed
            while True:
                await submit(handed)
                handed += 1

        async def by_both(n):
            await both.submit(message(n, f"{n}", key=f"{KEY} {n}"))

        async def by_the_old(n):
            with trio.move_on_after(PATIENCE):
                content = f"{BYTES} {n}".encode() * 20
                await old.enqueue("bot", f"{n}", TEXT, files=[File(content, name="a")])

        async def in_a_transaction(n):
            with place.server.connect() as own:
                enqueue(own, message(n, f"{n}"), schema=place.schema, keys=(SECOND, FIRST))
            await trio.lowlevel.checkpoint()

        nursery.start_soon(until_refused, partial(hand_over, by_the_old), id_of(SECOND))
        for submit in (by_both, in_a_transaction):
            nursery.start_soon(hand_over, submit)
        assert early.id == (await both.status(key_of("early"))).envelope_id
        await until(lambda: handed > 30)
        told = await outbox.reseal()
        assert told.endswith(f"rows sealed anew with key {id_of(SECOND)}")
        assert {id_of(SECOND)} == place.known
        content = place.tables()
        assert [] == words_in(content, *WORDS)
        assert id_of(FIRST).encode() not in content
        assert scope("early") not in content
        assert early.id == (await both.status(key_of("early"))).envelope_id
        nursery.cancel_scope.cancel()
    async with place.owner(SECOND):
        await until(lambda: not place.ran("SELECT 1 FROM handed WHERE answered_at IS NULL"))
    taken, lost = place.ran("""SELECT count(seq), count(*) - count(seq) FROM handed
        WHERE instance = 'bot' AND NOT cancelled""")[0]  # fmt: skip
    assert (0, True) == (lost, taken >= handed)


async def until_refused(do, name):
    with pytest.raises(OutboxError, match=f"with key {name}"):
        await do()


async def answered(place):
    """Rejected, with words that quote it, by an owner without keys."""
    async with place.owner():
        await until(lambda: place.ran("SELECT 1 FROM handed WHERE refused IS NOT NULL"))
    place.ran("UPDATE handed SET refused = 'Invalid: text: Zebra crossing text', scope = '1'")


async def test_a_key_stays_while_a_transaction_that_hands_over_with_it_is_open(
    place, monkeypatch, tmp_path, capsys
):
    """The command says so, and ends with 1, so that nobody takes it out."""
    monkeypatch.setattr(anew, "TRIES", 3)
    for name, key in (("new", SECOND), ("old", FIRST)):
        (tmp_path / name).write_text(key.reveal())
    config = tmp_path / "gateway.toml"
    config.write_text(f"""[outbox]
        url = "{place.server.url()}&schema={place.schema}"
        keys = [{{ file = "new" }}, {{ file = "old" }}]""")
    await place.owned(FIRST)
    with place.server.connect() as own, own.transaction():
        enqueue(own, message("late"), schema=place.schema, keys=(FIRST,))
        with pytest.raises(Ended, match=f"still needs key {id_of(FIRST)}: ask again") as ended:
            await reseal(config=config)
        assert 1 == ended.value.code
        assert {id_of(FIRST), id_of(SECOND)} == place.known
    await reseal(config=config)
    assert "1 rows sealed anew" in capsys.readouterr().out
    assert {id_of(SECOND)} == place.known == place.sealed_with
    async with place.owner(SECOND):
        await until(lambda: place.channel.texts("room"))
    assert [f"{TEXT} late"] == place.channel.texts("room")


async def test_an_owner_takes_plain_rows_and_tells_no_word_of_one_that_it_refuses(place):
    """SQL says of which kind the refusal is, and about what; its words are sealed."""
    await place.owned(FIRST)
    with place.server.connect() as own:
        send = f"SELECT {place.schema}.send('bot', 'room', %s, %s::jsonb)"
        names = [
            own.execute(send, (f"{TEXT} {n}", options)).fetchone()[0]
            for n, options in enumerate(('{"key": "zebra-key-4711"}',) * 2)
        ]
        names.append(own.execute(send, (TEXT, '{"priority": "zebra-key-4711"}')).fetchone()[0])
        async with place.owner(FIRST):
            await until(lambda: not place.ran("SELECT 1 FROM handed WHERE answered_at IS NULL"))
            await until(lambda: place.channel.texts("room"))
        told = [
            own.execute(f"SELECT {place.schema}.status(%s)", (name,)).fetchone()[0]
            for name in names
        ]
    assert ["delivered", "rejected", "rejected"] == [each["disposition"] for each in told]
    assert "IdempotencyConflict" == told[1]["reason"]
    assert told[2]["reason"].isidentifier()
    assert [] == words_in(place.tables(), *WORDS)


@pytest.mark.parametrize("how", ["enqueue", "aenqueue"])
async def test_what_is_handed_over_in_a_transaction_is_sealed_where_that_has_keys(place, how):
    await place.owned(FIRST)
    async with await_connection(place, how) as hand_over:
        await hand_over(message("one", key=KEY), keys=(SECOND, FIRST))
        assert {id_of(FIRST)} == place.sealed_with
        assert [] == words_in(place.tables(), *WORDS)
        with pytest.raises(psycopg.Error, match=f"none of the keys {id_of(SECOND)}.*") as raised:
            await hand_over(message("two"), keys=(SECOND,))
        assert "GW003" == raised.value.sqlstate
        place.ran("UPDATE format SET oldest = 6")
        with pytest.raises(psycopg.Error, match="by an owner of an earlier release"):
            await hand_over(message("two"), keys=(FIRST,))
        await place.refuses("add the key to its outbox.keys first", FIRST)
        place.ran("UPDATE format SET oldest = 7")
        with pytest.raises(psycopg.Error, match="at most 1000000 bytes"):
            await hand_over(message("x" * 999_970), keys=(FIRST,))
        await hand_over(message("x" * 900_000), keys=(FIRST,))
    async with place.owner(FIRST):
        await until(lambda: place.channel.texts("room"))
    assert f"{TEXT} one" == place.channel.texts("room")[0]


@asynccontextmanager
async def await_connection(place, how):
    """Each in a transaction of its own."""
    if how == "enqueue":
        with place.server.connect() as own:

            async def hand_over(envelope, **fields):
                enqueue(own, envelope, schema=place.schema, **fields)

            yield hand_over
        return
    import asyncio  # noqa: PLC0415, TID251 - what an application runs on

    async def whole(envelope, **fields):
        connection = await psycopg.AsyncConnection.connect(place.server.url(), autocommit=True)
        async with connection:
            await aenqueue(connection, envelope, schema=place.schema, **fields)

    yield lambda envelope, **fields: trio.to_thread.run_sync(
        lambda: asyncio.run(whole(envelope, **fields))
    )


async def test_what_was_committed_with_a_key_that_is_gone_since_is_not_there_twice(place):
    """Its answer was lost, and it is handed over again; another row is refused."""
    await place.owned(FIRST)
    row, keys = Handing(instance="bot", text="{}"), HandingKeys(keys_in([FIRST]), "here")
    with place.server.connect() as own:
        own.execute(f"SET search_path = {place.schema}")
        keys.begin(own)
        first = calls.hand_all(own, row.token, [row], keys)
        async with place.outbox(SECOND, FIRST) as outbox:
            await outbox.reseal()
        assert first == calls.hand_all(own, row.token, [row], keys)
        with pytest.raises(OutboxError, match=f"with key {id_of(SECOND)}, which outbox"):
            calls.hand_all(own, row.token, [row, Handing(instance="bot", text="{}")], keys)
    assert [(1,)] == place.ran("SELECT count(*) FROM handed")


async def test_a_row_that_was_changed_is_refused_and_the_others_go_on(place):
    await place.owned(FIRST)
    async with place.producer(FIRST) as producer, trio.open_nursery() as nursery:
        changed = await producer.submit(message("changed"))
        unknown = await producer.submit(message("of no key"))
        place.ran("""UPDATE handed SET envelope = left(envelope, 20) || 'AAAA'
            || substr(envelope, 25) WHERE number = (SELECT min(number) FROM handed)""")
        place.ran("""UPDATE handed SET envelope = '~00000000' || substr(envelope, 10)
            WHERE number = (SELECT max(number) FROM handed)""")
        whole = await producer.submit(message("whole"))
        nursery.start_soon(partial(refused, producer.groups("bot")))
        await until(lambda: place.ran("SELECT 1 FROM handed WHERE kind = 'ask'"))
        place.ran("UPDATE handed SET envelope = '~' || envelope WHERE kind = 'ask'")
        async with place.owner(FIRST):
            assert (await whole.receipt()).delivered
            for ticket in (changed, unknown):
                with pytest.raises(Refused, match="the row is damaged"):
                    await ticket.receipt()
    assert [f"{TEXT} whole"] == place.channel.texts("room")


async def refused(asked):
    with pytest.raises(OutboxError, match="the row is damaged"):
        await asked


def missing(logs):
    """What was said of rows whose key is not there."""
    return [each for each in logs if each["event"] == "gateway.outbox_key_missing"]


async def test_an_owner_that_was_followed_leaves_what_the_next_one_can_open(place):
    """It has not heard yet that it is the owner no more, and refuses nothing for that."""
    async with place.outbox(FIRST) as before, place.producer(SECOND, FIRST) as producer:
        place.ran("DELETE FROM members")  # as whoever stands by would
        await place.owned(SECOND, FIRST)
        ticket = await producer.submit(message("by the new one"))
        assert {id_of(SECOND)} == place.sealed_with
        for n in (0.0, 1.0):
            assert [] == await before._look(partial(before._handed.look, now=n))
        async with place.owner(SECOND, FIRST):
            assert (await ticket.receipt()).delivered


async def test_a_row_whose_key_is_missing_waits_alone_until_that_is_there(place):
    """As where another process owns accounts too and has the key; it is said once, and how."""
    await place.owned(FIRST)
    new = id_of(SECOND)
    with capture_logs() as logs:
        async with place.owner(FIRST), place.producer(FIRST) as old:
            place.knows(SECOND, FIRST)
            async with place.producer(SECOND, FIRST) as both:
                lonely = await both.submit(message("by the new one", "lonely"))
                assert {new} == place.sealed_with
                for n in range(3):
                    await old.submit(message(n, "other"))
                    await until(lambda n=n: len(place.channel.texts("other")) == n + 1)
                asked = await both.submit(message("late", "lonely"))
                await until(lambda: len(missing(logs)) == 2)
            await trio.sleep(0.2)  # some looks more
    assert [lonely.id, asked.id] == [each["envelope"] for each in missing(logs)]
    told = missing(logs)[0]
    assert ("bot", new, "error") == (told["instance"], told["key"], told["log_level"])
    assert f"sealed with key {new}" in told["error"]
    assert "add that key to outbox.keys, and begin again" in told["error"]
    assert [(2,)] == place.ran("SELECT count(*) FROM handed WHERE answered_at IS NULL")
    async with place.owner(SECOND, FIRST):
        await until(lambda: len(place.channel.texts("lonely")) == 2)
    assert [f"{TEXT} by the new one", f"{TEXT} late"] == place.channel.texts("lonely")


async def test_rows_whose_key_is_missing_are_reported_up_to_a_bound_and_hold_up_nobody(
    place, monkeypatch
):
    """More of them than a look takes; the rows of other keys are behind all of them."""
    monkeypatch.setattr(unopened, "MOST", 3)
    monkeypatch.setattr(handed, "AT_ONCE", 5)
    with capture_logs() as logs:
        async with place.owner(FIRST):
            place.knows(SECOND, FIRST)
            with place.server.connect() as own, own.transaction():
                for n in range(20):
                    envelope = message(n, "lonely")
                    enqueue(own, envelope, schema=place.schema, keys=(SECOND, FIRST))
                enqueue(own, message("last", "other"), schema=place.schema, keys=(FIRST,))
            await until(lambda: place.channel.texts("other"))
            assert [] == place.channel.texts("lonely")
    assert 3 == len(missing(logs))
    assert [(20,)] == place.ran("SELECT count(*) FROM handed WHERE answered_at IS NULL")
    async with place.owner(SECOND, FIRST):
        await until(lambda: len(place.channel.texts("lonely")) == 20)


async def test_a_role_without_a_right_on_any_table_hands_over_sealed(place):
    """But gives nothing its first key."""
    with place.server.connect() as own:
        if not own.execute("SELECT 1 FROM pg_roles WHERE rolname = 'sealing_web'").fetchone():
            own.execute("CREATE ROLE sealing_web LOGIN")
    async with place.producer():  # makes the schema
        place.ran("SELECT allow('sealing_web', 'bot')")
    url = place.server.url(user="sealing_web")
    with pytest.raises(OutboxError, match=r"add the key to its outbox\.keys first"):
        async with place.producer(FIRST, url=url):
            pass
    async with place.owner(FIRST), place.producer(FIRST, url=url) as producer:
        files = [File(CONTENT, name="a.bin")]
        assert (await producer.send("bot", "room", TEXT, files=files)).delivered
    assert [] == words_in(place.tables(), *WORDS)
