"""A fake channel that is looked at, and held up, from other threads than the gateway's."""

from __future__ import annotations

import threading

import trio

from gateway_core import GatewayConfig, Instance
from gateway_core.bridge.thread import gateway_thread
from gateway_core.testing import FakeChannel, FakeSettings

SOON = 60
"""Seconds after which a test fails that waits for another thread."""


def config(**settings) -> GatewayConfig:
    return GatewayConfig(instances=[Instance("bot", "fake", FakeSettings())], **settings)


class Held(FakeChannel):
    """Attempts wait until the channel is let go; `begun` is set once one waits."""

    def __init__(self, **settings):
        super().__init__(script=self._wait, **settings)
        self.begun = threading.Event()
        self._free = False
        self._waiting = []

    async def _wait(self, _attempt):
        if not self._free:
            self._waiting.append(gone := trio.Event())
            self.begun.set()
            await gone.wait()

    def let_go(self):
        """From any thread: attempts end, those under way as well."""

        def free():
            self._free = True
            for waiting in self._waiting:
                waiting.set()

        gateway_thread().post(free)

    def given(self):
        """As `open_gateway` takes it."""
        return {"config": config(), "plugins": [("fake", self)]}


def on_thread(function):
    """What it gives on the gateway's thread, after all that was posted before."""
    done, found = threading.Event(), []
    gateway_thread().post(lambda: (found.append(function()), done.set()))
    assert done.wait(SOON)
    return found[0]
