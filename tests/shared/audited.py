"""Fixtures for tests of whole engines: an audited gateway, and short names for failures."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from gateway_core import ErrorClass, Gateway, Reason, Scope, Send, Verdict
from gateway_core.authors import Answer, Attempt, TransportError, hookimpl
from gateway_core.testing import Failure, FakeChannel, open_test_gateway, seeded_schedule


@pytest.fixture(autouse=True)
def _schedule(request):
    """Run tasks in an order drawn from the test's name and the environment's SCHEDULE_SEED."""
    with seeded_schedule(f"{os.environ.get('SCHEDULE_SEED', '0')} {request.node.nodeid}"):
        yield


OFTEN, SELDOM = 300, 10
"""Audit each of the first `OFTEN` steps, then one step of `SELDOM`, since most steps are alike."""


class Auditor:
    """A policy that audits the gateway's counts at attempts and endings."""

    def __init__(self) -> None:
        self._steps = 0
        self.gateway: Gateway | None = None
        self.violations: list[str] = []
        self.ends: Counter[str] = Counter()
        self.receipts: list[Any] = []

    @hookimpl
    def after_attempt(self) -> None:
        self._step("an attempt")

    @hookimpl
    def after_disposition(self, receipt) -> None:
        self.ends[receipt.envelope_id] += 1
        self.receipts.append(receipt)
        self._step(f"the end of {receipt.envelope_id}")

    def _step(self, what: str) -> None:
        self._steps += 1
        if self._steps <= OFTEN or self._steps % SELDOM == 0:
            self.look(what)

    def look(self, when: str) -> None:
        if self.gateway is None:
            return
        statistics = self.gateway.statistics()
        if not statistics.conserved:
            self.violations.append(f"not conserved after {when}: {statistics}")
        self.violations += [
            f"a class holds {held.total} of {partition.admission.bound} after {when}"
            for partition in self.gateway._partitions
            for held in partition.admission._held
            if held.total > partition.admission.bound
        ]
        self.violations += [
            f"depth {p.depth} over {p.bound} after {when}"
            for p in statistics.partitions
            if p.depth > 3 * p.bound + 1  # a slot changes hands before the victim's is given back
        ]

    def close(self) -> None:
        assert self.gateway is not None
        self.look("the close")
        statistics = self.gateway.statistics()
        assert [] == self.violations
        assert {1} >= set(self.ends.values()), "an envelope ended twice"
        assert statistics.accepted == sum(statistics.dispositions.values()) == len(self.ends)
        for partition in statistics.partitions:
            assert (0, 0, 0) == (partition.depth, partition.waiting, partition.unfinished)
        for partition in self.gateway._partitions:
            assert all(({}, {}) == (h.instances, h.rooms) for h in partition.admission._held)


@pytest.fixture
def auditor():
    return Auditor()


@pytest.fixture
def engine(auditor):
    """Opens a gateway on a fake channel, and audits its counts until it is closed."""
    return _audited(auditor)


@pytest.fixture
def new_engine():
    """Makes a new `engine` for each of a test's many runs."""
    return lambda: _audited(Auditor())


def _audited(auditor: Auditor) -> Any:
    @asynccontextmanager
    async def opened(channel: FakeChannel | None = None, **settings: Any) -> AsyncIterator[Gateway]:
        plugins = [*settings.pop("plugins", ()), auditor]
        settings.setdefault("drain_timeout", 0)
        async with open_test_gateway(channel, plugins=plugins, **settings) as gateway:
            auditor.gateway = gateway
            yield gateway
        auditor.close()

    return opened


class Ceilings(Random):
    """A random generator that always draws the longest wait, so that tests know a probe's time."""

    def random(self) -> float:
        return 1.0


def backs_off(
    waits: Iterable[float],
    base: float = 1.0,
    cap: float = 60.0,
    slack: float = 0.01,
    growth: float = 2.0,
) -> None:
    """Check a backoff: each wait is `growth` times the last, up to `cap`, less at most a fifth."""
    waits, ceiling = list(waits), base
    assert waits
    for wait in waits:
        assert 0.8 * ceiling - 1e-6 <= wait <= ceiling + slack, (waits, ceiling)
        ceiling = min(cap, growth * ceiling)


def _failure(error_class: ErrorClass, reason: Reason, **fields: Any) -> Failure:
    return Failure(Verdict(error_class=error_class, reason=reason, **fields))


def limited(after: float | None = 10.0, scope: Scope = Scope.ROOM, **fields: Any) -> Failure:
    return _failure(
        ErrorClass.RETRYABLE, Reason.RATE_LIMITED, scope=scope, retry_after=after, **fields
    )


def busy(**fields: Any) -> Failure:
    """A failure to be tried again: certainly not sent, and no outage."""
    return _failure(ErrorClass.RETRYABLE, Reason.UNCLASSIFIED, **fields)


def rejected(scope: Scope = Scope.MESSAGE, **fields: Any) -> Failure:
    return _failure(ErrorClass.NON_RETRYABLE, Reason.BAD_REQUEST, scope=scope, **fields)


def fatal(scope: Scope = Scope.INSTANCE, **fields: Any) -> Failure:
    return _failure(ErrorClass.FATAL, Reason.UNAUTHORIZED, scope=scope, **fields)


def unknown() -> TransportError:
    return TransportError("no answer", dispatched="unknown")


def refused() -> TransportError:
    return TransportError("connection refused", dispatched="no")


def script(*steps: Any) -> Callable[[Attempt], Awaitable[Answer | None]]:
    """A script with a step for each attempt: an exception, an answer, or seconds to wait.

    After the last step all attempts succeed.
    """
    left = list(steps)

    async def run(_: Attempt) -> Answer | None:
        step = left.pop(0) if left else None
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, int | float):
            await trio.sleep(step)
            return None
        return step

    return run


def message(room: str = "r", text: str = "hello", **fields: Any) -> Send:
    fields.setdefault("instance_id", "bot")
    return Send(external_room_id=room, text=text, **fields)


@pytest.fixture
def say():
    """Short names for failures of attempts, and for helpers of such tests."""
    return SimpleNamespace(
        limited=limited,
        busy=busy,
        rejected=rejected,
        fatal=fatal,
        unknown=unknown,
        refused=refused,
        backs_off=backs_off,
        Ceilings=Ceilings,
        script=script,
        message=message,
    )
