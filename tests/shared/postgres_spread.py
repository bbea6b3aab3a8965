"""Opens several outboxes on one schema, which share its accounts as several processes would."""

from contextlib import AsyncExitStack, asynccontextmanager
from itertools import chain

import trio
from postgres_runs import ran

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_contrib.postgres.spreading.member import LOOK
from gateway_core import OutboxError
from gateway_core.testing.outbox_contract import START

SLACK = 120.0
"""Seconds after which anything counts as hanging."""


class Process:
    """An open outbox that takes offered accounts, and gives up accounts that another is to own.

    takes, gives  whether it does so by itself
    """

    def __init__(self, outbox, takes=True, gives=True):
        self.outbox = outbox
        self.takes, self.gives = takes, gives
        self.served = ()
        self.owned, self.lost, self.left = set(), [], []
        self.recoveries = {}
        self._offered = trio.Event()
        outbox.offered = self._is_offered
        outbox.leaving = self._is_leaving
        outbox.lost = self._is_lost
        self.requests = []
        outbox.requested = self.requests.append

    def serves(self, accounts):
        self.served = tuple(accounts)
        self.outbox.serves(self.served)

    def _is_offered(self):
        self._offered.set()

    def _is_leaving(self, account):
        if account in self.owned and self.gives:
            self.give(account)

    def give(self, account):
        self.left.append(account)
        self.owned.discard(account)
        self.outbox.release(account, 0.0, [])

    def _is_lost(self, account):
        self.owned.discard(account)
        self.lost.append(account)

    async def take(self):
        """Take accounts whenever they are offered."""
        while True:
            await self._offered.wait()
            self._offered = trio.Event()
            for account in self.served if self.takes else ():
                if account not in self.owned and self.outbox.offers(account):
                    try:
                        self.recoveries[account] = await self.outbox.recover(account)
                    except OutboxError:
                        continue
                    self.owned.add(account)


class Spread:
    """One schema, and the processes that share its accounts."""

    def __init__(self, server, schema):
        self.server, self.schema = server, schema

    def outbox(self, **settings):
        settings = {"lease": 60, "accounts": "spread", "poll": 0.01} | settings
        settings = PostgresSettings(schema=self.schema, **settings)
        return PostgresOutbox(self.server.url(), settings, wall_clock=lambda: START)

    @asynccontextmanager
    async def some(self, count, accounts, **settings):
        """`count` processes that share these accounts."""
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            some = [await enter(self.process(accounts, **settings)) for _ in range(count)]
            await self.shared_out(some, accounts)
            yield some

    @staticmethod
    async def shared_out(some, accounts):
        """Wait until each account is where it stays, and each process owns one."""
        await _settled(lambda: [set(one.owned) for one in some], accounts)

    @asynccontextmanager
    async def process(self, accounts=(), *, takes=True, gives=True, **settings):
        async with self.outbox(**settings) as outbox, trio.open_nursery() as nursery:
            process = Process(outbox, takes, gives)
            nursery.start_soon(process.take)
            process.serves(accounts)
            yield process
            nursery.cancel_scope.cancel()

    def ran(self, sql):
        return ran(self.server, self.schema, sql)

    def owners(self):
        """The owner of each account, without the state that accounts share."""
        sql = "SELECT instance, member FROM accounts WHERE account <> ''"
        return dict(self.ran(sql))


def owned_of(gateway, accounts):
    """Which of the accounts a gateway owns."""
    return {name for name in accounts if gateway._pager.accounts.has(name)}


async def settled(gateways, accounts):
    """Wait until each account is where it stays, and each gateway owns one."""
    await _settled(lambda: [owned_of(gateway, accounts) for gateway in gateways], accounts)


async def _settled(found, accounts):
    """Wait until each account is where it stays, and each of what owns some owns one.

    found  the accounts that each owns

    What one got by a look from before the other one came, it gives up at its next look. With two
    dozen accounts, nobody is left without one by chance.
    """
    before = None
    while before != found():
        await until(lambda: all(found()) and sorted(accounts) == sorted(chain(*found())))
        before = found()
        await trio.sleep(3 * LOOK)


async def until(so):
    """Wait until `so()` is true."""
    with trio.fail_after(SLACK):
        while not so():  # noqa: ASYNC110 - what is looked at has no event
            await trio.sleep(0.02)
