"""Gives exporters the observed gauges and counters, read from the gateway's snapshots.

An exporter asks from a thread of its own. The snapshot is taken on trio's thread. The exporter
waits for it, but not for long: if the loop is stalled, the exporter gets the snapshot before it.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import trio
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from gateway_core import telemetry as names
from gateway_core.accounts.instance_state import SOURCED
from gateway_core.contract.envelopes import Disposition
from gateway_core.monitoring.statistics import InstanceStatistics, PartitionStatistics, Statistics
from gateway_core.outboxes.tenure import Tenure
from gateway_core.scheduling.pressure import LEVELS
from gateway_core.telemetry import INSTRUMENTATION_SCOPE, METRICS, Metric

PATIENCE = 1.0
"""Seconds that an exporter's thread waits for trio's."""

Labels: TypeAlias = dict[str, Any]
Reading: TypeAlias = tuple[float, Labels]

GROUP_STATES = ("fed", "scheduled", "paused", "cancelled")
SIGNS = ("typing", "acknowledge")
SIGN_OUTCOMES = ("made", "passed over", "failed")


def _partition(read: Callable[[PartitionStatistics], float]) -> Callable[..., Iterator[Reading]]:
    def readings(statistics: Statistics) -> Iterator[Reading]:
        for each in statistics.partitions:
            yield read(each), {names.PARTITION.name: each.index}

    return readings


def _of(each: InstanceStatistics) -> Labels:
    """The labels of an instance. Those of a source share them: there may be any number of these."""
    name = SOURCED if each.sourced else each.id
    return {names.CHANNEL.name: each.channel, names.INSTANCE.name: name}


def _every(statistics: Statistics) -> Iterator[InstanceStatistics]:
    yield from statistics.instances
    yield from statistics.forgotten


def _summed(readings: Iterable[Reading]) -> Iterator[Reading]:
    """One reading for each set of labels."""
    sums: defaultdict[tuple[tuple[str, Any], ...], float] = defaultdict(float)
    for value, labels in readings:
        sums[tuple(labels.items())] += value
    for key, total in sums.items():
        yield total, dict(key)


def _instance(read: Callable[[InstanceStatistics], float]) -> Callable[..., Iterator[Reading]]:
    def readings(statistics: Statistics) -> Iterator[Reading]:
        return _summed((read(each), _of(each)) for each in _every(statistics))

    return readings


def _counted(
    read: Callable[[InstanceStatistics], Mapping[Any, int]], label: Callable[[Any], Labels]
) -> Callable[..., Iterator[Reading]]:
    def each_of(statistics: Statistics) -> Iterator[Reading]:
        for each in _every(statistics):
            for key, count in read(each).items():
                yield count, _of(each) | label(key)

    return lambda statistics: _summed(each_of(statistics))


def _refused(statistics: Statistics) -> Iterator[Reading]:
    yield from _counted(lambda each: each.refused, lambda key: {names.ERROR_TYPE.name: key})(
        statistics
    )
    for error, count in statistics.refused_elsewhere.items():
        yield count, {names.ERROR_TYPE.name: error}


def _attempt(key: tuple[int, str, str, str]) -> Labels:
    partition, pressure, error_class, reason = key
    labels: Labels = {
        names.PARTITION.name: partition,
        names.ACCEPTED_UNDER.name: pressure,
        names.ERROR_CLASS.name: error_class,
    }
    return labels | {names.ERROR_TYPE.name: reason} if reason else labels


def _waiting(statistics: Statistics) -> Iterator[Reading]:
    instances = {each.id: each for each in statistics.instances}
    return _summed(
        (count, _of(instances[instance_id]) | {names.CAUSE.name: cause})
        for (instance_id, cause), count in statistics.waiting.items()
        if instance_id in instances  # a removed instance may still wait for its last answer
    )


def _by_disposition(
    read: Callable[[InstanceStatistics], Mapping[Disposition, int]],
) -> Callable[..., Iterator[Reading]]:
    """Counts of all dispositions, also of 0: a rate misses the first value of a new series."""
    return _counted(
        lambda each: {how: read(each).get(how, 0) for how in Disposition},
        lambda key: {names.DISPOSITION.name: str(key)},
    )


def _open_groups(statistics: Statistics) -> Iterator[Reading]:
    return _summed(
        (
            statistics.open_groups.get((each.id, state), 0),
            _of(each) | {names.GROUP_STATE.name: state},
        )
        for each in statistics.instances
        for state in GROUP_STATES
    )


def _members_waiting(statistics: Statistics) -> Iterator[Reading]:
    return _summed(
        (statistics.members_waiting.get(each.id, 0), _of(each)) for each in statistics.instances
    )


def _signs(each: InstanceStatistics) -> Mapping[tuple[str, str], int]:
    return {sign: each.signs.get(sign, 0) for sign in product(SIGNS, SIGN_OUTCOMES)}


def _by_hook(
    read: Callable[[Statistics], Mapping[tuple[str, str, str], int]],
) -> Callable[..., Iterator[Reading]]:
    labels = (names.CHANNEL.name, names.PLUGIN.name, names.HOOK.name)

    def readings(statistics: Statistics) -> Iterator[Reading]:
        for key, count in read(statistics).items():
            yield count, dict(zip(labels, key, strict=True))

    return readings


def _alone(read: Callable[[Statistics], float]) -> Callable[..., Iterator[Reading]]:
    return lambda statistics: iter([(read(statistics), {})])


def _shared(read: Callable[[Tenure], float]) -> Callable[..., Iterator[Reading]]:
    def readings(statistics: Statistics) -> Iterator[Reading]:
        if statistics.tenure is not None:
            yield read(statistics.tenure), {}

    return readings


READ: Mapping[Metric, Callable[[Statistics], Iterable[Reading]]] = {
    names.DEPTH: _partition(lambda p: p.depth),
    names.BOUND: _partition(lambda p: p.bound),
    names.OCCUPANCY: _partition(lambda p: p.occupancy),
    names.UNFINISHED: _partition(lambda p: p.unfinished),
    names.IN_FLIGHT: _partition(lambda p: p.in_flight),
    names.OLDEST_WAIT: _partition(lambda p: p.oldest_wait),
    names.PRESSURE: _partition(lambda p: LEVELS.index(p.level)),
    names.CALLERS_WAITING: _partition(lambda p: p.waiting),
    names.SHARE: _partition(lambda p: p.share),
    names.RESTARTS: _partition(lambda p: p.restarts),
    names.SKEW: _alone(lambda s: s.skew),
    names.ACCEPTED: _instance(lambda i: i.accepted),
    names.REFUSED: _refused,
    names.ENDED: _by_disposition(lambda i: i.dispositions),
    names.RECOVERED_COUNT: _instance(lambda i: i.recovered),
    names.DUPLICATES: _instance(lambda i: i.possible_duplicates),
    names.DEGRADED: _counted(lambda i: i.degradations, lambda key: {names.DEGRADATION.name: key}),
    names.ATTEMPTS_COUNT: _counted(lambda i: i.attempts_by_partition, _attempt),
    names.RATE_LIMITED: _counted(
        lambda i: {True: i.foreseen, False: i.unforeseen}, lambda key: {names.FORESEEN.name: key}
    ),
    names.SUSPENDED: _instance(lambda i: int(i.suspended is not None)),
    names.CIRCUIT: _instance(lambda i: int(i.circuit_open)),
    names.INSTANCE_UNFINISHED: _instance(lambda i: i.unfinished),
    names.INSTANCE_IN_FLIGHT: _instance(lambda i: i.in_flight),
    names.WAITING: _waiting,
    names.GROUPS_OPEN: _open_groups,
    names.MEMBERS_WAITING: _members_waiting,
    names.MEMBERS_FED: _instance(lambda i: i.members_fed),
    names.MEMBERS_ENDED: _by_disposition(lambda i: i.members_ended),
    names.SIGNS: _counted(
        _signs, lambda key: {names.SIGN.name: key[0], names.SIGN_OUTCOME.name: key[1]}
    ),
    names.OUTBOX_UNFINISHED: _alone(lambda s: s.stored),
    names.OUTBOX_UNSERVED_COUNT: _alone(lambda s: sum(s.unserved.values())),
    names.OUTBOX_OWNED: _shared(lambda t: int(t.owns)),
    names.OUTBOX_LEASE: _shared(lambda t: t.lease),
    names.OUTBOX_ACCOUNTS: _shared(lambda t: t.accounts),
    names.OUTBOX_TAKEOVERS: _shared(lambda t: t.takeovers),
    names.OUTBOX_HANDOVERS: _shared(lambda t: t.handovers),
    names.OUTBOX_LOST: _shared(lambda t: t.lost),
    names.OUTBOX_FENCED: _shared(lambda t: t.fenced),
    names.OUTBOX_TAKEN: _shared(lambda t: t.taken),
    names.OUTBOX_WAITED: _shared(lambda t: t.waited),
    names.HOOK_ERRORS: _by_hook(lambda s: s.hook_errors),
    names.HOOK_SLOW_COUNT: _by_hook(lambda s: s.hook_slow),
}
"""How each observed metric is read off a snapshot."""


class Source:
    """One gateway's snapshots, for any thread. `hand_on` is called with each, on trio's thread."""

    def __init__(
        self, statistics: Callable[[], Statistics], hand_on: Callable[[], None] = lambda: None
    ) -> None:
        self._statistics = statistics
        self._hand_on = hand_on
        self._token = trio.lowlevel.current_trio_token()
        self._home = threading.get_ident()
        self._last = statistics()
        self._served: set[Metric] = set()
        self.closed = False

    def read(self, metric: Metric) -> Iterable[Reading]:
        """Read the metric from a snapshot that no earlier reading of this metric has seen."""
        if metric in self._served or not self._served:
            self._served.clear()
            self._refresh()
        self._served.add(metric)
        return READ[metric](self._last)

    def _refresh(self) -> None:
        if self.closed:
            return
        if threading.get_ident() == self._home:
            self._take()
            return
        taken = threading.Event()

        def take() -> None:
            self._take()
            taken.set()

        try:
            self._token.run_sync_soon(take)
        except trio.RunFinishedError:
            return
        taken.wait(PATIENCE)

    def _take(self) -> None:
        if not self.closed:
            self._last = self._statistics()
            self._hand_on()

    def close(self) -> None:
        """The gateway has ended: its figures stay as they are."""
        self._take()
        self.closed = True


class Hub:
    """The observed instruments of one meter provider, for every gateway that uses it.

    An instrument is made once and cannot be removed. It asks the gateways that are open at the
    time, and keeps what closed gateways had counted.
    """

    def __init__(self, provider: MeterProvider) -> None:
        self._open: list[Source] = []
        self._closed: dict[Metric, dict[tuple[tuple[str, Any], ...], float]] = defaultdict(
            lambda: defaultdict(float)
        )
        meter = provider.get_meter(INSTRUMENTATION_SCOPE, str(names.SCHEMA_VERSION))
        make = {
            "counter": meter.create_observable_counter,
            "gauge": meter.create_observable_gauge,
        }
        for metric in METRICS:
            if metric in READ:
                make[metric.kind](
                    metric.name,
                    callbacks=[self._asked_for(metric)],
                    unit=metric.unit,
                    description=metric.meaning,
                )

    def _asked_for(self, metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def asked(_: CallbackOptions) -> Iterable[Observation]:
            sums = defaultdict(float, self._closed[metric])
            for source in list(self._open):
                for value, labels in source.read(metric):
                    key = tuple(labels.items())
                    counts = metric.kind == "counter"
                    sums[key] = sums[key] + value if counts else max(sums[key], value)
            return [Observation(value, dict(labels)) for labels, value in sums.items()]

        return asked

    def add(self, source: Source) -> None:
        """A gateway opened."""
        self._open.append(source)

    def remove(self, source: Source) -> None:
        """A gateway closed: what it counted stays counted."""
        source.close()
        self._open.remove(source)
        for metric in READ:
            if metric.kind == "counter":
                for value, labels in source.read(metric):
                    self._closed[metric][tuple(labels.items())] += value


_HUBS: WeakKeyDictionary[MeterProvider, Hub] = WeakKeyDictionary()


def hub_of(provider: MeterProvider) -> Hub:
    """The one hub of a provider."""
    hub = _HUBS.get(provider)
    if hub is None:
        hub = _HUBS[provider] = Hub(provider)
    return hub
