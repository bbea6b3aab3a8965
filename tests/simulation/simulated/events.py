"""Makes things happen at drawn times: crashes, revocations, suspensions, rooms that go."""

from __future__ import annotations

from typing import Any

import trio
from simulated.drawing import Setup
from simulated.platforms import Platforms
from simulated.ports import Ports
from simulated.spending import KIND

from gateway_core import Gateway

RETURNS = (0.5, 2.0, 5.0)
JUMPS = (-3600.0, -5.0, 2.0, 600.0)
"""Seconds by which the wall clock is set."""


class Crash(Exception):
    """Kills a partition's task."""


class Events:
    """Carries out the events of a setup."""

    def __init__(self, setup: Setup, ports: Ports, platforms: Platforms, gateway: Gateway) -> None:
        self._setup = setup
        self._ports = ports
        self._ledger = ports.ledger
        self._platforms = platforms
        self._gateway = gateway
        self._random = setup.generator(f"events {ports.ledger.life}")

    async def run(self) -> None:
        """Carry out each event at its time, while trouble is on; an event ends with its life."""
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._weather)
            for at, what, which in self._setup.trouble.events:
                if at < begun:
                    continue
                await trio.sleep_until(at)
                if not self._ports.on or self._ledger.ending:
                    break
                self._ledger.note("event", what)
                self._ledger.faults += 1
                nursery.start_soon(getattr(self, f"_{what}"), which)

    async def _weather(self) -> None:
        """Begin what happens to a platform for a while; that goes on from life to life."""
        begun = trio.current_time()
        for at, what, which, seconds in self._setup.trouble.weather:
            if at < begun:
                continue
            await trio.sleep_until(at)
            if not self._ports.on or self._ledger.ending:
                break
            self._ledger.note("weather", what, seconds)
            self._ledger.faults += 1
            url = self._instance(which).settings.base_url
            if what != KIND:  # others spend on, whatever becomes of this life
                self._platforms.begin(what, which, url, at + seconds)

    async def _cancel(self, which: int) -> None:
        """A partition's task is cancelled from within."""
        nursery = self._nursery(which)
        if nursery is not None:
            nursery.cancel_scope.cancel()
        await trio.lowlevel.checkpoint()

    async def _raise(self, which: int) -> None:
        """Something in a partition's nursery raises."""

        async def crash() -> None:
            await trio.lowlevel.checkpoint()
            raise Crash

        nursery = self._nursery(which)
        if nursery is not None:
            nursery.start_soon(crash)
        await trio.lowlevel.checkpoint()

    def _nursery(self, which: int) -> Any:
        partitions = self._gateway._partitions
        return partitions[which % len(partitions)].workers.nursery

    def _instance(self, which: int) -> Any:
        instances = list(self._platforms.instances.values())
        return instances[which % len(instances)]

    async def _revoke(self, which: int) -> None:
        """A token is refused for a while."""
        instance = self._instance(which)
        emulator = self._platforms.of(instance.id)
        token = instance.settings.token.reveal()
        emulator.revoke(token)
        await trio.sleep(self._random.choice(RETURNS))
        emulator.restore(token)

    async def _suspend(self, which: int) -> None:
        """The application holds an instance for a while."""
        instance = self._instance(which)
        if instance.id in self._ledger.absent:
            return
        self._gateway.suspend(instance.id)
        self._ledger.held.add(instance.id)
        await trio.sleep(self._random.choice(RETURNS))
        self.release(instance.id)

    def release(self, instance_id: str) -> None:
        """The application resumes the instance."""
        if instance_id in self._ledger.held:
            self._ledger.held.discard(instance_id)
            self._ledger.lifted(instance_id)
            self._gateway.resume(instance_id)

    def see_to(self) -> None:
        """The application resumes instances if nobody can find out that they work again."""
        for instance in self._gateway.statistics().instances:
            if instance.suspended and instance.id not in self._ledger.absent:
                self._ledger.lifted(instance.id)
                self._gateway.resume(instance.id)

    async def _replace(self, which: int) -> None:
        """The application has another token; the old token is refused from now on."""
        instance = self._instance(which)
        if instance.id in self._ledger.absent:
            return
        self._ledger.held.discard(instance.id)
        self._ledger.lifted(instance.id)
        self._gateway.replace_instance(self._platforms.renewed(instance.id))
        await trio.lowlevel.checkpoint()

    async def _room(self, which: int) -> None:
        """A room is gone for good."""
        place = self._setup.places[which % len(self._setup.places)]
        self._platforms.lose_room(place)
        await trio.lowlevel.checkpoint()

    async def _move(self, which: int) -> None:
        """A group becomes a supergroup."""
        groups = [p for p in self._setup.places if p.room.startswith("-") and p.thread is None]
        if groups:
            group = groups[which % len(groups)]
            if group.room not in self._platforms.topics:
                self._platforms.of(group.instance).migrate_room(group.room)
        await trio.lowlevel.checkpoint()

    async def _remove(self, which: int) -> None:
        """An instance is taken out, and taken in again after a while."""
        instance, gateway, ledger = self._instance(which), self._gateway, self._ledger
        if instance.id in ledger.absent:
            return
        drain = self._random.choice([0.0, 1.0])
        ledger.leaves(instance.id)
        await gateway.remove_instance(instance.id, drain=drain)
        await trio.sleep(self._random.choice(RETURNS))
        ledger.comes_back(instance.id)
        gateway.add_instance(self._platforms.instances[instance.id])

    async def _jump(self, which: int) -> None:
        """Somebody sets the wall clock."""
        self._ledger.jump(JUMPS[which % len(JUMPS)])
        await trio.lowlevel.checkpoint()
