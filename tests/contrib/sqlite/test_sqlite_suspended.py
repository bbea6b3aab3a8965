"""What an operator has suspended stays so in the next process run, until somebody resumes it."""

import json
import sqlite3
from contextlib import closing

import pytest
import trio
from structlog.testing import capture_logs

from gateway_contrib.sqlite import SqliteOutbox
from gateway_contrib.sqlite.operators.operating import Operator
from gateway_core.outboxes import Request
from gateway_core.testing import FakeChannel, open_test_gateway, virtual_wall

SUSPENDED = "gateway.instance_suspended"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


@pytest.fixture
def command(path, gateway_command, often, tmp_path):
    config = tmp_path / "gateway.toml"
    config.write_text(f'outbox = "sqlite://{path}"\n[instances.bot]\nchannel = "fake"\n')

    async def command(*words):
        return await gateway_command(*words, "--config", str(config))

    return command


def opened(path, channel):
    return open_test_gateway(channel, outbox=SqliteOutbox(path, wall_clock=virtual_wall))


def why(gateway):
    (found,) = gateway.statistics().instances
    return found.suspended or ""


async def test_it_holds_in_the_next_process_run(path):
    channel = FakeChannel()
    async with opened(path, channel) as gateway:
        gateway.suspend("bot", "overnight", by="ann")
        await gateway.enqueue("bot", "room", "text", ttl=600)
    async with opened(path, channel) as gateway:
        assert "overnight" in why(gateway)
        await trio.sleep(0.3)
        assert [] == channel.made
        gateway.resume("bot")
        with trio.fail_after(60):
            while not channel.made:  # noqa: ASYNC110 - what is looked at has no event
                await trio.sleep(0.02)
    async with opened(path, channel) as gateway:
        assert "" == why(gateway)


async def test_an_operator_suspends_and_resumes_beside_the_gateway(path, command):
    async with opened(path, FakeChannel()) as gateway:
        assert (0, "bot: suspended\n", "") == await command("suspend", "bot", "--why", "a move")
        assert "a move" in why(gateway)
        code, out, err = await command("stats")
        assert (0, "", True) == (code, err, "suspended: bot (a move; by " in out)
        assert (0, "bot: goes on\n", "") == await command("resume", "bot")
        assert "" == why(gateway)
        assert (await gateway.send("bot", "room", "text")).delivered


async def test_what_an_operator_asks_without_a_gateway_holds_before_anything_is_sent(path, command):
    channel = FakeChannel()
    async with opened(path, FakeChannel()):
        pass
    code, out, err = await command("suspend", "bot", "--why", "a long night")
    assert (0, "", True) == (code, err, "the next gateway that opens the outbox does it" in out)
    with capture_logs() as logs:
        async with opened(path, channel) as gateway:
            assert "a long night" in why(gateway)
            await gateway.enqueue("bot", "room", "text", ttl=600)
            await trio.sleep(0.3)
            assert [] == channel.made
    assert ["a long night"] == [it["raw"] for it in logs if it["event"] == SUSPENDED]
    rows = json.loads((await command("list", "--waiting", "--json"))[1])
    assert ["suspension"] == [row["cause"] for row in rows]
    code, out, _ = await command("stats", "--json")
    assert "a long night" == json.loads(out)["suspended"]["bot"]["why"]


@pytest.mark.parametrize("asked", [("resume", "suspend"), ("suspend", "resume")])
async def test_of_what_operators_ask_without_a_gateway_the_last_holds(path, command, asked):
    """From the moment on at which the file is open, before a request is read."""
    async with opened(path, FakeChannel()):
        pass
    words = {"suspend": ("suspend", "bot", "--why", "a long night"), "resume": ("resume", "bot")}
    for name in asked:
        code, _, err = await command(*words[name])
        assert (0, "") == (code, err)
    async with opened(path, FakeChannel()) as gateway:
        assert (asked[-1] == "suspend") == bool(why(gateway))


@pytest.mark.parametrize("words", [("suspend", "bott", "--why", "a typo"), ("resume", "bott")])
async def test_without_a_gateway_an_account_that_is_not_known_is_named(path, command, words):
    """Nobody reads the refusal of the gateway that opens the outbox next."""
    async with opened(path, FakeChannel()) as gateway:
        await gateway.send("bot", "room", "text")
    code, out, err = await command(*words)
    asked = "bott: requested: the next gateway that opens the outbox does it first\n"
    said = "gateway: the outbox has nothing of instance 'bott'; it has: bot\n"
    assert (0, asked, said) == (code, out, err)
    config = path.with_name("gateway.toml")
    config.write_text(f'{config.read_text()}\n[instances.bott]\nchannel = "slack"\n')
    assert (0, asked, "") == await command(*words)


async def test_a_request_that_cannot_be_read_suspends_all_the_same(path, command):
    """Until the gateway has read it, and has refused it."""
    async with opened(path, FakeChannel()):
        pass
    await command("suspend", "bot", "--why", "a long night")
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("""UPDATE requests SET envelope = '{"suspension": {"why": 7}}'""")
    with capture_logs() as logs:
        async with opened(path, FakeChannel()):
            pass
    assert ["as an operator asks"] == [it["raw"] for it in logs if it["event"] == SUSPENDED]


async def test_the_answer_to_an_older_request_is_on_the_disk_before_a_newer_wish(path):
    """Otherwise a kill between the two would let the next run carry out the older request again."""
    async with SqliteOutbox(path, wall_clock=virtual_wall) as outbox:
        with Operator(path) as operator:
            number = operator.ask("suspend", virtual_wall(), place=("bot", ""))
            outbox.answered(Request(kind="suspend", number=number, instance_id="bot"), "suspended")
            await outbox.store_suspension("bot", None)
            assert "suspended" == operator.answer(number)


class Batches(SqliteOutbox):
    """On a slow disk; notes how many envelopes end with each write."""

    def __init__(self, path):
        super().__init__(path, wall_clock=virtual_wall)
        self.ended = []

    async def _write(self, batch):
        self.ended.append(len(batch.ended))
        if batch.ended:
            await trio.sleep(0.05)
        await super()._write(batch)


@pytest.mark.parametrize("how", ["removed", "suspended"])
async def test_a_backlog_that_ends_leaves_the_disk_time_for_other_accounts(path, how):
    """Another account's message is written with the next batch, so no batch is a whole backlog."""
    outbox = Batches(path)
    config = {"instances": ["large", "small"], "when_suspended": "end", "drain_timeout": 0}
    many = 2000
    async with open_test_gateway(FakeChannel(latency=3600.0), outbox=outbox, **config) as gateway:
        for number in range(many):
            await gateway.enqueue("large", f"room {number % 50}", "text", ttl=7200)
        outbox.ended.clear()
        if how == "removed":
            assert many == len(await gateway.remove_instance("large"))
        else:
            gateway.suspend("large")
            with trio.fail_after(60):
                while sum(outbox.ended) < many - 50:  # noqa: ASYNC110 - the attempts never end
                    await trio.sleep(0.02)
        await gateway.enqueue("small", "room", "text")
    assert sum(outbox.ended) >= many - 50
    assert max(outbox.ended) <= 300
