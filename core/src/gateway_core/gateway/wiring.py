"""Makes the parts of a gateway, one after the other, and gives each the others that it uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import Any

import attrs
from opentelemetry.metrics import MeterProvider

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.accounts.probing import Prober
from gateway_core.backlog.owning.shared_count import Count
from gateway_core.backlog.owning.suspensions import Suspensions
from gateway_core.backlog.pager import Pager
from gateway_core.clock import Clock
from gateway_core.config import GatewayConfig
from gateway_core.contract.hookspecs import Level, Pressure, Providers
from gateway_core.contract.ids import Ids
from gateway_core.engine.instances.instance_registry import InstanceRegistry
from gateway_core.engine.instances.stopping import Stopping
from gateway_core.engine.partition import Partition
from gateway_core.engine.supervisor import Supervisor
from gateway_core.files.keeper import KeptFiles
from gateway_core.files.spool import Spool
from gateway_core.gateway.fetching import fetching_of
from gateway_core.gateway.following import Following
from gateway_core.gateway.sourced import SourcedAccounts, sourced_by
from gateway_core.gateway.tasks import Tasks
from gateway_core.groups.opening import groups_of
from gateway_core.groups.registry import Groups
from gateway_core.monitoring.observer import Observer
from gateway_core.monitoring.recorder import open_recorder, working_meters
from gateway_core.outboxes.endings import Follower
from gateway_core.outboxes.handover import Handover
from gateway_core.outboxes.interface import Outbox
from gateway_core.outboxes.journal import Journal
from gateway_core.outboxes.spreading import Spreading
from gateway_core.outboxes.tenure import Tenure
from gateway_core.plugins.front import ChannelHooks
from gateway_core.plugins.sharing import fraction_of
from gateway_core.producers.producer import Producer
from gateway_core.scheduling.partitioning import finder
from gateway_core.sourcing.asking import InstanceSource
from gateway_core.spread.lookup import SpreadLookup
from gateway_core.spread.parts import Spread
from gateway_core.spread.way import SpreadWay
from gateway_core.submission.door import Door
from gateway_core.submission.draft import Drafting
from gateway_core.submission.durable import DurableWay
from gateway_core.submission.handed.lookup import HandedLookup
from gateway_core.submission.handed.way import HandoverWay
from gateway_core.submission.in_memory import InMemoryWay
from gateway_core.submission.lookup import Lookup
from gateway_core.telemetry.privacy import Privacy


@attrs.frozen(kw_only=True)
class Parts:
    """The parts of a gateway.

    serves    whether this process delivers; False: it only hands over
    pager     brings in entries of `outbox`; None without an outbox, as `outbox` and `journal` are
    spread    the outbox, if its accounts are spread over processes
    tenure    returns this process's position in a shared outbox; None: the outbox is not shared
    count     exchanges counts of unfinished envelopes with the others that share the outbox; None:
              there are no others
    producer  hands over all envelopes, or those of accounts that other processes own of a spread
              outbox; None: this process hands nothing over
    here      finds the envelopes that this process has itself
    sourced   the accounts of an `instance_source`; None: there is none
    """

    config: GatewayConfig
    hooks: Mapping[str, ChannelHooks]
    clock: Clock
    ids: Ids
    privacy: Privacy
    meters: MeterProvider | None
    observer: Observer
    files: KeptFiles
    registry: InstanceRegistry
    partitions: tuple[Partition, ...]
    partition_of: Callable[[str, str], Partition]
    drafting: Drafting
    outbox: Outbox | None
    spread: Spreading | None
    tenure: Callable[[], Tenure] | None
    count: Count | None
    journal: Journal | None
    pager: Pager | None
    producer: Producer | None
    serves: bool
    here: Lookup
    lookup: Lookup | HandedLookup | SpreadLookup
    groups: Groups
    door: Door
    following: Following
    suspensions: Suspensions
    sourced: SourcedAccounts | None
    supervisor: Supervisor
    prober: Prober
    tasks: Tasks


def wire(
    config: GatewayConfig,
    hooks: Mapping[str, ChannelHooks],
    *,
    outbox: Outbox | None,
    handover: Handover | None,
    rng: Random,
    wall_clock: Callable[[], float],
    providers: Providers,
    instance_source: InstanceSource | None = None,
) -> Parts:
    """Make the parts, and connect them.

    handover  set in a process that delivers nothing, or delivers only for some accounts
    """
    serves = handover is None or outbox is not None
    spread: Any = outbox if handover is not None else None
    tasks, clock, privacy = Tasks(), Clock(wall_clock), Privacy(config.telemetry)
    meters = working_meters(providers)
    observer = open_recorder(clock, privacy, providers, meters)
    for channel in hooks.values():
        channel.privacy = privacy
        if config.share != 1:
            channel.share = fraction_of(config.share)
    ids = Ids(rng)
    journal = None if outbox is None else Journal(outbox, clock, ids, config.retries.arrival)
    files = KeptFiles(spool := Spool(), spool) if outbox is None else KeptFiles(outbox)

    def start_probing(account: InstanceState) -> None:
        tasks.spawn(partial(prober.probe, account))

    registry = InstanceRegistry(
        config,
        hooks,
        clock=clock,
        spawn=tasks.spawn,
        start_probing=start_probing,
        stopping=Stopping(config, clock, tasks.spawn, journal),
        journal=journal,
    )

    count = config.partition_count if serves else 1
    *of_partitions, of_supervisor, of_prober = (
        Random(rng.getrandbits(64))  # noqa: S311 - jitter is no secret
        for _ in range(count + 2)
    )
    partitions = tuple(
        Partition(
            index,
            config,
            clock=clock,
            rng=of_partition,
            journal=journal,
            observer=observer,
            privacy=privacy,
            files=files,
            on_pressure=partial(_pressure_changed, hooks),
            keys_anywhere=lambda scope: partition_of(scope[0], scope[1]).keys,
            on_suspension=registry.stopping.suspend,
        )
        for index, of_partition in enumerate(of_partitions)
    )
    registry.open(partitions)
    partition_of = finder(partitions, config.partition_by)
    drafting = Drafting(config, clock, observer, partition_of, registry, ids)
    way: InMemoryWay | DurableWay = InMemoryWay(drafting)
    pager = follower = producer = None
    if outbox is not None and journal is not None:
        pager = Pager(
            outbox,
            journal,
            registry=registry,
            partitions=partitions,
            partition_of=partition_of,
            clock=clock,
            capacity=config.outbox_capacity,
            holds_suspended=config.when_suspended == "wait",
            observed=observer.listens,
            spread=spread,
        )
        pager.accounts.spawn = tasks.spawn
        for partition in partitions:
            partition.completion.on_end = pager.freed
        way = DurableWay(drafting, outbox, pager)
        follower = Follower(outbox)
        journal.on_finished = follower.wake
    here = Lookup(partitions, partition_of, registry, pager, outbox, clock)
    groups: Groups = groups_of(drafting, way, outbox, pager, tasks.spawn, here.withdraw_held, files)
    lookup: Lookup | HandedLookup | SpreadLookup = here
    chosen: InMemoryWay | DurableWay | HandoverWay | SpreadWay = way
    if pager is not None:
        pager.requests.lines.spawn = tasks.spawn
        pager.requests.leave, pager.requests.is_of = here.leave, here.is_of
    if handover is not None:
        producer = Producer(handover, drafting, tasks.spawn, files)
        chosen = producer.way
        if pager is None:
            follower, lookup, groups = producer.follower, producer.lookup, producer.groups
        else:
            assert isinstance(way, DurableWay)  # noqa: S101 - there is an outbox
            both = Spread(
                pager, way, producer, here, groups, tasks.spawn, drafting, spread.passed_on
            )
            chosen, lookup, groups = both.way, both.lookup, both.groups
    sourced = sourced_by(instance_source, drafting, pager, tasks.spawn, partitions, groups, spread)
    door = Door(drafting, chosen, partitions, files)
    prober = Prober(clock, config.attempt_timeout, registry.stopping.suspend, of_prober)
    files.fetching = fetching_of(config.files)
    return Parts(
        config=config,
        hooks=hooks,
        clock=clock,
        ids=ids,
        privacy=privacy,
        meters=meters,
        observer=observer,
        files=files,
        registry=registry,
        partitions=partitions,
        partition_of=partition_of,
        drafting=drafting,
        outbox=outbox,
        spread=spread,
        tenure=getattr(outbox, "tenure", None),
        count=getattr(outbox, "share_count", None),
        journal=journal,
        pager=pager,
        producer=producer,
        serves=serves,
        here=here,
        lookup=lookup,
        groups=groups,
        door=door,
        following=Following(follower, partitions, ids, clock, config.history),
        suspensions=_suspensions(registry, clock, tasks, outbox, handover, pager),
        sourced=sourced,
        supervisor=Supervisor(partitions, of_supervisor),
        prober=prober,
        tasks=tasks,
    )


def _suspensions(
    registry: InstanceRegistry,
    clock: Clock,
    tasks: Tasks,
    outbox: Outbox | None,
    handover: Handover | None,
    pager: Pager | None,
) -> Suspensions:
    """Suspends accounts for operators: here all, none if this only hands over, or those it owns."""
    store, tell = getattr(outbox, "store_suspension", None), None
    is_here: Callable[[str], bool] = lambda _instance_id: handover is None  # noqa: E731 - one of two
    if handover is not None:
        tell = handover.tell
        is_here = is_here if pager is None else pager.accounts.goes_on
    registry.keeps_held = store is None
    found = Suspensions(registry, clock, tasks.spawn, store=store, tell=tell, is_here=is_here)
    if pager is not None:
        pager.accounts.ownership.restore = found.restore
    return found


def _pressure_changed(
    hooks: Mapping[str, ChannelHooks], pressure: Pressure, previous: Level
) -> None:
    reported: set[int] = set()
    for channel in hooks.values():
        channel.pressure_changed(pressure, previous, reported)
