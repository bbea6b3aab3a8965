"""Tests of failures: the page of a proxy comes in the place of the platform's answer."""

# ruff: noqa: S101, ARG002 - these are tests, shipped to authors; a clock is asked for by name

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import attrs
import pytest

from gateway_core.contract.envelopes import Attempt
from gateway_core.contract.instances import Instance
from gateway_core.contract.verdicts import ErrorClass, Reason, Verdict
from gateway_core.plugins.front import ChannelHooks
from gateway_core.testing.channel_contract.making import Making
from gateway_core.testing.channel_contract.wire import Trial

REFUSALS = (400, 403, 404, 429, 500, 502, 503)
OUTAGES = (500, 502, 503)
PAUSE = 7


class RefusalsContract(Making):
    """Tests of what the hooks make of an HTTP status that says no."""

    async def test_a_refusal_is_no_delivery(
        self, hooks: ChannelHooks, instance: Instance, clock: object
    ) -> None:
        """`send`, and `edit` if there is one, raise for each status of a failure."""
        async with self._refused(hooks, instance) as (trial, attempts):
            for attempt in attempts:
                for status in REFUSALS:
                    await self._verdict_on(trial, attempt, status)

    async def test_an_outage_is_retried(
        self, hooks: ChannelHooks, instance: Instance, classifying: None, clock: object
    ) -> None:
        """A status of 500 and more is an error of the platform, and no fault of the message."""
        async with self._refused(hooks, instance) as (trial, attempts):
            for status in OUTAGES:
                verdict = await self._verdict_on(trial, attempts[0], status)
                assert verdict.error_class is ErrorClass.RETRYABLE, (
                    f"HTTP {status} ends a message as {verdict.error_class.value}"
                    f" ({verdict.reason.value}): it is an outage, so answer"
                    " ErrorClass.RETRYABLE in `classify_error`, or leave it to `foreign_verdict`"
                )

    async def test_a_429_is_waited_for_as_long_as_it_says(
        self, hooks: ChannelHooks, instance: Instance, classifying: None, clock: object
    ) -> None:
        """A status of 429 closes a limit; `Retry-After` says for how long."""
        async with self._refused(hooks, instance) as (trial, attempts):
            verdict = await self._verdict_on(trial, attempts[0], HTTPStatus.TOO_MANY_REQUESTS)
            limited = (verdict.error_class, verdict.reason)
            assert limited == (ErrorClass.RETRYABLE, Reason.RATE_LIMITED), (
                f"HTTP 429 is {verdict.error_class.value} ({verdict.reason.value}): it says that a"
                " limit is reached, so answer ErrorClass.RETRYABLE with Reason.RATE_LIMITED in"
                " `classify_error`"
            )
            wait = verdict.retry_after
            assert wait is None or PAUSE <= wait < 1000 * PAUSE, (  # longer, if a platform says so
                f"`Retry-After: {PAUSE}` gives `retry_after={wait}`: it is in seconds, and"
                " `retry_after_seconds` of gateway_core.http reads the header"
            )

    @asynccontextmanager
    async def _refused(
        self, hooks: ChannelHooks, instance: Instance
    ) -> AsyncIterator[tuple[Trial, list[Attempt]]]:
        """A session, and attempts that the platform would not refuse; the send is the first."""
        part = self._part(hooks, instance)
        async with self._trying(hooks, instance) as trial:
            send = self._attempt("send", part=part)
            sent = await trial.make(send, "a message")
            trial.check_heard()
            attempts = [attrs.evolve(send, key=f"{send.key[:-1]}1")]
            if hooks.traits.edit and sent.message_id:
                edit = attrs.evolve(self._attempt("edit", part=part), message_id=sent.message_id)
                attempts.append(edit)
            yield trial, attempts

    async def _verdict_on(self, trial: Trial, attempt: Attempt, status: int) -> Verdict:
        """The verdict on an attempt that gets a page with this status for every request."""
        trial.wire.instead = (status, PAUSE)
        try:
            answer = await trial.hooks.perform(trial.instance, trial.session, attempt)
        except Exception as error:  # noqa: BLE001 - what an adapter raises is its own
            return trial.hooks.classify_error(trial.instance, attempt, error)
        finally:
            trial.wire.instead = None
        pytest.fail(
            f"`{attempt.operation}` returns {answer!r} for HTTP {status}, and the receipt says"
            " delivered: raise an error for each answer that reports a failure"
        )
