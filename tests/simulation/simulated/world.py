"""Makes one world from its seed to its end: trouble, then calm, then all checks."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import attrs
import structlog
import trio
from simulated.bytes_stored import expect_stored
from simulated.callers import Callers
from simulated.checks import Checks
from simulated.connections import Wires
from simulated.crowd import Crowd
from simulated.drain import longest_afterwards, longest_drain
from simulated.drawing import GRID, Ending, Setup, draw
from simulated.events import Events
from simulated.ledger import HAIR, LONGEST_COMMIT, Ledger
from simulated.lives import LIFE, Life
from simulated.platforms import Platforms
from simulated.ports import REAL, Ports, Rude, Witness, adapter, taken
from simulated.posters import Posters
from simulated.repliers import Repliers
from simulated.senders import Senders
from simulated.spending import KIND, Spending, others_url
from simulated.uploads import Cutting
from simulated.vault import Clerk, Vault, read
from simulated.watch import Steps, Violated, Watch
from simulated.writers import Writers

from gateway_contrib.durable.committer import LONGEST_PAUSE
from gateway_core import Gateway, OutboxError, Send, open_gateway
from gateway_core.authors import Attempt
from gateway_core.backlog.capacity import Capacity
from gateway_core.files.keeper import KeptFiles
from gateway_core.groups.feeding import AGAIN
from gateway_core.http import transport_factory
from gateway_core.plugins import calling
from gateway_core.plugins import loader as plugins
from gateway_core.scheduling.partitioning import strategy
from gateway_core.submission.door import Door
from gateway_core.testing import Network, open_network, run_seeded

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a new folder in it, removed
STORING = 5.0
"""Seconds in which callers that have files hear that the gateway has closed."""
LONGEST_LEAVE = 25.0
"""Seconds that a session takes to close, and a little more."""

PATIENCE = 4_000.0
"""Seconds of calm after which all callers must have their answers."""


class Violation(AssertionError):
    """A world in which something did not hold. `seed` makes the world again."""

    def __init__(self, seed: int, found: list[str], trace: list[str]) -> None:
        self.seed = seed
        self.found = found
        self.trace = trace
        super().__init__(f"seed {seed}: {found[0] if found else '?'}")


@attrs.frozen(kw_only=True)
class Outcome:
    """The outcome of a world: accepted envelopes, injected faults, kills, a digest of the trace.

    steps  of each life, as far as they were counted
    """

    seed: int
    messages: int
    faults: int
    kills: int
    steps: tuple[int, ...]
    rests: int
    ended: Mapping[str, int]
    digest: str
    trace: tuple[str, ...] = attrs.field(repr=False)


class Jitter(Random):
    """Backoff on the grid: a quarter, a half or three quarters of every ceiling, or nothing."""

    def random(self) -> float:
        return self.getrandbits(2) / 4

    getrandbits = Random.getrandbits


class ProbeJitter(Random):
    """The wait for a probe: mostly its ceiling, which is on the grid, else a shorter wait."""

    def random(self) -> float:
        return 1.0 - max(0, self.getrandbits(3) - 4) / 3

    getrandbits = Random.getrandbits


def simulate(seed: int) -> Outcome:
    """Make the world of a seed. Raises `Violation` at the first thing that does not hold."""
    return made(draw(seed), seed)


def made(setup: Setup, seed: int, callers: type[Callers] = Callers) -> Outcome:
    """Make the world of any setup; `seed` is the world's name."""
    ledger = Ledger(setup)
    world = World(setup, ledger, callers)
    steps = Steps(ledger)
    # No installed plugin is used: looking for plugins would take a third of the time.
    nothing = patch.object(plugins, "discover", lambda _: ([], []))
    calls = patch.object(Door, "submit", _calling(ledger))
    timeless = patch.object(calling, "perf_counter", float)  # it would show the machine's load
    with (
        _logs_to(ledger),
        nothing,
        calls,
        timeless,
        patch.object(Capacity, "came", _storing(ledger)),
        patch.object(Capacity, "reopened", _reopening(ledger)),
        patch.object(KeptFiles, "look_at", _looking(ledger)),
    ):
        try:
            run_seeded(f"schedule:{seed}", world.run, steps)
        except BaseException as error:
            if not ledger.violations:
                ledger.violations.append(f"the world fell: {_innermost(error)}")
                raise Violation(seed, ledger.violations, ledger.trace) from error
    if ledger.violations:
        raise Violation(seed, ledger.violations, ledger.trace)
    return Outcome(
        seed=seed,
        messages=len(ledger.entries),
        faults=ledger.faults + world.platforms.faults,
        kills=world.kills,
        steps=tuple(world.steps),
        rests=world.rests,
        ended={str(d): n for d, n in sorted(ledger.all_ended.items()) if n},
        digest=hashlib.sha256("\n".join(ledger.trace).encode()).hexdigest(),
        trace=tuple(ledger.trace),
    )


BREAKS = (
    "gateway.envelope_crashed", "gateway.partition_restarted", "gateway.hook_failed",
    "gateway.outbox_broke",
)  # fmt: skip
NEVER_RAISED = (
    "AssertionError", "AttributeError", "IndexError", "KeyError", "NameError", "TypeError",
    "UnboundLocalError", "ValueError", "ZeroDivisionError",
)  # fmt: skip


def _innermost(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


@contextmanager
def _logs_to(ledger: Ledger) -> Iterator[None]:
    """Turn log events into lines of the trace, and look for secrets in exceptions, too.

    An error in the engine is one of the errors that the world raises, or a bug.
    """

    def take(_: Any, level: str, event: dict[str, Any]) -> dict[str, Any]:
        error = event.pop("exc_info", None)
        if error is not None:
            ledger.secret_places.append(f"{error} {error!r}")
        ledger.note(f"log {level}", event)
        if event["event"] == "gateway.group_ended":
            ledger.groups.told_end(event["group"], event)
        own = event["event"] in BREAKS and event["error"] in NEVER_RAISED
        ledger.expect(not own, f"{event.get('error')} at {event.get('where')}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[take])
    try:
        yield
    finally:
        structlog.configure(**before)


def _calling(ledger: Ledger) -> Any:
    """A `Door.submit` that lets the ledger see each envelope that comes."""
    real = Door.submit

    async def submit(self: Door, envelope: Any, **how: Any) -> Any:
        ledger.called(envelope)
        ledger.at_the_door[id(envelope)] = envelope
        try:
            return await real(self, envelope, **how)
        finally:
            del ledger.at_the_door[id(envelope)]

    return submit


def _looking(ledger: Ledger) -> Any:
    """A look at an envelope's files that lets the ledger know the envelope's new object."""
    real = KeptFiles.look_at

    async def look_at(self: KeptFiles, envelope: Any, fits: Any) -> Any:
        looked, found = await real(self, envelope, fits)
        ledger.looked_at(envelope, looked)
        return looked, found

    return look_at


def _storing(ledger: Ledger) -> Any:
    """Let the ledger know the moment at which an outbox has stored an envelope."""
    real = Capacity.came

    def came(self: Capacity, envelope_id: str, *of: Any) -> None:
        ledger.stored(envelope_id)
        real(self, envelope_id, *of)

    return came


def _reopening(ledger: Ledger) -> Any:
    """Let the ledger know the moment at which an ended envelope is unfinished again."""
    real = Capacity.reopened

    def reopened(self: Capacity, envelope_id: str, *of: Any, over: bool) -> None:
        ledger.reopened(envelope_id)
        real(self, envelope_id, *of, over=over)

    return reopened


def _accepting(
    ledger: Ledger, partition: int, accept: Any, delivery: Any, *given: Any, **named: Any
) -> None:
    ledger.accepted(delivery.envelope, partition)
    accept(delivery, *given, **named)


def _starting(ledger: Ledger, scheduler: Any, start: Any, lane: Any) -> None:
    """A lane gets its tokens; others with something to send may wait for one of them."""
    others = [
        other.queue[0]
        for room in scheduler.rooms.values()
        for other in room.lanes.values()
        if other.group is not None and other.queue and other.waits_at in lane.tokens
        and other.cause_at(other.waits_at) == "account limit"
    ]  # fmt: skip
    if lane.queue and others:
        head = lane.queue[0]
        waiting = [ledger.named(other.envelope, other.id) for other in others]
        first = ledger.named(head.envelope, head.id)
        if first is not None:
            ledger.groups.begins(first, [entry for entry in waiting if entry is not None])
    start(lane)


class World:
    """Network, platforms, one life of a gateway after the other, callers, and the watch."""

    def __init__(self, setup: Setup, ledger: Ledger, callers: type[Callers]) -> None:
        self.setup = setup
        self.ledger = ledger
        self.ports = Ports(setup, ledger)
        self.platforms = Platforms(setup, self.ports)
        self.callers = callers(setup, ledger, self.platforms.topics)
        given = setup, ledger, self.platforms, self.callers
        self.writers, self.repliers = Writers(*given), Repliers(*given)
        self.posters = Posters(setup, ledger, self.callers)
        self.senders = Senders(setup, ledger, self.callers, self.posters)
        self.rests = 0
        self.kills = 0
        self.steps: list[int] = []
        self.clerk = Clerk(ledger)
        self.calm = trio.Event()

    async def run(self, steps: Steps) -> None:
        """Run everything until the gateway has closed; then make the final checks."""
        trio.lowlevel.add_instrument(steps)
        with trio.CancelScope() as steps.scope:
            async with open_network() as network:
                self.platforms.mount(network)
                async with self._laid(network), trio.open_nursery() as nursery:
                    nursery.start_soon(self._calm_down)
                    if any(what == KIND for _, what, *_ in self.setup.trouble.weather):
                        nursery.start_soon(self._spend, network)
                    await self._lives(steps)
                    nursery.cancel_scope.cancel()
        if not self.ledger.violations:
            Checks(self.setup, self.ledger, self.platforms).all()

    @asynccontextmanager
    async def _laid(self, network: Network) -> AsyncIterator[None]:
        """In some worlds connections are used again, and die."""
        if not self.setup.wires:
            with self._cutting(network):
                yield
            return
        self.platforms.wires = Wires(network, self.platforms, self.ledger)
        before = transport_factory.set(None)
        try:
            with self.platforms.wires.laid():
                yield
        finally:
            transport_factory.reset(before)

    @contextmanager
    def _cutting(self, network: Network) -> Iterator[None]:
        """In some worlds connections are reset in the middle of uploads."""
        if self.setup.files is None or not self.setup.files.cut:
            yield
            return
        before = transport_factory.set(partial(Cutting, network, self.platforms.uploads))
        try:
            yield
        finally:
            transport_factory.reset(before)

    async def _spend(self, network: Network) -> None:
        """In some worlds others use the accounts."""
        for url, emulator in self.platforms.emulators.items():
            network.mount(others_url(url), emulator.app)
        await Spending(self.setup, self.platforms, network).run()

    async def _calm_down(self) -> None:
        """End the trouble: from some time on, nothing goes wrong any more."""
        await trio.sleep_until(self.setup.lasts)
        self.ledger.note("calm")
        self.ports.on = False
        self.platforms.stop()
        self.calm.set()

    # -- lives

    async def _lives(self, steps: Steps) -> None:
        """Run one life after the other, on the same file."""
        if not self.setup.durable:
            await self._life(Life(0), steps, None)
            return
        with TemporaryDirectory(prefix="world", dir=MEMORY) as folder:
            self.ledger.folder = folder
            path = Path(folder) / "outbox.db"
            for number, ending in enumerate((*self.setup.endings, None)):
                if number:
                    self._next_life(path, number)
                await self._life(Life(number), steps, path)
                if ending is not None:
                    await trio.sleep(ending.down)
            truth = read(path)
            self.clerk.read(path, truth)
            self.ledger.expect(not truth.unfinished, f"{len(truth.unfinished)} are kept at the end")
            expect_stored(self.ledger, truth.stored, over=True)
            # Bytes that cannot be freed since the disk is full go with the process run.
            unused = not self.setup.trouble.disk and truth.unused
            self.ledger.expect(not unused, f"bytes that nobody needs are left: {unused}")
            self.ledger.expect(not truth.loose, f"bytes beside the outbox: {truth.loose}")

    def _next_life(self, path: Path, number: int) -> None:
        """Compare the file with what the world has seen, before the next life."""
        config = self.setup.config_of(number)
        hashed = strategy(config.partition_by)
        before = self.setup.endings[number - 1]
        truth = read(path)
        self.clerk.read(path, truth)
        self.ledger.born(
            truth,
            lambda instance, room: hashed(instance, room) % config.partition_count,
            strict=before.kind != "kill" and not self.setup.trouble.disk,
        )
        expect_stored(self.ledger, truth.stored, over=False)

    async def _life(self, life: Life, steps: Steps, path: Path | None) -> None:
        """Run one process from its start to its end."""
        steps.life = life
        async with trio.open_nursery() as nursery:
            nursery.start_soon(life.bury)
            nursery.start_soon(self._lived, life, steps, path)
            await life.over.wait()
            nursery.cancel_scope.cancel()
        steps.life = None

    async def _lived(self, life: Life, steps: Steps, path: Path | None) -> None:
        LIFE.set(life)
        life.died = self.ledger.fell
        life.task = trio.lowlevel.current_task()
        try:
            with life.scope:
                await self._opened_at_last(life, steps, path)
        except BaseException:
            if not life.dead:
                raise
        finally:
            life.over.set()
        self.kills += life.dead
        self.steps.append(life.steps)

    async def _opened_at_last(self, life: Life, steps: Steps, path: Path | None) -> None:
        """Open a gateway; if that fails on a full disk, try again, as a service manager does."""
        while True:
            try:
                return await self._opened(life, steps, path)
            except OutboxError as error:
                self.ledger.note("not opened", error)
                full = life.gateway is None and self.ledger.unwritten_at > trio.current_time() - 1.0
                self.ledger.expect(full, f"the outbox does not open: {error}")
                await trio.sleep(0.5)

    async def _opened(self, life: Life, steps: Steps, path: Path | None) -> None:
        setup, ports = self.setup, self.ports
        given: list[Any] = [Witness(ports), Rude(ports)]
        given += [(channel, adapter(channel, ports)) for channel in setup.channels]
        ending = setup.endings[life.number] if life.number < len(setup.endings) else None
        if ending is not None and ending.kind == "kill" and ending.at <= trio.current_time():
            life.arm(ending.steps)  # it does not even live to see its gateway open
        instances = tuple(self.platforms.instances.values())
        async with open_gateway(
            attrs.evolve(setup.config_of(life.number), instances=instances),
            plugins=given,
            outbox=None if path is None else Vault.at(path, ports),
            rng=setup.generator(f"gateway {life.number}" if life.number else "gateway"),
            wall_clock=ports.wall,
        ) as gateway:
            life.gateway = gateway
            self._acquaint(gateway)
            await self._watched(gateway, steps, life, ending)
            self.ledger.ending = True

    def _acquaint(self, gateway: Gateway) -> None:
        """Let the ledger know the limits, and put the jitter on the grid."""
        ledger, accounts = self.ledger, gateway._registry._accounts
        ledger.gateway = gateway
        ledger.independent = {
            name: account.hooks.traits.independent_threads for name, account in accounts.items()
        }
        ledger.limits = self._limits_of
        self._listen(gateway)
        for partition in gateway._partitions:
            if self.setup.groups is not None:
                scheduler = partition.scheduler
                scheduler._start = partial(_starting, ledger, scheduler, scheduler._start)
            partition.consequences._rng = Jitter(f"jitter:{partition.index}:{self.setup.seed}")
        gateway._parts.prober._rng = ProbeJitter(f"probes:{self.setup.seed}")

    def _listen(self, gateway: Gateway) -> None:
        """Let the ledger know each envelope at the moment at which it is accepted."""
        ledger = self.ledger
        for partition in () if self.setup.durable else gateway._partitions:
            partition.enqueuer.accept = partial(  # type: ignore[method-assign]
                _accepting, ledger, partition.index, partition.enqueuer.accept
            )

    def _limits_of(self, instance_id: str, attempt: Attempt) -> Any:
        """The limits that the real adapter declares, whatever the ports do to the adapter."""
        instance = next(i for i in self.setup.config.instances if i.id == instance_id)
        thread = attempt.thread if self.ledger.independent[instance_id] else None
        given = {
            "instance": instance,
            "room": attempt.room,
            "thread": thread,
            "operation": attempt.operation,
            "priority": self.ledger.priority_of(attempt.envelope_id),
        }
        function = REAL[instance.channel].rate_limit
        return function(*[given[name] for name in taken(function)])

    async def _watched(
        self, gateway: Gateway, steps: Steps, life: Life, ending: Ending | None
    ) -> None:
        watch = Watch(self.ledger, gateway, steps)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run)
            await self._phases(gateway, life, ending)
            self.rests += watch.rests
            nursery.cancel_scope.cancel()

    async def _phases(self, gateway: Gateway, life: Life, ending: Ending | None) -> None:
        """Faults are on; then they are off, and the gateway must drain in the computed time."""
        events = Events(self.setup, self.ports, self.platforms, gateway)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(events.run)
            nursery.start_soon(self.callers.run, gateway)
            if self.setup.streams is not None:
                nursery.start_soon(self.writers.run, gateway)
            if self.setup.replies is not None:
                nursery.start_soon(self.repliers.run, gateway)
            if self.setup.groups is not None:
                nursery.start_soon(self.senders.run, gateway)
            if self.setup.files is not None:
                nursery.start_soon(self.posters.run, gateway)
            if self.setup.crowd is not None:
                given = self.setup, self.ledger, self.platforms, self.callers
                nursery.start_soon(Crowd(*given, gateway).run)
            if ending is not None:
                await trio.sleep_until(ending.at)
                await self._ends(gateway, life, ending)
                nursery.cancel_scope.cancel()
                return
            await self.calm.wait()
            for instance in self.setup.config.instances:
                events.release(instance.id)
            async with trio.open_nursery() as application:
                application.start_soon(self._see_to, events)
                await self._drained(nursery, gateway)
                application.cancel_scope.cancel()

    async def _see_to(self, events: Events) -> None:
        """Let the application resume instances that nobody can probe."""
        while not self.setup.probes:
            events.see_to()
            await trio.sleep(1.0)

    async def _ends(self, gateway: Gateway, life: Life, ending: Ending) -> None:
        """End the life in the middle of everything."""
        if ending.kind == "stop":
            await self._closed(gateway)
            inside = list(self.callers.inside)
            full_for = self.ledger.unwritten_at + 2 * LONGEST_PAUSE - trio.current_time()
            own = 2 * GRID  # callers have pauses of their own, of up to one step of the grid
            own = max(0.0, full_for) + LONGEST_COMMIT if self.setup.durable else own
            if self.setup.groups is not None:  # a caller that waits for a group looks again then
                own += AGAIN
            if self.setup.files is not None:  # whose files are being stored, one after the other
                own += STORING
            await trio.sleep(own)
            waits = any(number in self.callers.inside for number in inside)
            self.ledger.expect(not waits, "it has closed, and somebody waits for it")
            return
        if life.kill_at is None:
            life.arm(ending.steps, gently=ending.kind == "cancel")
        await trio.sleep(ending.idle)  # if no task makes a step, the life ends at rest
        life.fall()
        await trio.sleep_forever()

    async def _closed(self, gateway: Gateway) -> None:
        """Close as on SIGTERM: unfinished envelopes have their grace, and are reported."""
        ledger, begun = self.ledger, trio.current_time()
        ledger.note("closing")
        ledger.ending = True
        left = ledger.unfinished
        ledger.streams_close()
        ledger.groups.close()
        told = {undelivered.receipt.envelope_id for undelivered in await gateway.drain()}
        took = trio.current_time() - begun
        grace = self.setup.config.drain_timeout + (LONGEST_COMMIT if self.setup.durable else 0.0)
        ledger.expect(took <= grace + HAIR, f"closing took {took:.2f} s of {grace:.2f} s")
        if self.setup.durable:
            return  # envelopes outside memory stay stored, and are in no list
        for entry in left:
            undelivered = entry.receipt is not None and not entry.receipt.delivered
            ledger.expect(not undelivered or entry.id in told, f"nobody was told of {entry}")

    async def _drained(self, nursery: trio.Nursery, gateway: Gateway) -> None:
        """Let callers go on until they are done; unfinished envelopes end in the computed time."""
        ledger = self.ledger
        while nursery.child_tasks or ledger.unfinished:
            left = ledger.unfinished
            if not left:
                await self._until_someone()
                continue
            bound = longest_drain(self.setup, ledger, left)
            ledger.note("draining", len(left), f"{bound:.2f}")
            end = trio.current_time() + bound
            beyond = end - max(trio.current_time(), ledger.waits_until())
            while any(entry.receipt is None for entry in left):
                if trio.current_time() >= max(end, ledger.waits_until() + beyond):
                    break  # a wait may have been on its way when the bound was computed
                await trio.sleep(1.0)
            for entry in left:
                ledger.expect(entry.receipt is not None, f"{entry} did not end in {bound:.1f} s")
            if ledger.violations:
                raise Violated
        await self._alive(gateway)
        if gateway._parts.files.spool is not None:
            expect_stored(ledger, gateway._parts.files.spool._kept, over=True)

    async def _until_someone(self) -> None:
        """Wait a little: nothing is unfinished, but callers are not done yet."""
        await trio.sleep(1.0)
        self.ledger.expect(
            trio.current_time()
            < max(self.setup.lasts, self.ledger.waits_until()) + self.ledger.set_back + PATIENCE,
            "callers are never done",
        )

    async def _in_order(self, gateway: Gateway) -> None:
        """Wait until probes, each after its delay, have found that suspended instances work."""
        if self.setup.trouble.sessions:  # one that hangs is given up after this
            await trio.sleep(self.setup.config.attempt_timeout)
        circuit = self.setup.config.circuit
        with trio.move_on_after(3 * (circuit.probe_cap + 2 * max(self.setup.latency) + 30.0)):
            while any(i.suspended for i in gateway.statistics().instances):  # noqa: ASYNC110 - likewise
                await trio.sleep(0.25)
            return
        self.ledger.wrong("an instance that works stays suspended")

    async def _alive(self, gateway: Gateway) -> None:
        """Afterwards, every room that exists takes a message in the computed time."""
        await self._in_order(gateway)
        tickets = []
        asked = trio.current_time()
        for number, place in enumerate(self.setup.places):
            if self.ledger.room_waits_until(place.instance, place.room) >= asked + PATIENCE:
                continue  # it was told to wait for a day
            text = f"m{9000 + number}x0"
            send = Send(
                instance_id=place.instance, external_room_id=place.room, text=text, ttl=PATIENCE
            )
            tickets.append(await gateway.submit(send))
        bound = 1.0 + longest_afterwards(self.setup, self.ledger, self.ledger.unfinished)
        with trio.move_on_after(bound) as scope:
            for ticket in tickets:
                receipt = await ticket.receipt()
                fine = receipt.disposition in ("delivered", "rejected", "shed")
                # A connection may have died while it was idle, and nobody knew until now.
                wires = self.platforms.wires
                died = wires is not None and wires.last >= asked
                fine |= died and receipt.disposition in ("unknown", "exhausted")
                self.ledger.expect(fine, f"afterwards {ticket.id} ends {receipt.disposition}")
        self.ledger.expect(not scope.cancelled_caught, f"afterwards not served in {bound:.1f} s")
        await self._idle()

    async def _idle(self) -> None:
        """If nobody sends anything, no session stays open."""
        config = self.setup.config
        await trio.sleep(config.session_idle + config.attempt_timeout + LONGEST_LEAVE)
        left = {name: n for name, n in self.ledger.sessions.items() if n}
        self.ledger.expect(not left, f"sessions that nobody uses are open: {left}")
