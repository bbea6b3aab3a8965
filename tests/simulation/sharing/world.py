"""Makes a world of a shared outbox with several gateways, from a seed to the final checks."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Any
from unittest.mock import patch

import attrs
import httpx2
import structlog
import trio
from sharing.applications import Applications
from sharing.callers import Callers
from sharing.laws import Laws, word_of
from sharing.member import MEMBER, Member
from sharing.operators import Operators
from sharing.outbox import SharedOutbox, world_of
from sharing.plans import (
    EMULATED,
    GRID,
    Blow,
    Setup,
    Wire,
    draw,
    draw_sourced,
    draw_spread,
    version_of,
)
from sharing.server import Server
from sharing.spread_statements import STATEMENTS
from simulated.lives import LIFE, Killed, Life
from simulated.world import BREAKS, NEVER_RAISED, Violation

from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_contrib.emulators.faults import FaultPlan
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_contrib.postgres.spreading.balance import Member as Share
from gateway_contrib.postgres.spreading.balance import home
from gateway_core import GatewayError, Instance, open_gateway
from gateway_core.http import transport_factory
from gateway_core.plugins import calling
from gateway_core.plugins import loader as plugins
from gateway_core.testing import Network, open_network, run_seeded
from gateway_plugin_discord import hooks as discord
from gateway_plugin_slack import hooks as slack
from gateway_plugin_telegram import hooks as telegram

EMULATORS: Mapping[str, Any] = {
    "telegram": TelegramEmulator, "slack": SlackEmulator, "discord": DiscordEmulator,
}  # fmt: skip
HOOKS = {"telegram": telegram, "slack": slack, "discord": discord}
LATE = (3.0, 8.0, 24.0)
PATIENCE = 900.0
"""Seconds of calm within which every envelope must have ended."""
MOST_STEPS = 100_000
"""Steps of tasks at one instant after which nothing useful happens any more."""
DOWN = (0.25, 1.0, 4.0, 15.0)
"""Seconds until a process that has ended is started again."""


@attrs.frozen(kw_only=True)
class Outcome:
    """The outcome of a world."""

    seed: int
    messages: int
    faults: int
    kills: int
    happened: Mapping[str, int]
    digest: str
    trace: tuple[str, ...] = attrs.field(repr=False)


def simulate(seed: int) -> Outcome:
    """Make the world of a seed. Raises `Violation` at the first thing that does not hold."""
    return made(draw(seed))


def simulate_spread(seed: int) -> Outcome:
    """Like `simulate`, with accounts that are spread over processes."""
    return made(draw_spread(seed))


def simulate_sourced(seed: int) -> Outcome:
    """Like `simulate_spread`, with accounts that a source gives when they are needed."""
    return made(draw_sourced(seed))


def made(setup: Setup) -> Outcome:
    """Make the world of any setup."""
    world = World(setup)
    laws, seed = world.laws, setup.seed
    nothing = patch.object(plugins, "discover", lambda _: ([], []))
    known = patch.object(plugins, "unknown_names", lambda *_: [])
    timeless = patch.object(calling, "perf_counter", float)
    with (
        nothing,
        known,
        timeless,
        world_of(setup.generator("ids"), counts=setup.bound is not None),
        _logs_to(laws),
    ):
        try:
            run_seeded(f"shared schedule:{seed}", world.run)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            laws.violations.append(f"the world fell: {_innermost(error)}")
            raise Violation(seed, laws.violations, laws.trace) from error
    if laws.violations:
        raise Violation(seed, laws.violations, laws.trace)
    return Outcome(
        seed=seed,
        messages=len(laws.entries),
        faults=sum(laws.happened[blow.kind] for blow in setup.blows) + world.faults,
        kills=laws.happened["kills"],
        happened=dict(laws.happened),
        digest=hashlib.sha256("\n".join(laws.trace).encode()).hexdigest(),
        trace=tuple(laws.trace),
    )


def _innermost(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


@contextmanager
def _logs_to(laws: Laws) -> Iterator[None]:
    def take(_: Any, level: str, event: dict[str, Any]) -> dict[str, Any]:
        event.pop("exc_info", None)
        member = MEMBER.get(None)
        laws.note(f"log {level}", member.name if member is not None else "", event)
        own = event["event"] in BREAKS and event["error"] in NEVER_RAISED
        laws.expect(not own, f"{event.get('error')} at {event.get('where')}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[take])
    try:
        yield
    finally:
        structlog.configure(**before)


class Steps(trio.abc.Instrument):
    """Stops a world in which time does not move any more."""

    def __init__(self, laws: Laws) -> None:
        self._laws = laws
        self._at = -1.0
        self._count = 0
        self.scope = trio.CancelScope()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count a step, at the same instant or at a later one."""
        now = trio.current_time()
        self._count = self._count + 1 if now == self._at else 0
        self._at = now
        if self._count == MOST_STEPS:
            self._laws.violations.append(f"{MOST_STEPS} steps at one instant, lately {task.name}")
            self._laws.note("steps", task.name, task.coro)
            self.scope.cancel()
            raise KeyboardInterrupt


class Transport(httpx2.AsyncBaseTransport):
    """The transport of a member's requests."""

    def __init__(self, network: Network, member: Member) -> None:
        self._below = network.transport()
        self._member = member

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Connect, check ownership for the last time, write, and wait for the answer."""
        member, world = self._member, self._member.world
        await member.port()
        if trio.current_time() < member.away_until:
            raise httpx2.ConnectError("no route to host")
        await trio.sleep(world.connecting())
        await member.port()
        trace = request.extensions.get("trace")
        if trace is not None:
            await trace("http11.send_request_headers.started", {})
        if member.stops_writing is not None:
            member.stop(member.stops_writing)
            member.stops_writing = None
        stopped = trio.current_time() < member.stopped_until
        await member.port()
        body = await request.aread()
        instance = world.instance_at(request.url.host)
        word = word_of(body)
        epoch = world.laws.written(member, instance, word, id(request), stopped=stopped)
        try:
            return await self._answered(request, body)
        finally:
            world.laws.answered(member, instance, word, epoch, id(request))

    async def _answered(self, request: httpx2.Request, body: bytes) -> httpx2.Response:
        member = self._member
        timeouts = {"timeout": request.extensions.get("timeout", {})}
        below = httpx2.Request(
            request.method, request.url, headers=request.headers, content=body, extensions=timeouts
        )
        response = await self._below.handle_async_request(below)
        await member.port()
        return response


class World:
    """Server, platforms, members, applications, and what happens to them."""

    nursery: trio.Nursery

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.wire = Wire(setup)
        self.server = Server(STATEMENTS)
        self.laws = Laws(setup, self.server)
        self.server.committed = self.laws.committed
        self.on = True
        self.members: list[Member | None] = [None] * setup.members
        self._network_random = setup.generator("network")
        self._lives = setup.generator("lives")
        self._source = setup.generator("source")
        self.versions: Counter[str] = Counter()
        self._plans = [
            FaultPlan(seed=f"{instance.id}:{setup.seed}", rates=setup.faults)
            for instance in setup.config.instances
        ]
        self.emulators = {
            instance.id: EMULATORS[instance.channel](
                faults=plan, **({"limits": EMULATED[instance.channel]} if setup.tight else {})
            )
            for instance, plan in zip(setup.config.instances, self._plans, strict=True)
        }
        self._hosts = {
            httpx2.URL(instance.settings.base_url).host: instance.id
            for instance in setup.config.instances
        }
        self.callers = Callers(self)
        self.applications = Applications(self)
        self.operators = Operators(self)
        self._over = False

    @property
    def faults(self) -> int:
        """How many requests the platforms failed."""
        return sum(plan.counts.total() for plan in self._plans)

    def instance_at(self, host: str) -> str:
        """The instance whose requests go to this host."""
        return self._hosts[host]

    def connecting(self) -> float:
        """Seconds until a connection is open."""
        slow = self.on and self._network_random.random() < self.setup.slow
        return self._network_random.choice([2.0, 6.0, 9.0]) if slow else 0.0

    def _latency(self) -> tuple[float, float]:
        rng = self._network_random
        up, down = rng.choice(self.setup.trips), rng.choice(self.setup.trips)
        if self.on and rng.random() < self.setup.late:
            up += rng.choice(LATE)
        return up, down

    # -- all of it

    async def run(self) -> None:
        """Run the world: trouble, calm, and the final checks."""
        setup = self.setup
        async with open_network() as network, trio.open_nursery() as nursery:
            self.nursery = nursery
            for instance in setup.config.instances:
                app = self.emulators[instance.id].app
                network.mount(instance.settings.base_url, app, latency=self._latency)
            nursery.start_soon(self.server.keep_house)
            nursery.start_soon(self._blows)
            for blow in setup.suspensions:
                nursery.start_soon(self._suspended, blow)
            for at in setup.renewals:
                nursery.start_soon(self._renewed, at)
            for number in range(setup.members):
                nursery.start_soon(self._slot, number, network)
            for number in range(setup.applications):
                nursery.start_soon(self.applications.run, number)
            for number in range(setup.producers):
                nursery.start_soon(self.applications.produce, number)
            try:
                await trio.sleep_until(setup.lasts)
                self._calm()
                await self._drained()
            finally:
                self._over = True
                for member in (*self.members, *self.applications.members):
                    if member is not None:
                        member.life.fall()
            nursery.cancel_scope.cancel()
        messages = [
            message
            for emulator in self.emulators.values()
            for room in emulator.rooms.names()
            for message in emulator.rooms.all(room)
        ]
        limited = {name: each.limited.total() for name, each in self.emulators.items()}
        self.laws.judge(messages, limited)

    def _calm(self) -> None:
        self.laws.note("calm")
        self.on = self.wire.on = False
        for plan in self._plans:
            plan.stop()

    async def _drained(self) -> None:
        """Wait until every accepted envelope has ended, and all accounts have their owners."""
        rows, end = self.server.rows, trio.current_time() + PATIENCE
        quiet = 0
        while quiet < 3 or not self._balanced():
            await trio.sleep(1.0)
            waits = any(not row.answered for row in rows.handed.values())
            busy = self.callers.busy + self.applications.busy + self.callers.left
            busy += self.operators.busy
            quiet = 0 if rows.envelopes or waits or busy else quiet + 1
            if self.laws.violations:
                return
            if trio.current_time() > end:
                left = [kept.row[1] for kept in rows.envelopes.values()]
                text = f"{len(left)} are unfinished, {waits=} {busy=} {self._balanced()=}"
                self.laws.note("owned", *rows.accounts.items(), *rows.members.items())
                self.laws.expect(False, f"in {PATIENCE:g} s of calm {text}")
                return

    def _balanced(self) -> bool:
        """Whether each account is owned by the member that is to own it, if accounts are spread.

        An account of a source that has nothing to do is owned by nobody.
        """
        rows = self.server.rows
        members = [
            Share(member=key, name=it.name, weight=it.weight, ready=it.ready, lacks=it.lacks)
            for key, it in rows.members.items()
            if it.weight is not None
        ]
        return not self.setup.spread or all(
            it.member == (None if it.idle else home(name, members, it.pinned))
            for name, it in rows.accounts.items()
        )

    # -- processes

    async def _slot(self, number: int, network: Network) -> None:
        """Run one process after the other."""
        count = 0
        while not self._over:
            life = Life(count)
            name = f"{'abcd'[number]}{count}"
            member = Member(self, name, life, Random(f"{name}:{self.setup.seed}"))
            self.members[number] = member
            async with trio.open_nursery() as nursery:
                nursery.start_soon(life.bury)
                nursery.start_soon(self._lived, member, network)
                await life.over.wait()
                nursery.cancel_scope.cancel()
            self.members[number] = None
            self.laws.note("over", name)
            self.laws.happened["kills"] += life.dead and not self._over
            await trio.sleep(self._lives.choice(DOWN))
            count += 1

    async def _lived(self, member: Member, network: Network) -> None:
        MEMBER.set(member)
        life = member.life
        LIFE.set(life)
        life.task = trio.lowlevel.current_task()
        transport_factory.set(lambda: Transport(network, member))
        try:
            with life.scope:
                await self._opened(member)
        except BaseException as error:
            if not life.dead:
                self.laws.note("ended", member.name, _innermost(error))
                raise
        finally:
            life.over.set()

    async def _opened(self, member: Member) -> None:
        setup, config = self.setup, self.setup.config
        if setup.bound is not None:
            config = attrs.evolve(config, outbox_capacity=setup.bound)
        if setup.source is not None:
            config = attrs.evolve(config, instances=(), instance_source=setup.source)
        try:
            async with open_gateway(
                config,
                plugins=[(channel, HOOKS[channel]) for channel in self._channels()],
                outbox=SharedOutbox(member),
                rng=setup.generator(f"gateway {member.name}"),
                wall_clock=member.wall,
                instance_source=None if setup.source is None else partial(self._given, member),
            ) as gateway:
                member.life.gateway = gateway
                self.laws.note("open", member.name)
                async with trio.open_nursery() as nursery:
                    for _ in range(setup.callers):
                        nursery.start_soon(self.callers.call, member, gateway)
                    await member.ends_gently.wait()
                    nursery.cancel_scope.cancel()
        except GatewayError as error:
            self.laws.note("not open", member.name, error)
            await trio.sleep(GRID)

    async def _given(self, member: Member, instance_id: str) -> Instance | None:
        """The account that a source gives, after a while; now and then it fails."""
        setup, rng = self.setup, self._source
        known = {instance.id: instance for instance in setup.config.instances}
        found = known.get(instance_id)
        if found is not None and setup.renewals:
            found = version_of(found, self.versions[instance_id])
        await trio.sleep(rng.choice(setup.looks) if self.on else 0.0)
        await member.port()
        fails = self.on and rng.random() < setup.failing
        self.laws.note("looked up", member.name, instance_id, "FAILS" if fails else "")
        self.laws.happened["looked up"] += 1
        if fails:
            raise OSError("the source is away")
        return found

    def _channels(self) -> list[str]:
        return sorted({instance.channel for instance in self.setup.config.instances})

    # -- what happens to them

    async def _blows(self) -> None:
        for blow in self.setup.blows:
            await trio.sleep_until(blow.at)
            member = self._struck(blow)
            if blow.kind == "restart":
                self.laws.note("restart", blow.seconds)
                self.server.restart(min(blow.seconds, 3.0))
                self.laws.happened["restart"] += 1
            elif member is not None:
                self.laws.note(blow.kind, member.name, blow.seconds)
                self.laws.happened[blow.kind] += 1
                if blow.kind in ("move", "drain"):
                    self.nursery.start_soon(self.operators.ask, blow, member)
                else:
                    _STRIKES[blow.kind](member, blow.seconds)

    async def _suspended(self, blow: Blow) -> None:
        await trio.sleep_until(blow.at)
        await self.operators.suspend(blow)

    async def _renewed(self, at: float) -> None:
        await trio.sleep_until(at)
        await self.operators.renew()

    def _struck(self, blow: Blow) -> Member | None:
        if blow.whose is not None:
            return self.members[blow.whose]
        there = [member for member in self.members if member is not None]
        if self.setup.spread:
            accounts = self.server.rows.accounts.items()
            owners = {it.member for name, it in accounts if name}
            owning = [member for member in there if member.id in owners]
            return self._lives.choice(owning) if owning else None
        owner = self.server.rows.accounts[""].member
        return next((member for member in there if member.id == owner), None)


def _kill(member: Member, _: float) -> None:
    member.life.fall()


def _kill_at_a_port(member: Member, seconds: float) -> None:
    member.dies_in = round(seconds * 3) + 1


def _stop(member: Member, seconds: float) -> None:
    member.stop(seconds)


def _stop_at_a_write(member: Member, seconds: float) -> None:
    member.stops_writing = seconds


def _stop_at_a_renewal(member: Member, seconds: float) -> None:
    member.stops_renewing = seconds


def _cut(member: Member, seconds: float) -> None:
    member.cut_until = trio.current_time() + seconds


def _away(member: Member, seconds: float) -> None:
    member.away_until = trio.current_time() + seconds


def _end_sessions(member: Member, _: float) -> None:
    for connection in list(member.connections):
        connection.session.end()


def _leave(member: Member, _: float) -> None:
    member.ends_gently.set()


_STRIKES: Mapping[str, Any] = {
    "kill": _kill,
    "kill at a port": _kill_at_a_port,
    "stop": _stop,
    "stop at a write": _stop_at_a_write,
    "stop at a renewal": _stop_at_a_renewal,
    "cut": _cut,
    "away": _away,
    "end sessions": _end_sessions,
    "leave": _leave,
}

__all__ = ["Killed", "Outcome", "World", "made", "partial", "simulate", "simulate_spread"]
