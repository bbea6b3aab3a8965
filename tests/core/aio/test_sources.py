"""A source of the application's own loop is asked there, and one that is given up ends there."""

from __future__ import annotations

import asyncio  # noqa: TID251 - what is tested
import threading

import pytest
from bridged import SOON

from gateway_core import (
    GatewayConfig,
    Instance,
    InstanceSourceError,
    SourceSettings,
    UnknownInstance,
)
from gateway_core.aio import open_gateway
from gateway_core.testing import FakeChannel, FakeSettings


def opened(source, channel=None, **settings):
    config = GatewayConfig(instance_source=SourceSettings(**settings))
    plugins = [("fake", channel or FakeChannel())]
    return open_gateway(config, plugins=plugins, instance_source=source)


def run(main):
    async def bounded():
        async with asyncio.timeout(SOON):
            await main()

    asyncio.run(bounded())


def test_an_async_source_runs_in_the_loop_that_opened_the_gateway():
    async def main():
        loop, channel = asyncio.get_running_loop(), FakeChannel()

        async def source(instance_id):
            assert loop is asyncio.get_running_loop()
            await asyncio.sleep(0)
            if instance_id == "nobody":
                return None
            return Instance(instance_id, "fake", FakeSettings())

        async with opened(source, channel) as gateway:
            await gateway.send("tenant-1", "room", "hello")
            with pytest.raises(UnknownInstance):
                await gateway.send("nobody", "room", "hello")
            assert "tenant-1" == (await gateway.find_instance("tenant-1", anew=True)).id
        assert ["hello"] == channel.texts("room")

    run(main)


def test_one_that_never_waits_is_called_there_as_well():
    async def main():
        here, channel = threading.get_ident(), FakeChannel()

        def source(instance_id):
            assert here == threading.get_ident()
            return Instance(instance_id, "fake", FakeSettings())

        async with opened(source, channel) as gateway:
            await gateway.send("tenant-1", "room", "hello")
        assert ["hello"] == channel.texts("room")

    run(main)


def test_what_it_raises_refuses_the_envelope():
    async def main():
        async def source(instance_id):
            raise LookupError("gone")

        async def cancelled(instance_id):
            raise asyncio.CancelledError

        async with opened(source) as gateway:
            with pytest.raises(InstanceSourceError, match="LookupError: gone"):
                await gateway.send("tenant-1", "room", "hello")
        async with opened(cancelled) as gateway:
            with pytest.raises(InstanceSourceError, match="cancelled in its event loop"):
                await gateway.send("tenant-1", "room", "hello")

    run(main)


def test_one_that_is_given_up_is_cancelled_in_its_loop():
    async def main():
        ended = asyncio.Event()

        async def source(instance_id):
            try:
                await asyncio.sleep(SOON)
            finally:
                ended.set()

        async with opened(source, timeout=0.05) as gateway:
            with pytest.raises(InstanceSourceError, match="no answer within"):
                await gateway.send("tenant-1", "room", "hello")
            await ended.wait()

    run(main)


def test_what_is_no_function_is_refused():
    with pytest.raises(TypeError, match="`instance_source` must be a function"):
        opened("tenants")
