"""Finds out whether an instance works again: one task per instance in trouble, none else.

This module waits: it is the task of an account, as `partition` is that of a partition.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import Clock
from gateway_core.contract.envelopes import Attempt
from gateway_core.contract.hookspecs import Identity
from gateway_core.contract.instances import hidden
from gateway_core.contract.verdicts import ErrorClass, Reason, Verdict
from gateway_core.plugins.boundary import stopped
from gateway_core.telemetry import CIRCUIT_CLOSED, INSTANCE_RESUMED, log_event


class Prober:
    """Probes with backoff while an account needs it."""

    def __init__(
        self, clock: Clock, timeout: float, suspend: Callable[[InstanceState, Verdict], None]
    ) -> None:
        self._clock = clock
        self._timeout = timeout
        self._suspend = suspend

    async def keep(self, account: InstanceState) -> None:
        """Run until the account works, or nobody asks any more."""
        try:
            if account.refusal is not None:
                await self._refresh(account)
            while account.needs_probe:
                await trio.sleep(account.circuit_settings.probe_delay(account.probes))
                if account.refusal is not None:
                    await self._refresh(account)
                elif account.needs_probe:
                    account.probes += 1
                    await self._look(account)
        finally:
            account.keeper_runs = False

    async def _refresh(self, account: InstanceState) -> None:
        """Ask once for a fresh secret; without one, the account is suspended."""
        asked = verdict = account.refusal
        assert verdict is not None  # noqa: S101 - it led here
        secret = None
        try:
            with trio.move_on_after(self._timeout):
                async with account.sessions.use() as session:
                    secret = await account.hooks.credentials(account.instance, session)
        except BaseException as raised:  # noqa: BLE001 - the boundary stands here
            error = stopped(raised)
            said = hidden(f"{type(error).__name__}: {error}", account.instance)
            raw = f"{verdict.raw}; no fresh secret: {said}"
            verdict = Verdict(
                error_class=ErrorClass.FATAL,
                reason=Reason.UNAUTHORIZED,
                scope=verdict.scope,
                raw=raw,
            )
        if account.removed or account.refusal is not asked:
            return  # the application took it out, suspended, resumed or replaced it
        if secret is None:
            self._suspend(account, verdict)
        else:
            account.refreshed(self._clock.now())
            log_event(INSTANCE_RESUMED, instance=account.instance.id, by="credentials")

    async def _look(self, account: InstanceState) -> None:
        if not account.can_probe:
            account.half_open(self._clock.now())
            return
        instance = account.instance
        found = await ask_who(account, self._timeout)
        now = self._clock.now()
        if account.removed or account.held or account.instance is not instance:
            return  # by the application, meanwhile
        if not isinstance(found, Verdict):
            suspended, was_open = account.suspended, account.open
            account.probed(now)
            if suspended is not None:
                log_event(INSTANCE_RESUMED, instance=account.instance.id, by="probe")
            elif was_open:
                log_event(CIRCUIT_CLOSED, instance=account.instance.id)
        elif found.error_class is ErrorClass.FATAL:
            self._suspend(account, found)


async def ask_who(account: InstanceState, seconds: float) -> Identity | Verdict | None:
    """Who the account is, as its adapter's probe finds out, or a verdict: what is in the way."""
    instance = account.instance
    attempt = Attempt(operation="probe", envelope_id="", instance_id=instance.id, room="")
    try:
        with trio.move_on_after(seconds):
            async with account.sessions.use() as session:
                return await account.hooks.probe(instance, session)
    except BaseException as raised:  # noqa: BLE001 - the boundary stands here
        return account.hooks.classify_error(instance, attempt, stopped(raised))
    return Verdict(
        error_class=ErrorClass.RETRYABLE,
        reason=Reason.OUTCOME_UNKNOWN,
        dispatched="unknown",
        raw=f"the probe did not end within {seconds:g} s",
    )
