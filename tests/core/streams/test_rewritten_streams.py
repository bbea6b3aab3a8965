"""Policies that change what a stream shows: each of its states, and what an outbox has of it."""

from __future__ import annotations

import attrs
import pytest
import trio

from gateway_core import DeliveryError, Disposition, HookContractError
from gateway_core.authors import Streaming, hookimpl
from gateway_core.testing import FakeChannel, MemoryOutbox, open_test_gateway

NOTE = "\n\nby a robot"


class Footer:
    @hookimpl
    def rewrite(self, envelope):
        if not envelope.text.endswith(NOTE):
            return attrs.evolve(envelope, text=envelope.text + NOTE)
        return None


class Masking:
    """Hides a word, and moves all of it to another room."""

    @hookimpl
    def rewrite(self, envelope):
        text = envelope.text.replace("secret", "***")
        extra = dict.fromkeys(envelope.extra, "***")
        return attrs.evolve(envelope, text=text, extra=extra, external_room_id="safe")


class Failing:
    """Cannot look at a text that is too long for it."""

    @hookimpl
    def rewrite(self, envelope):
        if len(envelope.text) > 8:
            raise ValueError("too much")


def shown(channel, room="room"):
    return [
        (made.attempt.operation, made.attempt.payload.get("text"))
        for made in channel.made
        if made.attempt.room == room
    ]


async def say(out, *words, pause=2.0):
    for word in words:
        out.write(word)
        await trio.sleep(pause)


async def test_each_state_has_the_footer_once(autojump_clock):
    channel = FakeChannel()
    async with (
        open_test_gateway(channel, plugins=[Footer()]) as gateway,
        gateway.stream(("bot", "room")) as out,
    ):
        await say(out, "The **answer", "** is", " 42")
        out.status("checking")
        await trio.sleep(2)
    assert [
        ("send", "The **answer**" + NOTE),
        ("edit", "The **answer** is" + NOTE),
        ("edit", "The **answer** is 42" + NOTE),
        ("edit", "The **answer** is 42\n\nchecking" + NOTE),
        ("edit", "The **answer** is 42" + NOTE),
    ] == shown(channel)


async def test_a_short_one_has_it_too(autojump_clock):
    channel = FakeChannel()
    async with (
        open_test_gateway(channel, plugins=[Footer()]) as gateway,
        gateway.stream(("bot", "room")) as out,
    ):
        out.write("42")
    assert [("send", "42" + NOTE)] == shown(channel)


async def test_nothing_that_is_hidden_is_shown_or_stored(autojump_clock):
    """Nor its buttons, which come with the end."""
    outbox, channel = MemoryOutbox(), FakeChannel()
    told = []
    outbox.grew = lambda _id, text, _number: told.append(text)
    async with (
        open_test_gateway(channel, plugins=[Masking()], outbox=outbox) as gateway,
        gateway.stream(("bot", "room"), key="k") as out,
    ):
        await say(out, "a secret", " and ", "another secret")
        receipt = await out.finish(extra={"button": "secret"})
        assert "safe" == receipt.ref.external_room_id
    assert [("send", "a ***"), ("edit", "a *** and"), ("edit", "a *** and another ***")] == [
        state for state in shown(channel, "safe") if state[0] != "delete"
    ][:3]
    assert {"safe"} == set(channel.rooms)
    assert "a *** and another ***" == told[-1]
    assert not [text for text in told if "secret" in text]
    assert {"button": "***"} == channel.made[-1].attempt.extra


async def test_the_next_run_shows_what_was_stored_as_it_is(autojump_clock):
    outbox, channel = MemoryOutbox(), FakeChannel()
    with trio.move_on_after(9.0):
        async with (
            open_test_gateway(channel, plugins=[Masking()], outbox=outbox) as gateway,
            gateway.stream(("bot", "room"), broken_off=" …") as out,
        ):
            await say(out, "a secret", " and", " more")
            await trio.sleep_forever()
    async with open_test_gateway(channel, plugins=[Masking()], outbox=outbox):
        await trio.sleep(20)
    assert ["a *** and more …"] == channel.texts("safe")


async def test_what_a_policy_fails_on_is_not_shown(autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel, plugins=[Failing()]) as gateway:
        with pytest.raises(DeliveryError) as caught:
            async with gateway.stream(("bot", "room")) as out:
                await say(out, "so far", " so good", " and on")
    receipt = caught.value.receipt
    assert Disposition.CRASHED == receipt.disposition
    assert "rewrite: raised ValueError: too much" in receipt.verdict.raw
    assert [("send", "so far")] == shown(channel)


async def test_one_that_it_fails_on_from_the_start_is_refused(autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel, plugins=[Failing()]) as gateway:
        with pytest.raises(HookContractError):
            async with gateway.stream(("bot", "room")) as out:
                out.write("much too much")
    assert [] == channel.made


@pytest.mark.parametrize("how", ["draft", "append"])
async def test_shown_natively_it_has_the_footer_once_in_the_end(how, autojump_clock):
    """A footer would not stay at the end of what is appended to: that goes by edits."""
    channel = FakeChannel(streaming=Streaming(how=how))
    async with (
        open_test_gateway(channel, plugins=[Footer()]) as gateway,
        gateway.stream(("bot", "room")) as out,
    ):
        await say(out, "The answer", " is", " 42")
    assert ["The answer is 42" + NOTE] == channel.texts("room")
    assert all(text.count(NOTE) == 1 for _, text in shown(channel))


async def test_a_policy_that_changes_nothing_leaves_it_native(autojump_clock):
    class Quiet:
        @hookimpl
        def rewrite(self):
            return None

    channel = FakeChannel(streaming=Streaming(how="append"))
    async with (
        open_test_gateway(channel, plugins=[Quiet()]) as gateway,
        gateway.stream(("bot", "room")) as out,
    ):
        await say(out, "The answer. ", "It is", " 42")
    assert {"start", "append", "stop"} == {made.attempt.operation for made in channel.made}
