"""`gateway.typing`: shown as long as a block runs, below everything else."""

import attrs
import pytest
import trio

from gateway_core import GatewayConfig, Instance, UnknownEvent, open_gateway
from gateway_core.authors import ErrorClass, Limit, Reason, Scope, Sign, Verdict, hookimpl
from gateway_core.testing import Failure, FakeChannel, FakeSettings, event, open_test_gateway

LIMITED = Verdict(error_class=ErrorClass.RETRYABLE, reason=Reason.RATE_LIMITED, retry_after=30.0)
GONE = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.ROOM_GONE)


def beats(channel):
    return [made.at for made in channel.typed]


async def test_it_is_shown_again_and_again_while_the_block_runs(gateway, channel, autojump_clock):
    async with gateway.typing(event(room="lobby", thread="7")):
        await trio.sleep(11)
    await trio.sleep(60)
    assert [0, 5, 10] == beats(channel)
    assert {("lobby", "7")} == {(m.attempt.room, m.attempt.thread) for m in channel.typed}
    assert [] == channel.made


async def test_it_ends_with_a_block_that_is_cancelled(gateway, channel, autojump_clock):
    with trio.move_on_after(7):
        async with gateway.typing(event()):
            await trio.sleep_forever()
    await trio.sleep(60)
    assert [0, 5] == beats(channel)


async def test_it_ends_with_a_block_that_raises(gateway, channel, autojump_clock):
    async def fail():
        await trio.sleep(7)
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - its own
        async with gateway.typing(event()):
            await fail()
    await trio.sleep(60)
    assert [0, 5] == beats(channel)


async def test_an_answer_takes_it_away_until_it_is_needed_again(gateway, channel, autojump_clock):
    delivered = event()
    async with gateway.typing(delivered):
        await trio.sleep(4)
        await gateway.reply(delivered, "one moment")
        await trio.sleep(8)
    assert [0, 9] == beats(channel)


async def test_a_message_elsewhere_changes_nothing(gateway, channel, autojump_clock):
    async with gateway.typing(event(room="a", thread="1")):
        await trio.sleep(4)
        await gateway.send("bot", "b", "x")
        await gateway.send("bot", "a", "x", thread="2")
        await trio.sleep(2)
    assert [0, 5] == beats(channel)


async def test_nothing_is_shown_beside_an_attempt_under_way(autojump_clock):
    channel = FakeChannel(latency=3.0)
    async with open_test_gateway(channel) as gateway, trio.open_nursery() as nursery:
        nursery.start_soon(gateway.send, "bot", "room", "an answer")
        await trio.sleep(1)
        async with gateway.typing(event()):
            await trio.sleep(3)
        nursery.cancel_scope.cancel()
    assert [] == beats(channel)


async def test_blocks_for_one_conversation_show_it_once(gateway, channel, autojump_clock):
    async with gateway.typing(event()):
        async with gateway.typing(event()):
            await trio.sleep(6)
        await trio.sleep(6)
    assert [0, 5, 10] == beats(channel)
    await trio.sleep(1)
    async with gateway.typing(event()):
        await trio.sleep(1)
    assert 4 == len(beats(channel))


def shared(_room, operation):
    return [Limit("account", 1, 10.0)] if operation in ("send", "typing") else []


async def test_it_draws_on_the_accounts_limits(autojump_clock):
    channel = FakeChannel(limits=shared)
    async with open_test_gateway(channel) as gateway, gateway.typing(event()):
        await trio.sleep(25)
    assert pytest.approx([0, 10, 20], abs=1.1) == beats(channel)


async def test_it_never_goes_ahead_of_a_message_that_waits(autojump_clock):
    """Ten messages wait for the account: until they are gone nothing is shown."""
    channel = FakeChannel(limits=shared)
    async with open_test_gateway(channel) as gateway, trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(gateway.send, "bot", f"room {number}", "x")
        await trio.sleep(0.5)
        async with gateway.typing(event(room="another")):
            await trio.sleep(99)
        passed_over = gateway.statistics().instances[0].signs["typing", "passed over"]
    assert pytest.approx([10.0 * n for n in range(10)], abs=0.01) == channel.times
    assert [at for at in beats(channel) if at < 90] == []
    assert passed_over > 50


async def test_a_room_that_a_limit_has_closed_shows_nothing(autojump_clock):
    async def script(attempt):
        if not attempt.method and trio.current_time() < 1:
            raise Failure(attrs.evolve(LIMITED, scope=Scope.ROOM))

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel) as gateway, trio.open_nursery() as nursery:
        nursery.start_soon(gateway.send, "bot", "room", "refused at first")
        await trio.sleep(1)
        async with gateway.typing(event()):
            await trio.sleep(35)
    assert channel.typed
    assert all(at >= 30 for at in beats(channel))


async def test_a_refused_sign_waits_as_long_as_it_was_told(autojump_clock):
    async def script(attempt):
        if attempt.method:
            raise Failure(LIMITED)

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel) as gateway:
        async with gateway.typing(event()):
            await trio.sleep(50)
            await gateway.send("bot", "room", "messages do not notice")
        assert {("typing", "failed"): 2} == gateway.statistics().instances[0].signs
    assert [0, 30] == beats(channel)


async def test_a_sign_that_the_room_does_not_take_is_not_tried_again(autojump_clock):
    async def script(attempt):
        if attempt.method:
            raise Failure(GONE)

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel) as gateway:
        async with gateway.typing(event()):
            await trio.sleep(500)
        assert (await gateway.send("bot", "room", "still there")).delivered
    assert [0] == beats(channel)


async def test_a_suspended_account_shows_nothing(gateway, channel, autojump_clock):
    gateway.suspend("bot")
    async with gateway.typing(event()):
        await trio.sleep(20)
    assert [] == beats(channel)


async def test_a_sign_that_hangs_holds_up_neither_block_nor_closing(autojump_clock):
    async def script(_):
        await trio.sleep_forever()

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel, drain_timeout=60) as gateway, gateway.typing(event()):
        await trio.sleep(1)
    assert 1 == trio.current_time()


class Clearing(FakeChannel):
    """A channel whose sign stays until it is taken away."""

    @hookimpl
    def typing(self):
        return Sign(method="typing", arguments={"text": "…"}, every=100.0, clear={"text": ""})


async def test_what_stays_is_taken_away_at_the_end(autojump_clock):
    channel = Clearing()
    async with open_test_gateway(channel) as gateway:
        async with gateway.typing(event()):
            await trio.sleep(3)
        await trio.sleep(1)
    assert ["…", ""] == [made.attempt.arguments["text"] for made in channel.typed]


async def test_what_an_answer_took_away_is_not_taken_away_again(autojump_clock):
    channel = Clearing()
    async with open_test_gateway(channel) as gateway:
        async with gateway.typing(event()):
            await gateway.reply(event(), "hello back")
        await trio.sleep(1)
    assert 1 == len(channel.typed) or [] == channel.typed


async def test_a_channel_without_it_passes_over_it(autojump_clock):
    class Mute(FakeChannel):
        @hookimpl
        def typing(self):
            return None

    config = GatewayConfig(instances=[Instance("bot", "fake", FakeSettings())])
    channel = Mute()
    given = [("fake", channel)]
    async with open_gateway(config, plugins=given) as gateway, gateway.typing(event()):
        await trio.sleep(20)
    assert [] == channel.typed


async def test_a_hook_that_fails_costs_no_answer(autojump_clock):
    class Broken(FakeChannel):
        @hookimpl
        def typing(self):
            raise RuntimeError

    async with open_test_gateway(Broken()) as gateway:
        async with gateway.typing(event()):
            assert (await gateway.reply(event(), "hello back")).delivered
        assert 1 == sum(gateway.statistics().hook_errors.values())


async def test_an_event_of_no_conversation_raises(gateway, autojump_clock):
    with pytest.raises(UnknownEvent):
        async with gateway.typing({"poll": 1}):
            pass
