"""Instances at run time: each comes, changes and goes without another noticing."""

from __future__ import annotations

import math
import tracemalloc
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import structlog
import trio

from gateway_core import (
    CircuitSettings,
    ConfigError,
    Disposition,
    ErrorClass,
    GatewayConfig,
    Instance,
    InstanceSuspended,
    Limit,
    ProbeFailed,
    Reason,
    Scope,
    Secret,
    UnknownInstance,
    Verdict,
    open_gateway,
)
from gateway_core.authors import hookimpl
from gateway_core.testing import Failure, FakeChannel, FakeSettings, open_test_gateway


class Named(FakeChannel):
    """Notes with which settings each attempt was made, and each session opened and closed."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.used: list[str] = []
        self.sessions: list[str] = []

    @hookimpl
    def open_session(self, instance):
        return self._session(instance.settings.name)

    @asynccontextmanager
    async def _session(self, name):
        self.sessions.append(f"open {name}")
        try:
            yield name
        finally:
            self.sessions.append(f"close {name}")

    @hookimpl
    async def send(self, session, attempt):
        self.used.append(session)
        return await FakeChannel.send(self, attempt)


class Mute(FakeChannel):
    """An adapter that cannot say whether it works."""

    probe = None


class Watcher:
    def __init__(self) -> None:
        self.suspended: list[tuple[str, Reason]] = []

    @hookimpl
    def instance_suspended(self, instance, verdict):
        self.suspended.append((instance.id, verdict.reason))


def bot(name: str = "", id: str = "bot") -> Instance:  # noqa: A002 - its name everywhere
    return Instance(id, "fake", FakeSettings(name))


def state(gateway, id: str = "bot"):  # noqa: A002 - likewise
    return next(i for i in gateway.statistics().instances if i.id == id)


# -- taken in


async def test_an_instance_is_taken_in_at_run_time(engine, autojump_clock):
    channel = FakeChannel()
    async with engine(channel, instances=["bot"]) as gateway:
        with pytest.raises(UnknownInstance, match="configured: bot"):
            await gateway.send("new", "r", "x")
        gateway.add_instance(bot(id="new"))
        assert (await gateway.send("new", "r", "x")).delivered


async def test_a_known_id_or_an_unserved_channel_is_refused(engine, autojump_clock):
    async with engine() as gateway:
        with pytest.raises(ConfigError, match="exists already"):
            gateway.add_instance(bot())
        with pytest.raises(ConfigError, match=r"no plugin serves channel 'telex'; served: .*fake"):
            gateway.add_instance(Instance("other", "telex", FakeSettings()))
        assert ["bot"] == [instance.id for instance in gateway.statistics().instances]


async def test_a_bad_instance_starts_suspended_and_is_mended(engine, say, autojump_clock):
    watcher = Watcher()
    async with engine(plugins=[watcher]) as gateway:
        gateway.add_instance(Instance("new", "fake", {"not": "settings"}))
        assert [("new", Reason.SUSPENDED)] == watcher.suspended
        assert "FakeSettings, not dict" in state(gateway, "new").suspended
        with pytest.raises(InstanceSuspended, match=r"settings must be .*\.FakeSettings, not dict"):
            await gateway.submit(say.message(instance_id="new"))
        assert (await gateway.send("bot", "r", "x")).delivered
        gateway.replace_instance(bot(id="new"))
        assert (await gateway.send("new", "r", "x")).delivered


async def test_a_bad_configured_instance_does_not_keep_the_gateway_from_opening(autojump_clock):
    channel = FakeChannel()
    config = GatewayConfig(instances=[Instance("bad", "fake", None), bot()], drain_timeout=0)
    async with open_gateway(config, plugins=[("fake", channel)]) as gateway:
        assert state(gateway, "bad").suspended is not None
        assert (await gateway.send("bot", "r", "x")).delivered


# -- replaced


async def test_a_new_token_is_used_at_once_and_the_old_session_is_closed(engine, autojump_clock):
    channel = Named()
    async with engine(channel) as gateway:
        await gateway.send("bot", "r", "x")
        gateway.replace_instance(bot("new"))
        await gateway.send("bot", "r", "x")
        assert ["", "new"] == channel.used
        await trio.sleep(0.1)
        assert "open " == channel.sessions[0]
        assert ["close ", "open new"] == sorted(channel.sessions[1:])


async def test_a_suspended_instance_goes_on_with_its_new_token(engine, say, autojump_clock):
    channel = FakeChannel(script=say.script(say.fatal()))
    channel.probe_error = say.fatal()
    async with engine(channel) as gateway:
        tickets = [await gateway.submit(say.message(text=f"{n}")) for n in range(3)]
        await trio.sleep(600)
        assert Reason.UNAUTHORIZED.value in state(gateway).suspended
        assert 1 == len(channel.made)
        gateway.replace_instance(bot("new"))
        for ticket in tickets:
            assert (await ticket.receipt()).delivered
        assert 600 == trio.current_time()
        assert ["0", "1", "2"] == channel.texts("r")


class Paced(FakeChannel):
    """Its one limit is what the settings say: `count per pace`."""

    @hookimpl
    def rate_limit(self, instance, room):
        count, per, pace = (instance.settings.name or "1 60 window").split()
        bucket = "account" if room != "alone" else "its own"
        return [Limit(bucket, int(count), float(per), pace)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("1 60 window", "1 5 window", [0, 5, 10, 15]),
        ("1 5 window", "1 60 window", [0, 60, 120, 180]),
        ("2 60 window", "3 60 window", [0, 0, 3, 60]),
        ("2 120 even", "2 10 even", [0, 5, 10, 15]),
        ("2 120 even", "2 10 window", [0, 3, 3, 13]),
        ("2 120 window", "2 10 even", [0, 0, 3, 5]),
        ("1 5 window", "1 5 window", [0, 5, 10, 15]),
    ],
)
async def test_new_settings_have_their_own_limits(
    engine, say, before, after, expected, autojump_clock
):
    """Those who wait at the replacement (at 3 s) wait by the new limits, and so do all after."""
    channel = Paced()
    async with engine(channel, drain_timeout=0) as gateway:
        gateway.replace_instance(bot(before))
        tickets = [await gateway.submit(say.message(f"r{n}")) for n in range(4)]
        await trio.sleep(3)
        gateway.replace_instance(bot(after))
        for ticket in tickets:
            assert (await ticket.receipt()).delivered
    assert expected == [round(made.at, 3) for made in channel.made]


async def test_new_settings_limit_a_room_that_was_waited_in(engine, say, autojump_clock):
    channel = Paced()
    async with engine(channel) as gateway:
        gateway.replace_instance(bot("1 3600 window"))
        tickets = [await gateway.submit(say.message("alone", f"{n}")) for n in range(3)]
        await trio.sleep(3)
        gateway.replace_instance(bot("1 5 window"))
        for ticket in tickets:
            assert (await ticket.receipt()).delivered
    assert [0, 5, 10] == [round(made.at, 3) for made in channel.made]


async def test_an_attempt_under_way_at_a_replacement_ends_in_its_own_session(
    engine, say, autojump_clock
):
    channel = Named(latency=5)
    async with engine(channel) as gateway:
        first = await gateway.submit(say.message("a"))
        await trio.sleep(1)
        gateway.replace_instance(bot("new"))
        second = await gateway.submit(say.message("b"))
        assert (await first.receipt()).delivered
        assert "close " not in channel.sessions[:2]
        assert (await second.receipt()).delivered
        assert ["", "new"] == channel.used


async def test_an_attempt_that_fails_with_the_old_token_suspends_nobody(
    engine, say, autojump_clock
):
    """The token was replaced because the old one is worth nothing: that is no news."""
    watcher, channel = Watcher(), Named()

    async def revoked(attempt):
        first = len(channel.made) == 1
        await trio.sleep(5)
        if first:
            raise say.fatal()

    channel.script = revoked
    async with engine(channel, plugins=[watcher], when_suspended="end") as gateway:
        first = await gateway.submit(say.message("a"))
        await trio.sleep(1)
        gateway.replace_instance(bot("new"))
        second = await gateway.submit(say.message("b"))
        assert (await second.receipt()).delivered
        assert (await first.receipt()).delivered
        assert [] == watcher.suspended
        assert ["", "new", "new"] == channel.used


async def test_a_probe_of_the_old_token_says_nothing_of_the_new_one(engine, say, autojump_clock):
    class Slow(FakeChannel):
        @hookimpl
        async def probe(self, instance):
            self.probes += 1
            await trio.sleep(20)
            if instance.settings.name != "new":
                raise say.fatal()

    watcher, channel = Watcher(), Slow(script=say.script(say.fatal()))
    async with engine(channel, plugins=[watcher]) as gateway:
        ticket = await gateway.submit(say.message())
        await trio.sleep(10)
        assert 1 == channel.probes
        gateway.replace_instance(bot("new"))
        assert (await ticket.receipt()).delivered
        await trio.sleep(60)
        assert state(gateway).suspended is None
        assert 1 == len(watcher.suspended)


async def test_a_replacement_with_wrong_settings_or_channel_changes_nothing(engine, autojump_clock):
    channel = Named()
    async with engine(channel) as gateway:
        with pytest.raises(ConfigError, match=r"settings must be .*\.FakeSettings"):
            gateway.replace_instance(Instance("bot", "fake", 7))
        with pytest.raises(ConfigError, match="cannot change"):
            gateway.replace_instance(Instance("bot", "telex", FakeSettings()))
        with pytest.raises(UnknownInstance):
            gateway.replace_instance(bot(id="nobody"))
        assert (await gateway.send("bot", "r", "x")).delivered


# -- taken out


async def test_a_removed_instance_gives_back_what_was_undelivered(engine, say, autojump_clock):
    channel = FakeChannel(limits=lambda _room, _operation: [Limit("account", 1, 1.0)])
    async with engine(channel, instances=["bot", "other"]) as gateway:
        envelopes = [say.message(text=f"{n}") for n in range(4)]
        tickets = [await gateway.submit(envelope) for envelope in envelopes]
        left = await gateway.remove_instance("bot", drain=1.5)
        assert envelopes[2:] == [undelivered.envelope for undelivered in left]
        assert {Disposition.CANCELLED} == {u.receipt.disposition for u in left}
        assert [True, True, False, False] == [(await t.receipt()).delivered for t in tickets]
        assert 1.5 == pytest.approx(trio.current_time())
        with pytest.raises(UnknownInstance):
            await gateway.send("bot", "r", "x")
        assert (await gateway.send("other", "r", "x")).delivered


async def test_a_removal_waits_no_longer_than_it_must(engine, say, autojump_clock):
    channel = FakeChannel(latency=2)
    async with engine(channel) as gateway:
        for n in range(3):
            await gateway.submit(say.message(f"room {n}"))
        assert [] == await gateway.remove_instance("bot", drain=60)
        assert 2 == trio.current_time()
        assert [] == await _gone(gateway)


async def _gone(gateway):
    return list(gateway.statistics().instances)


async def test_nothing_is_accepted_while_an_instance_is_removed(engine, say, autojump_clock):
    channel = FakeChannel(latency=10)
    async with engine(channel) as gateway, trio.open_nursery() as nursery:
        await gateway.submit(say.message())
        nursery.start_soon(lambda: gateway.remove_instance("bot", drain=60))
        await trio.sleep(1)
        with pytest.raises(UnknownInstance):
            await gateway.submit(say.message())


async def test_those_who_wait_for_room_hear_of_the_removal(engine, say, autojump_clock):
    channel = FakeChannel(latency=10)
    heard = []
    async with engine(channel, partition_count=1, partition_bound=1) as gateway:

        async def submit() -> None:
            with pytest.raises(UnknownInstance):
                await gateway.submit(say.message())
            heard.append(trio.current_time())

        await gateway.submit(say.message())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(submit)
            await trio.sleep(1)
            await gateway.remove_instance("bot")
        assert [1] == heard


async def test_an_attempt_under_way_at_a_removal_is_in_doubt(engine, say, autojump_clock):
    channel = FakeChannel(latency=10)
    async with engine(channel) as gateway:
        await gateway.submit(say.message())
        await trio.sleep(1)
        (left,) = await gateway.remove_instance("bot", drain=1)
        assert Disposition.UNKNOWN is left.receipt.disposition
        raw = "its instance was removed while the attempt was under way"
        assert raw == left.receipt.verdict.raw
        await trio.sleep(20)
        assert all(p.in_flight == 0 for p in gateway.statistics().partitions)


async def test_an_instance_removed_in_doubt_leaves_no_room_behind(engine, say, autojump_clock):
    """Its message waits for the instance to work, which it never will."""
    channel = FakeChannel(script=say.script(say.unknown()))
    channel.probe_error = ConnectionError()
    async with engine(channel) as gateway:
        await gateway.submit(say.message())
        await trio.sleep(10)
        left = await gateway.remove_instance("bot")
        assert [Disposition.UNKNOWN] == [u.receipt.disposition for u in left]
        await trio.sleep(10)
        assert not any(partition.scheduler.rooms for partition in gateway._partitions)


async def test_a_removal_that_is_cancelled_leaves_the_instance_in(engine, say, autojump_clock):
    channel = FakeChannel(latency=10)
    async with engine(channel) as gateway:
        await gateway.submit(say.message())
        with trio.move_on_after(1) as scope:
            await gateway.remove_instance("bot", drain=60)
        assert scope.cancelled_caught
        assert (await gateway.send("bot", "other", "x")).delivered
        assert [] == await gateway.remove_instance("bot", drain=60)


class Slowly(FakeChannel):
    """Its probe takes its time, and then finds the worst."""

    probed = 0
    worst = Exception()

    @hookimpl
    async def probe(self):
        self.probed += 1
        await trio.sleep(10)
        raise self.worst


async def test_what_an_old_account_learns_is_no_news_of_the_new_one(engine, say, autojump_clock):
    """Its probe was under way when it was taken out and another one came in under its name."""
    channel = Slowly(script=say.script(say.unknown()))
    channel.worst = say.fatal()
    async with engine(channel) as gateway:
        await gateway.submit(say.message())
        await trio.sleep(2)
        assert 1 == channel.probed
        await gateway.remove_instance("bot")
        gateway.add_instance(bot("new"))
        with structlog.testing.capture_logs() as logs:
            await trio.sleep(60)
        assert (1, []) == (channel.probed, logs)
        assert (await gateway.send("bot", "r", "hello")).delivered


@pytest.mark.parametrize("what", ["under_way", "closed", "idle"])
async def test_an_instance_that_comes_again_has_nothing_of_the_old_one(
    engine, say, what, autojump_clock
):
    channel = Named()
    async with engine(channel, partition_count=1) as gateway:
        channel.script = say.script({"under_way": 10.0, "closed": say.limited(100)}.get(what))
        await gateway.submit(say.message())
        await trio.sleep(1)
        await gateway.remove_instance("bot")
        gateway.add_instance(bot("new"))
        receipt = await gateway.send("bot", "r", "x")
        assert receipt.delivered
        assert 1 == trio.current_time()
        assert ["", "new"] == channel.used
        await trio.sleep(200)
        assert all(p.in_flight == 0 for p in gateway.statistics().partitions)
        assert 0 == len(gateway._partitions[0].scheduler.rooms)


# -- suspended and resumed


async def test_what_waits_for_a_suspended_instance_goes_on_where_it_stopped(
    engine, say, autojump_clock
):
    channel = FakeChannel()
    async with engine(channel, instances=["bot", "other"]) as gateway:
        gateway.suspend("bot", "for the night")
        tickets = [await gateway.submit(say.message(text=f"{n}")) for n in range(3)]
        await trio.sleep(1000)
        assert (await gateway.send("other", "s", "x")).delivered
        assert 1 == len(channel.made)
        assert "for the night" in state(gateway).suspended
        assert 3 == state(gateway).unfinished
        gateway.resume("bot")
        for ticket in tickets:
            assert (await ticket.receipt()).delivered
        assert ["0", "1", "2"] == channel.texts("r")
        assert state(gateway).suspended is None


async def test_an_instance_held_by_the_application_is_not_probed_back(engine, autojump_clock):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        gateway.suspend("bot")
        await trio.sleep(600)
        assert 0 == channel.probes
        assert state(gateway).suspended is not None


async def test_waiting_envelopes_of_a_suspended_instance_expire(engine, say, autojump_clock):
    async with engine() as gateway:
        gateway.suspend("bot")
        receipt = await gateway.send("bot", "r", "x", ttl=10, raises=False)
        assert Disposition.EXPIRED is receipt.disposition
        assert 0 == receipt.attempts


async def test_when_suspended_end_ends_what_waits_and_what_comes(engine, say, autojump_clock):
    async def revoked(attempt):
        if attempt.instance_id == "bot":
            raise say.fatal()

    channel = FakeChannel(latency=1, script=revoked)
    channel.probe_error = say.fatal()
    async with engine(channel, instances=["bot", "other"], when_suspended="end") as gateway:
        tickets = [await gateway.submit(say.message(text=f"{n}")) for n in range(3)]
        other = await gateway.submit(say.message(instance_id="other"))
        ends = [(await ticket.receipt()).disposition for ticket in tickets]
        assert [Disposition.FATAL] * 3 == ends
        assert 1 == trio.current_time()
        assert Disposition.FATAL is (await gateway.send("bot", "s", "x", raises=False)).disposition
        assert (await other.receipt()).delivered


async def test_when_suspended_end_lets_what_is_under_way_finish(engine, say, autojump_clock):
    channel = FakeChannel(latency=5)
    async with engine(channel, when_suspended="end") as gateway:
        under_way = await gateway.submit(say.message("a"))
        await trio.sleep(1)
        waiting = await gateway.submit(say.message("a"))
        gateway.suspend("bot")
        assert Disposition.FATAL is (await waiting.receipt()).disposition
        assert 1 == trio.current_time()
        assert (await under_way.receipt()).delivered


async def test_when_suspended_refuse_accepts_nothing(engine, say, autojump_clock):
    async with engine(instances=["bot", "other"], when_suspended="refuse") as gateway:
        gateway.suspend("bot", "token revoked")
        with pytest.raises(InstanceSuspended, match="token revoked") as caught:
            await gateway.submit(say.message())
        assert "bot" == caught.value.instance_id
        assert (await gateway.send("other", "r", "x")).delivered
        gateway.resume("bot")
        assert (await gateway.send("bot", "r", "x")).delivered
        assert 1 == gateway.statistics().refused


async def test_a_fatal_verdict_suspends_once_and_a_probe_ends_it(engine, say, autojump_clock):
    watcher, channel = Watcher(), FakeChannel(latency=1)
    down = [True]

    async def revoked(_attempt):
        if down[0]:
            raise say.fatal()

    channel.script = revoked
    channel.probe_error = say.fatal()
    async with engine(channel, plugins=[watcher]) as gateway:
        tickets = [await gateway.submit(say.message(f"room {n}")) for n in range(5)]
        await trio.sleep(100)
        assert [("bot", Reason.UNAUTHORIZED)] == watcher.suspended
        assert 5 == len(channel.made)
        assert 6 == channel.probes  # at 2, 4, 8, 16, 32 and 64 s
        down[0], channel.probe_error = False, None
        for ticket in tickets:
            assert (await ticket.receipt()).delivered
        assert trio.current_time() < 200
        assert state(gateway).suspended is None


async def test_a_probe_that_attempts_belie_ends_the_suspension_less_and_less(
    engine, say, autojump_clock
):
    """A bot that may say who it is and nothing else: an hour of it is no 3,000 suspensions."""
    allowed = False

    async def refuse(_):
        if not allowed:
            raise say.fatal()

    channel = FakeChannel(script=refuse, latency=0.05)
    async with engine(channel, drain_timeout=100) as gateway:
        ticket = await gateway.submit(say.message("r", ttl=7200.0))
        await trio.sleep(3600)
        # After 1, 2, 4, 8, 16 and 32 s, then each minute, each less a fifth at the most.
        say.backs_off([b - a for a, b in pairwise(channel.times)], slack=0.1)
        assert 3540 < channel.times[-1]
        assert len(channel.times) == channel.probes + 1
        allowed = True
        assert (await ticket.receipt()).delivered
        assert (await gateway.send("bot", "r", "y")).delivered


async def test_after_a_success_the_probes_begin_anew(engine, say, autojump_clock):
    refused = {0, 1, 2, 4}

    async def refuse(_):
        if len(channel.times) - 1 in refused:
            raise say.fatal()

    channel = FakeChannel(script=refuse)
    async with engine(channel, drain_timeout=100) as gateway:
        for text in ("x", "y"):
            ticket = await gateway.submit(say.message("r", text=text))
            assert (await ticket.receipt()).delivered
    times = channel.times
    assert times[3] == pytest.approx(times[4])
    say.backs_off([b - a for a, b in pairwise(times[:4])])
    say.backs_off([times[5] - times[4]])


async def test_probes_of_a_suspended_instance_back_off(engine, say, autojump_clock):
    times = [0.0]

    class Probed(FakeChannel):
        @hookimpl
        async def probe(self):
            times.append(trio.current_time())
            raise say.fatal()

    channel = Probed(script=say.script(say.fatal()))
    circuit = CircuitSettings(probe_base=10, probe_cap=100)
    async with engine(channel, circuit=circuit) as gateway:
        await gateway.submit(say.message(ttl=5000))
        await trio.sleep(1009)
        say.backs_off([b - a for a, b in pairwise(times)], base=10, cap=100)
        assert 909 < times[-1]
        assert 1 == len(channel.made)
        gateway.resume("bot")


# -- credentials


class Rotating(Named):
    """Its token expires; `credentials` makes a fresh one, as often as `fresh` says."""

    def __init__(self, fresh: int, **options) -> None:
        super().__init__(**options)
        self.fresh, self.asked, self.valid = fresh, 0, False
        self.takes = 0.0

    @hookimpl
    async def credentials(self):
        self.asked += 1
        await trio.sleep(self.takes)
        if self.asked > self.fresh:
            return None
        self.valid = True
        return Secret("fresh")


async def test_credentials_are_refreshed_once_and_nobody_is_suspended(engine, say, autojump_clock):
    watcher, channel = Watcher(), Rotating(1, latency=1)

    async def expired(_attempt):
        if not channel.valid:
            raise say.fatal()

    channel.script = expired
    async with engine(channel, plugins=[watcher]) as gateway:
        tickets = [await gateway.submit(say.message(f"room {n}")) for n in range(4)]
        for ticket in tickets:
            assert (await ticket.receipt()).delivered
        assert 1 == channel.asked
        assert [] == watcher.suspended
        assert 2 == trio.current_time()


async def test_a_fresh_secret_that_is_refused_too_suspends(engine, say, autojump_clock):
    watcher, channel = Watcher(), Rotating(9)

    async def expired(_attempt):
        raise say.fatal()

    channel.script = expired
    channel.probe_error = say.fatal()
    async with engine(channel, plugins=[watcher]) as gateway:
        ticket = await gateway.submit(say.message("r", ttl=50))
        assert Disposition.EXPIRED is (await ticket.receipt()).disposition
        assert (1, 2) == (channel.asked, len(channel.made))
        assert [("bot", Reason.UNAUTHORIZED)] == watcher.suspended


async def test_without_a_fresh_secret_it_is_suspended(engine, say, autojump_clock):
    watcher, channel = Watcher(), Rotating(0, script=say.script(say.fatal()))
    channel.probe_error = say.fatal()
    async with engine(channel, plugins=[watcher]) as gateway:
        ticket = await gateway.submit(say.message())
        await trio.sleep(10)
        assert [("bot", Reason.UNAUTHORIZED)] == watcher.suspended
        assert 1 == channel.asked
        gateway.replace_instance(bot("new"))
        assert (await ticket.receipt()).delivered


async def test_a_credentials_hook_that_raises_suspends_with_its_words(engine, say, autojump_clock):
    class Broken(FakeChannel):
        @hookimpl
        async def credentials(self):
            raise ValueError("the vault is shut")

    channel = Broken(script=say.script(say.fatal()))
    channel.probe_error = say.fatal()
    async with engine(channel) as gateway:
        await gateway.submit(say.message())
        await trio.sleep(0.5)
        assert "the vault is shut" in state(gateway).suspended
        gateway.resume("bot")


async def test_a_replacement_while_credentials_are_asked_for_wins(engine, say, autojump_clock):
    """The old token's refusal is no news once a new one is there."""
    watcher, channel = Watcher(), Rotating(0, script=say.script(say.fatal()))
    channel.takes = 20
    async with engine(channel, plugins=[watcher]) as gateway:
        ticket = await gateway.submit(say.message())
        await trio.sleep(10)
        gateway.replace_instance(bot("new"))
        assert (await ticket.receipt()).delivered
        assert 10 == trio.current_time()
        await trio.sleep(60)
        assert [] == watcher.suspended
        assert (await gateway.send("bot", "r", "x")).delivered


# -- costs of an idle one, and of the others


async def test_an_idle_instance_costs_no_task(engine, autojump_clock):
    names = ["bot", *(f"idle {n}" for n in range(50))]
    async with engine(Named(), instances=names, session_idle=10) as gateway:
        before = trio.lowlevel.current_statistics().tasks_living
        await gateway.send("bot", "r", "x")
        with_worker = trio.lowlevel.current_statistics().tasks_living
        gateway.add_instance(bot(id="new"))
        assert with_worker == trio.lowlevel.current_statistics().tasks_living
        await trio.sleep(20)
        assert with_worker - 1 == trio.lowlevel.current_statistics().tasks_living
        assert with_worker - before <= 2  # a worker, a session


async def test_an_idle_instance_costs_little_memory(engine, autojump_clock):
    """Under 10 KB each, those included that sent something once."""
    async with engine(instances=[], session_idle=10) as gateway:
        gateway.add_instance(bot())
        await gateway.send("bot", "r", "x")
        tracemalloc.start()
        try:
            for n in range(100):
                gateway.add_instance(bot(id=f"idle {n}"))
            for n in range(0, 100, 3):
                await gateway.send(f"idle {n}", "r", "x")
            await trio.sleep(60)
            grown, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert grown / 100 < 10_000


async def test_a_session_is_shared_and_closed_when_idle(engine, say, autojump_clock):
    channel = Named(latency=2)
    async with engine(channel, session_idle=10) as gateway:
        tickets = [await gateway.submit(say.message(f"room {n}")) for n in range(5)]
        for ticket in tickets:
            await ticket.receipt()
        assert ["open "] == channel.sessions
        await trio.sleep(9)
        await gateway.send("bot", "r", "x")
        assert ["open "] == channel.sessions
        await trio.sleep(11)
        assert ["open ", "close "] == channel.sessions
        await gateway.send("bot", "r", "x")
        assert ["open ", "close ", "open "] == channel.sessions


async def test_an_instance_out_of_order_disturbs_no_other(engine, say, autojump_clock):
    """The same partitions, the same channel, the same moment: only its own envelopes wait."""
    channel = FakeChannel(latency=0.1)

    async def broken(attempt):
        if attempt.instance_id == "bad":
            raise say.fatal()

    channel.script = broken
    channel.probe_error = say.fatal()
    async with engine(channel, instances=["bad", "good"], partition_count=2) as gateway:
        for n in range(100):
            await gateway.submit(say.message(f"room {n}", instance_id="bad", ttl=100))
        started = trio.current_time()
        for n in range(50):
            await gateway.send("good", f"room {n}", "x")
        assert 5 == pytest.approx(trio.current_time() - started)


# -- a circuit without a probe


async def test_without_a_probe_a_half_open_circuit_lets_one_attempt_through(
    engine, say, autojump_clock
):
    down = [True]

    async def outage(_attempt):
        if down[0]:
            raise say.refused()

    channel = Mute(script=outage)
    circuit = CircuitSettings(window=4, probe_base=10, probe_cap=40)
    async with engine(channel, circuit=circuit) as gateway:
        tickets = [await gateway.submit(say.message(f"room {n}", ttl=9000)) for n in range(20)]
        await trio.sleep(5)
        assert state(gateway).circuit_open
        within = len(channel.made)
        assert within <= 20
        await trio.sleep(6)
        assert within + 1 == len(channel.made)
        await trio.sleep(20)
        assert within + 2 == len(channel.made)
        await trio.sleep(40)
        assert within + 3 == len(channel.made)
        down[0] = False
        for ticket in tickets:
            assert (await ticket.receipt()).delivered
        assert not state(gateway).circuit_open
        assert trio.current_time() < 180


async def test_without_a_probe_a_refused_instance_waits_for_the_application(
    engine, say, autojump_clock
):
    """Nothing can tell whether the token works but an attempt that is known to be refused."""
    channel = Mute(script=say.script(say.fatal()))
    async with engine(channel) as gateway:
        ticket = await gateway.submit(say.message(ttl=9000))
        await trio.sleep(1000)
        assert 1 == len(channel.made)
        gateway.resume("bot")
        assert (await ticket.receipt()).delivered


async def test_a_probe_by_the_application(engine, say, autojump_clock):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        assert "bot" == (await gateway.probe("bot")).id
        channel.probe_error = say.fatal()
        with pytest.raises(ProbeFailed, match=r"instance 'bot': fatal \(") as caught:
            await gateway.probe("bot")
        assert ErrorClass.FATAL is caught.value.verdict.error_class
        with pytest.raises(UnknownInstance):
            await gateway.probe("nobody")


async def test_a_probe_that_the_channel_does_not_have_is_told_as_such(engine, autojump_clock):
    async with engine(Mute()) as gateway:
        with pytest.raises(ProbeFailed, match="channel 'fake' has no probe") as caught:
            await gateway.probe("bot")
    assert Reason.UNSUPPORTED is caught.value.verdict.reason


async def test_instances_come_and_go_under_load(say, autojump_clock):
    """Others are delivered to meanwhile, at their own pace."""
    channel = FakeChannel(latency=0.25)
    async with open_test_gateway(channel, instances=["steady"], partition_count=2) as gateway:

        async def come_and_go(n: int) -> None:
            name = f"passing {n}"
            for _ in range(4):
                gateway.add_instance(bot(id=name))
                for m in range(3):
                    await gateway.submit(say.message(f"room {m}", instance_id=name))
                await trio.sleep(0.25)
                await gateway.remove_instance(name, drain=0.25 * n)
                assert gateway.statistics().conserved

        async with trio.open_nursery() as nursery:
            for n in range(3):
                nursery.start_soon(come_and_go, n)
            for n in range(8):
                receipt = await gateway.send("steady", "r", f"{n}")
                assert receipt.delivered
                assert 0.25 * (n + 1) == pytest.approx(trio.current_time())
        assert gateway.statistics().conserved


@pytest.mark.parametrize("drain", [-1, math.nan, "5", None, True])
async def test_a_drain_that_is_no_time_is_refused_and_removes_nothing(engine, drain):
    async with engine(FakeChannel()) as gateway:
        with pytest.raises(ValueError, match="`drain` must be seconds, 0 or more, not"):
            await gateway.remove_instance("bot", drain=drain)
        assert (await gateway.send("bot", "r", "hello")).delivered
        assert [] == await gateway.remove_instance("bot", drain=math.inf)


async def test_a_reason_that_is_no_text_suspends_nobody(engine):
    async with engine(FakeChannel()) as gateway:
        with pytest.raises(TypeError, match="`why` must be a text, not int"):
            gateway.suspend("bot", why=5)
        assert (await gateway.send("bot", "r", "hello")).delivered


# -- several attempts under way as a secret ends


class Expiring(FakeChannel):
    """The first attempt of each room meets a secret that is out of date, after so long."""

    def __init__(self, after: dict[str, float], takes: float, **options) -> None:
        super().__init__(script=self._refuse, **options)
        self.after, self.takes, self.asked = after, takes, 0

    async def _refuse(self, attempt):
        if (seconds := self.after.pop(attempt.room, None)) is not None:
            await trio.sleep(seconds)
            verdict = Verdict(
                error_class=ErrorClass.FATAL, reason=Reason.UNAUTHORIZED, scope=Scope.INSTANCE
            )
            raise Failure(verdict)
        await trio.sleep(2.0)

    @hookimpl
    async def credentials(self, instance):
        self.asked += 1
        await trio.sleep(self.takes)
        return Secret("fresh")


@pytest.mark.parametrize("takes", [1.0, 0.1], ids=["as it is asked for", "after it came"])
async def test_a_fresh_secret_is_asked_for_once_however_many_were_refused(
    engine, takes, autojump_clock
):
    watcher = Watcher()
    channel = Expiring({"a": 0.0, "b": 0.5}, takes)
    async with engine(channel, plugins=[watcher]) as gateway:
        async with trio.open_nursery() as nursery:
            for room in "ab":
                nursery.start_soon(gateway.send, "bot", room, "x")
        assert 1 == channel.asked
        assert [] == watcher.suspended
        assert 3.1 > trio.current_time()


async def test_of_rooms_that_moved_those_that_moved_last_are_known(
    engine, monkeypatch, autojump_clock
):
    monkeypatch.setattr("gateway_core.accounts.instance_state.MOST_MOVED", 10)
    async with engine() as gateway:
        account = gateway._registry.account("bot")
        for n in range(100):
            account.move(f"old {n}", f"new {n}")
        account.move("old 90", "newest")
        account.move("newest", "newer")
        assert 10 == len(account.addresses)
        assert "newer" == account.addresses["old 90"]
