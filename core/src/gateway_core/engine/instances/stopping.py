"""Carries out how an instance stops and goes on: suspended, resumed, drained, released.

This module waits: for the unfinished envelopes and the attempts of an instance that is removed or
moved; and wherever it ends many envelopes, so that the other tasks have their turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import attrs
import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.accounts.sessions import Spawn
from gateway_core.clock import Clock
from gateway_core.config import GatewayConfig
from gateway_core.contract.envelopes import Disposition, Undelivered
from gateway_core.contract.verdicts import ErrorClass, Reason, Scope, Verdict
from gateway_core.deliveries.ending import Ending
from gateway_core.engine.partition import Partition
from gateway_core.outboxes.journal import Journal
from gateway_core.scheduling.waiting_groups import serve_waiters
from gateway_core.telemetry import INSTANCE_SUSPENDED, log_event

AT_ONCE = 16
"""How many envelopes are ended before other tasks run again: it takes a millisecond or two."""

STORED_AT_ONCE = 256
"""How many endings are reported before the outbox has stored them: the others wait no longer."""

LOOK = 0.05
"""Seconds between two checks whether an account that is being removed was suspended meanwhile."""


@attrs.define(eq=False, repr=False)
class Stopping:
    """Carries out what happens to an instance's envelopes and limits when it stops or goes on.

    partitions  set once the partitions are made
    """

    _config: GatewayConfig
    _clock: Clock
    _spawn: Spawn
    _journal: Journal | None
    partitions: Sequence[Partition] = ()

    # -- suspended, and resumed

    def hold(self, account: InstanceState, why: str, *, by_hand: bool = False) -> None:
        """Suspend an account for a reason that does not come from its platform.

        by_hand  log it also if the account was suspended already, for another reason
        """
        account.health.held = True
        before = account.health.suspended
        fatal, suspended = ErrorClass.FATAL, Reason.SUSPENDED
        verdict = Verdict(error_class=fatal, reason=suspended, scope=Scope.INSTANCE, raw=why)
        self.suspend(account, verdict)
        if by_hand and before is not None and before != verdict:
            _log_suspension(account, verdict)

    def suspend(self, account: InstanceState, verdict: Verdict) -> None:
        """Suspend an account, and report that once; do nothing if it is removed."""
        if account.health.removed or not account.health.suspend(verdict, self._clock.now()):
            return
        _log_suspension(account, verdict)
        account.hooks.instance_suspended(account.instance, verdict)
        if self._config.when_suspended == "end" or account.is_hopeless:
            called = self._config.when_suspended != "end"
            self._end_waiting(account, Ending(Disposition.FATAL, verdict), called=called)

    def _end_waiting(self, account: InstanceState, ending: Ending, *, called: bool) -> None:
        """End the envelopes that wait for a suspended account: some at once, the rest in a task.

        called  only those for whose end a caller waits
        """
        waiting = (
            (partition.completion, delivery)
            for partition in self.partitions
            for delivery in partition.completion.unfinished_of(account.instance.id)
            if delivery.called or not called
        )

        def end_some() -> bool:
            """End some; return whether there may be more and the account is still suspended."""
            some = tuple(islice(waiting, AT_ONCE))
            for completion, delivery in some:
                completion.end_if_waiting(delivery, ending)
            return len(some) == AT_ONCE and account.health.suspended is not None

        async def end_rest() -> None:
            turns = _Turns(self._journal)
            await turns.next(AT_ONCE)
            while end_some():
                await turns.next(AT_ONCE)

        if end_some():
            self._spawn(end_rest)

    def lift(self, account: InstanceState, now: int) -> None:
        """Open again the limits that refusals closed, for this process run and the next.

        What is stored of an account is its owner's: another process changes nothing of that.
        """
        instance_id = account.instance.id
        if self._journal is not None and self._journal.covers(instance_id):
            for operation in ("", *account.limits.operations):
                self._journal.closed(instance_id, operation, 0.0)
        serve_waiters(account.limits.lift(now), now)
        for partition in self.partitions:
            partition.scheduler.lift(account, now)

    # -- removed, and released

    async def drained(self, account: InstanceState) -> None:
        """Wait until all its envelopes have ended, or it is suspended with no attempt under way.

        Meanwhile more envelopes may come into memory from an outbox.
        """
        waited = True
        while waited:
            waited = False
            for partition in self.partitions:
                unfinished = partition.completion.unfinished_of(account.instance.id)
                for number, delivery in enumerate(unfinished, 1):
                    if account.is_at_rest:
                        return
                    if number % AT_ONCE == 0:
                        await trio.lowlevel.checkpoint()
                    ended = trio.Event()
                    delivery.on_end(ended.set)
                    while not (delivery.receipt or delivery.stored or account.is_at_rest):
                        waited = True
                        with trio.move_on_after(LOOK):
                            await ended.wait()
                    delivery.forget(ended.set)

    async def at_rest(self, account: InstanceState) -> None:
        """Wait for the account's attempts under way, as long as one may take."""
        with trio.move_on_after(self._config.attempt_timeout):
            while account.limits.attempts.in_flight:  # noqa: ASYNC110 - attempts pay for no event
                await trio.sleep(LOOK)

    async def give_up_all(self, instance_id: str) -> list[Undelivered]:
        """End the instance's envelopes, in each partition the newest first; returns those unsent.

        Other tasks run in between. Envelopes that ended otherwise meanwhile, or that an outbox
        stored when the gateway closed, are left out.
        """
        undelivered: list[Undelivered] = []
        turns = _Turns(self._journal)
        for partition in self.partitions:
            left, unfinished = [], partition.completion.unfinished_of(instance_id)
            while unfinished:  # emptied step by step: to free many objects at once takes long, too
                delivery = unfinished.pop()
                if not delivery.stored:
                    receipt = partition.completion.give_up(delivery, "its instance was removed")
                    if not receipt.delivered:
                        left.append(Undelivered(delivery.envelope, receipt))
                if len(unfinished) % AT_ONCE == 0:
                    await turns.next(AT_ONCE)
            undelivered += reversed(left)
        return undelivered

    def release(self, account: InstanceState) -> None:
        """Store how much of the account's limits is spent, for the next owner."""
        if self._journal is not None:
            standings = account.limits.registry.standings(self._clock.now())
            self._journal.release(account.instance.id, standings)


def _log_suspension(account: InstanceState, verdict: Verdict) -> None:
    log_event(
        INSTANCE_SUSPENDED,
        instance=account.instance.id,
        channel=account.instance.channel,
        reason=str(verdict.reason),
        raw=verdict.raw,
    )


class _Turns:
    """Gives the other tasks their turns while many envelopes end, and the outbox time to store."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        self._reported = 0

    async def next(self, ended: int) -> None:
        """Let the others run, after so many endings."""
        await trio.lowlevel.checkpoint()
        self._reported += ended
        if self._journal is not None and self._reported >= STORED_AT_ONCE:
            self._reported = 0
            if not await self._journal.caught_up():  # a disk that fails is not waited for again
                self._journal = None
