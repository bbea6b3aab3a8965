"""Fixtures of pytest for an application's tests: load them in the `conftest.py` at the root.

pytest_plugins = ["gateway_core.testing.fixtures"]

pytest does not load them by itself, so that other projects that have the gateway installed do not
get fixtures with these names.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from importlib.util import find_spec
from random import Random
from typing import Any

import pytest

from gateway_core import aio, blocking
from gateway_core.config import GatewayConfig
from gateway_core.contract.instances import Instance
from gateway_core.gateway.gateway import Gateway
from gateway_core.gateway.opening import open_gateway
from gateway_core.testing.driven_time import DrivenTime, driven_time
from gateway_core.testing.fake_channel import FakeChannel, FakeSettings
from gateway_core.testing.gateways import virtual_wall
from gateway_core.testing.sent import Sent

DRAINED_WITHIN = 1.0
"""Seconds that the end of a test waits for envelopes that the test has left unfinished."""


@pytest.fixture
def fake_channel() -> FakeChannel:
    """The platform of the fixture `gateway`. Override this fixture to set limits or traits."""
    return FakeChannel()


@pytest.fixture
def gateway_config() -> GatewayConfig:
    """The configuration of `gateway`, with one instance "bot". Override it for other instances."""
    return GatewayConfig(
        instances=[Instance("bot", "fake", FakeSettings())], drain_timeout=DRAINED_WITHIN
    )


@pytest.fixture
def sent(fake_channel: FakeChannel) -> Sent:
    """What the application has sent with the fixture `gateway`."""
    return Sent(fake_channel)


@pytest.fixture
def gateway(request: pytest.FixtureRequest) -> Any:
    """An open gateway on the fake channel, with the face that the test needs.

    A test under pytest-trio gets a `gateway_core.Gateway`. A test under pytest-asyncio gets a
    `gateway_core.aio.Gateway` in the test's loop. A plain test gets a
    `gateway_core.blocking.Gateway`.
    """
    return request.getfixturevalue(_KINDS[_kind(request)])


@pytest.fixture
def gateway_clock(request: pytest.FixtureRequest) -> DrivenTime:
    """The clock of `gateway` in plain tests and under pytest-asyncio: `advance` skips time.

    Under pytest-trio `autojump_clock` drives all time, and this fixture fails.
    """
    if _kind(request) == "trio":
        pytest.fail("under pytest-trio use `autojump_clock`, which drives the time")
    return driven_time()


def _kind(request: pytest.FixtureRequest) -> str:
    """Which kind of test asks. Fails if the fixtures cannot serve the test."""
    marker = request.node.get_closest_marker
    marked = [name for name in ("trio", "asyncio", "anyio") if marker(name) is not None]
    if "anyio" in marked:
        pytest.fail("`gateway` serves pytest-trio, pytest-asyncio and plain tests, but not anyio's")
    if len(marked) > 1:
        pytest.fail("pytest-trio and pytest-asyncio both take this test: is `asyncio_mode` auto?")
    return marked[0] if marked else "plain"


async def _opened_under_trio(
    fake_channel: FakeChannel, gateway_config: GatewayConfig
) -> AsyncIterator[Gateway]:
    async with open_gateway(
        gateway_config,
        plugins=[("fake", fake_channel)],
        rng=_seeded(),
        wall_clock=virtual_wall,
    ) as opened:
        yield opened


async def _opened_under_asyncio(
    fake_channel: FakeChannel, gateway_config: GatewayConfig
) -> AsyncIterator[aio.Gateway]:
    async with aio.open_gateway(
        gateway_config, plugins=[("fake", fake_channel)], rng=_seeded(), wall_clock=_wall()
    ) as opened:
        yield opened


@pytest.fixture
def _gateway_that_blocks(
    fake_channel: FakeChannel, gateway_config: GatewayConfig
) -> Iterator[blocking.Gateway]:
    with blocking.open_gateway(
        gateway_config, plugins=[("fake", fake_channel)], rng=_seeded(), wall_clock=_wall()
    ) as opened:
        yield opened


def _seeded() -> Random:
    return Random("test")  # noqa: S311 - repeatable jitter


def _wall() -> Any:
    """The wall clock of a gateway on its own thread: driven if that thread's clock is driven."""
    try:
        return driven_time().wall
    except RuntimeError:
        return time.time


_opened_under_trio._force_trio_fixture = True  # type: ignore[attr-defined] # noqa: SLF001 - as `pytest_trio.trio_fixture` does
_gateway_under_trio = pytest.fixture(_opened_under_trio)
if find_spec("pytest_asyncio") is not None:
    _gateway_under_asyncio = import_module("pytest_asyncio").fixture(_opened_under_asyncio)

_KINDS = {
    "trio": "_gateway_under_trio",
    "asyncio": "_gateway_under_asyncio",
    "plain": "_gateway_that_blocks",
}
