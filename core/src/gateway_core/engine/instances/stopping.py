"""How an instance stops and goes on: suspended, resumed, drained, released.

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
"""Envelopes that are ended between two turns of the other tasks: a millisecond or two."""

LOOK = 0.05
"""Seconds between looks at whether an account that is removed was suspended meanwhile."""


@attrs.define(eq=False, repr=False)
class Stopping:
    """Carries out what happens to an instance's envelopes and limits as it stops or goes on.

    partitions  set once they are made
    """

    _config: GatewayConfig
    _clock: Clock
    _spawn: Spawn
    _journal: Journal | None
    partitions: Sequence[Partition] = ()

    # -- suspended, and resumed

    def hold(self, account: InstanceState, why: str) -> None:
        """Suspend an account for a reason that is not its platform's."""
        account.health.held = True
        fatal, suspended = ErrorClass.FATAL, Reason.SUSPENDED
        verdict = Verdict(error_class=fatal, reason=suspended, scope=Scope.INSTANCE, raw=why)
        self.suspend(account, verdict)

    def suspend(self, account: InstanceState, verdict: Verdict) -> None:
        """Suspend an account, and report that once; a removed one is not reported."""
        if account.health.removed or not account.health.suspend(verdict, self._clock.now()):
            return
        log_event(
            INSTANCE_SUSPENDED,
            instance=account.instance.id,
            channel=account.instance.channel,
            reason=str(verdict.reason),
            raw=verdict.raw,
        )
        account.hooks.instance_suspended(account.instance, verdict)
        if self._config.when_suspended == "end" or account.is_hopeless:
            called = self._config.when_suspended != "end"
            self._end_waiting(account, Ending(Disposition.FATAL, verdict), called=called)

    def _end_waiting(self, account: InstanceState, ending: Ending, *, called: bool) -> None:
        """End what waits for a suspended account: some at once, and the rest by and by.

        called  only that whose caller waits for its end
        """
        waiting = (
            (partition.completion, delivery)
            for partition in self.partitions
            for delivery in partition.completion.unfinished_of(account.instance.id)
            if delivery.called or not called
        )

        def end_some() -> bool:
            """Whether there may be more, and the account is still suspended."""
            some = tuple(islice(waiting, AT_ONCE))
            for completion, delivery in some:
                completion.end_if_waiting(delivery, ending)
            return len(some) == AT_ONCE and account.health.suspended is not None

        async def end_rest() -> None:
            await trio.lowlevel.checkpoint()
            while end_some():
                await trio.lowlevel.checkpoint()

        if end_some():
            self._spawn(end_rest)

    def lift(self, account: InstanceState, now: int) -> None:
        """Take back what refusals closed, for this process run and the next."""
        if self._journal is not None:
            for operation in ("", *account.limits.operations):
                self._journal.closed(account.instance.id, operation, 0.0)
        serve_waiters(account.limits.lift(now), now)
        for partition in self.partitions:
            partition.scheduler.lift(account, now)

    # -- removed, and released

    async def drained(self, account: InstanceState) -> None:
        """Wait until nothing of it is unfinished, or it is suspended and nothing is under way.

        An outbox may load more meanwhile.
        """
        waited = True
        while waited:
            waited = False
            for partition in self.partitions:
                for delivery in partition.completion.unfinished_of(account.instance.id):
                    ended = trio.Event()
                    delivery.on_end(ended.set)
                    while not (delivery.receipt or delivery.stored or account.is_at_rest):
                        waited = True
                        with trio.move_on_after(LOOK):
                            await ended.wait()
                    delivery.forget(ended.set)

    async def at_rest(self, account: InstanceState) -> None:
        """Wait for its attempts under way, as long as one may take."""
        with trio.move_on_after(self._config.attempt_timeout):
            while account.limits.attempts.in_flight:  # noqa: ASYNC110 - attempts pay for no event
                await trio.sleep(LOOK)

    async def give_up_all(self, instance_id: str) -> list[Undelivered]:
        """End everything of it, in each partition the newest first, with the others' turns between.

        Without what ended otherwise meanwhile, or what an outbox stored since the gateway closed.
        """
        undelivered: list[Undelivered] = []
        for partition in self.partitions:
            left, unfinished = [], partition.completion.unfinished_of(instance_id)
            while unfinished:  # emptied by and by: to free so many at once takes its time, too
                delivery = unfinished.pop()
                if not delivery.stored:
                    receipt = partition.completion.give_up(delivery, "its instance was removed")
                    if not receipt.delivered:
                        left.append(Undelivered(delivery.envelope, receipt))
                if len(unfinished) % AT_ONCE == 0:
                    await trio.lowlevel.checkpoint()
            undelivered += reversed(left)
        return undelivered

    def release(self, account: InstanceState) -> None:
        """What is spent of its limits is the outbox's to keep, for whoever owns it next."""
        if self._journal is not None:
            standings = account.limits.registry.standings(self._clock.now())
            self._journal.release(account.instance.id, standings)
