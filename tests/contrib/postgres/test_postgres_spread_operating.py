"""What operators see and change of which process owns which account."""

import json
from itertools import count

import pytest
from postgres_spread import Spread, until

from gateway_contrib.cli.outbox.listing import account_lines
from gateway_contrib.postgres.spreading import tables
from gateway_contrib.postgres.spreading.operating import Owned

ACCOUNTS = [f"bot{n}" for n in range(24)]


@pytest.fixture
def schema(emptied_schema):
    return emptied_schema


@pytest.fixture
def spread(server, schema, monkeypatch):
    """Each process has a name of its own."""
    numbers = count(1)
    monkeypatch.setattr(tables, "own_name", lambda: f"app-{next(numbers)}, process 1")
    return Spread(server, schema)


@pytest.fixture
def command(spread, gateway_command, tmp_path):
    config = tmp_path / "gateway.toml"
    url = f"{spread.server.url()}&schema={spread.schema}"
    config.write_text(f'[outbox]\nurl = "{url}"\n')

    async def command(*words):
        return await gateway_command(*words, "--config", str(config))

    return command


def test_an_owner_that_died_is_listed_as_such():
    owned = [
        Owned(account="a", member="app-1", since=40.0, epoch=3, pinned="app-2"),
        Owned(account="b", member="app-2", since=10.0, epoch=1, pinned=None),
    ]
    assert [
        "a  app-1                for 1 min  epoch 3  pinned to app-2 (not running)",
        "b  app-2 (not running)  for 2 min  epoch 1",
    ] == account_lines(owned, 100.0, {"app-1"})


async def test_accounts_are_listed_moved_and_drained(spread, command):
    async with spread.some(2, ACCOUNTS) as (first, second):
        code, out, err = await command("members", "--json")
        parts = json.loads(out)
        assert (0, "", ["app-1, process 1", "app-2, process 1"]) == (
            code, err, [part["name"] for part in parts]
        )  # fmt: skip
        assert [len(first.owned), len(second.owned)] == [part["accounts"] for part in parts]
        mine = min(first.owned)
        _, out, _ = await command("members", "--accounts")
        assert any(line.startswith(f"{mine} ") and "app-1, process 1" in line
                   for line in out.splitlines())  # fmt: skip
        _, out, _ = await command("move", mine, "app-2")
        assert f"{mine}: pinned to app-2, process 1\n" == out
        await until(lambda: mine in second.owned)
        _, out, _ = await command("members", "--accounts", "--json")
        (found,) = [it for it in json.loads(out) if it["account"] == mine]
        assert ("app-2, process 1", "app-2, process 1", 2) == (
            found["member"], found["pinned"], found["epoch"]
        )  # fmt: skip
        await command("move", mine, "--balance")
        await until(lambda: mine in first.owned)
        _, out, _ = await command("drain-member", "app-1")
        assert "app-1, process 1: gives up its accounts\n" == out
        await until(lambda: second.owned == set(ACCOUNTS))
        _, out, _ = await command("members")
        assert "drains  app-1, process 1" in out
        code, out, err = await command("move", mine, "app-1")
        assert (2, "") == (code, out)
        assert "'app-1, process 1' gives up its accounts: end that first" in err
        _, out, _ = await command("drain-member", "app-2")
        assert (
            "app-2, process 1: gives up its accounts, once another process can take them\n" == out
        )
        await command("drain-member", "app-2", "--undo")
        await command("drain-member", "app-1", "--undo")
        await spread.shared_out([first, second], ACCOUNTS)
        assert mine in first.owned


async def test_what_is_asked_of_an_account_is_asked_again_of_whoever_has_it_next(spread):
    """Its owner had not answered: that one has it again, or another one."""
    async with spread.process(["bot0"]) as first:
        await until(lambda: first.owned)
        spread.ran("INSERT INTO requests (kind, instance, asked_at) VALUES ('look', 'bot0', 0)")
        await until(lambda: first.requests)
        first.give("bot0")
        await until(lambda: first.owned and len(first.requests) == 2)
        assert [("look", "bot0")] * 2 == [(it.kind, it.instance_id) for it in first.requests]
        assert ["bot0"] == first.left


WRONG = {
    ("move", "bot0", "nobody"): "'nobody' is no process that shares the accounts; there are: app-1",
    ("move", "bot0", "process 1"): "'process 1' fits several processes; there are: app-1",
    ("move", "missing", "app-1"): "the outbox has no account 'missing'",
    ("move", "bot0"): "name the process that shall own the account, or give --balance",
    ("move", "bot0", "app-1", "--balance"): "name the process",
    ("drain-member", "nobody"): "'nobody' is no process that shares the accounts; there are: app-1",
}


async def test_what_is_not_there_is_said(spread, command):
    async with spread.process(["bot0"]) as first, spread.process():
        await until(lambda: "bot0" in spread.owners())
        for words, said in WRONG.items():
            code, out, err = await command(*words)
            assert (2, "", True) == (code, out, said in err), err
        assert not first.left
