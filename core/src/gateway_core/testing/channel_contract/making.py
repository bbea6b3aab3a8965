"""Makes accounts, platforms, envelopes and attempts for the tests of a channel."""

# ruff: noqa: S101 - used by tests, shipped to authors

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar

import pytest
import trio
import trio.testing

from gateway_core.config import GatewayConfig
from gateway_core.contract.envelopes import Attempt, Part, Send
from gateway_core.contract.instances import Instance
from gateway_core.gateway.gateway import Gateway
from gateway_core.gateway.opening import open_gateway
from gateway_core.plugins.front import ChannelHooks
from gateway_core.plugins.loader import Filter, bind, installed_names
from gateway_core.testing.channel_contract.wire import Trial, listened_to
from gateway_core.testing.gateways import virtual_wall

ALONE = Filter(deny=installed_names())
"""A filter that keeps installed plugins out of these tests."""


def check_failures(hooks: ChannelHooks) -> None:
    """Fails if a hook has raised, or has answered what cannot be used."""
    failed = ", ".join(sorted(f"`{hook}` of {plugin}" for plugin, hook in hooks.failures))
    assert not failed, (
        f"{failed} raised, or answered what cannot be used: gateway.hook_failed in the log says why"
    )


class Making:
    """A channel under test, with the attributes and methods that its author gives."""

    channel: ClassVar[str]
    adapter: Any
    room: ClassVar[str]
    event: ClassVar[Any] = None
    edits_give_new_ids: ClassVar[bool] = False

    def settings(self) -> Any:
        """Settings of an account that the platform of these tests knows."""
        raise NotImplementedError

    def platform(self) -> AbstractAsyncContextManager[Any]:
        """The platform for one test, such as a server in memory or an emulator."""
        raise NotImplementedError

    @pytest.fixture
    def hooks(self) -> ChannelHooks:
        """The channel's hooks, bound without an error, as a gateway binds them."""
        return bind([(self.channel, self.adapter)], ALONE)[self.channel]

    @pytest.fixture
    def instance(self) -> Instance:
        """The account of these tests."""
        return Instance("contract", self.channel, self.settings())

    @pytest.fixture
    def clock(self) -> trio.abc.Clock | None:
        """A virtual clock, so that no test waits; for an adapter with threads, return None."""
        return trio.testing.MockClock(autojump_threshold=0)

    # -- features that not every channel has; without one, its fixture skips and prints the reason

    @pytest.fixture
    def long_text(self, hooks: ChannelHooks, instance: Instance) -> str:
        """A text that needs several parts."""
        for doubled in range(14):
            text = "word " * (1 << doubled)
            if len(hooks.chunk(instance, self._send(text), "as_asked")) > 1:
                return text
        pytest.skip("the channel cuts no text")

    @pytest.fixture
    def addressing(self, hooks: ChannelHooks) -> None:
        """Skips the test unless there is an event to answer."""
        if self.event is None or "address" not in hooks.served:
            pytest.skip("no event is given, or there is no `address`")

    @pytest.fixture
    def classifying(self, hooks: ChannelHooks) -> None:
        """Skips the test unless the adapter says what the platform's errors mean."""
        if "classify_error" not in hooks.served:
            pytest.skip("the channel has no `classify_error`, so every refusal is final")

    @pytest.fixture
    def deduplicating(self, hooks: ChannelHooks) -> None:
        """Skips the test unless the platform recognises a repeated send."""
        if not hooks.traits.deduplicates_for:
            pytest.skip("the platform deduplicates nothing")

    @pytest.fixture
    def polling(self, hooks: ChannelHooks) -> None:
        """Skips the test unless the channel has polls."""
        if not hooks.traits.polls:
            pytest.skip("the channel has no polls")

    @pytest.fixture
    def editing(self, hooks: ChannelHooks) -> None:
        """Skips the test unless messages can be edited."""
        if not hooks.traits.edit:
            pytest.skip("the channel has no edits")

    @pytest.fixture
    def deleting(self, hooks: ChannelHooks) -> None:
        """Skips the test unless messages can be deleted."""
        if not hooks.traits.delete:
            pytest.skip("the channel has no deletions")

    @pytest.fixture
    def marking(self, hooks: ChannelHooks) -> None:
        """Skips the test unless there are reactions or pins."""
        if "mark" not in hooks.served or "call" not in hooks.can:
            pytest.skip("the channel has no reactions and no pins")

    @pytest.fixture
    def probing(self, hooks: ChannelHooks) -> None:
        """Skips the test unless the adapter has `probe`."""
        if "probe" not in hooks.can:
            pytest.skip("the channel has no probe")

    # -- gateways, sessions, envelopes and attempts

    @asynccontextmanager
    async def _gateway(self) -> AsyncIterator[Gateway]:
        config = GatewayConfig(
            instances=[Instance("contract", self.channel, self.settings())],
            plugins=ALONE,
        )
        async with (
            self.platform(),
            open_gateway(
                config, plugins=[(self.channel, self.adapter)], wall_clock=virtual_wall
            ) as gateway,
        ):
            yield gateway

    @asynccontextmanager
    async def _session(self, hooks: ChannelHooks, instance: Instance) -> AsyncIterator[Any]:
        async with self._trying(hooks, instance) as trial:
            yield trial.session

    @asynccontextmanager
    async def _trying(self, hooks: ChannelHooks, instance: Instance) -> AsyncIterator[Trial]:
        async with self.platform():
            with listened_to() as wire:
                opening = hooks.open_session(instance)
                if opening is None:
                    yield Trial(hooks, instance, None, wire)
                    return
                async with opening as session:
                    yield Trial(hooks, instance, session, wire)

    def _send(self, text: str, **fields: Any) -> Send:
        return Send(instance_id="contract", external_room_id=self.room, text=text, **fields)

    def _part(self, hooks: ChannelHooks, instance: Instance) -> Part:
        return hooks.chunk(instance, self._send("hello"), "as_asked")[0]

    def _attempt(self, operation: str, **fields: Any) -> Attempt:
        if operation in {"edit", "delete", "append", "stop"}:
            fields["message_id"] = "1"
        if operation.startswith("call:"):
            fields["method"] = operation.removeprefix("call:")
        return Attempt(
            operation=operation,
            envelope_id="contract",
            instance_id="contract",
            room=self.room,
            key="018bcfe568000000000123456789ab.0",
            **fields,
        )


def texts_in(value: Any) -> Iterator[str]:
    """Every text in plain JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from texts_in([*value, *value.values()])
    elif isinstance(value, Sequence):
        for item in value:
            yield from texts_in(item)
