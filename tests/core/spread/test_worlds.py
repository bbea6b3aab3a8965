"""Worlds of three processes whose accounts move, which die and come back: nothing is lost."""

from collections import defaultdict
from random import Random

import attrs
import pytest
import trio

from gateway_core import Disposition, GatewayClosed, OutboxError
from gateway_core.testing import FakeChannel, open_test_gateway
from tests.shared.amounts import amount
from tests.shared.spread_in_memory import Member, Store

ACCOUNTS = ("one", "two", "three")
ROOMS = ("a", "b")
SECONDS = 60


@attrs.define(eq=False)
class Process:
    """One that opens, serves, and closes or dies, and opens again."""

    world: "World"
    member: object = None
    gateway: object = None
    channel: object = None
    ends: object = None

    async def run(self):
        while not self.world.over.is_set():
            self.member = Member(self.world.store)
            self.channel = FakeChannel(script=self.world.perform)
            self.ends = trio.Event()
            async with open_test_gateway(
                self.channel, instances=ACCOUNTS, outbox=self.member, drain_timeout=5.0
            ) as opened:
                self.gateway = opened
                self.world.spread()
                await self.ends.wait()
                self.gateway = None
                self.world.spread()
            self.member = None
            await trio.sleep(self.world.rng.uniform(0.1, 3))


class World:
    def __init__(self, seed):
        self.rng = Random(seed)
        self.store = Store(latency=self.rng.choice((0.01, 0.05, 0.5)))
        self.over = trio.Event()
        self.processes = [Process(self) for _ in range(3)]
        self.asked, self.sent = [], defaultdict(list)
        self.tickets = {}
        self.cancelled, self.maybe = set(), set()
        self.count = 0

    async def perform(self, attempt):
        await trio.sleep(self.rng.choice((0.0, 0.05, 0.5, 2.0)))
        if attempt.part is not None:
            self.sent[attempt.instance_id, attempt.room].append(attempt.part.payload["text"])

    def living(self):
        return [each for each in self.processes if each.gateway is not None]

    def spread(self):
        """Each account is to be some living one's."""
        members = [each.member for each in self.living()]
        for account in ACCOUNTS:
            self.store.give(account, self.rng.choice(members) if members else None)

    async def send(self):
        living = self.living()
        if not living:
            return
        gateway, rng = self.rng.choice(living).gateway, self.rng
        self.count += 1
        place, text = (rng.choice(ACCOUNTS), rng.choice(ROOMS)), f"{self.count}"
        key = f"k{self.count}" if rng.random() < 0.5 else None
        try:
            ticket = await gateway.enqueue(*place, text, key=key)
        except (GatewayClosed, OutboxError):
            return
        self.asked.append((place, text, gateway))
        self.tickets[text] = ticket
        if rng.random() < 0.1:
            await trio.sleep(rng.uniform(0, 1))
            try:
                if await gateway.cancel(ticket):
                    self.cancelled.add(text)
            except (GatewayClosed, OutboxError):  # nobody was there to tell what became of it
                self.maybe.add(text)

    async def act(self, nursery):
        while trio.current_time() < SECONDS:
            await trio.sleep(self.rng.uniform(0, 0.4))
            what = self.rng.random()
            if what < 0.75:
                nursery.start_soon(self.send)
            elif what < 0.88:
                self.spread()
            elif what < 0.93 and len(self.living()) > 1:
                self.rng.choice(self.living()).ends.set()
            elif what < 0.95:
                self.store.away = True
                await trio.sleep(self.rng.uniform(0, 3))
                self.store.away = False
                self.spread()

    async def run(self):
        async with trio.open_nursery() as processes:
            for process in self.processes:
                processes.start_soon(process.run)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.act, nursery)
            await self.settle()
            self.look()
            self.over.set()
            for process in self.processes:
                if process.ends is not None:
                    process.ends.set()

    async def settle(self):
        """Wait until nothing is unfinished, and whoever waits has heard of it."""
        for _ in range(600):
            await trio.sleep(1)
            if not self.store.waits:
                break
        await trio.sleep(5)

    def look(self):
        assert 0 == len(self.store.rows)
        assert [] == [row.request for row in self.store.handed if row.waits]
        for place, text, gateway in self.asked:
            times = self.sent[place].count(text)
            if text in self.maybe:
                assert times in (0, 1), text
                continue
            assert (text not in self.cancelled) == times, text
            ticket = self.tickets[text]
            living = [each.gateway for each in self.living()]
            if gateway in living and not ticket._delivery.stored:
                assert ticket.ended, text
                wanted = Disposition.CANCELLED if text in self.cancelled else Disposition.DELIVERED
                assert wanted == ticket._delivery.receipt.disposition
        for gateway in (each.gateway for each in self.living()):
            statistics = gateway.statistics()
            assert (0, 0) == (statistics.unfinished, statistics.stored)
            assert 0 == sum(part.depth for part in statistics.partitions)


@pytest.mark.parametrize("seed", range(amount("worlds of accounts that move")))
async def test_nothing_is_lost_or_sent_twice_wherever_accounts_go(seed, autojump_clock):
    with trio.fail_after(5000):
        await World(seed).run()


async def speak(world, process, room, name):
    for number in range(40):
        await process.gateway.enqueue("one", room, f"{name} {number}")
        await trio.sleep(world.rng.uniform(0, 0.3))


@pytest.mark.parametrize("seed", range(amount("orders over moves")))
async def test_what_one_caller_says_in_a_room_keeps_its_order_over_moves(seed, autojump_clock):
    world = World(seed)
    async with trio.open_nursery() as nursery:
        for process in world.processes:
            nursery.start_soon(process.run)
        await trio.sleep(1)
        async with trio.open_nursery() as speakers:
            for number, process in enumerate(world.processes):
                for room in ROOMS:
                    speakers.start_soon(speak, world, process, room, f"{number}{room}")
            for _ in range(20):
                await trio.sleep(world.rng.uniform(0, 1.5))
                world.spread()
        await world.settle()
        world.over.set()
        for process in world.processes:
            process.ends.set()
    for room in ROOMS:
        for name in (f"{number}{room}" for number in range(3)):
            said = [text for text in world.sent["one", room] if text.startswith(f"{name} ")]
            assert [f"{name} {number}" for number in range(40)] == said
