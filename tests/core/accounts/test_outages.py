"""An instance that is down: its circuit, its probes, and what an outage costs."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest
import trio
from amounts import amount

from gateway_core import CircuitSettings, Disposition, Limit, RetrySettings, Scope, Verdict
from gateway_core.authors import Answer, Traits, TransportError, hookimpl
from gateway_core.testing import Failure, FakeChannel

HOUR = 3600.0


class Unprobed(FakeChannel):
    """A channel without the probe hook: only attempts can find out."""

    probe = None


class Platform:
    """Down between two times; counts what it gets meanwhile."""

    def __init__(self, channel: FakeChannel, begins: float, ends: float, error) -> None:
        self.channel, self.begins, self.ends, self.error = channel, begins, ends, error
        channel.script = self.run
        self.during: list[float] = []

    def down(self) -> bool:
        return self.begins <= trio.current_time() < self.ends

    async def run(self, attempt) -> None:
        if self.down():
            self.during.append(trio.current_time())
            raise self.error()

    async def keep_probe(self) -> None:
        """The probe fails for as long as the platform is down."""
        await trio.sleep_until(self.begins)
        self.channel.probe_error = self.error()
        await trio.sleep_until(self.ends)
        self.channel.probe_error = None


HOURS = [
    (FakeChannel, "no"),
    (Unprobed, "unknown"),
    (FakeChannel, "unknown"),
    (Unprobed, "no"),
]
"""What is found out by a probe, or by a message alone; and whether an error is one in doubt."""


@pytest.mark.parametrize(("kind", "dispatched"), HOURS[: amount("kinds of an hour's outage")])
async def test_an_hours_outage_costs_one_try_an_envelope_the_window_and_the_probes(
    engine, say, kind, dispatched, autojump_clock
):
    """40 rooms send once a minute through an hour of nothing; afterwards all of it arrives."""
    channel = kind(limits=lambda *_: [Limit("account", 10, 1.0)])

    def error() -> TransportError:
        return TransportError("down", dispatched=dispatched)

    platform = Platform(channel, 60.0, 60.0 + HOUR, error)
    circuit = CircuitSettings(window=20, probe_base=1.0, probe_cap=60.0)
    async with (
        engine(channel, circuit=circuit, drain_timeout=2 * HOUR) as gateway,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(platform.keep_probe)
        envelopes = 0
        for _ in range(60):
            for n in range(40):
                await gateway.submit(say.message(f"room {n}", ttl=3 * HOUR))
                envelopes += 1
            await trio.sleep(60)
    rare = 6 + int(HOUR / (0.8 * 60))  # at 1 + 2 + 4 + … up to one a minute, less a fifth
    often = 45 + int(HOUR / (0.8 * 15))  # a little more with each, up to one in 15 s, less a fifth
    most = often if kind is FakeChannel else rare
    probes = channel.probes if kind is FakeChannel else most
    assert len(platform.during) <= envelopes + 20 + probes
    assert len(platform.during) <= 40 + 20 + probes  # lanes wait: not even one each
    assert channel.probes <= most
    ends = gateway.statistics().dispositions
    if dispatched == "no":
        assert {Disposition.DELIVERED: envelopes} == ends
    else:
        assert envelopes == sum(ends.values())
        # Where only attempts can find out, each of those may have made a copy.
        doubtful = 20 if kind is FakeChannel else 20 + most
        assert ends.get(Disposition.UNKNOWN, 0) <= doubtful
        assert ends[Disposition.DELIVERED] >= envelopes - doubtful


async def test_after_an_outage_the_limit_is_used_again_at_once(engine, say, autojump_clock):
    channel = FakeChannel(limits=lambda *_: [Limit("account", 10, 1.0)])
    platform = Platform(channel, 0.0, 600.0, say.refused)
    async with engine(channel, drain_timeout=HOUR) as gateway, trio.open_nursery() as nursery:
        nursery.start_soon(platform.keep_probe)
        for n in range(1000):
            await gateway.submit(say.message(f"room {n}"))
    sent = [at for at in channel.times if at >= 600]
    assert 1000 <= len(sent)
    busy = sent[-1] - sent[0]
    assert busy <= 1000 / 10 / 0.9


async def test_the_circuit_opens_on_a_share_of_failures_only(engine, say, autojump_clock):
    """Every third attempt fails: the instance is not down."""

    async def third(attempt):
        if len(channel.made) % 3 == 0:
            raise say.refused()

    channel = FakeChannel(script=third)
    async with engine(channel, drain_timeout=HOUR) as gateway:
        for n in range(200):
            await gateway.send("bot", f"room {n % 20}", "x")
        assert 0 == channel.probes
        assert not gateway.statistics().instances[0].circuit_open


async def test_the_circuit_is_the_instances_alone(engine, say, autojump_clock):
    async def down(attempt):
        if attempt.instance_id == "bot":
            raise say.refused()

    channel = FakeChannel(script=down)
    channel.probe_error = say.refused()
    async with engine(channel, instances=["bot", "other"]) as gateway:
        for n in range(40):
            await gateway.submit(say.message(f"room {n}"))
        await trio.sleep(30)
        one, other = gateway.statistics().instances
        assert one.circuit_open
        assert not other.circuit_open
        for n in range(20):
            assert (await gateway.send("other", f"room {n}", "x")).delivered
        assert 30 == trio.current_time()


@pytest.mark.parametrize(
    ("rooms", "error", "base", "growth"),
    [
        pytest.param(40, "refused", 0.5 * 1.08, 1.08, id="an outage"),
        # Too few attempts fail for the circuit to open, and they may have arrived.
        pytest.param(3, "unknown", 2.0, 2.0, id="doubts"),
    ],
)
async def test_probes_back_off_and_one_that_answers_lets_all_go_on(
    rooms, error, base, growth, engine, say, autojump_clock
):
    """While messages wait, the probes are at most 15 seconds apart."""
    seen: list[float] = []

    class Probed(FakeChannel):
        @hookimpl
        async def probe(self):
            seen.append(trio.current_time())
            if trio.current_time() < 200:
                raise say.refused()

    channel = Probed()
    Platform(channel, 0.0, 200.0, getattr(say, error))
    async with engine(channel, drain_timeout=HOUR) as gateway:
        for n in range(rooms):
            await gateway.submit(say.message(f"room {n}"))
    say.backs_off([b - a for a, b in pairwise(seen)], base=base, growth=growth, cap=15)
    assert 200 <= seen[-1] <= 215
    assert {Disposition.DELIVERED: rooms} == gateway.statistics().dispositions


async def test_without_a_probe_hook_one_attempt_a_step_finds_out(engine, say, autojump_clock):
    channel = Unprobed()
    platform = Platform(channel, 0.0, 300.0, say.refused)
    async with engine(channel, drain_timeout=HOUR) as gateway:
        for n in range(60):
            await gateway.submit(say.message(f"room {n}"))
    late = [at for at in platform.during if at > 30]
    assert len(late) <= 8
    assert {Disposition.DELIVERED: 60} == gateway.statistics().dispositions


@pytest.mark.parametrize("probed", [False, True], ids=["half-open", "closed by a probe"])
async def test_a_circuit_lets_nobody_call_inside_a_known_wait(engine, say, autojump_clock, probed):
    """A 429 that closed the instance still holds when the circuit looks whether it works."""

    async def run(attempt):
        if attempt.room == "limited" and attempt.number == 1:
            await trio.sleep(0.25)
            raise say.limited(300, Scope.INSTANCE)
        await trio.sleep(0.5)
        if trio.current_time() < 60:
            raise say.refused()

    channel = (FakeChannel if probed else Unprobed)(script=run)
    async with engine(channel, drain_timeout=HOUR) as gateway:
        for n in range(40):
            await gateway.submit(say.message("limited" if not n else f"room {n}"))
        await trio.sleep(0.7)
        assert gateway.statistics().instances[0].circuit_open
        await gateway.submit(say.message("another"))
    assert not [at for at in channel.times if 0.5 < at < 300]
    assert {Disposition.DELIVERED: 41} == gateway.statistics().dispositions


async def test_if_everybody_is_in_doubt_somebody_finds_out_all_the_same(
    engine, say, autojump_clock
):
    """No probe, and no envelope left that waits for the circuit: one of the doubtful goes."""
    channel = Unprobed()
    platform = Platform(channel, 0.0, 120.0, say.unknown)
    async with engine(channel, drain_timeout=HOUR) as gateway:
        tickets = [await gateway.submit(say.message(f"room {n}")) for n in range(20)]
        ends = [(await ticket.receipt()).disposition for ticket in tickets]
        assert trio.current_time() < 300
    assert len(platform.during) < 20 + 10
    assert ends.count(Disposition.DELIVERED) >= 10


async def test_a_429_is_no_outage(engine, say, autojump_clock):
    async def limit(attempt):
        if attempt.number == 1:
            raise say.limited(5, Scope.MESSAGE)

    channel = FakeChannel(script=limit)
    async with engine(channel, drain_timeout=HOUR) as gateway:
        for n in range(60):
            await gateway.submit(say.message(f"room {n}"))
    assert 0 == channel.probes


async def test_an_idle_instance_that_is_well_costs_no_task(engine, say, autojump_clock):
    channel = FakeChannel()
    async with engine(channel, session_idle=10) as gateway:
        before = trio.lowlevel.current_statistics().tasks_living
        await gateway.send("bot", "r", "x")
        await trio.sleep(HOUR)
        after = trio.lowlevel.current_statistics().tasks_living
        assert after - before <= 1  # the worker that served it


async def test_a_lane_in_doubt_for_the_second_time_waits_for_its_second_quarantine(
    engine, say, autojump_clock
):
    """The first doubt ended as its envelope did, before the instance worked again."""
    channel = FakeChannel(script=say.script(say.unknown(), say.unknown()))
    channel.probe_error = say.refused()
    circuit = CircuitSettings(probe_base=0.5)
    async with engine(channel, circuit=circuit, retries=RetrySettings(base=0.01)) as gateway:
        gateway._parts.prober._rng = say.Ceilings()
        await gateway.submit(say.message(ttl=3))
        second = await gateway.submit(say.message())
        await trio.sleep(3.2)
        channel.probe_error = None  # the next probe is at 3.5
        assert (await second.receipt()).delivered
        assert [0, 3, 5] == pytest.approx(channel.times, abs=0.1)


@pytest.mark.parametrize("dispatched", ["no", "unknown"])
@pytest.mark.parametrize("seconds", [5.0, 20.0, 300.0])
async def test_one_message_of_a_quiet_account_outlives_an_outage(
    engine, say, autojump_clock, seconds, dispatched
):
    """What was not sent, or does no harm if it is sent again, is not given up after six tries."""
    channel = FakeChannel(traits=Traits(deduplicates_for=3600.0))
    error = partial(TransportError, "down", dispatched=dispatched)
    platform = Platform(channel, 0.0, seconds, error)
    async with (
        engine(channel, drain_timeout=HOUR) as gateway,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(platform.keep_probe)
        receipt = await gateway.send("bot", "r", "x")
    assert receipt.delivered
    assert not receipt.possible_duplicate
    assert trio.current_time() <= seconds + max(2.0, 0.1 * seconds)


async def test_what_a_platform_that_works_refuses_is_given_up(engine, say, autojump_clock):
    """A message that it cannot take is no outage: others go on, and their answers say so.

    Six tries count; one that follows another before anything has worked does not.
    """
    busy = Verdict(error_class="retryable", reason="platform_error", scope="instance")

    async def poisoned(attempt):
        if attempt.room == "poison":
            raise Failure(busy)

    channel = FakeChannel(script=poisoned)
    async with engine(channel, drain_timeout=HOUR) as gateway, trio.open_nursery() as nursery:

        async def others():
            for _ in range(500):
                await gateway.send("bot", "r", "x")
                await trio.sleep(0.1)

        nursery.start_soon(others)
        receipt = await gateway.send("bot", "poison", "x", raises=False)
        assert Disposition.EXHAUSTED is receipt.disposition
        assert 6 <= receipt.attempts <= 8


async def test_after_a_quiet_hour_of_outage_the_first_message_is_followed_by_an_early_probe(
    engine, say, autojump_clock
):
    channel = FakeChannel()
    platform = Platform(channel, 0.0, HOUR, say.refused)
    async with engine(channel, drain_timeout=HOUR) as gateway, trio.open_nursery() as nursery:
        nursery.start_soon(platform.keep_probe)
        for n in range(40):
            await gateway.submit(say.message(f"room {n}", ttl=60.0))
        await trio.sleep_until(HOUR + 1)
        begun = trio.current_time()
        assert (await gateway.send("bot", "r", "x")).delivered
        assert trio.current_time() - begun <= 1.5


class Deduplicating(Unprobed):
    """Answers by room and number of the try; a repeat does no harm there."""

    def __init__(self, answers) -> None:
        super().__init__(traits=Traits(edit=True, delete=True, deduplicates_for=HOUR))
        self.answers, self.tries = answers, []

    @hookimpl
    async def send(self, attempt):
        await trio.sleep(0.1)
        self.tries.append((attempt.room, attempt.number))
        answer = self.answers.get(self.tries[-1], Answer(message_id="1"))
        if isinstance(answer, Exception):
            raise answer
        return answer


REFUSED = TransportError("refused", dispatched="no")
LOST = TransportError("reset", dispatched="unknown")
WITHOUT_REPLY = Failure(
    Verdict(
        error_class="retryable", reason="reply_gone", dispatched="no", transform="without_reply"
    )
)


async def test_an_answer_that_a_hook_garbles_shows_that_the_account_works(engine, autojump_clock):
    """What fails after it has failed by itself, and spends a try."""
    channel = Deduplicating({("a", 1): REFUSED, ("b", 1): "nonsense", ("a", 2): LOST})
    async with engine(channel, retries=RetrySettings(attempts=1), drain_timeout=HOUR) as gateway:
        ticket = await gateway.enqueue("bot", "a", "x")
        await trio.sleep(0.05)  # its answer comes between the two failures
        assert "crashed" == (await gateway.send("bot", "b", "x", raises=False)).disposition
        assert not (await ticket.receipt()).delivered
    assert [1, 2] == [number for room, number in channel.tries if room == "a"]


async def test_a_refusal_after_a_resume_shows_that_the_account_works(engine, autojump_clock):
    """A resume itself shows nothing."""
    channel = Deduplicating({("a", 1): REFUSED, ("a", 2): WITHOUT_REPLY, ("a", 3): LOST})
    async with engine(channel, retries=RetrySettings(attempts=1), drain_timeout=HOUR) as gateway:
        ticket = await gateway.enqueue("bot", "a", "x", reply_to="1")
        await trio.sleep(0.15)
        gateway.resume("bot")
        assert not (await ticket.receipt()).delivered
    assert [1, 2, 3] == [number for _, number in channel.tries]


async def test_a_message_that_alone_is_unreachable_is_tried_ever_more_seldom(
    engine, say, autojump_clock
):
    """The account works: its probe is answered, and so is every other room."""
    tried = []

    async def script(attempt) -> None:
        if attempt.room == "cut off":
            tried.append(trio.current_time())
            raise TransportError("reset", dispatched="no")

    async with engine(FakeChannel(script=script)) as gateway:
        ticket = await gateway.submit(say.message(room="cut off", ttl=600.0))
        with trio.move_on_after(590):
            while True:
                await gateway.send("bot", "other", "x")
                await trio.sleep(0.5)
    assert Disposition.EXPIRED is (await ticket.receipt()).disposition
    waits = [later - sooner for sooner, later in pairwise(tried)]
    assert 40 >= len(tried)
    assert sum(waits[:5]) < 30.0 < max(waits[5:])
    assert 61.0 >= max(waits)


# -- a platform that says who it is, and takes no message


async def half_an_outage(engine, say, dispatched, *, rooms=20, each=10, seconds=600.0):
    """Each room gets a message each second; the probes succeed, and all attempts fail for a time.

    Returns the channel, the platform, and the receipts.
    """
    channel, receipts, begun = FakeChannel(), [], trio.current_time()
    error = partial(TransportError, "down", dispatched=dispatched)
    platform = Platform(channel, begun, begun + seconds, error)
    async with engine(channel, drain_timeout=HOUR) as gateway, trio.open_nursery() as nursery:

        async def receive(ticket) -> None:
            receipts.append(await ticket.receipt())

        for n in range(each):
            for room in range(rooms):
                ticket = await gateway.submit(say.message(f"room {room}", f"{n}", ttl=HOUR))
                nursery.start_soon(receive, ticket)
            await trio.sleep(1)
    return channel, platform, receipts


async def test_messages_outlive_an_outage_that_no_probe_sees(engine, say, autojump_clock):
    """A probe lets one attempt through as soon as attempts have shown that it means little."""
    channel, platform, receipts = await half_an_outage(engine, say, "no")
    assert [True] * 200 == [receipt.delivered for receipt in receipts]
    rooms_twice_and_singly = 2 * 20 + channel.probes
    assert len(platform.during) <= rooms_twice_and_singly
    assert channel.probes <= 60
    again = min(at for at in channel.times if at >= platform.ends)
    assert again - platform.ends <= 15
    assert max(channel.times) - again <= 5


async def test_an_outage_that_no_probe_sees_spends_few_messages_in_doubt(
    engine, say, autojump_clock
):
    """Each attempt may have arrived, and a message may have two: those of a few are spent."""
    _, platform, receipts = await half_an_outage(engine, say, "unknown")
    lost = [each for each in receipts if each.disposition is Disposition.UNKNOWN]
    assert len(lost) <= (len(platform.during) - 20) / 2 + 1
    assert len(lost) <= 40
    assert len(receipts) - len(lost) == sum(each.delivered for each in receipts)


async def test_a_probe_lets_one_lane_in_doubt_go_on_and_its_success_all(
    engine, say, autojump_clock
):
    """Nine connections break at once: nobody repeats before one has shown that it works."""
    broken = set()

    async def script(attempt):
        if attempt.room not in broken:
            broken.add(attempt.room)
            raise TransportError("reset", dispatched="unknown")
        await trio.sleep(1)

    channel = FakeChannel(script=script)
    async with engine(channel, drain_timeout=HOUR) as gateway:
        tickets = [await gateway.submit(say.message(f"room {n}")) for n in range(9)]
        for ticket in tickets:
            assert (await ticket.receipt()).delivered
    again = channel.times[9:]
    at_first = [at for at in again if at < again[0] + 0.5]
    assert len(at_first) <= 3  # as many as there were probes
    assert 9 == len([at for at in again if at < again[0] + 1.5])


async def test_the_circuit_opens_although_probes_succeed(engine, say, autojump_clock):
    """Each success of a probe would otherwise hide the failures before it."""

    async def script(attempt):
        raise TransportError("down", dispatched="no")

    channel = FakeChannel(script=script)
    async with engine(channel, drain_timeout=0.0) as gateway:
        await gateway.submit(say.message("room", ttl=HOUR))
        await trio.sleep(600)
        assert gateway.statistics().instances[0].circuit_open
