"""Accounts are spread over the processes that share the outbox, each owned by one at a time."""

from contextlib import AsyncExitStack

import pytest
from postgres_spread import Spread, until

from gateway_core import OutboxError
from gateway_core.testing.outbox_contract import Entries, texts

ACCOUNTS = [f"bot{n}" for n in range(40)]


@pytest.fixture
def spread(server, emptied_schema):
    return Spread(server, emptied_schema)


@pytest.fixture
def entry():
    return Entries()


def member_of(process):
    return process.outbox._membership.member


async def test_one_process_owns_what_it_serves_and_writes_there_alone(spread, entry):
    async with spread.process(["bot"]) as process:
        await until(lambda: process.owned)
        await process.outbox.append(entry("a"), lambda: None)
        with pytest.raises(OutboxError, match="account other is another process's"):
            await process.outbox.append(entry("b", instance="other"), lambda: None)
        assert ["a"] == texts(await process.outbox.page("bot"))
        assert (True, False) == (process.outbox.covers("bot"), process.outbox.covers("other"))


async def test_a_join_moves_its_share_alone_and_a_leave_gives_it_back(spread):
    async with AsyncExitStack() as stack:
        some = [await stack.enter_async_context(spread.process(ACCOUNTS)) for _ in "ab"]
        await until(lambda: sum(len(one.owned) for one in some) == len(ACCOUNTS))
        await until(lambda: all(one.owned for one in some))
        for one in some:
            one.left.clear()
        before = spread.owners()
        async with spread.process(ACCOUNTS) as third:
            await until(lambda: third.owned)
            await until(lambda: sum(len(one.owned) for one in (*some, third)) == len(ACCOUNTS))
            after = spread.owners()
            moved = {name for name in ACCOUNTS if after[name] != before[name]}
            assert third.owned == moved == {*some[0].left, *some[1].left}
        await until(lambda: sum(len(one.owned) for one in some) == len(ACCOUNTS))
        assert before == spread.owners()


async def test_what_is_another_processs_is_refused_with_its_name(spread):
    async with spread.process(["bot"]) as first, spread.process(takes=False) as second:
        await until(lambda: first.owned)
        with pytest.raises(OutboxError, match=r"account bot is owned by another process: .*\d"):
            await second.outbox.recover("bot")
        assert not second.outbox.offers("bot")
