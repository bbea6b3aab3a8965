"""`open_gateway`, `Gateway`: the public face, and the life from open to quiet, drain, cancel."""

from __future__ import annotations

import contextvars
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random, SystemRandom
from time import time as system_time
from typing import Any, Literal, TypeAlias

import attrs
import trio

from gateway_core.accounts import Account
from gateway_core.admission import Full, Waiter
from gateway_core.channel_hooks import ChannelHooks
from gateway_core.checks import problems_of
from gateway_core.clock import Clock, nanoseconds
from gateway_core.config import GatewayConfig
from gateway_core.envelopes import (
    Call,
    Delete,
    Disposition,
    Edit,
    Envelope,
    Format,
    Json,
    KeyRef,
    MessageRef,
    OnUnknown,
    Order,
    Part,
    Priority,
    Receipt,
    Send,
    Target,
)
from gateway_core.errors import (
    ConfigError,
    DeliveryError,
    GatewayClosed,
    IdempotencyConflict,
    InstanceSuspended,
    Invalid,
    Overloaded,
    Problem,
    UnknownInstance,
)
from gateway_core.flights import Flight
from gateway_core.hookspecs import Identity, Level, Pressure
from gateway_core.idempotency import Known, fingerprint, scope_of
from gateway_core.ids import Ids
from gateway_core.instances import Instance
from gateway_core.keeping import Keeper
from gateway_core.outbox import Entry, MemoryOutbox, Outbox
from gateway_core.partition import Partition
from gateway_core.partitioning import strategy
from gateway_core.plugins import Given, bind
from gateway_core.sessions import Sessions
from gateway_core.statistics import InstanceStatistics, Statistics
from gateway_core.supervision import Supervisor
from gateway_core.telemetry import INSTANCE_SUSPENDED, OUTBOX_IN_MEMORY, UNFINISHED_AT_CLOSE, log
from gateway_core.tickets import Ticket
from gateway_core.verdicts import ErrorClass, Reason, Scope, Verdict

Editable: TypeAlias = Target | Ticket
DELIVERED = (Disposition.DELIVERED, Disposition.SUPERSEDED)
State = Literal["unfinished", "ended"]


@attrs.frozen(kw_only=True)
class Status:
    """Where an envelope stands.

    cause     what it waits for, while unfinished
    attempts  tries made so far
    receipt   how it ended; None while unfinished
    """

    envelope_id: str
    state: State
    cause: str = ""
    attempts: int = 0
    receipt: Receipt | None = None


class Gateway:
    """Send, edit and delete messages on every installed channel. Made by `open_gateway`."""

    def __init__(
        self,
        config: GatewayConfig,
        hooks: Mapping[str, ChannelHooks],
        *,
        outbox: Outbox,
        rng: Random,
        wall_clock: Callable[[], float],
    ) -> None:
        self.config = config
        self._hooks = hooks
        self._outbox = outbox
        self._clock = Clock(wall_clock)
        self._ids = Ids(rng)
        self._context = contextvars.copy_context()
        self._closing = trio.Event()
        self._drained = trio.Event()
        self._stopped = trio.Event()
        self._refused: Counter[str] = Counter()
        self._tasks: trio.Nursery | None = None
        self._hash = strategy(config.partition_by)
        self._partitions = tuple(
            Partition(
                index,
                config,
                clock=self._clock,
                rng=Random(rng.getrandbits(64)),  # noqa: S311 - jitter is no secret
                outbox=outbox,
                on_pressure=self._pressure_changed,
                on_suspension=self._suspend,
            )
            for index in range(config.partition_count)
        )
        self._supervisor = Supervisor(self._partitions)
        self._keeper = Keeper(self._clock, config.attempt_timeout, self._suspend)
        self._accounts: dict[str, Account] = {}
        for instance in config.instances:
            self._accounts[instance.id] = self._account_of(instance)

    # -- sending

    async def send(
        self,
        instance: str,
        room: str,
        text: str,
        *,
        thread: str | None = None,
        reply_to: str | None = None,
        key: str | None = None,
        ttl: float | None = None,
        not_before: float | None = None,
        priority: Priority = "normal",
        order: Order = "room",
        format: Format = "plain",  # noqa: A002 - the field's standard term
        on_unknown: OnUnknown = "retry",
        extra: Mapping[str, Json] | None = None,
        raises: bool = True,
    ) -> Receipt:
        """Send a message and wait for its end; the fields are those of `Send`.

        Returns the receipt when it was delivered. Any other ending raises `DeliveryError` with
        the receipt, unless `raises` is false. Raises `Refused` (`Invalid`, `Overloaded`, …) where
        it was not accepted. A cancelled caller withdraws what has not started.
        """
        envelope = _build(
            Send,
            instance_id=instance,
            external_room_id=room,
            text=text,
            thread_id=thread,
            reply_to=reply_to,
            key=key,
            ttl=ttl,
            not_before=not_before,
            priority=priority,
            order=order,
            format=format,
            on_unknown=on_unknown,
            extra=extra or {},
        )
        return await self._deliver(envelope, raises=raises)

    async def edit(
        self,
        target: Editable,
        text: str,
        *,
        key: str | None = None,
        ttl: float | None = None,
        priority: Priority = "normal",
        format: Format = "plain",  # noqa: A002 - the field's standard term
        extra: Mapping[str, Json] | None = None,
        interim: bool = False,
        raises: bool = True,
    ) -> Receipt:
        """Give a message a new text and wait for the end.

        `target` is a receipt's ref, a ticket, or a `KeyRef`. An edit that a newer one overtakes
        before it starts is `superseded`: its receipt is returned. Raises as `send` does.
        """
        target = _target(target)
        envelope = _build(
            Edit,
            instance_id=target.instance_id,
            external_room_id=target.external_room_id,
            target=target,
            text=text,
            key=key,
            ttl=ttl,
            priority=priority,
            format=format,
            extra=extra,
            interim=interim,
        )
        return await self._deliver(envelope, raises=raises)

    async def delete(
        self,
        target: Editable,
        *,
        ttl: float | None = None,
        priority: Priority = "normal",
        raises: bool = True,
    ) -> Receipt:
        """Take a message back, all of its parts. Raises as `send` does."""
        target = _target(target)
        envelope = _build(
            Delete,
            instance_id=target.instance_id,
            external_room_id=target.external_room_id,
            target=target,
            ttl=ttl,
            priority=priority,
        )
        return await self._deliver(envelope, raises=raises)

    async def call(
        self,
        instance: str,
        room: str,
        method: str,
        arguments: Mapping[str, Json] | None = None,
        *,
        ttl: float | None = None,
        priority: Priority = "normal",
        order: Order = "room",
        raises: bool = True,
    ) -> Receipt:
        """Call any other method of the platform; `receipt.result` has its answer."""
        envelope = _build(
            Call,
            instance_id=instance,
            external_room_id=room,
            method=method,
            arguments=arguments or {},
            ttl=ttl,
            priority=priority,
            order=order,
        )
        return await self._deliver(envelope, raises=raises)

    async def _deliver(self, envelope: Envelope, *, raises: bool) -> Receipt:
        ticket = await self.submit(envelope)
        flight = ticket._flight  # noqa: SLF001 - a ticket is this module's own
        flight.joined += 1
        try:
            receipt = await ticket.receipt()
        except trio.Cancelled:
            if flight.joined == 1:
                self._partition_of(envelope).withdraw(flight)
            raise
        finally:
            flight.joined -= 1
        if raises and receipt.disposition not in DELIVERED:
            raise DeliveryError(receipt)
        return receipt

    async def submit(self, envelope: Envelope, *, wait: bool = True) -> Ticket:
        """Hand an envelope over; it is accepted when this returns.

        wait   True: wait for room where a bound is reached; False: raise `Overloaded`

        Neither waits behind an adapter. Raises `Invalid` (with every mistake), `UnknownInstance`,
        `IdempotencyConflict`, `InstanceSuspended` (if so configured), `OutboxError`, and
        `GatewayClosed`. A caller cancelled in here leaves no trace.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            account, plan = self._checked(envelope)
            partition = self._partition_of(envelope)
            scope = scope_of(envelope)
            print_ = fingerprint(envelope) if scope is not None else ""
            joined = self._joined(partition, envelope, scope, print_)
            if joined is None:
                await self._place(partition, envelope, wait=wait)
                joined = self._joined(partition, envelope, scope, print_)
                if joined is not None:  # somebody used the key while this caller waited
                    partition.admission.remove(envelope.instance_id, envelope.external_room_id)
        except Exception as error:
            self._refused[type(error).__name__] += 1
            raise
        if joined is not None:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return joined
        flight = self._flight(envelope, plan)
        flight.scope = scope
        if scope is not None:
            partition.keys.begin(scope, flight, print_, self._clock.now())
        await self._append(partition, flight)
        return self._accept(partition, flight, account)

    def _checked(self, envelope: Envelope) -> tuple[Account, tuple[Part, ...]]:
        """Everything that is wrong with the envelope in itself; else its account and plan."""
        if self._closing.is_set():
            raise GatewayClosed
        problems = problems_of(envelope, max_text=self.config.max_text)
        if problems:
            raise Invalid(problems)
        account = self._account(envelope.instance_id)
        hooks, instance = account.hooks, account.instance
        problems = [*_unsupported(hooks, envelope), *hooks.validate(instance, envelope)]
        if problems:
            raise Invalid(problems)
        if account.suspended is not None and self.config.when_suspended == "refuse":
            raise InstanceSuspended(instance_id=instance.id, why=str(account.suspended))
        if not isinstance(envelope, Send | Edit):
            return account, ()
        plan = hooks.chunk(instance, envelope, "as_asked")
        most = self.config.max_parts
        if not plan:
            raise Invalid([Problem("text", "leaves nothing to send")])
        if len(plan) > most:
            raise Invalid([Problem("text", f"needs {len(plan)} messages, at most {most}")])
        return account, plan

    def _joined(
        self, partition: Partition, envelope: Envelope, scope: Any, print_: str
    ) -> Ticket | None:
        """The ticket of the envelope that has this key already, if there is one."""
        if scope is None:
            return None
        known = partition.keys.find(scope, self._clock.now())
        if known is None:
            return None
        if known.fingerprint != print_ and envelope.on_conflict == "raise":
            raise IdempotencyConflict(key=scope[3], envelope_id=known.envelope_id)
        return _replay(known, envelope)

    async def _place(self, partition: Partition, envelope: Envelope, *, wait: bool) -> None:
        """Take a place in the partition; wait for one, or say when to come back."""
        admission = partition.admission
        instance, room = envelope.instance_id, envelope.external_room_id
        full = admission.full(instance, room)
        if full is not None and self.config.shed and envelope.priority != "bulk":
            while full is not None and partition.shed_one():
                full = admission.full(instance, room)
        if full is None:
            admission.add(instance, room)
        elif not wait:
            raise self._overloaded(partition, full)
        else:
            await self._wait_for_room(partition, full, instance, room)

    async def _wait_for_room(
        self, partition: Partition, full: Full, instance: str, room: str
    ) -> None:
        woken = trio.Event()
        waiter = Waiter(instance, room, woken.set)
        partition.admission.wait(waiter, full)
        try:
            await woken.wait()
        except trio.Cancelled:
            partition.admission.give_up(waiter)
            raise
        if not waiter.granted:
            raise GatewayClosed
        if self._closing.is_set():
            partition.admission.give_up(waiter)
            raise GatewayClosed

    def _overloaded(self, partition: Partition, full: Full) -> Overloaded:
        return Overloaded(
            bound_of=" ".join(full.key) if len(full.key) > 1 else f"partition {partition.index}",
            pressure=partition.gauge.level,
            depth=full.depth,
            bound=full.bound,
            retry_in=partition.estimate(),
        )

    def _flight(self, envelope: Envelope, plan: tuple[Part, ...]) -> Flight:
        wall = self._clock.wall()
        flight = Flight(self._ids.next(wall), envelope, plan)
        flight.accepted_wall = wall
        flight.deadline = self._clock.now() + nanoseconds(self._ttl(envelope))
        return flight

    def _ttl(self, envelope: Envelope) -> float:
        if envelope.ttl is not None:
            return envelope.ttl
        ttl: float = getattr(self.config.ttl, envelope.priority)
        return ttl

    async def _append(self, partition: Partition, flight: Flight) -> None:
        """Let the outbox have it; whatever goes wrong leaves no trace."""
        if not self._outbox.durable:
            return
        envelope = flight.envelope
        ttl = (flight.deadline - self._clock.now()) / 1e9
        entry = Entry(
            id=flight.id,
            envelope=envelope,
            plan=tuple(flight.plan),
            accepted_at=flight.accepted_wall,
            deadline=flight.accepted_wall + ttl,
        )
        try:
            await self._outbox.append(entry)
        except BaseException:
            self._outbox.withdraw(flight.id)
            if flight.scope is not None:
                partition.keys.forget(flight.scope)
            partition.admission.remove(envelope.instance_id, envelope.external_room_id)
            raise

    def _accept(self, partition: Partition, flight: Flight, account: Account) -> Ticket:
        """From here on it is accepted. Policies vote on what happens to it."""
        vote = account.hooks.admit(flight.envelope, partition.pressure())
        if vote is not None and vote != "shed":
            flight.priority = vote
            if flight.envelope.ttl is None:
                ttl: float = getattr(self.config.ttl, vote)
                flight.deadline = self._clock.now() + nanoseconds(ttl)
        partition.accept(flight, account, shed=vote == "shed")
        return Ticket(flight)

    # -- about envelopes

    def cancel(self, what: Ticket | str) -> bool:
        """End an envelope `cancelled` if it has not started; whether that was so."""
        envelope_id = what.id if isinstance(what, Ticket) else what
        for partition in self._partitions:
            flight = partition.flights.get(envelope_id)
            if flight is not None:
                return partition.withdraw(flight)
        return False

    def status(self, what: Ticket | KeyRef | str) -> Status | None:
        """Where an envelope stands, by its id, ticket or key; None: not known (any more)."""
        if isinstance(what, KeyRef):
            return self._status_of_key(what)
        envelope_id = what.id if isinstance(what, Ticket) else what
        for partition in self._partitions:
            flight = partition.flights.get(envelope_id)
            if flight is not None:
                return _status(flight)
            receipt = partition.history.get(envelope_id)
            if receipt is not None:
                return _ended(receipt)
        return None

    def _status_of_key(self, key: KeyRef) -> Status | None:
        index = self._hash(key.instance_id, key.external_room_id) % len(self._partitions)
        scope = (key.instance_id, key.external_room_id, "send", key.key)
        known = self._partitions[index].keys.find(scope, self._clock.now())
        if known is None:
            return None
        return _status(known.flight) if known.flight else _ended(known.receipt)

    def statistics(self) -> Statistics:
        """A frozen snapshot; taking one disturbs nothing."""
        total = sum(partition.accepted for partition in self._partitions)
        parts = tuple(partition.statistics(total) for partition in self._partitions)
        dispositions: Counter[Disposition] = Counter()
        for partition in self._partitions:
            dispositions.update(partition.dispositions)
        busiest = max(part.share for part in parts)
        return Statistics(
            accepted=total,
            unfinished=sum(part.unfinished for part in parts),
            refused=sum(self._refused.values()),
            dispositions=dict(dispositions),
            attempts=sum(part.attempts for part in parts),
            rate_limited=sum(part.rate_limited for part in parts),
            skew=busiest * len(parts) if total else 1.0,
            partitions=parts,
            instances=tuple(self._instance_statistics(a) for a in self._accounts.values()),
        )

    def _instance_statistics(self, account: Account) -> InstanceStatistics:
        instance = account.instance
        return InstanceStatistics(
            id=instance.id,
            channel=instance.channel,
            in_flight=account.slots.in_flight,
            unfinished=sum(p.admission.depth_of(instance.id) for p in self._partitions),
            suspended=str(account.suspended) if account.suspended is not None else None,
            circuit_open=account.open,
        )

    def partition_index(self, instance_id: str, room: str) -> int:
        """The partition that serves a room: the same in every process."""
        return self._hash(instance_id, room) % len(self._partitions)

    # -- instances at run time

    def add_instance(self, instance: Instance) -> None:
        """Take an instance in. Raises `ConfigError` for a known id or an unserved channel."""
        if instance.id in self._accounts:
            raise ConfigError([Problem(f"instances.{instance.id}", "is there already")])
        self._accounts[instance.id] = self._account_of(instance)

    def replace_instance(self, instance: Instance) -> None:
        """Give a known instance new settings (a new token); a suspended one goes on.

        Raises `UnknownInstance`, and `ConfigError` where the channel would change.
        """
        account = self._account(instance.id)
        if instance.channel != account.instance.channel:
            place = f"instances.{instance.id}.channel"
            raise ConfigError([Problem(place, "cannot change; add another instance")])
        _check_settings(instance, account.hooks)
        account.sessions.close()
        account.instance = instance
        account.sessions = self._sessions(account.hooks, instance)
        account.resume(self._clock.now())

    async def remove_instance(self, instance_id: str, *, drain: float = 0.0) -> list[Receipt]:
        """Take an instance out, after up to `drain` seconds for what is unfinished.

        The receipts of what was ended undelivered. Other instances do not notice.
        """
        account = self._account(instance_id)
        account.removed = True
        with trio.move_on_after(drain):
            while self._unfinished_of(instance_id):
                ended = trio.Event()
                flight = self._unfinished_of(instance_id)[0][1]
                callbacks = flight.callbacks = flight.callbacks or []
                callbacks.append(ended.set)
                await ended.wait()
        await trio.lowlevel.checkpoint()
        receipts = [
            partition.give_up(flight) for partition, flight in self._unfinished_of(instance_id)
        ]
        account.sessions.close()
        del self._accounts[instance_id]
        for partition in self._partitions:
            partition.lanes.forget(account)
        return receipts

    def suspend(self, instance_id: str, why: str = "by the application") -> None:
        """Let the instance's envelopes wait until `resume`."""
        account = self._account(instance_id)
        account.held = True
        verdict = Verdict(
            error_class=ErrorClass.FATAL, reason=Reason.SUSPENDED, scope=Scope.INSTANCE, raw=why
        )
        self._suspend(account, verdict)

    def resume(self, instance_id: str) -> None:
        """Let a suspended instance go on where it stopped."""
        self._account(instance_id).resume(self._clock.now())

    async def probe(self, instance_id: str) -> Identity | None:
        """Ask the platform who the instance is; raises what the adapter raises."""
        account = self._account(instance_id)
        with trio.fail_after(self.config.attempt_timeout):
            async with account.sessions.use() as session:
                return await account.hooks.probe(account.instance, session)

    def _suspend(self, account: Account, verdict: Verdict) -> None:
        """Put an account out of order, and say so once."""
        if not account.suspend(verdict):
            return
        log.error(
            INSTANCE_SUSPENDED,
            instance=account.instance.id,
            channel=account.instance.channel,
            reason=str(verdict.reason),
            raw=verdict.raw,
        )
        account.hooks.instance_suspended(account.instance, verdict)
        if self.config.when_suspended == "end":
            for partition in self._partitions:
                partition.end_all(account, verdict)

    def _unfinished_of(self, instance_id: str) -> list[tuple[Partition, Flight]]:
        return [
            (partition, flight)
            for partition in self._partitions
            for flight in partition.flights.values()
            if flight.envelope.instance_id == instance_id
        ]

    def _account(self, instance_id: str) -> Account:
        account = self._accounts.get(instance_id)
        if account is None or account.removed:
            known = ", ".join(sorted(self._accounts)) or "none"
            text = f"there is no instance {instance_id!r}; configured: {known}"
            raise UnknownInstance([Problem("instance_id", text)])
        return account

    def _account_of(self, instance: Instance) -> Account:
        hooks = self._hooks.get(instance.channel)
        if hooks is None:
            served = ", ".join(sorted(self._hooks)) or "none"
            text = f"no plugin serves channel {instance.channel!r}; bound: {served}"
            raise ConfigError([Problem(f"instances.{instance.id}.channel", text)])
        _check_settings(instance, hooks)
        return Account(
            instance,
            hooks,
            sessions=self._sessions(hooks, instance),
            slots=self.config.attempts_per_instance,
            circuit=self.config.circuit,
            keep=lambda account: self._spawn(lambda: self._keeper.keep(account)),
        )

    def _sessions(self, hooks: ChannelHooks, instance: Instance) -> Sessions:
        return Sessions(hooks, instance, self._spawn, self.config.session_idle)

    def _partition_of(self, envelope: Envelope) -> Partition:
        key = self._hash(envelope.instance_id, envelope.external_room_id)
        return self._partitions[key % len(self._partitions)]

    # -- the gateway's own tasks

    def _spawn(self, task: Callable[[], Any]) -> None:
        """Start a task of the gateway's, in the gateway's context and never a caller's."""
        assert self._tasks is not None, "the gateway is not open"  # noqa: S101 - an invariant
        self._context.run(self._tasks.start_soon, task)

    def _pressure_changed(self, pressure: Pressure, previous: Level) -> None:
        for hooks in self._hooks.values():
            hooks.pressure_changed(pressure, previous)
            break

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Everything that works, inside one shield whose only exit is quiet, drain, cancel."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as sessions:
                self._tasks = sessions
                async with trio.open_nursery() as workers:
                    for partition in self._partitions:
                        workers.start_soon(self._supervisor.keep, partition)
                    task_status.started()
                    await self._closing.wait()
                    await self._drain()
                    workers.cancel_scope.cancel()
                self._end_rest()
                self._stopped.set()
                sessions.cancel_scope.cancel()

    async def _drain(self) -> None:
        """Give what is unfinished its grace."""
        for partition in self._partitions:
            partition.empty = self._look_if_drained
        self._look_if_drained()
        with trio.move_on_after(self.config.drain_timeout):
            await self._drained.wait()

    def _look_if_drained(self) -> None:
        if not any(partition.flights for partition in self._partitions):
            self._drained.set()

    def _end_rest(self) -> None:
        """What is left ends now: kept where the outbox is durable, else counted and told."""
        left = [f for partition in self._partitions for f in partition.flights.values()]
        if left:
            log.warning(UNFINISHED_AT_CLOSE, count=len(left), kept=self._outbox.durable)
        for partition in self._partitions:
            partition.keep() if self._outbox.durable else partition.abandon()

    def quiet(self) -> None:
        """Accept nothing more; wake those who wait for room with `GatewayClosed`."""
        self._closing.set()
        for partition in self._partitions:
            partition.admission.close()

    async def drain(self) -> list[Receipt]:
        """Accept nothing more, wait up to `drain_timeout`, end the rest.

        The receipts of every envelope that was unfinished then and did not get delivered.
        """
        flights = [f for partition in self._partitions for f in partition.flights.values()]
        self.quiet()
        await self._stopped.wait()
        receipts = [flight.receipt for flight in flights if flight.receipt is not None]
        return [receipt for receipt in receipts if not receipt.delivered]


@asynccontextmanager
async def open_gateway(
    config: GatewayConfig,
    *,
    plugins: Sequence[Given] = (),
    outbox: Outbox | None = None,
    rng: Random | None = None,
    wall_clock: Callable[[], float] = system_time,
) -> AsyncIterator[Gateway]:
    """Open the gateway for the block; at its end: quiet, drain (`drain_timeout`), cancel.

    plugins     objects with hookimpls, asked before the installed ones; ("channel", plugin) for one
    outbox      where accepted envelopes are kept; None: in memory, said so once in the log
    rng         where jitter comes from; a seeded one makes delays repeatable
    wall_clock  POSIX time, for `not_before` and the times on receipts

    Raises `PluginError` and `ConfigError` with every fault before anything starts, and
    `PartitionFailed` out of the block when a partition cannot be kept alive.
    """
    hooks = bind(plugins, config.plugins)
    if outbox is None:
        outbox = MemoryOutbox()
        log.info(OUTBOX_IN_MEMORY)
    async with outbox:
        gateway = Gateway(
            config, hooks, outbox=outbox, rng=rng or SystemRandom(), wall_clock=wall_clock
        )
        body: BaseException | None = None
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(gateway.run)
                try:
                    yield gateway
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001 - raised again below, unwrapped
                    body = error
                gateway.quiet()
        except BaseExceptionGroup as group:
            raise _unwrapped(group) from None
        if body is not None:
            raise body


def _unwrapped(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """A single exception leaves alone, without the groups around it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _build(kind: Any, **fields: Any) -> Any:
    """The envelope; a value that its class does not take becomes `Invalid`."""
    try:
        return kind(**fields)
    except (TypeError, ValueError) as error:
        attribute = next((a for a in error.args if isinstance(a, attrs.Attribute)), None)
        place = attribute.name if attribute is not None else ""
        raise Invalid([Problem(place, str(error.args[0]).partition(" (")[0])]) from None


def _target(target: object) -> Target:
    if isinstance(target, Ticket):
        return target.ref
    if not isinstance(target, MessageRef | KeyRef):
        text = f"must be a MessageRef, a KeyRef or a Ticket, not {type(target).__name__}"
        raise Invalid([Problem("target", text)])
    return target


def _unsupported(hooks: ChannelHooks, envelope: Envelope) -> list[Problem]:
    """An operation that the channel does not have."""
    operation = "call" if isinstance(envelope, Call) else envelope.operation
    promised = getattr(hooks.traits, operation, True)
    if operation in hooks.can and promised:
        return []
    return [Problem("operation", f"channel {hooks.channel!r} has no {operation}")]


def _check_settings(instance: Instance, hooks: ChannelHooks) -> None:
    expected = hooks.settings_type
    if expected is not None and not isinstance(instance.settings, expected):
        text = f"must be {expected.__name__}, not {type(instance.settings).__name__}"
        raise ConfigError([Problem(f"instances.{instance.id}.settings", text)])


def _replay(known: Known, envelope: Envelope) -> Ticket:
    if known.flight is not None:
        return Ticket(known.flight)
    assert known.receipt is not None  # noqa: S101 - one of the two
    flight = Flight(known.envelope_id, envelope, ())
    flight.receipt = known.receipt
    return Ticket(flight, replayed=attrs.evolve(known.receipt, replayed=True))


def _status(flight: Flight) -> Status:
    return Status(
        envelope_id=flight.id,
        state="unfinished",
        cause=flight.cause,
        attempts=sum(step.number for step in flight.steps or ()),
    )


def _ended(receipt: Receipt | None) -> Status | None:
    if receipt is None:
        return None
    return Status(
        envelope_id=receipt.envelope_id,
        state="ended",
        attempts=receipt.attempts,
        receipt=receipt,
    )
