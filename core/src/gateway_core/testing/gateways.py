"""Opens a gateway on a fake channel, in one line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import trio

from gateway_core.config import GatewayConfig
from gateway_core.contract.hookspecs import Providers
from gateway_core.contract.instances import Instance
from gateway_core.gateway.gateway import Gateway
from gateway_core.gateway.opening import open_gateway
from gateway_core.outboxes.interface import Outbox
from gateway_core.plugins.loader import Given
from gateway_core.sourcing.asking import InstanceSource
from gateway_core.testing.arguments import must
from gateway_core.testing.fake_channel import FakeChannel, FakeSettings

EPOCH = 1_700_000_000.0
"""POSIX time at trio time 0 in test gateways."""


def virtual_wall() -> float:
    """POSIX time that follows trio's clock."""
    return EPOCH + trio.current_time()


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


@asynccontextmanager
async def open_test_gateway(
    channel: FakeChannel | None = None,
    *,
    plugins: Sequence[Given] = (),
    instances: Sequence[str] = ("bot",),
    outbox: Outbox | None = None,
    seed: str = "test",
    providers: Providers | None = None,
    serve: bool = True,
    instance_source: InstanceSource | None = None,
    **settings: Any,
) -> AsyncIterator[Gateway]:
    """A gateway whose channel `fake` is `channel`, with instances of these names.

    settings                further settings of the gateway's configuration
    serve, instance_source  as in `open_gateway`

    An argument of the wrong kind raises a `TypeError`.
    """
    channel = FakeChannel() if channel is None else channel
    adapts = hasattr(channel, "settings_type") and not isinstance(channel, type)
    must("channel", channel, "a FakeChannel or another adapter", fits=adapts)
    must("plugins", plugins, "a list of plugins", fits=_is_list(plugins))
    named = _is_list(instances) and all(isinstance(name, str) for name in instances)
    must("instances", instances, 'a list of names, such as ["bot"]', fits=named)
    must("seed", seed, "a text", fits=isinstance(seed, str))
    config = GatewayConfig(
        instances=[Instance(name, "fake", FakeSettings()) for name in instances], **settings
    )
    given: list[Given] = [*plugins, ("fake", channel)]
    async with open_gateway(
        config,
        plugins=given,
        outbox=outbox,
        rng=Random(seed),  # noqa: S311 - repeatable jitter
        wall_clock=virtual_wall,
        providers=providers,
        serve=serve,
        instance_source=instance_source,
    ) as gateway:
        yield gateway
