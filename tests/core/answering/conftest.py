"""A gateway on a fake channel, whose answers take no time."""

import pytest
from audited import _schedule, auditor, engine, new_engine

from gateway_core.testing import FakeChannel, open_test_gateway

__all__ = ["_schedule", "auditor", "engine", "new_engine"]


@pytest.fixture
def channel():
    return FakeChannel()


@pytest.fixture
async def gateway(channel, autojump_clock):
    async with open_test_gateway(channel, drain_timeout=0) as opened:
        yield opened
