"""An account may come and go again while it is still being asked for: it is asked for once more."""

from __future__ import annotations

from types import SimpleNamespace

import trio

from gateway_core import SourceSettings
from gateway_core.sourcing.stored import Stored


class Bringing:
    """Takes a second to bring an account in, which is forgotten at once."""

    def __init__(self):
        self.registry, self.settings = SimpleNamespace(serving={}), SourceSettings()
        self.asked = []

    async def bring(self, instance_id):
        self.asked.append(instance_id)
        await trio.sleep(1)


async def test_what_is_wanted_while_it_is_asked_for_is_asked_for_again(autojump_clock):
    sourcing = Bringing()
    async with trio.open_nursery() as nursery:
        stored = Stored(sourcing, nursery.start_soon)
        stored.begin()
        stored.want("tenant-1", 3)
        await trio.sleep(0.5)
        stored.want("tenant-1", 0)
        stored.want("tenant-1", 0)
        await trio.sleep(0.6)
        assert sourcing.asked == ["tenant-1"] * 2
        sourcing.registry.serving["tenant-1"] = object()
        stored.want("tenant-1", 0)
    assert sourcing.asked == ["tenant-1"] * 2
