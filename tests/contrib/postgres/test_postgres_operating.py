"""`gateway outbox …` and `gateway send` beside a gateway that owns a schema, and without one."""

import json
import math
from functools import partial
from time import time

import pytest
import trio
from postgres_runs import ran

from gateway_contrib.cli.apart import Application
from gateway_contrib.cli.ending import Ended
from gateway_contrib.cli.outbox.engines import stored
from gateway_contrib.durable.operators import asking
from gateway_contrib.durable.operators.looking import Which
from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_contrib.postgres.operators import operating
from gateway_contrib.postgres.operators.operating import Operator
from gateway_core import (
    Disposition,
    ErrorClass,
    KeyRef,
    OutboxError,
    OutboxSettings,
    Reason,
    Send,
    Verdict,
)
from gateway_core.testing import Failure, FakeChannel, open_test_gateway, virtual_wall

PATIENCE = 60.0
UNHURRIED = {"drain_timeout": 0.0, "attempt_timeout": 3600.0}
REFUSED = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.UNCLASSIFIED, raw="no\0!")

pytestmark = pytest.mark.usefixtures("often")


@pytest.fixture
def url(server, schema):
    return f"{server.url()}&schema={schema}&lease=60"


@pytest.fixture
def config(url, tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text(f'outbox = "{url}"\n')
    return file


@pytest.fixture
def outbox(server, schema):
    """Begins a process run's own."""
    settings = PostgresSettings(schema=schema, lease=60)
    return lambda: PostgresOutbox(server.url(), settings, wall_clock=virtual_wall)


async def refuse(attempt):
    if "refused" in str(attempt.payload):
        raise Failure(REFUSED)
    if "hangs" in str(attempt.payload):
        await trio.sleep_forever()


async def until(condition):
    """As soon as it holds; what is looked at is of another thread or process."""
    with trio.fail_after(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - it has no event
            await trio.sleep(0.02)


async def test_an_operator_looks_and_has_failed_ones_tried_again(config, outbox, gateway_command):
    channel, option = FakeChannel(script=refuse), ("--config", str(config))

    async def command(*words):
        code, out, err = await gateway_command(*words, *option)
        assert (0, "") == (code, err), (code, out, err)
        return out

    async with open_test_gateway(channel, outbox=outbox()) as gateway:
        first = await gateway.send("bot", "room", "refused 1", raises=False)
        second = await gateway.send("bot", "room", "refused 2", raises=False)
        third = await gateway.send("bot", "other", "refused 3", raises=False)
        await until(lambda: has_ended(gateway, third.envelope_id))
        rows = json.loads(await command("list", "--json", "--disposition", "rejected"))
        assert [third.envelope_id, second.envelope_id, first.envelope_id] == [r["id"] for r in rows]
        assert {"no\0!"} == {row["raw"] for row in rows}
        assert (
            "refused 1" == json.loads(await command("show", first.envelope_id))["envelope"]["text"]
        )
        assert "2 failed" in await command("rooms")
        assert "ended: rejected 3\n" in await command("stats")
        assert 3 == len((await command("endings")).splitlines())
        other = "a" * 30
        code, out, err = await gateway_command("retry", first.envelope_id, other, *option)
        assert (2, "", f"gateway: the outbox does not know {other}\n") == (code, out, err)
        assert f"{third.envelope_id}: discarded\n" == await command("discard", third.envelope_id)
        code, out, err = await gateway_command("retry", third.envelope_id, *option)
        assert f"{third.envelope_id}: there is nothing to try again\n" == out
        assert (1, "gateway: nothing was done for 1 of 1\n") == (code, err)
        channel.script = None
        out = await command("retry", "--room", "room")
        assert [f"{each.envelope_id}: goes on" for each in (first, second)] == out.splitlines()
        await until(lambda: has_ended(gateway, second.envelope_id))
        assert ["refused 1", "refused 2"] == channel.texts("room")[-2:]
        code, out, err = await gateway_command("discard", second.envelope_id, *option)
        assert f"{second.envelope_id}: had ended already: delivered\n" == out
        assert (1, "gateway: nothing was done for 1 of 1\n") == (code, err)
        out = await command("erase", "--instance", "bot", "--room", "room")
        assert "bot room: 2 rows erased, 0 in flight\n" == out
        assert "" == await command("list")
        assert "epoch 1  lease 60 s" in await command("members")
    assert "requested: the next gateway" in await command(
        "erase", "--instance", "bot", "--room", "other"
    )
    assert "no process owns the outbox\n" == await command("members")
    async with open_test_gateway(channel, outbox=outbox()):

        async def nothing_asked():
            return not json.loads(await command("stats", "--json"))["asked"]

        await until(nothing_asked)
    assert {} == json.loads(await command("stats", "--json"))["ended"]


async def has_ended(gateway, envelope_id):
    found = await gateway.status(envelope_id)
    return found is not None and found.receipt is not None


async def test_what_waits_is_listed_and_discarded(config, outbox, gateway_command):
    channel, option = FakeChannel(script=refuse), ("--config", str(config))
    async with open_test_gateway(channel, outbox=outbox(), **UNHURRIED) as gateway:
        first = await gateway.enqueue("bot", "room", "hangs")
        tickets = [await gateway.enqueue("bot", "room", f"waits {n}") for n in range(2)]
        later = await gateway.enqueue("bot", "later", "x", not_before=time() + 3000)
        _, out, _ = await gateway_command("list", "--waiting", "--json", *option)
        causes = {row["id"]: row["cause"] for row in json.loads(out)}
        assert ("attempt", "queue", "schedule") == tuple(
            causes[ticket.id] for ticket in (first, tickets[0], later)
        )
        _, out, _ = await gateway_command("discard", first.id, tickets[1].id, *option)
        assert f"{first.id}: an attempt is under way: the envelope continues\n" in out
        assert f"{tickets[1].id}: ended\n" in out
        assert Disposition.CANCELLED == (await tickets[1].receipt()).disposition


async def test_what_was_scheduled_waits_for_its_account_once_its_time_has_come(
    server, schema, outbox, monkeypatch
):
    now = virtual_wall()
    async with open_test_gateway(FakeChannel(), outbox=outbox(), **UNHURRIED) as gateway:
        await gateway.enqueue("bot", "room", "x", not_before=now + 3000, ttl=9000)
    lacks = {"accounts": {}, "envelopes": {}}
    with Operator(server.url(), PostgresSettings(schema=schema)) as operator:

        def cause(after, told):
            monkeypatch.setattr(operating, "system_time", lambda: now + after)
            return [row["cause"] for row in operator.waiting(Which(), 9, told)]

        assert ["schedule"] == cause(0, lacks)
        assert ["no instance"] == cause(3001, lacks)
        assert [""] == cause(3001, None)
        assert ["circuit"] == cause(3001, lacks | {"accounts": {"bot": "circuit"}})


async def test_what_is_handed_over_is_listed_while_there_is_no_owner(
    config, outbox, gateway_command
):
    """It is none of those that are discarded."""
    option = ("--config", str(config))
    async with open_test_gateway(FakeChannel(), outbox=outbox(), serve=False) as producer:
        ticket = await producer.enqueue("bot", "room", "text")
        _, out, _ = await gateway_command("list", "--waiting", "--json", *option)
        assert [(ticket.id, "handed")] == [(row["id"], row["cause"]) for row in json.loads(out)]
        _, out, _ = await gateway_command("discard", "--waiting", "--room", "room", *option)
        assert "nothing matches the filters: nothing was done\n" == out


@pytest.fixture
async def skewed(outbox):
    """An owner, and a process that hands over: the server's clock is years before the owner's."""
    channel = FakeChannel(script=refuse)
    async with (
        open_test_gateway(channel, outbox=outbox(), **UNHURRIED) as owner,
        open_test_gateway(FakeChannel(), outbox=outbox(), serve=False) as producer,
    ):
        yield channel, owner, producer


@pytest.mark.parametrize("named", [False, True], ids=["by its room", "by its ids"])
async def test_a_room_is_retried_in_the_order_of_acceptance_not_of_its_ids(
    config, skewed, gateway_command, named
):
    (channel, owner, producer), option = skewed, ("--config", str(config))
    first = await producer.enqueue("bot", "room", "refused 1")
    await until(lambda: has_ended(owner, first.id))
    second = await owner.send("bot", "room", "refused 2", raises=False)
    ids = [first.id, second.envelope_id]
    assert ids != sorted(ids)
    await until(lambda: has_ended(owner, second.envelope_id))
    _, out, _ = await gateway_command("list", "--json", *option)
    assert ids[::-1] == [row["id"] for row in json.loads(out)]
    channel.script = None
    words = ids[::-1] if named else ("--room", "room")
    code, out, _ = await gateway_command("retry", *words, *option)
    assert (0, [f"{each}: goes on" for each in ids]) == (code, out.splitlines())
    await until(lambda: has_delivered(channel, 2))
    assert ["refused 1", "refused 2"] == channel.texts("room")


async def has_delivered(channel, count):
    return len(channel.texts("room")) == count


async def test_the_oldest_is_chosen_and_listed_first_whatever_the_ids_say(
    config, skewed, gateway_command
):
    (_, owner, producer), option = skewed, ("--config", str(config))
    first = await producer.enqueue("bot", "room", "hangs")
    await until(lambda: has_begun(owner, first.id))
    second = await owner.enqueue("bot", "room", "waits")
    _, out, _ = await gateway_command("list", "--waiting", "--json", *option)
    assert [(first.id, "attempt"), (second.id, "queue")] == [
        (row["id"], row["cause"]) for row in json.loads(out)
    ]
    _, out, _ = await gateway_command("discard", "--waiting", "--limit", "1", "--room", "room",
                                      *option)  # fmt: skip
    assert f"{first.id}: an attempt is under way: the envelope continues" in out


async def has_begun(gateway, envelope_id):
    found = await gateway.status(envelope_id)
    return found is not None and found.cause == "attempt"


async def test_a_gateway_that_runs_is_asked_to_send_and_one_that_does_not_is_not(
    url, outbox, server, schema
):
    """As `gateway send` and `gateway cancel` do beside an application."""
    application = partial(application_of, url)
    channel = FakeChannel(script=refuse)
    assert None is (await application()).outbox
    async with open_test_gateway(channel, outbox=outbox(), **UNHURRIED) as gateway:
        running = await application()
        assert running.running
        message = Send(instance_id="bot", external_room_id="room", text="hello", key="k")
        with trio.fail_after(PATIENCE):
            assert (await running.deliver(message, 30.0)).delivered
            with pytest.raises(OutboxError, match="the gateway refused it: IdempotencyConflict"):
                await running.deliver(
                    Send(instance_id="bot", external_room_id="room", text="other", key="k"), 30.0
                )
            hangs = await gateway.enqueue("bot", "room", "hangs")
            waits = await gateway.enqueue("bot", "room", "waits")
            assert "cancelled" == await running.cancel(waits.id)
            assert "the envelope has started" in await running.cancel(hangs.id)
        assert ["hello"] == channel.texts("room")
    idle = await application()
    assert not idle.running
    with pytest.raises(Ended, match=r"nothing was sent: envelope .* already has the key 'k'"):
        await trio.to_thread.run_sync(idle.refuse_known, "bot", "room", "k")
    ref = await trio.to_thread.run_sync(
        idle.message_of, KeyRef(instance_id="bot", external_room_id="room", key="k")
    )
    assert "room" == ref.external_room_id


async def application_of(url):
    def look():
        found = stored(OutboxSettings(url=url))
        if not found.is_there:
            return Application(None)
        return Application(found, running=found.is_owned)

    return await trio.to_thread.run_sync(look)


async def test_groups_are_followed_and_asked_for(url, outbox):
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=outbox()) as gateway:
        operator = await trio.to_thread.run_sync(stored(OutboxSettings(url=url)).operator)
        with operator:
            job = await gateway.broadcast("bot", [f"room{n}" for n in range(5)], "hello", key="g")
            with trio.fail_after(PATIENCE):
                await job.wait()

            state = operator.group(job.id)
            assert (5, job.id) == (sum(state.counts.values()), state.group.id)
            assert [job.id] == [each.group.id for each in operator.groups()]
            assert job.id == operator.group_of_key("bot", "g").group.id


async def test_what_operators_ask_is_answered_once_it_is_written_by_whoever_owns_it(
    url, outbox, server, schema
):
    """A request that its owner took and did not answer is the next one's."""
    operator = None
    channel = FakeChannel(script=refuse)
    async with open_test_gateway(channel, outbox=outbox(), **UNHURRIED):
        operator = stored(OutboxSettings(url=url)).operator()
    with operator:
        message = Send(instance_id="bot", external_room_id="room", text="hello", key="k")
        place = ("bot", "room")
        number = operator.ask("submit", virtual_wall(), place=place, envelope=message)
        assert number < 0
        assert [message] == operator.asked("bot", "room")
        assert None is operator.answer(number)
        async with open_test_gateway(channel, outbox=outbox(), **UNHURRIED):
            with trio.fail_after(PATIENCE):
                answers = await asking.answers_to(operator, [number])
        accepted = json.loads(answers[number])["accepted"]
        assert accepted == operator.find(accepted).envelope_id
        assert [(None,)] == ran(server, schema, "SELECT envelope FROM requests")
        operator.take_back(number)
        assert [] == ran(server, schema, "SELECT 1 FROM requests")


async def test_members_are_the_owner_and_those_that_stand_by(server, schema, url):
    settings = PostgresSettings(schema=schema, lease=60)
    async with trio.open_nursery() as nursery, PostgresOutbox(server.url(), settings):
        nursery.start_soon(enter, PostgresOutbox(server.url(), settings))
        with stored(OutboxSettings(url=url)).operator() as operator:

            async def both():
                return len(operator.parts()) == 2

            await until(both)
            owner, standby = operator.parts()
            assert (True, 1, 60.0) == (owner.owns, owner.epoch, owner.lease)
            assert (False, None) == (standby.owns, standby.epoch)
            assert owner.since <= standby.since
            nursery.cancel_scope.cancel()
    with stored(OutboxSettings(url=url)).operator() as operator:
        assert [] == operator.parts()


async def enter(outbox):
    async with outbox:
        await trio.sleep(math.inf)


async def test_a_member_that_was_followed_stands_by_once(server, schema, url):
    """However often it asks to have the outbox again."""
    settings = PostgresSettings(schema=schema, lease=60)
    async with PostgresOutbox(server.url(), settings) as first:
        await first.recover("bot")
        ran(server, schema, "DELETE FROM members")  # as whoever stands by would
        async with PostgresOutbox(server.url(), settings):
            await trio.to_thread.run_sync(first._membership.renew)
            for _ in range(3):
                first._membership._noted = -math.inf
                with pytest.raises(OutboxError, match="another process"):
                    await first.recover("bot")
            with stored(OutboxSettings(url=url)).operator() as operator:
                assert [True, False] == [part.owns for part in operator.parts()]


async def test_an_owner_that_was_killed_is_not_there_once_its_lease_is_over(server, schema, url):
    async with PostgresOutbox(server.url(), PostgresSettings(schema=schema, lease=60)):
        with stored(OutboxSettings(url=url)).operator() as operator:
            assert operator.owner is not None
            ran(server, schema, "UPDATE members SET renewed_at = now() - interval '70 seconds'")
            assert None is operator.owner


async def test_a_copy_is_the_database_s_to_make(config, gateway_command, tmp_path):
    code, out, err = await gateway_command("backup", str(tmp_path / "x"), "--config", str(config))
    assert (2, "") == (code, out)
    assert "pg_dump" in err


async def test_a_schema_that_is_not_there_is_told(config, schema, gateway_command):
    code, _, err = await gateway_command("list", "--config", str(config))
    assert (2, True) == (code, f"there is no outbox in the schema {schema}" in err)
