"""Through PgBouncer in its transaction mode: what hands over works, and what owns is refused."""

import pytest
import trio
from postgres_pooler import pooled
from postgres_shared import PATIENCE, Shared

from gateway_contrib.postgres import enqueue
from gateway_contrib.postgres.operators.operating import Operator
from gateway_contrib.postgres.producing import handover
from gateway_core import File, OutboxError, Send
from gateway_core.outboxes import OutboxForbidden
from gateway_core.testing import virtual_wall

REFUSES, LEAVES_OUT = (), ("ignore_startup_parameters = options",)
"""What it makes of settings that a client asks for with its connection."""
OF_SESSIONS = ("pool_mode = session", *LEAVES_OUT)
both_kinds = pytest.mark.parametrize("kind", [REFUSES, LEAVES_OUT], ids=["refuses", "leaves out"])


@pytest.fixture
def shared(server, emptied_schema):
    return Shared(server, emptied_schema)


@both_kinds
async def test_a_process_that_hands_over_works_through_it(shared, kind):
    """Three of them at once over two sessions, of which none is another's after a transaction."""
    receipts = []

    async def send(producer, n):
        receipts.append(await producer.send("bot", f"room {n % 5}", f"{n}", key=f"{n}"))

    with pooled(shared.server, *kind) as pooler:
        async with (
            shared.owner(),
            shared.producer(url=pooler.url()) as one,
            shared.producer(url=pooler.url()) as two,
            shared.producer(url=pooler.url()) as three,
        ):
            async with trio.open_nursery() as nursery:
                for n in range(60):
                    nursery.start_soon(send, (one, two, three)[n % 3], n)
            ticket = await one.enqueue("bot", "room", "file", files=[File(b"x", name="x")])
            assert (await ticket.receipt()).delivered
            assert (await two.status(ticket.id)).receipt.delivered
            later = await two.enqueue("bot", "room", "later", not_before=virtual_wall() + 99)
            assert await three.cancel(later.id)
            assert "cancelled" == (await later.receipt()).disposition
            with pooler.connect() as held, pooler.connect() as other:
                for connection in (held, other):  # each has one of the two
                    assert [("0", '"$user", public')] == connection.execute(
                        "SELECT current_setting('lock_timeout'), current_setting('search_path')"
                    ).fetchall()
                    assert [] == connection.execute("SELECT pg_listening_channels()").fetchall()
                    assert (
                        []
                        == connection.execute("SELECT name FROM pg_prepared_statements").fetchall()
                    )
    assert 60 == len({receipt.envelope_id for receipt in receipts})


@pytest.mark.parametrize("kind", [REFUSES, LEAVES_OUT, OF_SESSIONS], ids=" ".join)
async def test_what_owns_the_outbox_is_refused_and_told_what_to_do(shared, kind):
    """So is what operators do with it."""
    words = "the address is that of a pooler, .* give the address of the server itself"
    async with shared.owner():
        with pooled(shared.server, *kind) as pooler:
            with pytest.raises(OutboxError, match=f"127.0.0.1:{pooler.port}/postgres .* {words}"):
                await shared.outbox(url=pooler.url()).__aenter__()
            with pytest.raises(OutboxError, match=words):
                await trio.to_thread.run_sync(Operator, pooler.url(), shared.outbox().settings)


async def test_it_makes_the_schema_and_opens_without_an_owner(server, schema):
    shared = Shared(server, schema)
    with pooled(server) as pooler:
        async with shared.producer(url=pooler.url()) as producer:
            ticket = await producer.enqueue("bot", "room", "text")
            async with shared.owner():
                assert (await ticket.receipt()).delivered


async def test_a_role_that_may_not_use_the_schema_any_more_is_told_so_through_it(shared):
    with pooled(shared.server) as pooler:
        async with shared.owner():
            shared.let_in("producer_web", "bot")
            async with shared.producer(url=pooler.url("producer_web")) as producer:
                await producer.send("bot", "room", "before")
                shared.ran("SELECT disallow('producer_web', 'bot')")
                with pytest.raises(OutboxForbidden, match="role producer_web may not send as any"):
                    await producer.send("bot", "room", "text")
                shared.let_in("producer_web", "bot")
                await producer.send("bot", "room", "after")
    assert ["before", "after"] == shared.channel.texts("room")


async def test_transactions_of_applications_hand_over_through_it(shared):
    """Each appends its row in the transaction that it is part of, on whatever session."""
    async with shared.owner():
        with pooled(shared.server) as pooler, pooler.connect() as one, pooler.connect() as two:
            for n in range(10):
                message = Send(instance_id="bot", external_room_id="room", text=f"{n}")
                for connection in (one, two):
                    enqueue(connection, message, schema=shared.schema)
                one.commit()
                two.rollback()
        with trio.fail_after(PATIENCE):
            while len(shared.channel.texts("room")) < 10:  # noqa: ASYNC110 - it has no event
                await trio.sleep(0.01)
    assert [f"{n}" for n in range(10)] == shared.channel.texts("room")


async def test_a_pooler_that_is_killed_loses_and_repeats_nothing(shared, monkeypatch):
    """Under load: what was acknowledged is sent once, and what was refused never."""
    monkeypatch.setattr(handover, "FLOOR", 0.05)
    accepted, refused = [], []

    async def hand_over(producer, name):
        for n in range(30):
            try:
                accepted.append((await producer.enqueue("bot", name, f"{name} {n}")).id)
            except OutboxError:
                refused.append(f"{name} {n}")
                await trio.sleep(0.05)

    with pooled(shared.server) as pooler:
        async with shared.owner(), shared.producer(url=pooler.url()) as producer:
            async with trio.open_nursery() as nursery:
                for name in "abcd":
                    nursery.start_soon(hand_over, producer, name)
                while len(accepted) < 20:  # noqa: ASYNC110 - it has no event
                    await trio.sleep(0.01)
                await trio.to_thread.run_sync(pooler.end)
                pooler.start()  # it ends with the thread that begins it
            for name in accepted:
                while (await producer.status(name)).receipt is None:  # noqa: ASYNC110 - likewise
                    await trio.sleep(0.05)
    sent = [text for name in "abcd" for text in shared.channel.texts(name)]
    assert len(accepted) == len(sent)
    assert 120 == len(set(sent) | set(refused)) == len(sent) + len(refused)
