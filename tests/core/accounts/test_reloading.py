"""Another configuration at run time: only what differs changes, and nothing where it is wrong."""

from __future__ import annotations

from contextlib import asynccontextmanager
from random import Random

import attrs
import pytest
import structlog
import trio

from gateway_core import (
    ConfigError,
    ErrorClass,
    GatewayClosed,
    GatewayConfig,
    Instance,
    InstanceSuspended,
    Reason,
    Reloaded,
    Scope,
    Secret,
    Send,
    Ttl,
    UnknownInstance,
    Verdict,
    open_gateway,
    parse_config,
)
from gateway_core.authors import hookimpl
from gateway_core.settings import ACCOUNT
from gateway_core.testing import (
    Failure,
    FakeChannel,
    FakeSettings,
    MemoryOutbox,
    open_test_gateway,
    virtual_wall,
)

REVOKED = Verdict(
    error_class=ErrorClass.FATAL, reason=Reason.UNAUTHORIZED, scope=Scope.INSTANCE, raw="revoked"
)


def bot(name="", id="bot", channel="fake"):  # noqa: A002 - its name everywhere
    return Instance(id, channel, FakeSettings(name))


def config_of(gateway, *instances, **settings):
    return attrs.evolve(gateway.config, instances=instances, **settings)


def opened(channel, *instances, plugins=(), **settings):
    """A gateway with these instances, of channel `fake` where they name no other."""
    config = GatewayConfig(instances=instances, **settings)
    return open_gateway(
        config, plugins=[("fake", channel), *plugins], rng=Random(1), wall_clock=virtual_wall
    )


@pytest.fixture
def logs():
    with structlog.testing.capture_logs() as found:
        yield found


def events(logs, *names):
    """Those of the gateway's instances and configuration, in order."""
    wanted = {f"gateway.{name}" for name in names}
    return [
        (log["event"].removeprefix("gateway."), log.get("instance"))
        for log in logs
        if log["event"] in wanted
    ]


class Noting(FakeChannel):
    """Notes with which settings each message went out."""

    def __init__(self, **options):
        super().__init__(**options)
        self.used = []

    @hookimpl
    def open_session(self, instance):
        return self._session(instance)

    @asynccontextmanager
    async def _session(self, instance):
        yield instance

    @hookimpl
    async def send(self, session, attempt):
        self.used.append((session.id, session.settings.name))
        return await FakeChannel.send(self, attempt)


async def test_what_is_new_differs_or_is_missing_is_changed_and_the_rest_is_not(
    autojump_clock, logs
):
    channel = Noting()
    there = [bot("same", "same"), bot("old", "other"), bot("gone", "gone")]
    async with opened(channel, *there) as gateway:
        for instance in there:
            await gateway.send(instance.id, "room", "before")
        reloaded = await gateway.reload(
            config_of(gateway, bot("same", "same"), bot("new", "other"), bot("more", "more"))
        )
        assert Reloaded(added=("more",), replaced=("other",), removed=("gone",)) == reloaded
        for name in ("same", "other", "more"):
            await gateway.send(name, "room", "after")
        with pytest.raises(UnknownInstance):
            await gateway.send("gone", "room", "after")
    assert [("same", "same"), ("other", "new"), ("more", "more")] == channel.used[3:]
    expected = [
        ("instance_added", "more"), ("instance_replaced", "other"), ("instance_removed", "gone"),
        ("configuration_reloaded", None),
    ]  # fmt: skip
    changes = ("instance_added", "instance_replaced", "instance_removed", "configuration_reloaded")
    assert expected == events(logs, *changes)
    [log] = [log for log in logs if log["event"] == "gateway.configuration_reloaded"]
    assert ("more", "other", "gone", "") == tuple(
        log[field] for field in ("added", "replaced", "removed", "restart")
    )


async def test_the_same_configuration_changes_nothing(autojump_clock, logs):
    channel = FakeChannel()
    async with opened(channel, bot("name")) as gateway:
        assert Reloaded() == await gateway.reload(config_of(gateway, bot("name")))
    assert [] == events(logs, "instance_added", "instance_replaced", "instance_removed")


@attrs.frozen
class Tokened:
    token: Secret


class Checking(FakeChannel):
    """A platform that knows one token."""

    def __init__(self):
        super().__init__()
        self.known = "old"

    @hookimpl
    def settings_type(self):
        return Tokened

    @hookimpl
    def open_session(self, instance):
        return self._session(instance)

    @asynccontextmanager
    async def _session(self, instance):
        yield instance.settings.token.reveal()

    @hookimpl
    async def probe(self, session):
        self._check(session)
        return await FakeChannel.probe(self)

    @hookimpl
    async def send(self, session, attempt):
        self._check(session)
        return await FakeChannel.send(self, attempt)

    def _check(self, token):
        if token != self.known:
            raise Failure(REVOKED)


async def test_a_rotated_secret_file_is_taken_in_and_what_waited_goes_on(
    autojump_clock, tmp_path, logs
):
    """The configuration names the file; that it was read again is the whole difference."""
    channel, file = Checking(), tmp_path / "token"
    table = {"instances": {"bot": {"channel": "fake", "token": {"file": "token"}}}}

    def read():
        return parse_config(table, [("fake", channel)], folder=tmp_path)

    file.write_text("old\n")
    async with opened(channel, *read().instances) as gateway:
        await gateway.send("bot", "room", "one")
        channel.known = "new"
        ticket = await gateway.submit(Send(instance_id="bot", external_room_id="room", text="two"))
        await trio.sleep(60)
        assert not ticket.ended
        assert () == (await gateway.reload(read())).replaced
        file.write_text("new\n")
        assert ("bot",) == (await gateway.reload(read())).replaced
        with trio.fail_after(5):
            assert (await ticket.receipt()).delivered
    assert ["one", "two"] == channel.texts("room")
    assert ("instance_replaced", "bot") in events(logs, "instance_replaced")
    assert not [log for log in logs if "old" in map(str, log.values())]


async def test_what_the_application_suspended_stays_so_with_its_new_secret(autojump_clock):
    channel = Noting()
    async with opened(channel, bot("old")) as gateway:
        gateway.suspend("bot", "maintenance")
        ticket = await gateway.submit(Send(instance_id="bot", external_room_id="room", text="x"))
        assert ("bot",) == (await gateway.reload(config_of(gateway, bot("new")))).replaced
        await trio.sleep(600)
        assert not ticket.ended
        assert "maintenance" in gateway.statistics().instances[0].suspended
        gateway.resume("bot")
        assert (await ticket.receipt()).delivered
    assert [("bot", "new")] == channel.used


async def test_an_account_that_its_platform_refused_goes_on_with_other_settings(autojump_clock):
    async def refuse(_):
        raise Failure(REVOKED)

    class Refused(FakeChannel):
        probe = None

    channel = Refused(script=refuse)
    async with opened(channel, bot("old")) as gateway:
        with pytest.raises(InstanceSuspended):
            await gateway.send("bot", "room", "x")
        channel.script = None
        await gateway.reload(config_of(gateway, bot("new")))
        assert (await gateway.send("bot", "room", "x")).delivered


@pytest.mark.parametrize(
    ("instances", "said"),
    [
        ((bot("new"), bot(id="more", channel="telex")),
         "instances.more.channel: no plugin serves channel 'telex'"),
        ((bot("new"), Instance("more", "fake", 7)), "instances.more.settings: settings must be"),
        ((bot("new"), bot(id="more"), bot(id="more")), "instances.more: is configured twice"),
        ((bot("new"), bot(id="second", channel="other")),
         "instances.second.channel: cannot change; add another instance"),
    ],
)  # fmt: skip
async def test_with_one_mistake_nothing_changes(autojump_clock, logs, instances, said):
    channel = Noting()
    there, plugins = [bot("old"), bot(id="second")], [("other", FakeChannel())]
    async with opened(channel, *there, plugins=plugins) as gateway:
        with pytest.raises(ConfigError) as caught:
            await gateway.reload(config_of(gateway, *instances))
        await gateway.send("bot", "room", "x")
        await gateway.send("second", "room", "x")
    assert said in str(caught.value)
    assert [("bot", "old"), ("second", "")] == channel.used
    assert [] == events(logs, "configuration_reloaded", "instance_replaced", "instance_added")


async def test_every_mistake_is_named_at_once(autojump_clock):
    async with open_test_gateway(FakeChannel()) as gateway:
        wanted = [bot(id="one", channel="telex"), Instance("two", "fake", 7)]
        with pytest.raises(ConfigError) as caught:
            await gateway.reload(config_of(gateway, *wanted))
    assert ["instances.one.channel", "instances.two.settings"] == [
        problem.place for problem in caught.value.problems
    ]


async def test_only_a_configuration_is_taken(autojump_clock):
    async with open_test_gateway(FakeChannel()) as gateway:
        with pytest.raises(TypeError, match="must be a GatewayConfig, not str"):
            await gateway.reload("gateway.toml")


async def test_other_settings_that_differ_are_named_and_change_nothing(autojump_clock, logs):
    async with opened(FakeChannel(), bot()) as gateway:
        other = config_of(gateway, bot(), ttl=Ttl(bulk=7.0), room_bound=3)
        assert Reloaded(restart=("room_bound", "ttl")) == await gateway.reload(other)
        assert 3 != gateway.config.room_bound
    [log] = [log for log in logs if log["event"] == "gateway.configuration_reloaded"]
    assert "room_bound, ttl" == log["restart"]


async def test_those_removed_drain_at_the_same_time_for_as_long_as_the_configuration_says(
    autojump_clock,
):
    async def hang(attempt):
        if attempt.room == "hangs":
            await trio.sleep_forever()

    names = [bot(id=f"gone{n}") for n in range(3)]
    channel = FakeChannel(script=hang)
    async with opened(channel, bot(), *names) as gateway:
        for instance in names:
            await gateway.submit(
                Send(instance_id=instance.id, external_room_id="hangs", text=instance.id)
            )
        await trio.sleep(1)
        begun = trio.current_time()
        reloaded = await gateway.reload(config_of(gateway, bot(), drain_timeout=10.0))
        assert 10.0 == pytest.approx(trio.current_time() - begun)
        assert {"gone0", "gone1", "gone2"} == {
            undelivered.envelope.text for undelivered in reloaded.undelivered
        }
        assert ("drain_timeout",) == reloaded.restart


async def test_a_suspended_one_that_is_removed_is_not_waited_for(autojump_clock):
    """Nothing of it can move: the reload does not hold up the next one for the whole drain."""

    async def revoked(_):
        raise Failure(REVOKED)

    channel = FakeChannel(script=revoked)
    channel.probe_error = Failure(REVOKED)
    async with opened(channel, bot(), bot(id="held"), bot(id="gone")) as gateway:
        gateway.suspend("held")
        for name in ("held", "gone"):
            for n in range(3):
                send = Send(instance_id=name, external_room_id="room", text=f"{name} {n}")
                await gateway.submit(send)
        await trio.sleep(1)
        begun = trio.current_time()
        reloaded = await gateway.reload(config_of(gateway, bot(), drain_timeout=600.0))
        assert 0.1 > trio.current_time() - begun
        assert ("held", "gone") == reloaded.removed
        assert 6 == len(reloaded.undelivered)


async def test_what_is_under_way_is_waited_for_where_the_account_is_suspended(autojump_clock):
    """And one that is suspended during its drain ends that."""

    async def slow(attempt):
        await trio.sleep(5.0 if attempt.room == "slow" else 1.0)
        if attempt.room == "revoked":
            raise Failure(REVOKED)

    channel = FakeChannel(script=slow)
    channel.probe_error = Failure(REVOKED)
    async with opened(channel, bot(), bot(id="gone")) as gateway:
        for room in ("slow", "revoked", "revoked"):
            await gateway.submit(Send(instance_id="gone", external_room_id=room, text=room))
        await trio.sleep(0.5)
        reloaded = await gateway.reload(config_of(gateway, bot(), drain_timeout=600.0))
        assert 5.0 == pytest.approx(trio.current_time(), abs=0.1)
        assert ["revoked", "revoked"] == [left.envelope.text for left in reloaded.undelivered]


@attrs.frozen
class TokenSettings:
    """Settings with a token that says whose account it is."""

    token: str = attrs.field(metadata=ACCOUNT)


class Tokens(FakeChannel):
    """A channel whose settings have a token."""

    @hookimpl
    def settings_type(self):
        return TokenSettings


def tokened(id, token):  # noqa: A002 - its name everywhere
    return Instance(id, "fake", TokenSettings(token))


async def test_one_account_is_one_instance_at_run_time_as_well(autojump_clock):
    """Two would each spend its limits, and neither know of the other."""
    async with opened(Tokens(), tokened("bot", "1"), tokened("two", "2")) as gateway:
        said = "new.token: is also the account of instance 'bot': configure each account once"
        with pytest.raises(ConfigError, match=said):
            gateway.add_instance(tokened("new", "1"))
        with pytest.raises(ConfigError, match=said.replace("new", "two")):
            gateway.replace_instance(tokened("two", "1"))
        gateway.replace_instance(tokened("bot", "1"))
        assert ["bot", "two"] == [each.id for each in gateway.statistics().instances]
        gateway.replace_instance(tokened("bot", "3"))
        gateway.add_instance(tokened("new", "1"))


async def test_a_reload_renames_an_account_and_exchanges_two(autojump_clock):
    """Only what all are in the end must go together, and not each step on the way."""
    async with opened(Tokens(), tokened("bot", "1"), tokened("two", "2")) as gateway:
        exchanged = await gateway.reload(
            config_of(gateway, tokened("bot", "2"), tokened("two", "1"))
        )
        assert ("bot", "two") == exchanged.replaced
        renamed = await gateway.reload(config_of(gateway, tokened("new", "2"), tokened("two", "1")))
        assert (("new",), ("bot",)) == (renamed.added, renamed.removed)
        assert (await gateway.send("new", "room", "x")).delivered


async def test_two_reloads_at_once_come_one_after_the_other(autojump_clock):
    async def hang(_):
        await trio.sleep_forever()

    async with opened(
        FakeChannel(script=hang), bot(), bot(id="gone"), drain_timeout=5.0
    ) as gateway:
        await gateway.submit(Send(instance_id="gone", external_room_id="room", text="x"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gateway.reload, config_of(gateway, bot()))
            await trio.sleep(1)
            nursery.start_soon(gateway.reload, config_of(gateway, bot(), bot(id="gone")))
        assert ["bot", "gone"] == [each.id for each in gateway.statistics().instances]


async def test_what_a_previous_run_left_of_an_instance_goes_on_when_it_is_added(autojump_clock):
    outbox, channel = MemoryOutbox(), FakeChannel()
    async with open_test_gateway(channel, outbox=outbox, instances=["bot"]) as gateway:
        gateway.suspend("bot")
        await gateway.submit(Send(instance_id="bot", external_room_id="room", text="left"))
    async with open_test_gateway(channel, outbox=outbox, instances=["other"]) as gateway:
        await trio.sleep(10)
        assert [] == channel.texts("room")
        await gateway.reload(config_of(gateway, bot(id="other"), bot()))
        await trio.sleep(10)
        assert ["left"] == channel.texts("room")


@pytest.mark.parametrize("suspended", [False, True])
async def test_a_durable_outbox_keeps_what_a_missing_instance_has_not_sent(
    suspended, autojump_clock, logs
):
    """Its name may be a mistake: what was accepted goes out in order once it is there again."""

    async def slow(_):
        await trio.sleep(20)

    outbox, channel = MemoryOutbox(), FakeChannel(script=slow)
    async with open_test_gateway(channel, outbox=outbox, instances=["bot", "other"]) as gateway:
        tickets = [
            await gateway.submit(Send(instance_id="bot", external_room_id=f"r{n % 3}", text=f"{n}"))
            for n in range(30)
        ]
        await trio.sleep(1)
        if suspended:
            gateway.suspend("bot")
        reloaded = await gateway.reload(config_of(gateway, bot(id="other"), drain_timeout=10.0))
        assert (("bot",), ()) == (reloaded.removed, reloaded.undelivered)
        assert 3 == sum(ticket.ended for ticket in tickets)
        with pytest.raises(GatewayClosed) as told:
            await tickets[-1].receipt()
        assert told.value.kept
        assert {"bot": 27} == gateway.statistics().unserved
        assert gateway.statistics().conserved
        [log] = [log for log in logs if log["event"] == "gateway.outbox_unserved"]
        assert ("bot", 27, "warning") == (log["instance"], log["stored"], log["log_level"])
        channel.script = None
        await gateway.reload(config_of(gateway, bot(), bot(id="other")))
        await trio.sleep(600)
        assert {} == gateway.statistics().unserved
        assert gateway.statistics().conserved
    for room in range(3):
        expected = [f"{number}" for number in range(room, 30, 3)]
        assert expected == channel.texts(f"r{room}")


@pytest.mark.parametrize("after", [1, 19, 40])
@pytest.mark.parametrize("broken", [False, True])
async def test_closing_meanwhile_keeps_what_a_missing_instance_has_not_sent(
    broken, after, autojump_clock
):
    """While its attempts end, and while the outbox does not let anything go."""

    class Failing(MemoryOutbox):
        broken = False

        async def scheduled(self, *args, **kwargs):
            if self.broken:
                await trio.sleep(3600)
            return await super().scheduled(*args, **kwargs)

    async def hang(_):
        await trio.sleep(20)

    outbox, channel = Failing(), FakeChannel(script=hang)
    due = {"not_before": virtual_wall() + 1, "ttl": 1e6}
    async with (
        open_test_gateway(channel, outbox=outbox, instances=["bot", "other"]) as gateway,
        trio.open_nursery() as nursery,
    ):
        for number in range(9):
            await gateway.submit(Send(instance_id="bot", external_room_id="room", text=f"{number}"))
        await gateway.submit(Send(instance_id="other", external_room_id="later", text="x", **due))
        outbox.broken = broken
        await trio.sleep(2)
        without = config_of(gateway, bot(id="other"), drain_timeout=0.0)
        nursery.start_soon(gateway.reload, without)
        await trio.sleep(after)
        gateway.quiet()
    outbox.broken, channel.script = False, None
    async with open_test_gateway(channel, outbox=outbox, instances=["bot", "other"]):
        await trio.sleep(100)
    assert [f"{number}" for number in range(9)] == list(dict.fromkeys(channel.texts("room")))


async def test_what_only_the_outbox_has_of_an_instance_that_is_removed_is_told(
    autojump_clock, logs
):
    outbox = MemoryOutbox()
    async with open_test_gateway(outbox=outbox, instances=["bot", "other"]) as gateway:
        due = virtual_wall() + 300
        later = await gateway.enqueue("bot", "room", "later", not_before=due)
        assert [] == await gateway.remove_instance("bot")
        assert not later.ended
        [log] = [log for log in logs if log["event"] == "gateway.outbox_unserved"]
        assert ("bot", 1) == (log["instance"], log["stored"])
