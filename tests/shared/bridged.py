"""A fake channel that tests watch and hold up from other threads than the gateway's."""

from __future__ import annotations

import threading

import trio

from gateway_core import GatewayConfig, Instance
from gateway_core.bridge.thread import gateway_thread
from gateway_core.testing import FakeChannel, FakeSettings

SOON = 60
"""Seconds after which a test that waits for another thread fails."""


def config(**settings) -> GatewayConfig:
    return GatewayConfig(instances=[Instance("bot", "fake", FakeSettings())], **settings)


class Held(FakeChannel):
    """A channel whose attempts wait until `let_go`; `begun` is set once an attempt waits."""

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
        """Let attempts end from now on, including those under way; callable from any thread."""

        def free():
            self._free = True
            for waiting in self._waiting:
                waiting.set()

        gateway_thread().post(free)

    def given(self):
        """The arguments for `open_gateway`."""
        return {"config": config(), "plugins": [("fake", self)]}


def on_thread(function):
    """The function's result on the gateway's thread, after everything posted there before."""
    done, found = threading.Event(), []
    gateway_thread().post(lambda: (found.append(function()), done.set()))
    assert done.wait(SOON)
    return found[0]
