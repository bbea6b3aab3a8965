"""A gateway that is cut off from the database, and not from the platforms."""

import trio
from postgres_proxy import between

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_core import RetrySettings
from gateway_core.testing import FakeChannel, open_test_gateway, virtual_wall

LEASE = 5.0
PATIENCE = 120.0
BRIEF = RetrySettings(arrival=2 * LEASE)
ROOMS = [f"room {n}" for n in range(4)]
EACH = 15


async def test_who_is_cut_off_sends_nothing_more_and_the_next_sends_the_rest(server, schema):
    """Nothing of the one begins once the other owns the outbox; what was under way is repeated."""

    accepted = trio.Event()

    async def takes_long(_):
        await accepted.wait()
        await trio.sleep(0.1)

    def outbox(url):
        settings = PostgresSettings(schema=schema, lease=LEASE)
        return PostgresOutbox(url, settings, wall_clock=virtual_wall)

    one, two = FakeChannel(script=takes_long), FakeChannel()
    tickets, owned = [], []

    async def stand_by():
        async with open_test_gateway(two, outbox=outbox(server.url()), retries=BRIEF) as gateway:
            owned.append(trio.current_time())
            for ticket in tickets:
                while (status := await gateway.status(ticket.id)).receipt is None:  # noqa: ASYNC110 - of another's
                    await trio.sleep(0.01)
                assert status.receipt.delivered
            nursery.cancel_scope.cancel()

    with between(server) as (proxy, url), trio.fail_after(PATIENCE):
        async with (
            open_test_gateway(one, outbox=outbox(url), drain_timeout=0.0) as gateway,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(stand_by)
            for n in range(EACH):
                tickets += [await gateway.enqueue("bot", room, f"{n}") for room in ROOMS]
            assert [] == owned
            accepted.set()
            while not all(one.texts(room) for room in ROOMS):  # noqa: ASYNC110 - the channel tells nobody
                await trio.sleep(0.01)
            proxy.cut()
            await trio.sleep_forever()
    assert all(made.at < owned[0] for made in one.made)
    for room in ROOMS:
        before, after = one.texts(room), two.texts(room)
        assert [f"{n}" for n in range(EACH)] == list(dict.fromkeys(before + after))
        assert len(before + after) <= EACH + 1
        assert before != []
        assert after != []


async def test_an_attempt_under_way_ends_with_the_lease(server, schema):
    """Before another process sends, what the one that is cut off has under way is broken off."""
    ended = []

    async def never_answers(_):
        try:
            await trio.sleep_forever()
        finally:
            ended.append(trio.current_time())

    def outbox(url):
        settings = PostgresSettings(schema=schema, lease=LEASE)
        return PostgresOutbox(url, settings, wall_clock=virtual_wall)

    one, two = FakeChannel(script=never_answers), FakeChannel()
    with between(server) as (proxy, url), trio.fail_after(PATIENCE):
        async with (
            open_test_gateway(
                one, outbox=outbox(url), drain_timeout=0.0, attempt_timeout=PATIENCE
            ) as gateway,
            trio.open_nursery() as nursery,
        ):
            ticket = await gateway.enqueue("bot", "C1", "one")
            while not one.made:  # noqa: ASYNC110 - the channel tells nobody
                await trio.sleep(0.01)
            proxy.cut()
            async with open_test_gateway(two, outbox=outbox(server.url()), retries=BRIEF) as other:
                owned = trio.current_time()
                assert [True] == [each < owned for each in ended]
                while (receipt := (await other.status(ticket.id)).receipt) is None:  # noqa: ASYNC110 - of another's
                    await trio.sleep(0.01)
                assert receipt.delivered
                assert receipt.possible_duplicate
            nursery.cancel_scope.cancel()
    assert ["one"] == two.texts("C1")
