"""`accepted == sum(dispositions) + unfinished`, after every single step of whole scenarios."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
import trio

from gateway_core import (
    Call,
    CircuitSettings,
    Delete,
    Disposition,
    Edit,
    Gateway,
    Instance,
    Limit,
    PartitionStatistics,
    Refused,
    RetrySettings,
)
from gateway_core.authors import Answer, Traits, hookimpl
from gateway_core.testing import EPOCH, FakeChannel, FakeSettings, run_seeded


class Law(trio.abc.Instrument):
    """Looks at the books after each step of each task, and keeps what it finds broken."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.steps = 0
        self.broken: list[str] = []

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps += 1
        if len(self.broken) < 5:
            self.broken += [f"{broken} after a step of {task.name}" for broken in self.look()]

    def look(self) -> list[str]:
        """What is wrong now."""
        now = self._gateway.statistics()
        broken = [f"conservation: {now}"] if not now.conserved else []
        parts = now.partitions
        if (now.accepted, now.unfinished) != (
            sum(part.accepted for part in parts),
            sum(part.unfinished for part in parts),
        ):
            broken.append(f"the sums of partitions: {now}")
        for part in parts:
            broken += [f"{what} of partition {part.index}: {part}" for what in _wrong(part)]
        waiting = sum(instance.unfinished for instance in now.instances)
        if waiting > sum(part.depth for part in parts):
            broken.append(f"instances of {waiting} unfinished: {now}")
        return broken


def _wrong(part: PartitionStatistics) -> list[str]:
    laws = {
        "conservation": part.accepted == sum(part.dispositions.values()) + part.unfinished,
        "depth": part.unfinished <= part.depth <= 3 * part.bound + 1,
        "places": part.in_flight >= 0 and part.waiting >= 0,
    }
    return [name for name, holds in laws.items() if not holds]


class Ends:
    """Counts how each envelope ended, as observers are told."""

    def __init__(self) -> None:
        self.ends: dict[str, list[Disposition]] = {}

    @hookimpl
    def after_disposition(self, receipt) -> None:
        self.ends.setdefault(receipt.envelope_id, []).append(receipt.disposition)


class Shedding:
    @hookimpl
    def admit(self, envelope):
        text = getattr(envelope, "text", "")
        return {"x": "shed", "y": "bulk", "z": "urgent"}.get(text[:1])


# -- one step at a time


async def test_the_law_holds_at_each_step_of_one_message(engine, say, autojump_clock):
    async with engine() as gateway:

        def books() -> tuple[int, int, dict[str, int]]:
            now = gateway.statistics()
            assert now.conserved
            return now.accepted, now.unfinished, dict(now.dispositions)

        assert (0, 0, {}) == books()
        gateway.suspend("bot")
        ticket = await gateway.submit(say.message())
        assert (1, 1, {}) == books()
        gateway.resume("bot")
        await ticket.receipt()
        assert (1, 0, {"delivered": 1}) == books()


async def test_a_refusal_is_not_accepted(engine, say, autojump_clock):
    async with engine(partition_bound=1, partition_count=1) as gateway:
        gateway.suspend("bot")
        await gateway.submit(say.message())
        for wrong in (say.message(text=""), say.message(), say.message(instance_id="nobody")):
            with pytest.raises(Refused):
                await gateway.submit(wrong, wait=False)
        now = gateway.statistics()
        assert (1, 1, 3) == (now.accepted, now.unfinished, now.refused)
        assert now.conserved


async def test_the_look_itself_bites(engine, say, autojump_clock):
    """A lost envelope, one ended twice, and a place given back twice: each is seen."""
    async with engine(partition_count=1) as gateway:
        gateway.suspend("bot")
        await gateway.submit(say.message(ttl=30))
        law, partition = Law(gateway), gateway._partitions[0]
        assert [] == law.look()
        (id_, delivery) = partition.deliveries.popitem()
        assert law.look()
        partition.deliveries[id_] = delivery
        partition.completion.dispositions[Disposition.EXPIRED] += 1
        assert law.look()
        partition.completion.dispositions[Disposition.EXPIRED] -= 1
        partition.admission.depth -= 1
        assert law.look()
        partition.admission.depth += 1
        assert [] == law.look()


# -- everything at once


class Weather:
    """What the platform does to attempts, drawn for each."""

    def __init__(self, say, seed: str) -> None:
        self._say = say
        self._rng = Random(f"weather {seed}")
        self.fair = False

    async def __call__(self, attempt) -> Answer | None:
        await trio.sleep(self._rng.randrange(5) / 4)
        say, roll = self._say, self._rng.randrange(40)
        if self.fair or roll >= 12:
            return None
        if roll == 0:
            await trio.sleep(1000)
        if roll == 1:
            return "no answer at all"
        errors = [
            say.limited(2), say.limited(1, scope="instance"), say.busy(), say.rejected(),
            say.rejected("room"), say.fatal(), say.unknown(), say.unknown(), say.refused(),
            ValueError("broken hook"),
        ]  # fmt: skip
        raise errors[roll - 2]


class Mixed:
    """Callers of every kind, an operator, and accidents; each with a generator of its own."""

    def __init__(self, gateway: Gateway, say, seed: str) -> None:
        self.gateway = gateway
        self._say = say
        self._seed = seed
        self.refs: list[Any] = []
        self.tickets: list[Any] = []
        self.refusals: Counter[str] = Counter()

    def envelope(self, rng: Random) -> Any:
        where = {"instance_id": rng.choice(["a", "b"]), "external_room_id": f"{rng.randrange(4)}"}
        how = {
            "priority": rng.choice(["urgent", "normal", "bulk"]),
            "order": rng.choice(["room", "room", "none"]),
            "ttl": rng.choice([None, 0.5, 3, 20]),
            "on_unknown": rng.choice(["retry", "give_up"]),
            "key": rng.choice([None, None, f"k{rng.randrange(6)}"]),
        }
        kind = rng.randrange(10)
        target = rng.choice(self.refs[-3:]) if self.refs else None
        if kind < 4 and target is not None:
            where = {
                "instance_id": target.instance_id,
                "external_room_id": target.external_room_id,
            }
            if kind == 0:
                return Delete(target=target, **where, **how)
            text = f"edit {rng.randrange(9)}"
            return Edit(target=target, text=text, interim=rng.random() < 0.4, **where, **how)
        if kind == 4:
            return Call(method="typing", **where, **how)
        later = EPOCH + trio.current_time() + 2 if kind == 5 else None
        thread = rng.choice([None, "t"])
        text = rng.choice(["hello", "xx", "yy", "zz"])
        return self._say.message(
            where["external_room_id"],
            text,
            instance_id=where["instance_id"],
            thread_id=thread,
            not_before=later,
            **how,
        )

    async def caller(self, n: int) -> None:
        rng = Random(f"caller {n} {self._seed}")
        for _ in range(6):
            await trio.sleep(rng.randrange(6) / 4)
            with trio.move_on_after(rng.choice([0.25, 2, 1000])):
                await self._one(rng)

    async def _one(self, rng: Random) -> None:
        try:
            ticket = await self.gateway.submit(self.envelope(rng), wait=rng.random() < 0.7)
        except Refused as refusal:
            self.refusals[type(refusal).__name__] += 1
            return
        self.tickets.append(ticket)
        envelope = ticket._delivery.envelope
        if envelope.operation == "send":
            self.refs.append(ticket.ref)
        if rng.random() < 0.2:
            await self.gateway.cancel(ticket)
        elif rng.random() < 0.5:
            await ticket.receipt()

    async def operator(self) -> None:
        rng = Random(f"operator {self._seed}")
        for _ in range(8):
            await trio.sleep(rng.randrange(1, 6) / 4)
            name = rng.choice(["a", "b"])
            what = rng.randrange(5)
            if what == 0:
                self.gateway.suspend(name)
            elif what == 1:
                self.gateway.replace_instance(Instance(name, "fake", FakeSettings("new")))
            elif what == 2:
                await self.gateway.remove_instance(name, drain=rng.choice([0, 1]))
                self.gateway.add_instance(Instance(name, "fake", FakeSettings()))
            else:
                self.gateway.resume(name)

    async def accidents(self) -> None:
        rng = Random(f"accidents {self._seed}")
        for _ in range(rng.randrange(4)):
            await trio.sleep(rng.randrange(1, 9) / 4)
            nursery = rng.choice(self.gateway._partitions).workers.nursery
            if nursery is not None:
                nursery.start_soon(_die)


async def _die() -> None:
    raise ValueError("a worker's task")


def _limits(room: str, _operation: str) -> list[Limit]:
    return [Limit(f"room {room}", 2, 1.0, "window"), Limit("account", 20, 1.0)]


def _settings(rng: Random) -> dict[str, Any]:
    return {
        "instances": ["a", "b"],
        "partition_count": rng.randint(1, 3),
        "partition_bound": rng.choice([2, 5, 1000]),
        "room_bound": rng.choice([1, 3, 1000]),
        "attempts_per_partition": rng.choice([1, 2, 8]),
        "attempt_timeout": 10,
        "shed": rng.random() < 0.5,
        "when_suspended": rng.choice(["wait", "end", "refuse"]),
        "circuit": CircuitSettings(window=rng.choice([2, 20])),
        "retries": RetrySettings(attempts=rng.choice([1, 2, 6])),
        "drain_timeout": rng.choice([0, 5, 10_000]),
    }


async def _scenario(new_engine, say, seed: str) -> tuple[Law, Mixed]:
    rng = Random(f"settings {seed}")
    weather, ends = Weather(say, seed), Ends()
    traits = Traits(independent_threads=rng.random() < 0.5)
    channel = FakeChannel(limits=_limits, script=weather, traits=traits)
    settings = _settings(rng)
    async with new_engine()(channel, plugins=[Shedding(), ends], **settings) as gateway:
        law, mixed = Law(gateway), Mixed(gateway, say, seed)
        trio.lowlevel.add_instrument(law)
        async with trio.open_nursery() as nursery:
            for n in range(6):
                nursery.start_soon(mixed.caller, n)
            nursery.start_soon(mixed.operator)
            nursery.start_soon(mixed.accidents)
            await trio.sleep(20)
            nursery.cancel_scope.cancel()
        weather.fair = True
        for name in ("a", "b"):
            if any(name == i.id for i in gateway.statistics().instances):
                gateway.resume(name)
    trio.lowlevel.remove_instrument(law)
    _judge(gateway, law, mixed, ends)
    return law, mixed


def _judge(gateway: Gateway, law: Law, mixed: Mixed, ends: Ends) -> None:
    assert [] == law.broken
    now = gateway.statistics()
    assert 0 == now.unfinished
    assert now.accepted == len(ends.ends)
    assert all(1 == len(ended) for ended in ends.ends.values())
    assert now.dispositions == Counter(ended[0] for ended in ends.ends.values())
    assert mixed.refusals.total() <= now.refused
    for ticket in mixed.tickets:
        assert ticket.ended
        assert ends.ends[ticket.id] == [ticket._delivery.receipt.disposition]


def test_the_law_holds_after_every_step_of_mixed_scenarios(new_engine, say):
    total: Counter[str] = Counter()
    for n in range(50):
        law, mixed = run_seeded(f"mixed {n}", _scenario, new_engine, say, f"{n}")
        total["steps"] += law.steps
        total.update(ticket._delivery.receipt.disposition.value for ticket in mixed.tickets)
        total.update(mixed.refusals)
    assert 5_000 < total["steps"]
    # Every way to end was walked, so that the law was tried on each.
    assert {ending.value for ending in Disposition} <= set(total)
    assert {"Overloaded", "InstanceSuspended"} <= set(total)
