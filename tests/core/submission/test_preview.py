"""What an envelope would become: as the adapter and the policies say, and nothing is sent."""

from __future__ import annotations

import attrs
import pytest

from gateway_core import (
    Call,
    ConfigError,
    Edit,
    GatewayConfig,
    HookContractError,
    Instance,
    Limit,
    MessageRef,
    Part,
    Problem,
    Send,
    preview,
)
from gateway_core.authors import Traits, hookimpl
from gateway_core.testing import FakeChannel, FakeSettings, open_test_gateway

BOT = Instance("bot", "fake", FakeSettings())
SEND = Send(instance_id="bot", external_room_id="r", text="one two three")
EDIT = Edit(
    instance_id="bot",
    external_room_id="r",
    target=MessageRef(instance_id="bot", external_room_id="r", envelope_id="e"),
    text="new",
)


class Words(FakeChannel):
    """A message a word."""

    @hookimpl
    def chunk(self, envelope):
        words = envelope.text.replace("\u200b", "").split()
        return [Part(payload={"text": word}) for word in words]


def foreseen(channel, envelope, *policies, **settings):
    plugins = [*policies, ("fake", channel)]
    return preview(BOT, envelope, plugins=plugins, config=GatewayConfig(**settings))


def by_room(room, operation):
    return [Limit(f"{operation} {room}")]


def test_it_has_the_parts_and_limits_of_an_envelope():
    found = foreseen(Words(limits=by_room), SEND)
    assert ("one", "two", "three") == tuple(part.payload["text"] for part in found.parts)
    assert (Limit("send r"),) == found.limits
    assert () == found.problems


@pytest.mark.parametrize(
    ("envelope", "operation"),
    [
        (EDIT, "edit"),
        (Call(instance_id="bot", external_room_id="r", method="pin"), "call:pin"),
    ],
)
def test_limits_are_those_of_the_operation(envelope, operation):
    assert (Limit(f"{operation} r"),) == foreseen(FakeChannel(limits=by_room), envelope).limits


def test_limits_are_those_of_the_class():
    channel = FakeChannel(limits_by_class=lambda priority: [Limit(priority)])
    bulk = Send(instance_id="bot", external_room_id="r", text="x", priority="bulk")
    assert (Limit("bulk"),) == foreseen(channel, bulk).limits


@pytest.mark.parametrize(("independent", "thread"), [(True, "t"), (False, None)])
def test_limits_are_asked_for_the_lane(independent, thread):
    class Threads:
        @hookimpl
        def rate_limit(self, thread):
            return [Limit(f"thread {thread}")]

    envelope = Send(instance_id="bot", external_room_id="r", thread_id="t", text="x")
    channel = FakeChannel(traits=Traits(independent_threads=independent))
    assert (Limit(f"thread {thread}"),) == foreseen(channel, envelope, Threads()).limits


def test_policies_are_asked_as_in_a_gateway():
    class Policy:
        @hookimpl
        def rate_limit(self):
            return [Limit("mine")]

        @hookimpl
        def validate(self, envelope):
            return [Problem("text", "is impolite")]

    policy = Policy()
    found = foreseen(Words(), SEND, policy)
    assert (Limit("mine"),) == found.limits
    assert ["text: is impolite"] == [str(problem) for problem in found.problems]
    assert () == found.parts


@pytest.mark.parametrize(
    ("envelope", "settings", "problem"),
    [
        (SEND, {"max_parts": 2}, "text: needs 3 messages, at most 2"),
        (attrs.evolve(SEND, text="x" * 1_000_001), {}, "text: has 1000001 characters"),
        (Send(instance_id="bot", external_room_id="r", text="\u200b"), {}, "text: leaves nothing"),
    ],
)
def test_it_tells_why_an_envelope_would_be_refused(envelope, settings, problem):
    (found,) = foreseen(Words(), envelope, **settings).problems
    assert str(found).startswith(problem)


def test_the_parts_of_a_plan_that_is_too_long_are_there_to_be_looked_at():
    assert 3 == len(foreseen(Words(), SEND, max_parts=2).parts)


def test_an_operation_that_the_channel_does_not_have_is_a_problem():
    found = foreseen(FakeChannel(traits=Traits(edit=False)), EDIT)
    assert ["operation: channel 'fake' has no edit"] == [str(p) for p in found.problems]


def test_a_channel_that_nobody_serves_is_told():
    with pytest.raises(ConfigError, match="no plugin serves channel 'pigeon'"):
        preview(Instance("bot", "pigeon", None), SEND, plugins=[("fake", FakeChannel())])


def test_a_hook_that_fails_is_named():
    class Breaks:
        @hookimpl
        def rate_limit(self):
            return 5

    with pytest.raises(HookContractError, match="rate_limit"):
        foreseen(FakeChannel(), SEND, Breaks())


async def test_an_open_gateway_foresees_what_it_then_does(autojump_clock):
    channel = Words(limits=by_room)
    async with open_test_gateway(channel) as gateway:
        found = gateway.preview(SEND)
        assert 0 == gateway.statistics().accepted == len(channel.made)
        receipt = await gateway.send("bot", "r", SEND.text)
        made = [attempt.attempt.part for attempt in channel.made]
        assert list(found.parts) == made
        assert len(found.parts) == len(receipt.parts)


class Rewriting:
    def __init__(self, change):
        self.change = change

    @hookimpl
    def rewrite(self, envelope):
        return self.change(envelope)


def test_it_shows_what_was_handed_in_and_what_policies_make_of_it():
    moved = attrs.evolve(SEND, text="three four", external_room_id="other")
    found = foreseen(Words(limits=by_room), SEND, Rewriting(lambda _envelope: moved))
    assert (SEND, moved) == (found.asked, found.envelope)
    assert ("three", "four") == tuple(part.payload["text"] for part in found.parts)
    assert (Limit("send other"),) == found.limits


def test_of_one_that_no_policy_changes_both_are_the_same():
    found = foreseen(Words(), SEND)
    assert SEND is found.asked is found.envelope


def test_what_policies_leave_that_cannot_be_sent_is_named():
    found = foreseen(Words(), SEND, Rewriting(lambda e: attrs.evolve(e, text="")))
    assert (Problem("text", "is empty"),) == found.problems
    assert ((), ()) == (found.parts, found.limits)


def test_a_policy_that_fails_on_it_is_named():
    with pytest.raises(HookContractError, match="Rewriting: hook rewrite: raised"):
        foreseen(Words(), SEND, Rewriting(lambda e: e.nothing))


async def test_a_gateway_shows_the_limits_of_the_room_that_it_goes_to(autojump_clock):
    policy = Rewriting(lambda e: attrs.evolve(e, external_room_id="other"))
    async with open_test_gateway(FakeChannel(limits=by_room), plugins=[policy]) as gateway:
        found = gateway.preview(SEND)
        assert ("r", "other") == (found.asked.external_room_id, found.envelope.external_room_id)
        assert (Limit("send other"),) == found.limits
        assert 0 == gateway.statistics().accepted
