"""One schema of a real server, with the gateways that use it: an owner, and producers."""

from contextlib import asynccontextmanager

import trio
from postgres_runs import ran

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_core.testing import FakeChannel, open_test_gateway, virtual_wall

PATIENCE = 60.0
"""Seconds after which anything counts as hanging."""


class Shared:
    """One schema, and helpers that open outboxes and gateways on it."""

    def __init__(self, server, schema, keys=()):
        self.server, self.schema, self.keys = server, schema, keys
        self.channel = FakeChannel()

    def outbox(self, **settings):
        url = settings.pop("url", self.server.url())
        settings = {"lease": 60, "schema": self.schema, "poll": 0.01} | settings
        settings = PostgresSettings(**settings)
        return PostgresOutbox(url, settings, wall_clock=virtual_wall, keys=self.keys)

    @asynccontextmanager
    async def owner(self, **settings):
        with trio.fail_after(PATIENCE):
            async with open_test_gateway(self.channel, outbox=self.outbox(), **settings) as gateway:
                yield gateway

    @asynccontextmanager
    async def producer(self, *, url=None, **settings):
        outbox = self.outbox() if url is None else self.outbox(url=url)
        with trio.fail_after(PATIENCE):
            async with open_test_gateway(
                FakeChannel(), outbox=outbox, serve=False, **settings
            ) as gateway:
                yield gateway

    @asynccontextmanager
    async def both(self, **settings):
        async with self.owner(**settings) as owner, self.producer(**settings) as producer:
            yield owner, producer

    def let_in(self, role, *instances):
        """Let a role, which is made if there is none, send as these instances."""
        with self.server.connect() as own:
            if not own.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
                own.execute(f"CREATE ROLE {role} LOGIN")
            for instance in instances:
                own.execute(f"SELECT {self.schema}.allow(%s, %s)", (role, instance))

    def ran(self, sql):
        return ran(self.server, self.schema, sql)
