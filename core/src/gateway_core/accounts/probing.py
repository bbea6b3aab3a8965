"""Finds out whether an instance works again: one task for each instance in trouble.

This module waits: for the probe of an adapter, and between probes.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import attrs
import trio

from gateway_core.accounts.health import Health
from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import Clock
from gateway_core.contract.envelopes import Attempt
from gateway_core.contract.hookspecs import Identity
from gateway_core.contract.instances import Instance, hidden
from gateway_core.contract.validators import words_of
from gateway_core.contract.verdicts import ErrorClass, Reason, Verdict
from gateway_core.plugins.boundary import stopped
from gateway_core.telemetry import PROBE_FAILED, is_told, log_event

LOOK = 0.5
"""Seconds between two checks whether a first message waits for the instance."""


@attrs.define(eq=False)
class Prober:
    """Probes an instance with backoff, as long as the instance needs it."""

    _clock: Clock
    _timeout: float
    _suspend: Callable[[InstanceState, Verdict], None]
    _rng: Random

    async def probe(self, account: InstanceState) -> None:
        """Probe until the instance works, or needs no probe any more."""
        health = account.health
        try:
            if health.refused is not None:
                await self._refresh(account)
            while health.needs_probe:
                await self._pause(health)
                if health.refused is not None:
                    await self._refresh(account)
                elif health.needs_probe:
                    health.probes += 1
                    await self._look(account)
        finally:
            health.probing = False

    async def _pause(self, health: Health) -> None:
        """Wait until the next probe, which is early once the first message waits for it."""
        begun, awaited = trio.current_time(), health.is_awaited
        until = begun + health.backoff.delay(health.probes + 1, rng=self._rng)
        while (left := until - trio.current_time()) > 0:
            await trio.sleep(left if awaited else min(left, LOOK))
            if not awaited and health.is_awaited and not health.refuted:
                awaited, health.probes = True, 0
                until = min(until, begun + health.backoff.delay(1, rng=self._rng))

    async def _refresh(self, account: InstanceState) -> None:
        """Ask once for a fresh secret; without one, suspend the instance."""
        asked = verdict = account.health.refused
        assert verdict is not None  # noqa: S101 - the caller looked
        secret = None
        try:
            with trio.move_on_after(self._timeout):
                async with account.sessions.use() as session:
                    secret = await account.hooks.credentials(account.instance, session)
        except BaseException as raised:  # noqa: BLE001 - the boundary stands here
            error = stopped(raised)
            said = hidden(words_of(error), account.instance)
            verdict = Verdict(
                error_class=ErrorClass.FATAL,
                reason=Reason.UNAUTHORIZED,
                scope=verdict.scope,
                raw=f"{verdict.raw}; asking for a fresh secret failed: {said}",
            )
        if account.health.removed or account.health.refused is not asked:
            return  # the application removed, suspended, resumed or replaced it
        if secret is None:
            self._suspend(account, verdict)
        else:
            account.health.refreshed(self._clock.now())

    async def _look(self, account: InstanceState) -> None:
        health, instance = account.health, account.instance
        if "probe" not in account.hooks.can:
            health.half_open(self._clock.now())
            return
        found = await ask_who(account, self._timeout)
        if health.removed or health.held or account.instance is not instance:
            return  # the application removed, suspended or replaced it meanwhile
        if not isinstance(found, Verdict):
            health.probed(self._clock.now())
            return
        _log_failure(instance, found, health.probes)
        if found.error_class is ErrorClass.FATAL:
            self._suspend(account, found)


def _log_failure(instance: Instance, found: Verdict, times: int) -> None:
    if is_told(times):
        log_event(
            PROBE_FAILED,
            instance=instance.id,
            channel=instance.channel,
            reason=str(found.reason),
            raw=found.raw,
            times=times,
        )


async def ask_who(account: InstanceState, seconds: float) -> Identity | Verdict | None:
    """The account's identity as its adapter's probe says, or the verdict on why there is none."""
    instance = account.instance
    attempt = Attempt(operation="probe", envelope_id="", instance_id=instance.id, room="")
    asked = False
    try:
        with trio.move_on_after(seconds):
            async with account.sessions.use() as session:
                asked = True
                return await account.hooks.probe(instance, session)
    except BaseException as raised:  # noqa: BLE001 - the boundary stands here
        error = stopped(raised)
        verdict = account.hooks.classify_error(instance, attempt, error)
        if asked:  # else the session has failed, and says so itself
            account.hooks.failed(instance, attempt, error, verdict)
        return verdict
    return Verdict(
        error_class=ErrorClass.RETRYABLE,
        reason=Reason.OUTCOME_UNKNOWN,
        dispatched="unknown",
        raw=f"the probe did not end within {seconds:g} s",
    )
