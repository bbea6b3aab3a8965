"""Recovers a gateway, keeps its partitions alive, and ends it: quiet, drain, cancel.

This module waits: for the gateway to be closed, and then for unfinished work.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import trio

from gateway_core.backlog.owning.shared_count import share_count
from gateway_core.contract.envelopes import Undelivered
from gateway_core.engine.supervisor import drain, drain_in_flight, end_with_lease
from gateway_core.gateway.counting import snapshot
from gateway_core.gateway.wiring import Parts
from gateway_core.monitoring.recorder import observed
from gateway_core.telemetry import DRAINING, LEFT_AT_CLOSE, UNFINISHED_AT_CLOSE, log_event

TELLS_AFTER = 1.0
"""Seconds of draining after which the log says so."""
STORES = 1.0
"""Seconds that a drain allows at least for storing operators' suspensions."""


class Life:
    """The life of a gateway, from open to quiet, drain, cancel.

    opened    set once the partitions run
    closing   set once nothing more is accepted
    stopped   set once every envelope has ended or is stored
    on_quiet  called as soon as nothing more is accepted; may be called more than once
    """

    def __init__(self, parts: Parts, on_quiet: Callable[[], None]) -> None:
        self._parts = parts
        self._on_quiet = on_quiet
        self.opened, self.closing, self.stopped = trio.Event(), trio.Event(), trio.Event()
        self._draining = trio.CancelScope()

    async def recover(self) -> None:
        """Own the accounts, and read what previous runs left. Raises `OutboxError`."""
        parts, pager, outbox = self._parts, self._parts.pager, self._parts.outbox
        if pager is None or outbox is None:
            return
        outbox.requested = pager.requested
        outbox.lost = pager.accounts.lost
        outbox.arrived = self.groups_arrived
        pager.accounts.on_owned = self._owned
        if (spread := parts.spread) is not None:
            spread.offered, spread.leaving = pager.accounts.offered, pager.accounts.leaving
        outbox.next_position = lambda: parts.ids.next_position(parts.clock.wall())
        outbox.keys_for = parts.config.idempotency_window
        overview = await pager.recover()
        parts.ids.go_on_after(overview.last_id, overview.sequence)

    def _owned(self, instance_id: str) -> None:
        """Another process may have served the account's groups, and heard of its new settings."""
        self.groups_arrived(instance_id)
        if self._parts.sourced is not None and self._goes_on:
            self._parts.sourced.stored.owned(instance_id)

    @property
    def _goes_on(self) -> bool:
        """Whether tasks can be started."""
        return self._parts.tasks.nursery is not None and not self.closing.is_set()

    def groups_arrived(self, instance_id: str) -> None:
        """Serve the account's groups, since some of them may not be fed yet."""
        if self._goes_on:
            self._parts.tasks.spawn(partial(self._parts.groups.serve, instance_id))

    async def run(self) -> None:
        """Run every task of the gateway in a shield; only quiet, drain, cancel ends them."""
        parts = self._parts
        counted = partial(snapshot, parts, waiting=True)
        observing = observed(parts.meters, parts.observer, counted)
        with trio.CancelScope(shield=True), self._hearing_collections(), observing:
            async with trio.open_nursery() as tasks:
                parts.tasks.nursery = tasks
                try:
                    await self._serve()
                finally:  # if the gateway gives up, callers that wait learn of it as well
                    self.quiet()
                    self._end_rest()
                    self.stopped.set()
                    parts.suspensions.close()
                    parts.following.close()
                    parts.files.close()
                    tasks.cancel_scope.cancel()

    @contextmanager
    def _hearing_collections(self) -> Iterator[None]:
        """Record the garbage collector's runs, so that no hook is blamed for their time."""
        collections = [hooks.collections for hooks in self._parts.hooks.values()][:1]
        gc.callbacks.extend(collections)
        try:
            yield
        finally:
            for heard in collections:
                gc.callbacks.remove(heard)

    async def _serve(self) -> None:
        """Keep the partitions alive until the gateway closes and has drained."""
        parts, pager, groups = self._parts, self._parts.pager, self._parts.groups
        serves = parts.serves
        async with trio.open_nursery() as workers:
            for partition in parts.partitions if serves else ():
                workers.start_soon(parts.supervisor.keep, partition)
            if parts.tenure is not None and serves:
                workers.start_soon(end_with_lease, parts.partitions, parts.tenure)
            if parts.sourced is not None:
                parts.sourced.stored.begin()
                workers.start_soon(parts.sourced.forgetting.run)
            if pager is not None:
                workers.start_soon(pager.run)
                workers.start_soon(groups.open)
                if parts.count is not None:
                    workers.start_soon(share_count, pager.capacity, parts.count, parts.clock)
            elif parts.producer is not None:
                workers.start_soon(parts.producer.bound.run)
            self.opened.set()
            await self.closing.wait()
            with self._draining:
                await self._let_end(workers)
            workers.cancel_scope.cancel()

    async def _let_end(self, workers: trio.Nursery) -> None:
        """Let what is under way end, within the configuration's `drain_timeout`."""
        parts, pager, groups = self._parts, self._parts.pager, self._parts.groups
        begun, grace = trio.current_time(), parts.config.drain_timeout
        workers.start_soon(self._tell_of_draining, grace)
        if pager is None and parts.serves:
            with trio.move_on_after(grace):
                await groups.drained()
        groups.close()
        if parts.producer is not None:
            with trio.move_on_after(grace):
                await parts.producer.drained()
        if not parts.suspensions.idle:
            with trio.move_on_after(max(grace, STORES)):
                await parts.suspensions.drained()
        left = max(0.0, grace - (trio.current_time() - begun))
        if pager is None:
            await drain(parts.partitions, left)
        else:
            await drain_in_flight(parts.partitions, left, partial(self._hand_on, workers))

    def _hand_on(self, workers: trio.Nursery) -> None:
        """Let other processes go on with accounts of which nothing is under way here."""
        pager, spread = self._parts.pager, self._parts.spread
        if pager is not None and spread is not None:
            spread.ends()
            for account in self._parts.registry.all():
                if pager.accounts.may_be_handed_on(account):
                    pager.accounts.moving.begins(account)
                    workers.start_soon(pager.accounts.moving.move, account)

    async def _tell_of_draining(self, grace: float) -> None:
        """Log that the gateway still drains, if that takes longer than `TELLS_AFTER`."""
        await trio.sleep(TELLS_AFTER)
        unfinished = sum(len(partition.deliveries) for partition in self._parts.partitions)
        log_event(DRAINING, unfinished=unfinished, timeout=grace)

    def cut_drain(self) -> None:
        """Stop draining, and log each envelope that is still in memory."""
        parts = self._parts
        deliveries = [f for partition in parts.partitions for f in partition.deliveries.values()]
        for delivery in deliveries if not self._draining.cancel_called else ():
            fields = {"envelope": delivery.id, "instance": delivery.envelope.instance_id}
            room = parts.privacy.room_of(delivery.envelope)
            log_event(LEFT_AT_CLOSE, **fields, room=room, stored=parts.pager is not None)
        self._draining.cancel()

    def _end_rest(self) -> None:
        """End the rest: a durable outbox stores it; without one it is given up."""
        parts, pager = self._parts, self._parts.pager
        parts.groups.close()
        left = sum(len(partition.deliveries) for partition in parts.partitions)
        stored = 0 if pager is None else pager.capacity.unfinished
        if left or stored:
            log_event(UNFINISHED_AT_CLOSE, count=max(left, stored), stored=stored)
        for partition in parts.partitions:
            partition.completion.abandon() if pager is None else partition.completion.store()
        if parts.journal is not None:
            parts.journal.cut_off()
        parts.registry.release(
            () if pager is None or parts.spread is None else pager.accounts.others
        )
        if pager is not None:
            pager.spilled.store()
        if parts.producer is not None:
            parts.producer.way.store()

    def quiet(self) -> None:
        """Accept nothing more; calls that wait for a slot raise `GatewayClosed`."""
        self.closing.set()
        self._on_quiet()
        if self._parts.pager is not None:
            self._parts.pager.close()
        if self._parts.producer is not None:
            self._parts.producer.bound.capacity.close()
        if self._parts.sourced is not None:
            self._parts.sourced.stored.close()
            self._parts.sourced.sourcing.close()
        self._parts.door.close()

    async def drain(self) -> list[Undelivered]:
        """Drain as `Gateway.drain` says."""
        parts = self._parts
        deliveries = [f for partition in parts.partitions for f in partition.deliveries.values()]
        if parts.pager is not None:
            deliveries += parts.pager.spilled.all()
        self.quiet()
        await self.stopped.wait()
        return [
            Undelivered(delivery.envelope, delivery.receipt)
            for delivery in deliveries
            if delivery.receipt is not None and not delivery.receipt.delivered
        ]
