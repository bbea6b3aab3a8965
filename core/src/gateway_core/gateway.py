"""`open_gateway`, `Gateway`: the public face, and the way from open to quiet, drain, cancel.

Longer than most modules, so that one file shows how a gateway runs and ends.
"""

from __future__ import annotations

import contextvars
import functools
import gc
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    suppress,
)
from random import Random, SystemRandom
from time import time as system_time
from typing import Any

import trio

from gateway_core.accounts.probing import Prober
from gateway_core.accounts.reloading import Reloaded
from gateway_core.backlog.pager import Pager
from gateway_core.clock import Clock
from gateway_core.config import GatewayConfig, differing
from gateway_core.config_file import load_config
from gateway_core.contract.addresses import Address
from gateway_core.contract.envelopes import (
    Disposition,
    Envelope,
    KeyRef,
    Undelivered,
)
from gateway_core.contract.errors import ConfigError, NotServing, Problem, UnknownInstance
from gateway_core.contract.hookspecs import Identity, Level, Pressure, Providers
from gateway_core.contract.ids import Ids
from gateway_core.contract.instances import Instance
from gateway_core.contract.validators import is_finite, shown
from gateway_core.engine.instance_registry import InstanceRegistry
from gateway_core.engine.partition import Partition
from gateway_core.engine.supervisor import Supervisor, drain, drain_in_flight
from gateway_core.files.keeper import KeptFiles
from gateway_core.files.spool import Spool
from gateway_core.groups.asked import Asked
from gateway_core.groups.opening import groups_of
from gateway_core.groups.registry import Groups
from gateway_core.groups.verbs import GroupVerbs
from gateway_core.monitoring.recorder import observed, open_recorder, working_meters
from gateway_core.monitoring.statistics import Statistics
from gateway_core.outboxes.endings import Ended, Follower, MemoryEndings
from gateway_core.outboxes.handover import Handover
from gateway_core.outboxes.interface import Outbox
from gateway_core.outboxes.journal import Journal
from gateway_core.outboxes.records import Request
from gateway_core.outboxes.tenure import Tenure
from gateway_core.plugins.boundary import leaving
from gateway_core.plugins.front import ChannelHooks
from gateway_core.plugins.loader import Given, bind, exporter_for, outbox_at, unknown_names
from gateway_core.plugins.sharing import fraction_of
from gateway_core.producers.accepting import Accepting
from gateway_core.producers.producer import Producer
from gateway_core.producers.questions import Questions
from gateway_core.scheduling.partitioning import finder
from gateway_core.streams.opening import Streaming
from gateway_core.submission.checks import check_envelope
from gateway_core.submission.door import Door
from gateway_core.submission.draft import Drafting
from gateway_core.submission.durable import DurableWay
from gateway_core.submission.handed.lookup import HandedLookup
from gateway_core.submission.in_memory import InMemoryWay
from gateway_core.submission.lookup import Lookup
from gateway_core.submission.preview import Preview, foresee
from gateway_core.submission.status import Status
from gateway_core.submission.tickets import Ticket
from gateway_core.telemetry import (
    CONFIGURATION_RELOADED,
    INSTANCE_ADDED,
    INSTANCE_REMOVED,
    INSTANCE_REPLACED,
    LEFT_AT_CLOSE,
    OUTBOX_IN_MEMORY,
    UNFINISHED_AT_CLOSE,
    log_event,
)
from gateway_core.telemetry.privacy import Privacy


class Gateway(Streaming, GroupVerbs):
    """Send, edit and delete messages on every installed channel, and answer what comes in.

    Made by `open_gateway`.
    """

    def __init__(  # noqa: PLR0915 - it puts the parts together, one after the other
        self,
        config: GatewayConfig,
        hooks: Mapping[str, ChannelHooks],
        *,
        outbox: Outbox | None,
        rng: Random,
        wall_clock: Callable[[], float],
        providers: Providers,
        handover: Handover | None = None,
    ) -> None:
        def seeded() -> Random:
            return Random(rng.getrandbits(64))  # noqa: S311 - jitter is no secret

        self.config = config
        self._hooks = hooks
        self._outbox = outbox
        self._tenure: Callable[[], Tenure] | None = getattr(outbox, "tenure", None)
        self._serves = handover is None
        self._clock = Clock(wall_clock)
        privacy = self._privacy = Privacy(config.telemetry)
        self._meters = working_meters(providers)
        self._observer = open_recorder(self._clock, privacy, providers, self._meters)
        for channel in hooks.values():
            channel.privacy = privacy
            if config.share != 1:
                channel.share = fraction_of(config.share)
        self._context = contextvars.copy_context()
        self._opened, self._closing, self._stopped = trio.Event(), trio.Event(), trio.Event()
        self._draining = trio.CancelScope()
        self._reloading = trio.Lock()
        self._tasks: trio.Nursery | None = None
        self._ids = Ids(rng)
        journal = None if outbox is None else Journal(outbox, self._clock, self._ids)
        self._files = KeptFiles(spool := Spool(), spool) if outbox is None else KeptFiles(outbox)
        self._registry = InstanceRegistry(
            config,
            hooks,
            clock=self._clock,
            spawn=self._spawn,
            start_probing=lambda account: self._spawn(
                functools.partial(self._prober.probe, account)
            ),
            journal=journal,
        )
        self._partitions = tuple(
            Partition(
                index,
                config,
                clock=self._clock,
                rng=seeded(),
                journal=journal,
                observer=self._observer,
                privacy=privacy,
                files=self._files,
                on_pressure=self._pressure_changed,
                keys_anywhere=lambda scope: self._partition_of(scope[0], scope[1]).keys,
                on_suspension=self._registry.suspend_account,
            )
            for index in range(config.partition_count if handover is None else 1)
        )
        partition_of = self._partition_of = finder(self._partitions, config.partition_by)
        drafting = Drafting(
            config, self._clock, self._observer, partition_of, self._registry, self._ids
        )
        way: InMemoryWay | DurableWay = InMemoryWay(drafting)
        self._pager: Pager | None = None
        self._follower: Follower | None = None
        self._producer: Producer | None = None
        if outbox is not None and journal is not None:
            self._pager = Pager(
                outbox,
                journal,
                registry=self._registry,
                partitions=self._partitions,
                partition_of=partition_of,
                clock=self._clock,
                capacity=config.outbox_capacity,
                holds_suspended=config.when_suspended == "wait",
                observed=self._observer.listens,
            )
            requests = self._pager.requests
            requests.accept, requests.cancel = self._accept_asked, self.cancel
            requests.ask, requests.spawn = self._answer_question, self._spawn
            for partition in self._partitions:
                partition.completion.on_end = self._pager.freed
            way = DurableWay(drafting, outbox, self._pager)
            self._follower = Follower(outbox)
            journal.on_finished = self._follower.wake
        here = Lookup(self._partitions, partition_of, self._pager, outbox, self._clock)
        self._lookup: Lookup | HandedLookup = here
        self._groups: Groups = groups_of(
            drafting, way, outbox, self._pager, self._spawn, here.withdraw_held, self._files
        )
        if self._pager is not None:
            self._pager.requests.group = Asked(self).answer
            self._pager.requests.leave, self._pager.requests.is_of = here.leave, here.is_of
        if handover is not None:
            producer = Producer(handover, drafting, self._spawn, self._files)
            self._producer, self._follower = producer, producer.follower
            self._lookup, self._groups = producer.lookup, producer.groups
        chosen = way if self._producer is None else self._producer.way
        door = Door(drafting, chosen, self._partitions, self._files)
        super().__init__(door, self._lookup.withdraw_held)
        self._journal, self._drafting = journal, drafting
        self._supervisor = Supervisor(self._partitions, seeded())
        suspend = self._registry.suspend_account
        self._prober = Prober(self._clock, config.attempt_timeout, suspend, seeded())
        self._registry.open(self._partitions)

    # -- about envelopes

    def preview(self, envelope: Envelope) -> Preview:
        """What would become of `envelope`: problems, parts, limits. Accepts and sends nothing.

        Raises `UnknownInstance`, `ConfigError` where its settings are another channel's, and
        `HookContractError` where a hook fails.
        """
        check_envelope(envelope)
        account = self._registry.account(envelope.instance_id)
        if account.unfit:
            place = f"instances.{envelope.instance_id}.settings"
            raise ConfigError([Problem(place, account.unfit)])
        hooks, addresses = account.hooks, account.addresses
        return foresee(hooks, account.instance, envelope, self.config, addresses)

    def address(self, instance_id: str, event: Any) -> Address | None:
        """Where an event of the instance's platform came from, so that it can be answered there.

        `event` is the platform's JSON, or an object of a library that the adapter knows. None: it
        does not belong to a conversation. Raises `UnknownInstance` and `HookContractError`.
        """
        return self._registry.account(instance_id).hooks.address(event)

    async def cancel(self, what: Ticket | str) -> bool:
        """End an envelope `cancelled` if it has not started; whether that was so.

        An envelope in memory ends at once, before other tasks run. Raises `Invalid` for what is
        neither a ticket nor an id, and `OutboxError` if a durable outbox has to be asked, and
        cannot be.
        """
        self._check_loop()
        return await self._lookup.withdraw(what)

    async def status(self, what: Ticket | KeyRef | str) -> Status | None:
        """Where an envelope stands, by its id, ticket or key; None: not known (any more).

        If it is in memory, the answer is as of the call. Raises `OutboxError` as `cancel` does.
        """
        self._check_loop()
        return await self._lookup.status(what)

    def endings(self, after: str | None = None) -> AsyncIterator[Ended]:
        """Everything that ended after `after`, in order, as it ends; until the gateway closes.

        after  the cursor of the last ending that is done with; None: from the oldest on that is
               remembered

        With a durable outbox these are the endings of former runs as well, each at least once,
        kills included; without one those of this run. Raises `EndingsForgotten` for a cursor from
        which some are remembered no more, and `Invalid` for what is no cursor.
        """
        self._check_loop()
        if self._follower is None:
            self._follower = self._remembered()
        return self._follower.after(after)

    def _remembered(self) -> Follower:
        """Without an outbox: what the histories have, and from now on all that ends."""
        completions = [partition.completion for partition in self._partitions]
        ended = (receipt for each in completions for receipt in each.history.values())
        source, most = self._ids.next(self._clock.wall()), self.config.history * len(completions)
        log = MemoryEndings(source, ended, most)
        follower = Follower(log)
        log.on_note = follower.wake
        for completion in completions:
            completion.on_receipt = log.note
        return follower

    def statistics(self, *, waiting: bool = False) -> Statistics:
        """A frozen snapshot; taking one disturbs nothing.

        waiting  also count what envelopes wait for: looks at each, 50 ms for 100,000
        """
        total = sum(partition.accepted for partition in self._partitions)
        parts = tuple(partition.statistics(total) for partition in self._partitions)
        dispositions: Counter[Disposition] = Counter()
        causes: Counter[tuple[str, str]] = Counter()
        for partition in self._partitions:
            dispositions.update(partition.completion.dispositions)
            if waiting:
                causes.update(partition.causes())
        busiest = max(part.share for part in parts)
        return Statistics(
            accepted=total,
            unfinished=sum(part.unfinished for part in parts),
            refused=sum(self._door.refused.values()),
            refused_elsewhere=dict(self._door.refused_elsewhere),
            hook_errors={
                (channel, *where): count
                for channel, hooks in self._hooks.items()
                for where, count in hooks.failures.items()
            },
            hook_slow={
                (channel, *where): count
                for channel, hooks in self._hooks.items()
                for where, count in hooks.slow.items()
            },
            dispositions=dict(dispositions),
            attempts=sum(part.attempts for part in parts),
            rate_limited=sum(part.rate_limited for part in parts),
            skew=busiest * len(parts) if total else 1.0,
            partitions=parts,
            instances=self._registry.statistics(),
            stored=self._pager.capacity.unfinished if self._pager is not None else 0,
            unserved=self._pager.unserved if self._pager is not None else {},
            waiting=dict(causes),
            groups=len(self._groups.feeds),
            members=self._groups.waiting,
            open_groups=self._groups.open_groups(),
            members_waiting=self._groups.waiting_by_instance(),
            tenure=None if self._tenure is None else self._tenure(),
        )

    # -- instances at run time

    def add_instance(self, instance: Instance) -> None:
        """Add an instance. Raises `ConfigError` for a known id or account, or an unserved channel.

        With settings that are not its channel's it starts suspended; `replace_instance` mends it.
        """
        self._check_serves("add_instance")
        self._registry.check_account(instance)
        self._add(instance)

    def _add(self, instance: Instance) -> None:
        self._registry.add(instance)
        log_event(INSTANCE_ADDED, instance=instance.id, channel=instance.channel)
        if self._pager is not None:
            self._pager.serve(instance.id)
            self._groups_arrived(instance.id)

    def replace_instance(self, instance: Instance) -> None:
        """Give a known instance new settings (a new token); a suspended one goes on.

        Raises `UnknownInstance`, and `ConfigError` where the channel would change, or where another
        instance is its new account.
        """
        self._check_serves("replace_instance")
        self._registry.check_account(instance)
        self._replace(instance, keep_held=False)

    def _replace(self, instance: Instance, *, keep_held: bool) -> None:
        self._registry.replace(instance, keep_held=keep_held)
        log_event(INSTANCE_REPLACED, instance=instance.id, channel=instance.channel)

    async def reload(self, config: GatewayConfig) -> Reloaded:
        """Serve the instances of this configuration from now on, such as one that was read again.

        New ones are added, those with other settings or secrets are replaced, and missing ones are
        removed after up to its `drain_timeout`. The others do not notice; one that `suspend` holds
        stays suspended. Raises `ConfigError` with every mistake, and nothing has changed then.
        """
        self._check_loop()
        self._check_serves("reload")
        if not isinstance(config, GatewayConfig):
            raise TypeError(f"`config` must be a GatewayConfig, not {type(config).__name__}")
        async with self._reloading:
            changes = self._registry.compare(config.instances)
            for instance in changes.added:  # the account may be that of one that is removed below
                self._add(instance)
            for instance in changes.replaced:
                self._replace(instance, keep_held=True)
            names = tuple(instance.id for instance in changes.removed)
            left = await self._remove_all(names, config.drain_timeout)
            reloaded = Reloaded(
                added=tuple(instance.id for instance in changes.added),
                replaced=tuple(instance.id for instance in changes.replaced),
                removed=names,
                restart=differing(self.config, config),
                undelivered=tuple(left),
            )
        fields = ("added", "replaced", "removed", "restart")
        said = {name: ", ".join(getattr(reloaded, name)) for name in fields}
        log_event(CONFIGURATION_RELOADED, **said)
        return reloaded

    async def _remove_all(self, names: Sequence[str], drain: float) -> list[Undelivered]:
        """Remove instances, all at the same time."""
        left: list[Undelivered] = []

        async def remove(name: str) -> None:
            with suppress(UnknownInstance):  # somebody else has removed it
                left.extend(await self.remove_instance(name, drain=drain))

        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(remove, name)
        return left

    async def remove_instance(self, instance_id: str, *, drain: float = 0.0) -> list[Undelivered]:
        """Remove an instance, after up to `drain` seconds for its unfinished envelopes.

        Returns those that it ended undelivered. Other instances do not notice. Raises
        `UnknownInstance`, and `ValueError` if `drain` is no number of seconds. A process that only
        hands over asks the one that delivers, and waits for it.
        """
        self._check_loop()
        if self._producer is not None:
            return await self._producer.remove_instance(instance_id, drain)
        try:
            receipts = await self._registry.remove(instance_id, drain=drain)
        except BaseException:
            if self._pager is not None and instance_id in self._registry.serving:
                self._pager.serve_on(instance_id)
            raise
        if self._pager is not None:
            self._pager.leave_off(instance_id)
        log_event(INSTANCE_REMOVED, instance=instance_id, undelivered=len(receipts))
        return receipts

    def suspend(self, instance_id: str, why: str = "by the application") -> None:
        """Let the instance's envelopes wait until `resume`. Raises `UnknownInstance`.

        why  the reason in the log, for policies, and in `InstanceSuspended`
        """
        self._check_loop()
        self._check_serves("suspend")
        self._registry.suspend(instance_id, why)

    def resume(self, instance_id: str) -> None:
        """Let an instance go on where it stopped, whatever suspended it or closed its limits."""
        self._check_loop()
        self._check_serves("resume")
        self._registry.resume(instance_id)

    async def probe(self, instance_id: str) -> Identity | None:
        """Ask the platform who the instance is. Raises `ProbeFailed`, with what went wrong.

        If the channel has no `probe`, the verdict's reason is `unsupported`.
        """
        self._check_loop()
        self._check_serves("probe")
        return await self._registry.probe(instance_id)

    # -- the gateway's own tasks

    async def _recover(self) -> None:
        """Own the accounts, and read what previous runs left. Raises `OutboxError`."""
        if self._pager is None or self._outbox is None:
            return
        self._outbox.requested = self._pager.requested
        self._outbox.lost = self._pager.lost
        self._outbox.arrived = self._pager.on_owned = self._groups_arrived
        self._outbox.next_position = lambda: self._ids.next_position(self._clock.wall())
        self._outbox.keys_for = self.config.idempotency_window
        overview = await self._pager.recover()
        self._ids.go_on_after(overview.last_id, overview.sequence)

    def _groups_arrived(self, instance_id: str) -> None:
        """There may be groups of an account that are not fed yet."""
        if self._tasks is not None and not self._closing.is_set():
            self._spawn(functools.partial(self._groups.serve, instance_id))

    @functools.cached_property
    def _accepting(self) -> Accepting:
        return Accepting(self._door)

    async def _accept_asked(self, request: Request) -> tuple[str, bool]:
        """Accept what another process asked for."""
        return await self._accepting.accept(request)

    async def _answer_question(self, request: Request) -> str:
        """Answer a process that delivers nothing."""
        return await Questions(self, request.instance_id).answer(request.asked)

    def _check_serves(self, what: str) -> None:
        """Raises `NotServing` in a process that only hands over."""
        if self._producer is not None:
            raise NotServing(what)

    def _spawn(self, task: Callable[[], Any]) -> None:
        """Start one of the gateway's tasks, in the gateway's context and never a caller's."""
        assert self._tasks is not None, "the gateway is not open"  # noqa: S101 - an invariant
        self._context.run(self._tasks.start_soon, task)

    def _pressure_changed(self, pressure: Pressure, previous: Level) -> None:
        reported: set[int] = set()
        for hooks in self._hooks.values():
            hooks.pressure_changed(pressure, previous, reported)

    @contextmanager
    def _hearing_collections(self) -> Iterator[None]:
        """Hear of the garbage collector's work, which no hook is to be blamed for."""
        collections = [hooks.collections for hooks in self._hooks.values()][:1]
        gc.callbacks.extend(collections)
        try:
            yield
        finally:
            for heard in collections:
                gc.callbacks.remove(heard)

    async def _run(self) -> None:
        """Run every task of the gateway in a shield whose only exit is quiet, drain, cancel."""
        snapshot = functools.partial(self.statistics, waiting=True)
        observing = observed(self._meters, self._observer, snapshot)
        with trio.CancelScope(shield=True), self._hearing_collections(), observing:
            async with trio.open_nursery() as sessions:
                self._tasks = sessions
                try:
                    await self._serve()
                finally:  # those who wait hear of a gateway that gives up as well
                    self.quiet()
                    self._end_rest()
                    self._stopped.set()
                    if self._follower is not None:
                        self._follower.close()
                    self._files.close()
                    sessions.cancel_scope.cancel()

    async def _serve(self) -> None:
        """Keep the partitions alive until the gateway closes and has drained."""
        async with trio.open_nursery() as workers:
            for partition in self._partitions if self._serves else ():
                workers.start_soon(self._supervisor.keep, partition)
            if self._pager is not None:
                workers.start_soon(self._pager.run)
                workers.start_soon(self._groups.open)
            self._opened.set()
            await self._closing.wait()
            begun = trio.current_time()
            grace = self.config.drain_timeout
            drained = drain if self._pager is None else drain_in_flight
            with self._draining:
                if self._pager is None and self._serves:
                    with trio.move_on_after(grace):
                        await self._groups.drained()
                self._groups.close()
                await drained(self._partitions, max(0.0, grace - (trio.current_time() - begun)))
            workers.cancel_scope.cancel()

    def _cut_drain(self) -> None:
        """Drain no longer, and log what is left of what is in memory."""
        deliveries = [f for partition in self._partitions for f in partition.deliveries.values()]
        for delivery in deliveries if not self._draining.cancel_called else ():
            fields = {"envelope": delivery.id, "instance": delivery.envelope.instance_id}
            room = self._privacy.room_of(delivery.envelope)
            log_event(LEFT_AT_CLOSE, **fields, room=room, stored=self._pager is not None)
        self._draining.cancel()

    def _end_rest(self) -> None:
        """End what is left: an outbox stores it, else it is given up."""
        self._groups.close()
        left = sum(len(partition.deliveries) for partition in self._partitions)
        stored = 0 if self._pager is None else self._pager.capacity.unfinished
        if left or stored:
            log_event(UNFINISHED_AT_CLOSE, count=max(left, stored), stored=stored)
        for partition in self._partitions:
            partition.completion.abandon() if self._pager is None else partition.completion.store()
        self._registry.release()
        if self._pager is not None:
            self._pager.spilled.store()
        if self._producer is not None:
            self._producer.way.store()

    def quiet(self) -> None:
        """Accept nothing more; wake those who wait for a slot with `GatewayClosed`."""
        self._closing.set()
        if "_streams" in vars(self):  # made with the first one
            self._streams.gateway_closes()
        if self._pager is not None:
            self._pager.close()
        self._door.close()

    async def drain(self) -> list[Undelivered]:
        """Accept nothing more, wait up to `drain_timeout`, end the rest.

        Returns every envelope that was unfinished at the call and ended undelivered. A durable
        outbox stores the rest for the next run: nothing is waited for but attempts under way.
        """
        self._check_loop()
        deliveries = [f for partition in self._partitions for f in partition.deliveries.values()]
        if self._pager is not None:
            deliveries += self._pager.spilled.all()
        self.quiet()
        await self._stopped.wait()
        return [
            Undelivered(delivery.envelope, delivery.receipt)
            for delivery in deliveries
            if delivery.receipt is not None and not delivery.receipt.delivered
        ]


@asynccontextmanager
async def open_gateway(
    config: GatewayConfig | str | os.PathLike[str],
    *,
    plugins: Sequence[Given] = (),
    outbox: Outbox | None = None,
    rng: Random | None = None,
    wall_clock: Callable[[], float] = system_time,
    providers: Providers | None = None,
    serve: bool = True,
) -> AsyncIterator[Gateway]:
    """Open the gateway for the block; at its end: quiet, drain (`drain_timeout`), cancel.

    config      a configuration, or the path of a `gateway.toml`, which `load_config` reads
    plugins     objects with hookimpls, asked before the installed ones; ("channel", plugin) for one
    outbox      where accepted envelopes are stored; None: where the configuration says, else in
                memory, which is logged once
    rng         where jitter comes from; a seeded one makes delays repeatable
    wall_clock  POSIX time, for `not_before` and the times on receipts
    providers   who takes spans and metrics; None: what the configuration says, else whatever
                OpenTelemetry has been set up with in this process
    serve       False: deliver nothing, and hand over to the process that owns the outbox, which is
                one that several share. It opens at once, whether there is an owner or not

    Raises `PluginError` and `ConfigError` with every fault before anything starts, and
    `PartitionFailed` out of the block when a partition fails again and again.
    """
    _check(config, outbox, providers)
    if serve is not True and serve is not False:
        raise TypeError(f"`serve` must be True or False, not {shown(serve)}")
    _check_ports(rng, wall_clock)
    if not isinstance(config, GatewayConfig):
        config = load_config(config, plugins)
    if unknown := unknown_names(config.plugins):
        raise ConfigError(unknown)
    hooks = bind(plugins, config.plugins)
    outbox = outbox_of(config, outbox, plugins)
    handover = None if serve else handover_of(outbox)
    if serve and outbox is None:
        log_event(OUTBOX_IN_MEMORY)
    exporter: AbstractAsyncContextManager[Providers] = nullcontext(providers or Providers())
    if providers is None and config.telemetry.export:
        exporter = exporter_for(config.telemetry.export, plugins, config.plugins)
    reached: Any = outbox if serve else handover
    stored_in = nullcontext() if reached is None else reached  # an empty one may be false
    async with exporter as exporting, stored_in:
        gateway = Gateway(
            config,
            hooks,
            outbox=outbox if serve else None,
            rng=rng or SystemRandom(),
            wall_clock=wall_clock,
            providers=exporting,
            handover=handover,
        )
        await gateway._recover()  # noqa: SLF001 - this module's own
        body: BaseException | None = None
        try:
            async with trio.open_nursery() as nursery:
                # Not `nursery.start`: cancelled in there, it would wait for a shielded task.
                nursery.start_soon(gateway._run)  # noqa: SLF001 - likewise
                try:
                    await gateway._opened.wait()  # noqa: SLF001 - this module's own
                    yield gateway
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001 - raised again below, unwrapped
                    body = error
                gateway.quiet()
        except BaseExceptionGroup as group:
            body = leaving(body, group)
        if body is not None:
            raise body


def outbox_of(
    config: GatewayConfig, outbox: Outbox | None, plugins: Sequence[Given]
) -> Outbox | None:
    """The one that is given, else the one that is configured; None: there is none."""
    if outbox is not None or config.outbox is None:
        return outbox
    where = config.outbox
    opened: Outbox = outbox_at(where.url, plugins, config.plugins, keys=where.keys)
    return opened


def handover_of(outbox: Outbox | None) -> Handover:
    """What hands over by this outbox. Raises `ConfigError` for one that cannot."""
    offered = getattr(outbox, "handover", None)
    if offered is None:
        kept = "nothing is configured but memory" if outbox is None else type(outbox).__name__
        text = f"`serve=False` needs an outbox that processes share, such as PostgreSQL: {kept}"
        raise ConfigError([Problem("outbox", f"{text} is one process's own")])
    found: Handover = offered()
    return found


def _check(config: object, outbox: object, providers: object) -> None:
    """Raises for wrong types and another event loop, whose own errors would not help."""
    if not trio.lowlevel.in_trio_run():
        raise RuntimeError("the gateway runs on trio: begin with trio.run(main), not asyncio's")
    if not isinstance(config, GatewayConfig | str | os.PathLike):
        wanted = "a GatewayConfig or the path of a gateway.toml"
        raise TypeError(f"`config` must be {wanted}, not {type(config).__name__}")
    if isinstance(outbox, str):
        raise TypeError("`outbox` must be an Outbox; a URL belongs into the config's `outbox`")
    if isinstance(outbox, type) or not (outbox is None or hasattr(outbox, "attempt_started")):
        name = outbox.__name__ if isinstance(outbox, type) else type(outbox).__name__
        raise TypeError(f"`outbox` must be an Outbox, not {name}")
    if not isinstance(providers, Providers | None):
        wanted = "Providers(tracers=…, meters=…)"
        raise TypeError(f"`providers` must be {wanted}, not {type(providers).__name__}")


def _check_ports(rng: object, wall_clock: object) -> None:
    """Raises TypeError for a generator or a clock that would fail later, in the gateway's tasks."""
    if not isinstance(rng, Random | None):
        raise TypeError(f"`rng` must be a random.Random, not {type(rng).__name__}")
    time = wall_clock() if callable(wall_clock) else None
    if not is_finite(time):
        wanted = "a function that gives POSIX time, such as time.time"
        told = f"one that gives {shown(time)}" if callable(wall_clock) else shown(wall_clock)
        raise TypeError(f"`wall_clock` must be {wanted}, not {told}")
