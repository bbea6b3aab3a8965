"""A wait that is for one thing after the other: each cause has its share, all of it in sum."""

from random import Random

import attrs
import pytest
import trio
import trio.testing
from amounts import amount
from trio.abc import Instrument

from gateway_core import ErrorClass, Instance, Limit, Reason, Scope, Send, Verdict
from gateway_core.authors import TransportError, hookimpl
from gateway_core.deliveries.retries import RetrySettings
from gateway_core.ratelimits.circuit import CircuitSettings
from gateway_core.testing import (
    Failure,
    FakeChannel,
    FakeSettings,
    MemoryOutbox,
    open_test_gateway,
    seeded_schedule,
)

ONE_PARTITION = {"partition_count": 1, "circuit": CircuitSettings(window=2)}
REFUSED = Verdict(
    error_class=ErrorClass.FATAL, reason=Reason.UNAUTHORIZED, scope=Scope.INSTANCE, raw="who?"
)


def message(room="room", **fields):
    fields = {"instance_id": "bot", "text": "hello", "ttl": 3_600.0} | fields
    return Send(external_room_id=room, **fields)


def limited(name, seconds):
    """A channel with one such limit: so long for each message."""
    of = "room" if "{}" in name else "instance"
    return FakeChannel(limits=lambda room, _op: [Limit(name.format(room), 1, seconds, of=of)])


def waits(sdk, instance="bot"):
    """Seconds by cause."""
    return {
        attributes["gateway.wait.cause"]: round(point.sum, 6)
        for attributes, point in sdk.points("gateway.wait.duration")
        if attributes["gateway.instance"] == instance
    }


def told_of(sdk, ticket):
    """Seconds by cause that the span of an envelope tells."""
    [span] = [
        s for s in sdk.spans(kind="producer") if s.attributes["messaging.message.id"] == ticket.id
    ]
    return {
        event.attributes["gateway.wait.cause"]: event.attributes["gateway.wait.seconds"]
        for event in span.events
    }


def down():
    return TransportError("connection refused", dispatched="no")


def scripted(*results):
    """An attempt takes so many seconds, or raises that after one second; then none takes long."""
    left = list(results)

    async def run(_):
        what = left.pop(0) if left else 0
        if isinstance(what, Exception):
            await trio.sleep(1)
            raise what
        await trio.sleep(what)

    return run


async def test_an_accounts_limit_then_its_suspension_then_the_limit_again(
    telling, sdk, autojump_clock
):
    async with telling(limited("account", 20), **ONE_PARTITION) as gateway:
        tickets = [await gateway.submit(message(room)) for room in "ab"]
        await trio.sleep(5)
        gateway.suspend("bot")
        await trio.sleep(10)
        gateway.resume("bot")
        await tickets[1].receipt()
    assert {"account limit": 10.0, "suspension": 10.0} == waits(sdk)


async def test_a_suspension_that_outlasts_the_limit(telling, sdk, autojump_clock):
    """Nobody looks at the lane as the account is suspended, nor as its token is there."""
    async with telling(limited("account", 20), **ONE_PARTITION) as gateway:
        tickets = [await gateway.submit(message(room)) for room in "ab"]
        await trio.sleep(5)
        gateway.suspend("bot")
        await trio.sleep(600)
        gateway.resume("bot")
        await tickets[1].receipt()
    assert {"account limit": 5.0, "suspension": 600.0} == waits(sdk)


async def test_slots_then_a_shut_circuit(telling, sdk, autojump_clock):
    """Two attempts fail and shut it; who waited for their slot waits for the platform now."""
    channel = FakeChannel(script=scripted(down(), down()))
    channel.probe_error = down()
    async with telling(channel, **ONE_PARTITION, attempts_per_instance=1) as gateway:
        tickets = [await gateway.submit(message(room)) for room in "abc"]
        await trio.sleep(101)
        assert "circuit" == (await gateway.status(tickets[2].id)).cause
        channel.probe_error = None
        await tickets[2].receipt()
    circuit = pytest.approx(channel.times[2] - 2.0, abs=1e-6)
    assert {"slots": 2.0, "circuit": circuit} == told_of(sdk, tickets[2])


async def test_slots_then_the_accounts_limit(telling, sdk, autojump_clock):
    """The group moves to another bucket; those behind its first hear nothing of that."""
    channel = limited("account", 60)
    channel.script = scripted(50, 1, 1)
    async with telling(channel, **ONE_PARTITION, attempts_per_instance=1) as gateway:
        tickets = [await gateway.submit(message(room)) for room in "abc"]
        await tickets[2].receipt()
    _, second, third = channel.times
    assert {"slots": 50.0, "account limit": pytest.approx(second - 50.0)} == told_of(
        sdk, tickets[1]
    )
    assert {"slots": 50.0, "account limit": pytest.approx(third - 50.0)} == told_of(sdk, tickets[2])


async def test_a_shut_circuit_that_turns_out_a_suspension(telling, sdk, autojump_clock):
    class Probed(FakeChannel):
        @hookimpl
        async def probe(self):
            probes.append(trio.current_time())
            raise self.probe_error

    probes: list[float] = []
    channel = Probed(script=scripted(down(), down()))
    channel.probe_error = down()
    async with telling(channel, **ONE_PARTITION) as gateway:
        for room in "ab":
            await gateway.submit(message(room))
        await trio.sleep(3)
        late = await gateway.submit(message("c"))
        await trio.sleep(3)
        channel.probe_error = Failure(REFUSED)
        await trio.sleep(30)
        assert "suspension" == (await gateway.status(late.id)).cause
        gateway.resume("bot")
        await late.receipt()
    refused = next(at for at in probes if at > 6)
    circuit = pytest.approx(refused - 3, abs=1e-6)
    suspension = pytest.approx(36 - refused, abs=1e-6)
    assert {"circuit": circuit, "suspension": suspension} == told_of(sdk, late)


async def test_a_rooms_limit_then_a_suspension(telling, sdk, autojump_clock):
    """By itself at its room's limit: it meets the suspension when that is over, and not before."""
    async with telling(limited("room:{}", 20), **ONE_PARTITION) as gateway:
        await gateway.submit(message())
        last = await gateway.submit(message())
        await trio.sleep(5)
        gateway.suspend("bot")
        await trio.sleep(100)
        gateway.resume("bot")
        await last.receipt()
    assert {"room limit": 20.0, "suspension": 85.0} == waits(sdk)


async def test_what_ends_while_it_waits_has_waited_as_well(telling, sdk, autojump_clock):
    async with telling(limited("account", 900), **ONE_PARTITION) as gateway:
        await gateway.submit(message("a"))
        last = await gateway.submit(message("b", ttl=60.0))
        await trio.sleep(5)
        gateway.suspend("bot")
        await trio.sleep(15)
        gateway.resume("bot")
        await last.receipt()
    assert {"account limit": 45.0, "suspension": 15.0} == waits(sdk)


async def test_another_account_in_the_same_partition_is_not_suspended(telling, sdk, autojump_clock):
    channel = limited("account", 20)
    async with telling(channel, instances=("bot", "other"), **ONE_PARTITION) as gateway:
        tickets = [
            await gateway.submit(message(room, instance_id=instance))
            for instance in ("bot", "other")
            for room in "ab"
        ]
        gateway.suspend("bot")
        await trio.sleep(10)
        gateway.resume("bot")
        for ticket in tickets:
            await ticket.receipt()
    assert {"account limit": 10.0, "suspension": 10.0} == waits(sdk)
    assert {"account limit": 20.0} == waits(sdk, "other")


async def test_new_limits_while_the_account_is_suspended(telling, sdk, autojump_clock):
    """Whoever waits comes into another group, and keeps what it waited for in the first."""
    channel = limited("account", 900)
    async with telling(channel, **ONE_PARTITION) as gateway:
        await gateway.submit(message("a"))
        last = await gateway.submit(message("b"))
        await trio.sleep(5)
        gateway.suspend("bot")
        await trio.sleep(10)
        channel.limits = lambda _room, _op: [Limit("other", 1, 30.0)]
        gateway.replace_instance(Instance("bot", "fake", FakeSettings()))
        await last.receipt()
    assert {"account limit": 5.0, "suspension": 10.0} == waits(sdk)


async def test_what_is_kept_tells_what_it_waited_for_until_then(telling, sdk, autojump_clock):
    outbox = MemoryOutbox()
    async with telling(limited("account", 900), outbox=outbox, **ONE_PARTITION) as gateway:
        for room in "ab":
            await gateway.submit(message(room))
        await trio.sleep(5)
        gateway.suspend("bot")
        await trio.sleep(10)
    assert {"account limit": 5.0, "suspension": 10.0} == waits(sdk)
    [event] = [e for span in sdk.spans(kind="producer") for e in span.events[:1]]
    assert "gateway.waited" == event.name


async def test_short_waits_are_told_with_the_longest(telling, sdk, autojump_clock):
    """5 ms for a slot, then 100 ms for the limit: nobody is told of 5 ms, and the sum is 105."""
    channel = limited("account", 0.1)
    channel.script = scripted(0.005)
    settings = ONE_PARTITION | {"attempts_per_instance": 1}
    async with telling(channel, **settings) as gateway:
        for room in "ab":
            last = await gateway.submit(message(room))
        await last.receipt()
    assert {"account limit": pytest.approx(channel.times[1])} == waits(sdk)


# -- any world


class Seen(Instrument):
    """Adds up what the status of each unfinished envelope says, for as long as it says so."""

    def __init__(self):
        self.gateway = None
        self.tickets = []
        self.seconds = {}
        self._left = []
        self._since = 0.0

    def before_io_wait(self, timeout):
        """Time may have passed, and may pass from here on."""
        self._add_up()
        self.tickets = [(i, t) for i, t in self.tickets if not t.ended]
        self._left = [(i, self.gateway._lookup.known(t.id).cause) for i, t in self.tickets]

    def before_task_step(self, task):
        """It may have passed."""
        self._add_up()

    def _add_up(self):
        passed, self._since = trio.current_time() - self._since, trio.current_time()
        for key in self._left if passed else ():
            self.seconds[key] = self.seconds.get(key, 0) + passed


def troubles(rng):
    """What an attempt comes to, with outages, 429s and refusals in between."""

    async def run(_):
        await trio.sleep(rng.choice([0.25, 0.5, 2.0]))
        match rng.randrange(20):
            case 0 | 1 | 2:
                raise down()
            case 3:
                raise Failure(REFUSED)
            case 4 | 5:
                scope = rng.choice([Scope.ROOM, Scope.INSTANCE, Scope.OPERATION])
                limit = {"scope": scope, "retry_after": rng.choice([1.0, 5.0])}
                raise Failure(
                    Verdict(error_class=ErrorClass.RETRYABLE, reason=Reason.RATE_LIMITED, **limit)
                )
            case 6:
                raise TransportError("lost", dispatched="unknown")

    return run


async def world(sdk, rng, seen):
    """Two accounts in one partition; somebody sends, suspends and resumes, for half a minute."""
    drawn = rng.choice(
        [
            [Limit("account", 1, rng.choice([0.5, 1.0]))],
            [Limit("room:{}", 1, 2.0, of="room"), Limit("account", 2, 1.0)],
            [],
        ]
    )
    channel = FakeChannel(
        limits=lambda room, _op: [
            attrs.evolve(limit, bucket=limit.bucket.format(room)) for limit in drawn
        ],
        script=troubles(rng),
    )
    settings = {
        "partition_count": 1,
        "attempts_per_partition": rng.choice([4, 64]),
        "attempts_per_instance": rng.choice([1, 2, 64]),
        "circuit": CircuitSettings(window=4),
        "retries": RetrySettings(base=1.0, attempts=20),
        "drain_timeout": 600.0,
    }
    async with open_test_gateway(
        channel, instances=("bot", "other"), providers=sdk.providers, **settings
    ) as gateway:
        seen.gateway = gateway
        for _ in range(120):
            await trio.sleep(0.25)
            await something(gateway, rng, seen)
        for instance in ("bot", "other"):
            gateway.resume(instance)
        for _, ticket in seen.tickets:
            await ticket.receipt()


async def something(gateway, rng, seen):
    """One more envelope; an account is suspended, or resumed."""
    instance = rng.choice(["bot", "other"])
    if rng.random() < 0.5:
        send = message(rng.choice("abcdefgh"), instance_id=instance, ttl=300.0)
        ticket = await gateway.submit(send)
        seen.tickets.append((instance, ticket))
    if rng.random() < 0.03:
        gateway.suspend(instance)
    elif rng.random() < 0.1:
        gateway.resume(instance)


@pytest.mark.parametrize("seed", range(amount("worlds whose waits are told")))
def test_the_waits_told_are_what_the_status_said_all_along(seed, sdk, monkeypatch):
    """For each account and cause, to the microsecond, whatever befell it."""
    monkeypatch.setattr("gateway_core.deliveries.waits.SHORTEST_WAIT", 1)
    seen, clock = Seen(), trio.testing.MockClock(autojump_threshold=0)
    with seeded_schedule(f"waits {seed}"):
        trio.run(world, sdk, Random(f"waits {seed}"), seen, clock=clock, instruments=[seen])
    told = {
        (instance, cause): seconds
        for instance in ("bot", "other")
        for cause, seconds in waits(sdk, instance).items()
    }
    expected = {key: n for key, n in seen.seconds.items() if key[1] != "attempt"}
    assert pytest.approx(expected, abs=1e-3) == told
