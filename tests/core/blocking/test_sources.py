"""A source that blocks has a thread for each of its calls, and no more than look-ups may be."""

from __future__ import annotations

import threading

import pytest
from bridged import SOON

from gateway_core import GatewayConfig, Instance, InstanceSourceError, SourceSettings
from gateway_core.blocking import open_gateway
from gateway_core.testing import FakeChannel, FakeSettings


def opened(source, channel=None, **settings):
    config = GatewayConfig(instance_source=SourceSettings(**settings))
    plugins = [("fake", channel or FakeChannel())]
    return open_gateway(config, plugins=plugins, instance_source=source)


def test_a_source_that_blocks_stops_nobody():
    free, channel = threading.Event(), FakeChannel()

    def source(instance_id):
        if instance_id == "slow":
            assert free.wait(SOON)
        return Instance(instance_id, "fake", FakeSettings())

    with opened(source, channel) as gateway:
        slow = threading.Thread(target=gateway.send, args=("slow", "room", "last"), daemon=True)
        slow.start()
        gateway.send("quick", "room", "first", timeout=SOON)
        free.set()
        slow.join(SOON)
        assert "quick" == gateway.find_instance("quick", anew=True, timeout=SOON).id
    assert ["first", "last"] == channel.texts("room")


def test_what_it_raises_refuses_the_envelope():
    def source(instance_id):
        raise LookupError("gone")

    with opened(source) as gateway, pytest.raises(InstanceSourceError, match="LookupError: gone"):
        gateway.send("tenant-1", "room", "hello", timeout=SOON)


def test_threads_that_hang_are_no_more_than_look_ups_may_be():
    free, most, now = threading.Event(), [0], [0]
    lock = threading.Lock()

    def source(instance_id):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        free.wait(SOON)
        with lock:
            now[0] -= 1

    with opened(source, at_once=2, timeout=0.05) as gateway:
        for number in range(6):
            with pytest.raises(InstanceSourceError, match="no answer within"):
                gateway.send(f"tenant-{number}", "room", "hello", timeout=SOON)
        free.set()
    assert [2] == most


def test_an_async_source_is_of_another_face():
    async def source(instance_id):
        raise AssertionError

    with pytest.raises(TypeError, match=r"an async one is for gateway_core.aio"):
        opened(source)
