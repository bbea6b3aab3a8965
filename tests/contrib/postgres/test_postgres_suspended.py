"""What an operator has suspended stays so, whoever owns it, until somebody resumes it."""

import json
from contextlib import asynccontextmanager
from itertools import count

import pytest
import trio
from amounts import long_run
from postgres_processes import child
from postgres_shared import Shared
from postgres_spread import Spread, owned_of, settled, until
from sealed import FIRST
from structlog.testing import capture_logs

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_contrib.postgres.spreading import tables
from gateway_contrib.postgres.spreading.operating import Sharing
from gateway_core import OutboxError, UnknownInstance, Verdict
from gateway_core.outboxes import Suspension
from gateway_core.testing import Failure, FakeChannel, open_test_gateway, virtual_wall
from gateway_core.testing.outbox_contract import START

ACCOUNTS = [f"bot{n}" for n in range(24)]
PATIENCE = 60.0


@pytest.fixture
def spread(server, emptied_schema):
    return Spread(server, emptied_schema)


@asynccontextmanager
async def opened(spread, channel, **config):
    settings = PostgresSettings(schema=spread.schema, accounts="spread", lease=60, poll=0.01)
    outbox = PostgresOutbox(spread.server.url(), settings, wall_clock=virtual_wall)
    with trio.fail_after(PATIENCE):
        async with open_test_gateway(
            channel, instances=ACCOUNTS, outbox=outbox, **config
        ) as gateway:
            yield gateway


def owned(gateway):
    return owned_of(gateway, ACCOUNTS)


def why(gateway, account):
    (found,) = [it.suspended for it in gateway.statistics().instances if it.id == account]
    return found or ""


def rows(spread):
    return {row[0]: row[1:] for row in spread.ran("SELECT instance, why, by_whom FROM suspensions")}


@pytest.fixture
def named(monkeypatch):
    """Each process has a name of its own."""
    numbers = count(1)
    monkeypatch.setattr(tables, "own_name", lambda: f"app-{next(numbers)}, process 1")


async def test_it_goes_with_its_account_and_any_process_resumes_it(spread, named):
    channels = [FakeChannel(), FakeChannel()]
    async with opened(spread, channels[0]) as a, opened(spread, channels[1]) as b:
        await settled([a, b], ACCOUNTS)
        account = min(owned(a))
        b.suspend(account, "the workspace moves", by="ann")  # which does not own it
        await until(lambda: "the workspace moves" in why(a, account))
        assert {account: ("the workspace moves", "ann")} == rows(spread)
        ticket = await b.enqueue(account, "room", "text", ttl=600)
        with Sharing(spread.server.url(), PostgresSettings(schema=spread.schema)) as operator:
            operator.move(account, "app-2")
        await until(lambda: account in owned(b))
        assert "the workspace moves" in why(b, account)
        await trio.sleep(0.5)
        assert [] == [*channels[0].made, *channels[1].made]
        a.resume(account)  # which does not own it any more
        with trio.fail_after(5):
            assert (await ticket.receipt()).delivered
        assert {} == rows(spread)
        assert 1 == len(channels[1].made)


@long_run
async def test_after_a_kill_its_next_owner_sends_nothing_of_it(server, emptied_schema):
    with trio.fail_after(120), child(server, emptied_schema, "share") as first:
        assert "open" == await first.ask()
        assert "delivered" == await first.ask("send before")
        assert "held" == await first.ask("hold")
        await first.ask("enqueue waits")  # answered once it is committed, after the suspension
        with child(server, emptied_schema, "share") as second:
            assert "open" == await second.ask()
            first.kill()
            await trio.sleep(10)  # the lease is over, and it has the account
            assert [] == json.loads(await second.ask("texts"))
            assert "goes on" == await second.ask("resume")
            while ["waits"] != json.loads(await second.ask("texts")):  # noqa: ASYNC110 - a process
                await trio.sleep(0.1)


async def test_many_accounts_that_come_at_once_are_had_as_they_were_left(spread):
    channel = FakeChannel()
    async with opened(spread, FakeChannel()) as gateway:
        await until(lambda: owned(gateway) == set(ACCOUNTS))
        for account in ACCOUNTS[:2]:
            gateway.suspend(account, "overnight")
        for account in ACCOUNTS:
            await gateway.enqueue(account, "room", "text", ttl=600)
    async with opened(spread, channel) as gateway:
        await until(lambda: owned(gateway) == set(ACCOUNTS))
        assert ["overnight" in why(gateway, it) for it in ACCOUNTS] == [True] * 2 + [False] * 22


KEYS = {"plain": (), "sealed": (FIRST,)}


@pytest.fixture(params=list(KEYS))
def shared(server, emptied_schema, request):
    return Shared(server, emptied_schema, KEYS[request.param])


async def test_with_one_owner_it_holds_in_the_next_process_run(shared):
    async with shared.owner() as owner:
        owner.suspend("bot", "overnight", by="ann")
        await owner.enqueue("bot", "room", "text", ttl=600)
    async with shared.owner() as owner:
        assert "overnight" in why(owner, "bot")
        await trio.sleep(0.5)
        assert [] == shared.channel.made
        owner.resume("bot")
        await until(lambda: shared.channel.made)
    assert [] == shared.ran("SELECT * FROM suspensions")


async def test_a_process_that_hands_over_suspends_and_resumes_at_the_owner(shared):
    async with shared.both() as (owner, producer):
        producer.suspend("bot", "from the admin's page", by="ann")
        await until(lambda: "from the admin's page" in why(owner, "bot"))
        ticket = await producer.enqueue("bot", "room", "text", ttl=600)
        await trio.sleep(0.5)
        assert [] == shared.channel.made
        producer.resume("bot")
        assert (await ticket.receipt()).delivered
        with pytest.raises(UnknownInstance):
            producer.suspend("nobody")


async def test_what_was_asked_without_an_owner_is_done_by_the_next(shared):
    async with shared.producer() as producer:
        producer.suspend("bot", "before all")
        await producer.enqueue("bot", "room", "text", ttl=600)
    async with shared.owner() as owner:
        await until(lambda: "before all" in why(owner, "bot"))


@pytest.mark.parametrize(("age", "answered"), [(0.0, True), (3600.0, False)])
async def test_a_wish_answers_what_was_asked_before_and_not_taken(shared, age, answered):
    """The next owner would carry it out after the newer wish."""
    async with shared.producer() as producer:
        producer.suspend("bot", "asked first")
        ticket = await producer.enqueue("bot", "room", "text", ttl=600)
    async with shared.outbox() as outbox:
        await outbox.recover("bot")
        await outbox.store_suspension("bot", None, age)
    asked = shared.ran("SELECT answered_at IS NOT NULL FROM handed WHERE kind = 'ask'")
    assert [(answered,)] == asked
    async with shared.owner() as owner:
        if answered:
            await until(lambda: shared.channel.made)
            assert (await owner.status(ticket.id)) is not None
        else:
            await until(lambda: "asked first" in why(owner, "bot"))


async def test_another_process_cannot_store_it(spread):
    """Not even one that has not noticed yet that it has lost the account."""
    async with spread.process(["bot0"]) as first:
        await until(lambda: first.owned)
        spread.ran("UPDATE accounts SET member = gen_random_uuid() WHERE instance = 'bot0'")
        with pytest.raises(OutboxError, match="belongs to another process"):
            await first.outbox.store_suspension("bot0", Suspension(why="late", since=START))
        with pytest.raises(OutboxError, match="another process"):
            await first.outbox.store_suspension("bot0", None)
    assert {} == rows(spread)


# -- on the command line


@pytest.fixture
def command(shared, gateway_command, often, tmp_path):
    config = tmp_path / "gateway.toml"
    url = f"{shared.server.url()}&schema={shared.schema}"
    keys = f"keys = [{json.dumps(FIRST.reveal())}]\n" if shared.keys else ""
    config.write_text(f'[instances.bot]\nchannel = "fake"\n[outbox]\nurl = "{url}"\n{keys}')

    async def command(*words):
        return await gateway_command(*words, "--config", str(config))

    return command


async def test_an_operator_suspends_and_resumes_beside_the_owner(shared, command):
    async with shared.owner() as owner:
        code, out, err = await command("suspend", "bot", "--why", "the workspace moves")
        assert (0, "bot: suspended\n", "") == (code, out, err)
        assert "the workspace moves" in why(owner, "bot")
        code, out, err = await command("stats")
        assert (0, "", True) == (code, err, "suspended: bot (the workspace moves; by " in out)
        code, out, _ = await command("stats", "--json")
        found = json.loads(out)["suspended"]["bot"]
        assert ("the workspace moves", True) == (found["why"], "@" in found["by"])
        code, out, err = await command("resume", "bot")
        assert (0, "bot: goes on\n", "") == (code, out, err)
        assert "" == why(owner, "bot")
        assert (await owner.send("bot", "room", "text")).delivered
        code, out, err = await command("suspend", "nobody", "--why", "typed")
        assert (2, "", True) == (code, out, "there is no instance 'nobody'" in err)


async def test_what_an_operator_asks_without_an_owner_holds_before_anything_is_sent(
    shared, command
):
    """Also before the request itself is read."""
    async with shared.owner() as owner:
        owner.suspend("bot")
        await owner.enqueue("bot", "room", "text", ttl=600)
    shared.ran("DELETE FROM suspensions")
    code, out, err = await command("suspend", "bot", "--why", "the night is long")
    assert (0, "", True) == (code, err, "the next gateway that opens the outbox does it" in out)
    with capture_logs() as logs:
        async with shared.owner() as owner:
            assert "the night is long" in why(owner, "bot")
            await until(lambda: shared.ran("SELECT why FROM suspensions"))
            assert [] == shared.channel.made
    suspended = [it["raw"] for it in logs if it["event"] == "gateway.instance_suspended"]
    assert ["the night is long"] == suspended
    rows = json.loads((await command("list", "--waiting", "--json"))[1])
    assert ["suspension"] == [row["cause"] for row in rows]
    code, out, _ = await command("resume", "bot")
    async with shared.owner() as owner:
        assert "" == why(owner, "bot")
        await until(lambda: shared.channel.made)
        await until(lambda: not shared.ran("SELECT why FROM suspensions"))


@pytest.mark.parametrize("asked", [("resume", "suspend"), ("suspend", "resume")])
async def test_of_what_operators_ask_without_an_owner_the_last_holds(shared, command, asked):
    """From the moment on at which the account is had, before a request is read."""
    async with shared.owner():
        pass  # it makes the schema
    words = {
        "suspend": ("suspend", "bot", "--why", "the night is long"),
        "resume": ("resume", "bot"),
    }
    for name in asked:
        code, _, err = await command(*words[name])
        assert (0, "") == (code, err)
    async with shared.owner() as owner:
        assert (asked[-1] == "suspend") == bool(why(owner, "bot"))


async def test_an_operator_of_spread_accounts_reaches_whoever_owns_it(
    spread, gateway_command, often, tmp_path
):
    config = tmp_path / "gateway.toml"
    config.write_text(f'[outbox]\nurl = "{spread.server.url()}&schema={spread.schema}"\n')
    option = ("--config", str(config))
    async with opened(spread, FakeChannel()) as a, opened(spread, FakeChannel()) as b:
        await settled([a, b], ACCOUNTS)
        for gateway in (a, b):
            account = min(owned(gateway))
            said = await gateway_command("suspend", account, "--why", "for a while", *option)
            assert (0, f"{account}: suspended\n", "") == said
            assert "for a while" in why(gateway, account)
            said = await gateway_command("resume", account, *option)
            assert (0, f"{account}: goes on\n", "") == said
            assert "" == why(gateway, account)


async def test_stats_says_of_every_owners_accounts_which_do_not_work(
    spread, named, gateway_command, often, tmp_path
):
    """Each process knows only its own accounts, and what it once knew of others may be old."""
    config = tmp_path / "gateway.toml"
    config.write_text(f'[outbox]\nurl = "{spread.server.url()}&schema={spread.schema}"\n')

    verdict = Verdict(
        error_class="fatal", reason="unauthorized", scope="instance", raw="no", dispatched="no"
    )

    def revoked(*_):
        raise Failure(verdict)

    async with opened(spread, FakeChannel()) as a:
        channel = FakeChannel(script=revoked)
        channel.probe_error = Failure(verdict)  # it stays suspended
        async with opened(spread, channel) as b:
            await settled([a, b], ACCOUNTS)
            account = min(owned(b))
            await b.enqueue(account, "room", "text", ttl=600)
            await until(lambda: "unauthorized" in why(b, account))
            a.suspend(min(owned(a)), "a move")
            code, out, err = await gateway_command("stats", "--json", "--config", str(config))
            assert (0, "") == (code, err)
            troubles = {
                account: "suspension (unauthorized: no)",
                min(owned(a)): "suspension (suspended: a move)",
            }
            assert troubles == json.loads(out)["trouble"]


async def test_stats_names_an_account_that_nobody_owns_while_messages_wait(
    spread, gateway_command, often, tmp_path
):
    """Its messages would wait for ever: no process has it in its configuration any more."""
    config = tmp_path / "gateway.toml"
    config.write_text(f'[outbox]\nurl = "{spread.server.url()}&schema={spread.schema}"\n')

    async def trouble():
        code, out, err = await gateway_command("stats", "--json", "--config", str(config))
        assert (0, "") == (code, err)
        return json.loads(out)["trouble"]

    async with opened(spread, FakeChannel()) as a, opened(spread, FakeChannel()) as b:
        await settled([a, b], ACCOUNTS)
        spread.ran("INSERT INTO accounts VALUES ('l', 'left', NULL, 1), ('i', 'idle', NULL, 1)")
        spread.ran(
            "INSERT INTO handed (instance, room, envelope, handed_by)"
            " VALUES ('left', 'room', '{}', 'app')"
        )
        assert {} == await trouble()  # some process may take it soon
        spread.ran("UPDATE handed SET handed_at = handed_at - interval '1 minute'")
        assert {"left": "no owner"} == await trouble()
