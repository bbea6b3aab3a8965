"""Gateways without an outbox, or with the same one."""

from __future__ import annotations

import pytest

from gateway_core.testing import FakeChannel, MemoryOutbox, open_test_gateway


@pytest.fixture(params=["in memory", "with an outbox"])
def opened(request):
    """Opens gateways: each without an outbox, or all with the same one."""
    outbox = None if request.param == "in memory" else MemoryOutbox()

    def open_one(channel=None, **settings):
        return open_test_gateway(channel or FakeChannel(), outbox=outbox, **settings)

    open_one.outbox = outbox
    return open_one
