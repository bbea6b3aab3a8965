"""Policies hear of what is refused: each refusal once, by the error that its caller gets."""

from __future__ import annotations

import pytest
import trio

from gateway_core import (
    DeadlinePassed,
    Disposition,
    GatewayClosed,
    HookContractError,
    IdempotencyConflict,
    InstanceSuspended,
    Invalid,
    OutboxError,
    Overloaded,
    Problem,
    Send,
    UnknownInstance,
)
from gateway_core.authors import hookimpl
from gateway_core.testing import FakeChannel, MemoryOutbox, open_test_gateway


class Hears:
    """Keeps every refusal that it hears of."""

    def __init__(self) -> None:
        self.heard = []

    @hookimpl
    def after_refusal(self, envelope, error):
        self.heard.append((envelope.text, error))


def message(text="hello", **fields):
    return Send(**{"instance_id": "bot", "external_room_id": "r", "text": text} | fields)


async def refused(gateway, kind, envelope, **how):
    with pytest.raises(kind) as caught:
        await gateway.submit(envelope, **how)
    return caught.value


@pytest.mark.parametrize("outbox", [None, MemoryOutbox], ids=["in memory", "durable"])
async def test_each_kind_of_refusal_is_heard_once_as_its_caller_gets_it(outbox, autojump_clock):
    class Picky:
        @hookimpl
        def validate(self, envelope):
            if envelope.text == "raises":
                raise KeyError("a bug")
            return [Problem("text", "too rude")] if envelope.text == "rude" else None

    policy, channel = Hears(), FakeChannel(latency=1000.0)
    settings = {"plugins": [policy, Picky()], "partition_count": 1, "drain_timeout": 0}
    settings |= {"room_bound": 2, "outbox_capacity": 2, "outbox": outbox and outbox()}
    async with open_test_gateway(channel, **settings) as gateway:
        await gateway.submit(message(key="k"))
        expected = [
            await refused(gateway, IdempotencyConflict, message("other", key="k")),
            await refused(gateway, Invalid, message("")),
            await refused(gateway, Invalid, message("rude")),
            await refused(gateway, HookContractError, message("raises")),
            await refused(gateway, UnknownInstance, message(instance_id="nobody")),
        ]
        await gateway.submit(message("two"))
        expected += [
            await refused(gateway, Overloaded, message("three"), wait=False),
            await refused(gateway, DeadlinePassed, message("late", ttl=5.0)),
        ]
        gateway.quiet()
        expected.append(await refused(gateway, GatewayClosed, message("closed")))
        statistics = gateway.statistics()
    assert expected == [error for _, error in policy.heard]
    texts = ["other", "", "rude", "raises", "hello", "three", "late", "closed"]
    assert texts == [text for text, _ in policy.heard]
    assert len(expected) == statistics.refused


async def test_a_suspended_account_and_a_broken_outbox_refuse_aloud(autojump_clock):
    class Full(MemoryOutbox):
        async def append(self, entry, on_stored):
            raise OutboxError("the disk is full")

    policy = Hears()
    async with open_test_gateway(plugins=[policy], when_suspended="refuse") as gateway:
        gateway.suspend("bot")
        expected = [await refused(gateway, InstanceSuspended, message())]
    async with open_test_gateway(plugins=[policy], outbox=Full()) as gateway:
        expected.append(await refused(gateway, OutboxError, message()))
    assert expected == [error for _, error in policy.heard]


async def test_what_is_accepted_is_no_refusal_however_it_ends(autojump_clock):
    policy = Hears()
    async with open_test_gateway(FakeChannel(latency=10), plugins=[policy]) as gateway:
        receipt = await gateway.send("bot", "r", "late", ttl=1.0, raises=False)
        assert receipt.disposition in (Disposition.EXPIRED, Disposition.DELIVERED)
        with trio.move_on_after(0.1):
            await gateway.send("bot", "other", "withdrawn")
    assert [] == policy.heard


async def test_of_an_instance_that_is_not_there_everyone_hears_once(autojump_clock):
    """A policy of several channels hears once, and one of another channel as well."""
    everywhere, elsewhere = Hears(), Hears()
    other = FakeChannel()
    plugins = [everywhere, ("other", elsewhere), ("other", other)]
    async with open_test_gateway(plugins=plugins) as gateway:
        await refused(gateway, UnknownInstance, message(instance_id="nobody"))
        await refused(gateway, Invalid, message(""))
    assert [UnknownInstance, Invalid] == [type(error) for _, error in everywhere.heard]
    assert [UnknownInstance] == [type(error) for _, error in elsewhere.heard]


async def test_an_observer_that_raises_changes_nothing_about_the_refusal(autojump_clock):
    class Broken:
        @hookimpl
        def after_refusal(self):
            raise KeyError("x")

    policy = Hears()
    async with open_test_gateway(plugins=[Broken(), policy]) as gateway:
        await refused(gateway, Invalid, message(""))
        assert [("fake", "Broken", "after_refusal")] == list(gateway.statistics().hook_errors)
    assert 1 == len(policy.heard)


@pytest.mark.parametrize("nonsense", [None, "hello", {"text": "x"}])
async def test_what_is_no_envelope_is_refused_and_nobody_has_to_look_at_it(
    nonsense, autojump_clock
):
    policy = Hears()
    async with open_test_gateway(plugins=[policy]) as gateway:
        with pytest.raises(Invalid):
            await gateway.submit(nonsense)
    assert [] == policy.heard
