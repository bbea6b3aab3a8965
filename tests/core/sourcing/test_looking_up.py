"""An account is asked for when it is first needed, once, and others do not notice."""

from __future__ import annotations

import pytest
import structlog
import trio
from tenants import Accounts

from gateway_core import (
    Button,
    GatewayClosed,
    GatewayConfig,
    Instance,
    InstanceSourceError,
    Secret,
    SourceSettings,
    UnknownInstance,
    open_gateway,
)
from gateway_core.testing import FakeChannel, FakeSettings, event, open_test_gateway


async def test_an_account_is_asked_for_as_it_is_needed_and_only_then(autojump_clock):
    accounts, channel = Accounts(), FakeChannel()
    async with open_test_gateway(channel, instances=(), instance_source=accounts) as gateway:
        assert {} == accounts.asked
        await gateway.send("tenant-7", "room", "hello")
        await gateway.send("tenant-7", "room", "again")
        assert ["hello", "again"] == channel.texts("room")
        assert {"tenant-7": 1} == accounts.asked
        assert ["tenant-7"] == [each.id for each in gateway.statistics().instances]


async def test_a_function_that_never_waits_is_a_source(autojump_clock):
    def source(instance_id):
        return Instance(instance_id, "fake", FakeSettings())

    async with open_test_gateway(instances=(), instance_source=source) as gateway:
        assert "delivered" == (await gateway.send("any", "room", "hello")).disposition


async def test_an_unknown_one_is_refused_as_one_that_is_not_configured(autojump_clock):
    accounts = Accounts()
    async with open_test_gateway(instance_source=accounts) as gateway:
        with pytest.raises(UnknownInstance, match="'nobody'; the instance source does not know it"):
            await gateway.send("nobody", "room", "hello")
        with pytest.raises(UnknownInstance, match="'nobody'; `find_instance` asks"):
            gateway.suspend("nobody")
        accounts.known.add("nobody")
        await gateway.send("nobody", "room", "hello")  # nothing is remembered of those unknown
        assert 2 == accounts.asked["nobody"]


async def test_an_id_that_no_account_can_have_is_not_asked_for(autojump_clock):
    accounts = Accounts()
    async with open_test_gateway(instance_source=accounts) as gateway:
        with pytest.raises(UnknownInstance):
            await gateway.find_instance("a\nb") or await gateway.probe("a\nb")
        assert {} == accounts.asked


async def test_what_is_configured_is_not_asked_for(autojump_clock):
    accounts = Accounts()
    async with open_test_gateway(instance_source=accounts) as gateway:
        await gateway.send("bot", "room", "hello")
        assert {} == accounts.asked


async def test_one_look_up_at_a_time_for_each_id_and_callers_keep_their_order(autojump_clock):
    accounts, channel = Accounts(takes=1.0), FakeChannel()
    async with (
        open_test_gateway(channel, instances=(), instance_source=accounts) as gateway,
        trio.open_nursery() as nursery,
    ):
        for number in range(20):
            nursery.start_soon(gateway.send, "tenant-1", "room", str(number))
            await trio.sleep(0.1)  # the look-up ends amid them
    assert {"tenant-1": 1} == accounts.asked
    assert list(map(str, range(20))) == channel.texts("room")


async def test_those_who_wait_together_keep_their_order(autojump_clock):
    accounts, channel = Accounts(takes=5.0), FakeChannel()
    async with (
        open_test_gateway(channel, instances=(), instance_source=accounts) as gateway,
        trio.open_nursery() as nursery,
    ):
        for number in range(20):
            nursery.start_soon(gateway.send, "tenant-1", "room", str(number))
            await trio.sleep(0.1)
    assert list(map(str, range(20))) == channel.texts("room")


async def test_so_many_look_ups_at_once_and_no_more(autojump_clock):
    accounts = Accounts(takes=1.0)
    settings = SourceSettings(at_once=3, timeout=60)
    async with _opened(accounts, settings) as gateway:
        async with trio.open_nursery() as nursery:
            for number in range(12):
                nursery.start_soon(gateway.send, f"tenant-{number}", "room", "hello")
        assert 3 == accounts.most
        assert 4.0 == pytest.approx(trio.current_time())


def _opened(accounts, settings, **more):
    config = GatewayConfig(instance_source=settings)
    channel = more.pop("channel", FakeChannel())
    given = {"plugins": [("fake", channel)], "instance_source": accounts}
    return open_gateway(config, **given, **more)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (
            LookupError("no route to the database"),
            "it raised LookupError: no route to the database",
        ),
        (ExceptionGroup("one", [ValueError("x")]), "it raised ValueError: x"),
        (ExceptionGroup("two", [ValueError(), OSError()]), "it raised ExceptionGroup: two"),
        ("a text", "it returned a str, not an Instance"),
        (Instance("other", "fake", FakeSettings()), "it returned the instance 'other'"),
        (Instance("tenant-1", "matrix"), "no plugin serves channel 'matrix'"),
        (Instance("tenant-1", "fake", {"name": "x"}), "settings must be"),
    ],
)
async def test_a_source_that_fails_refuses_that_envelope_alone(answer, why, autojump_clock):
    accounts, channel = Accounts(), FakeChannel()
    accounts.gives["tenant-1"] = answer
    async with open_test_gateway(channel, instances=(), instance_source=accounts) as gateway:
        with pytest.raises(InstanceSourceError) as raised:
            await gateway.send("tenant-1", "room", "lost")
        assert "tenant-1" == raised.value.instance_id
        assert why in raised.value.why
        await gateway.send("tenant-2", "room", "hello")
        statistics = gateway.statistics()
        assert {"InstanceSourceError": 1} == statistics.refused_elsewhere
        del accounts.gives["tenant-1"]
        await gateway.send("tenant-1", "room", "works again")
    assert ["hello", "works again"] == channel.texts("room")


async def test_each_of_those_who_waited_hears_why_it_failed(autojump_clock):
    accounts, heard = Accounts(takes=1.0), []
    accounts.gives["tenant-1"] = LookupError("gone")

    async def send(gateway):
        with pytest.raises(InstanceSourceError) as raised:
            await gateway.send("tenant-1", "room", "hello")
        heard.append(raised.value)

    async with (
        open_test_gateway(instances=(), instance_source=accounts) as gateway,
        trio.open_nursery() as nursery,
    ):
        for _ in range(3):
            nursery.start_soon(send, gateway)
    assert 3 == len({id(error) for error in heard})
    assert {"it raised LookupError: gone"} == {error.why for error in heard}
    assert all(isinstance(error.__cause__, LookupError) for error in heard)


async def test_a_source_that_does_not_answer_is_given_up_and_delays_no_other(autojump_clock):
    accounts, channel = Accounts(), FakeChannel()

    async def source(instance_id):
        if instance_id == "tenant-1":
            await trio.sleep_forever()
        return await accounts(instance_id)

    settings = SourceSettings(at_once=2, timeout=5)
    async with _opened(source, settings, channel=channel) as gateway:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def hanging():
                with pytest.raises(InstanceSourceError, match="no answer within 5 s"):
                    await gateway.send("tenant-1", "room", "lost")

            await trio.sleep(1)
            await gateway.send("tenant-2", "room", "hello")
            assert 1.0 == pytest.approx(trio.current_time())
        assert 5.0 == pytest.approx(trio.current_time())


async def test_the_wait_for_a_turn_counts_as_well(autojump_clock):
    async def source(instance_id):
        await trio.sleep_forever()

    async with _opened(source, SourceSettings(at_once=1, timeout=5)) as gateway:
        failures = []

        async def send(name):
            with pytest.raises(InstanceSourceError) as raised:
                await gateway.send(name, "room", "lost")
            failures.append((trio.current_time(), raised.value.why))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, "one")
            nursery.start_soon(send, "two")
    assert [5.0, 5.0] == pytest.approx([at for at, _ in failures])
    assert "1 other look-ups were under way (`at_once`)" in " ".join(why for _, why in failures)


async def test_its_time_to_live_counts_from_the_call(autojump_clock):
    accounts, channel = Accounts(takes=3.0), FakeChannel(latency=1.0)
    async with open_test_gateway(channel, instances=(), instance_source=accounts) as gateway:
        ticket = await gateway.enqueue("tenant-1", "room", "late", ttl=2.0)
        receipt = await ticket.receipt()
    assert "expired" == receipt.disposition
    assert [] == channel.made


async def test_a_caller_who_gives_up_leaves_the_others_waiting(autojump_clock):
    accounts, channel = Accounts(takes=2.0), FakeChannel()
    async with open_test_gateway(channel, instances=(), instance_source=accounts) as gateway:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gateway.send, "tenant-1", "room", "stays")
            await trio.sleep(0.5)
            with trio.move_on_after(0.5):
                await gateway.send("tenant-1", "room", "gives up")
        assert {"tenant-1": 1} == accounts.asked
    assert ["stays"] == channel.texts("room")


async def test_who_waits_as_the_gateway_closes_hears_so(autojump_clock):
    accounts, heard = Accounts(takes=8.0), []

    async def send(gateway):
        with pytest.raises(GatewayClosed):
            await gateway.send("tenant-1", "room", "hello")
        heard.append(trio.current_time())

    async with (
        trio.open_nursery() as nursery,
        open_test_gateway(instances=(), instance_source=accounts) as gateway,
    ):
        nursery.start_soon(send, gateway)
        await trio.sleep(1)
    assert [1.0] == pytest.approx(heard)


async def test_two_accounts_of_the_source_are_not_one(autojump_clock):
    """Where a channel says by which fields an account is known, as Telegram's token."""
    telegram = pytest.importorskip("gateway_plugin_telegram.settings")

    def source(instance_id):
        token = Secret("123456:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
        return Instance(instance_id, "telegram", telegram.TelegramSettings(token=token))

    async with open_gateway(GatewayConfig(), instance_source=source) as gateway:
        assert "one" == (await gateway.find_instance("one")).id
        with pytest.raises(InstanceSourceError, match="is also the account of instance 'one'"):
            await gateway.find_instance("two")


async def test_every_verb_finds_its_account(autojump_clock):
    accounts, channel = Accounts(), FakeChannel()
    async with open_test_gateway(channel, instances=(), instance_source=accounts) as gateway:
        await gateway.reply(event(room="r1"), "an answer", instance="tenant-1")
        async with gateway.typing(event(room="r2"), instance="tenant-2"):
            pass
        async with gateway.stream(("tenant-3", "r3")) as stream:
            stream.write("a stream")
        async with gateway.stream(event(room="r4"), instance="tenant-4") as stream:
            stream.write("a stream")
        job = await gateway.broadcast("tenant-5", ["r5", "r6"], "to all")
        await job.wait()
        assert await gateway.probe("tenant-6") is not None
        assert "tenant-7" == (await gateway.find_instance("tenant-7")).id
        assert [] == await gateway.remove_instance("tenant-8")
        sent = await gateway.send("tenant-9", "r9", "hello")
        await gateway.react(sent.ref, "👍")
        assert 9 == len(accounts.asked)
    assert ["an answer"] == channel.texts("r1")
    assert ["a stream"] == channel.texts("r3")
    assert ["a stream"] == channel.texts("r4")
    assert ["to all"] == channel.texts("r6")


async def test_buttons_of_a_stream_are_not_lost_where_its_account_is_not_there_yet(autojump_clock):
    accounts, channel = Accounts(), FakeChannel()

    async with open_test_gateway(channel, instances=(), instance_source=accounts) as gateway:
        async with gateway.stream(("tenant-3", "r3"), buttons=[Button("Yes", value="y")]) as stream:
            stream.write("Shall I?")
        assert 1 == len(channel.pressable)


async def test_what_is_sync_is_of_what_is_in_memory(autojump_clock):
    accounts = Accounts()
    async with open_test_gateway(instances=(), instance_source=accounts) as gateway:
        with pytest.raises(UnknownInstance):
            gateway.address("tenant-1", event())
        await gateway.find_instance("tenant-1")
        assert "room" == gateway.address("tenant-1", event(room="room")).external_room_id


async def test_an_error_names_some_instances_and_not_thousands(autojump_clock):
    accounts = Accounts()
    async with open_test_gateway(instances=(), instance_source=accounts) as gateway:
        for number in range(60):
            await gateway.find_instance(f"tenant-{number}")
        with pytest.raises(UnknownInstance, match="and 10 more"):
            await gateway.send("nobody", "room", "hello")


async def test_what_is_no_function_is_refused(autojump_clock):
    with pytest.raises(TypeError, match="`instance_source` must be a function"):
        async with open_test_gateway(instance_source="tenants"):
            pass


async def test_the_log_says_who_came_in(autojump_clock):
    with structlog.testing.capture_logs() as logs:
        async with open_test_gateway(instances=(), instance_source=Accounts()) as gateway:
            await gateway.find_instance("tenant-1")
    found = [each for each in logs if each["event"] == "gateway.instance_found"]
    assert [
        {
            "event": "gateway.instance_found",
            "log_level": "debug",
            "instance": "tenant-1",
            "channel": "fake",
        }
    ] == found
