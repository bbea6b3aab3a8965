"""With keys, nobody who reads the tables reads what was written; it is opened, and sealed anew."""

import pytest
import trio
from postgres_runs import ran
from sealed import FIRST, SECOND, words_in

from gateway_contrib.cli.outbox.engines import stored
from gateway_contrib.durable.operators.asking import answers_to
from gateway_contrib.durable.operators.looking import Which
from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_contrib.postgres.sealing import anew
from gateway_core import (
    ConfigError,
    Edit,
    KeyRef,
    OutboxError,
    OutboxSettings,
    Send,
    Verdict,
    parse_config,
)
from gateway_core.authors import Answer
from gateway_core.outboxes import digest_of_bytes
from gateway_core.testing import Failure, FakeChannel, open_test_gateway, virtual_wall
from gateway_core.testing.outbox_contract import Entries, texts

TEXT, EDITED, KEY, RAW, BYTES = (
    "Zebra crossing text", "Zebra edited anew", "zebra-key-4711", "zebra said no", "zebra-bytes-12",
)  # fmt: skip
WORDS = (TEXT, EDITED, KEY, RAW, BYTES)
REFUSED = Verdict(error_class="non_retryable", reason="unclassified", raw=RAW)
UNHURRIED = {"drain_timeout": 0.0, "attempt_timeout": 3600.0}
CONTENT = (BYTES.encode() * 50_000)[:600_000]
PATIENCE = 60.0

pytestmark = pytest.mark.usefixtures("often")


@pytest.fixture
def schema(emptied_schema):
    return emptied_schema


@pytest.fixture
def outbox(server, schema):
    settings = PostgresSettings(schema=schema, lease=60)
    return lambda *keys: PostgresOutbox(server.url(), settings, wall_clock=virtual_wall, keys=keys)


@pytest.fixture
def operator(server, schema):
    url = f"{server.url()}&schema={schema}&lease=60"
    return lambda *keys: stored(OutboxSettings(url=url, keys=keys)).operator()


async def script(attempt):
    text = str(attempt.payload)
    if "hangs" in text:
        await trio.sleep_forever()
    if "refused" in text:
        raise Failure(REFUSED)
    if attempt.operation == "call:method":
        return Answer(result={"said": RAW})
    return None


def keyed(text, room, **fields):
    fields = {"key": f"{KEY} {text}"} | fields
    return Send(instance_id="bot", external_room_id=room, text=f"{TEXT} {text}", **fields)


async def some_bytes(outbox):
    """Stored and not used: so they are there as long as the outbox is open."""
    digest = digest_of_bytes(CONTENT)
    await outbox.store_bytes(digest, [CONTENT])
    return digest


async def all_kinds(gateway):
    """What arrives, is edited, is called, fails, hangs, waits, is scheduled, and a group."""
    arrived = await (await gateway.submit(keyed("arrives", "done"))).receipt()
    await gateway.edit(arrived.ref, EDITED)
    await gateway.call("bot", "done", "method", {"option": RAW})
    text = f"{TEXT} refused"
    await gateway.send("bot", "failed", text, key=f"{KEY} refused", raises=False)
    await gateway.submit(keyed("hangs", "waits"))
    await gateway.submit(keyed("waits", "waits"))
    message = KeyRef(instance_id="bot", external_room_id="waits", key=f"{KEY} waits")
    change = {"instance_id": "bot", "external_room_id": "waits", "target": message}
    await gateway.submit(Edit(text=EDITED, **change))
    await gateway.submit(keyed("later", "later", not_before=virtual_wall() + 3000))
    await gateway.broadcast("bot", [f"hangs {n}" for n in range(3)], f"{TEXT} hangs", key=KEY)
    return arrived


async def test_no_word_can_be_read_and_all_goes_on(outbox, operator, tables):
    first = outbox(FIRST)
    async with open_test_gateway(FakeChannel(script=script), outbox=first, **UNHURRIED) as gateway:
        arrived = await all_kinds(gateway)
        digest = await some_bytes(first)
        await first.flush()
        with operator(FIRST) as looking:
            number = looking.ask("submit", virtual_wall(), envelope=keyed("asked", "asked"))
            assert [] == words_in(tables(), *WORDS)
            with trio.fail_after(PATIENCE):
                answers = await answers_to(looking, [number])
            assert "accepted" in answers[number]
            (failed,) = looking.failed(Which(disposition="rejected"), 10)
            assert (RAW, len(f"{TEXT} refused")) == (failed["raw"], failed["length"])
            shown = looking.show(arrived.envelope_id)
            assert "delivered" == shown["receipt"]["disposition"]
        assert CONTENT[100_000:500_000] == await first.read_bytes(digest, 100_000, 400_000)
        assert [] == words_in(tables(), *WORDS)
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=outbox(FIRST)) as gateway:
        assert (await gateway.submit(keyed("arrives", "done"))).id == arrived.envelope_id
        with trio.fail_after(PATIENCE):
            while len(channel.texts("waits")) < 2:  # noqa: ASYNC110 - of another thread
                await trio.sleep(0.02)
    assert [f"{TEXT} hangs", EDITED] == channel.texts("waits")


async def test_without_keys_the_tables_have_these_words(outbox, tables):
    """So the search finds what is there to be found, but for keys, which are hashed anyway."""
    first = outbox()
    async with open_test_gateway(FakeChannel(script=script), outbox=first, **UNHURRIED) as gateway:
        await all_kinds(gateway)
        await some_bytes(first)
        await first.flush()
        assert set(WORDS) == set(words_in(tables(), *WORDS))


async def test_a_key_that_is_missing_is_told_before_it_is_waited_for(outbox, operator):
    async with outbox(FIRST):
        with pytest.raises(OutboxError, match=r"sealed with key \w{8}: add it to outbox\.keys"):
            await outbox().__aenter__()
        with pytest.raises(OutboxError, match=r"which outbox\.keys lacks"):
            await outbox(SECOND).__aenter__()
        with pytest.raises(OutboxError, match=r"add it to outbox\.keys"):
            operator()


async def test_an_owner_that_lacks_the_key_of_the_next_one_lets_it_go(server, schema, outbox):
    """It had it before that key came, and was followed; with the key it would go on."""
    async with outbox(FIRST) as first:
        await first.recover("bot")
        await first.append(Entries()("one"), lambda: None)
        ran(server, schema, "DELETE FROM members")  # as whoever stands by would
        async with outbox(SECOND, FIRST) as second:
            with pytest.raises(OutboxError, match="belongs to another process now"):
                await first.append(Entries()("refused"), lambda: None)
            assert "1 rows sealed anew" in await second.reseal()
        for _ in range(2):
            with pytest.raises(OutboxError, match=r"which outbox\.keys lacks"):
                await first.recover("bot")
        assert [] == ran(server, schema, "SELECT 1 FROM members")
        async with outbox(SECOND) as third:
            assert ["one"] == texts(await third.page("bot"))


@pytest.mark.parametrize("keys", [(), (FIRST,)], ids=["plain", "rotated"])
async def test_all_is_sealed_anew_beside_a_running_gateway(
    server, schema, outbox, operator, tables, keys
):
    """And then the key before is of no use any more; keys are still known."""
    first = outbox(*keys)
    async with open_test_gateway(FakeChannel(script=script), outbox=first, **UNHURRIED) as gateway:
        arrived = await all_kinds(gateway)
        digest = await some_bytes(first)
        ran(server, schema, """INSERT INTO uses SELECT seq, digest FROM envelopes, bytes
            WHERE due IS NOT NULL""")  # fmt: skip
    second = outbox(SECOND, *keys)
    async with open_test_gateway(FakeChannel(script=script), outbox=second, **UNHURRIED) as gateway:
        with operator(SECOND, *keys) as looking:
            assert looking.key == looking.sealing or keys
            number = looking.ask("reseal", virtual_wall())
            with trio.fail_after(PATIENCE):
                answers = await answers_to(looking, [number])
        assert "rows sealed anew with key" in answers[number]
        assert "cannot be opened" not in answers[number]
        assert [] == words_in(tables(), *WORDS)
        assert (await gateway.submit(keyed("arrives", "done"))).id == arrived.envelope_id
    channel, third = FakeChannel(), outbox(SECOND)
    async with open_test_gateway(channel, outbox=third) as gateway:
        assert (await gateway.submit(keyed("arrives", "done"))).id == arrived.envelope_id
        assert CONTENT == await third.read_bytes(digest, 0, len(CONTENT))
        with operator(SECOND) as looking:
            (failed,) = looking.failed(Which(disposition="rejected"), 10)
            looking.ask("retry", virtual_wall(), envelope_id=failed["id"])
        with trio.fail_after(PATIENCE):
            while not channel.texts("failed"):  # noqa: ASYNC110 - of another thread
                await trio.sleep(0.02)
    assert [f"{TEXT} refused"] == channel.texts("failed")


async def test_all_is_sealed_anew_without_a_gateway(server, schema, outbox, tables):
    async with open_test_gateway(FakeChannel(script=script), outbox=outbox(), **UNHURRIED) as one:
        await all_kinds(one)
    url = f"{server.url()}&schema={schema}"
    found = stored(OutboxSettings(url=url, keys=[FIRST]))
    assert "rows sealed anew with key" in await found.reseal()
    assert [] == words_in(tables(), *WORDS)
    assert "0 rows sealed anew" in await found.reseal()


async def test_it_ends_while_more_comes_between_any_two_steps(outbox, monkeypatch):
    monkeypatch.setattr(anew, "STEP", 1)
    entry, count = Entries(), 0
    async with outbox(FIRST) as first:
        await first.append(entry("first"), lambda: None)

    async def go_on(second):
        nonlocal count
        while True:
            await second.append(entry("more"), lambda: None)
            count += 1

    async with outbox(SECOND, FIRST) as second, trio.open_nursery() as nursery:
        nursery.start_soon(go_on, second)
        with trio.fail_after(PATIENCE):
            assert (await second.reseal()).startswith("1 rows sealed anew")
        nursery.cancel_scope.cancel()
    assert count


async def test_a_row_that_was_changed_stays_and_the_others_go_on(server, schema, outbox):
    entry = Entries()
    one, two = entry("one"), entry("two")
    async with outbox(FIRST) as first:
        for each in (one, two):
            await first.append(each, lambda: None)
        ran(server, schema, """UPDATE envelopes SET entry = (SELECT max(entry) FROM envelopes)
            WHERE seq = (SELECT min(seq) FROM envelopes)""")  # fmt: skip
        ran(server, schema, """UPDATE envelopes SET entry = left(entry, 20) || 'AAAA'
            || substr(entry, 25) WHERE seq = (SELECT min(seq) FROM envelopes)""")  # fmt: skip
        assert [two.id] == [each.entry.id for each in await first.page("bot")]


def test_what_is_no_key_is_told_by_its_place(server):
    outbox = {"url": server.url(), "keys": ["x" * 43]}
    with pytest.raises(ConfigError, match=r"outbox.keys.0.*must be 32 random bytes in base64"):
        parse_config({"outbox": outbox, "instances": {}})
