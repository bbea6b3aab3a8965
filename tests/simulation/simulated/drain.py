"""How long a world may take to come to its end once nothing goes wrong any more.

Computed from what is left and what the platforms allow: the list scheduling bound (the longest
lane, and all the work over the slots), with every wait that may still be pending in front.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import trio
from simulated.drawing import Setup
from simulated.ledger import Entry, Ledger, words_of
from simulated.platforms import LATE

from gateway_core.limits import SLOWEST

MARGIN = 5.0


def longest_drain(setup: Setup, ledger: Ledger, entries: list[Entry]) -> float:
    """Seconds until the last of `entries` must have ended."""
    if not entries:
        return 0.0
    now = trio.current_time()
    starts = [_start(entry) for entry in entries]
    waits = max(0.0, ledger.waits_until() - now, max(starts) - now)
    return waits + _settling(setup) + _work(setup, entries)


def _start(entry: Entry) -> float:
    """When it may start, on trio's clock: `not_before` is POSIX time."""
    scheduled = entry.envelope.not_before
    return entry.accepted_at if scheduled is None else scheduled - ledger_epoch()


def ledger_epoch() -> float:
    """POSIX time of virtual time 0."""
    from gateway_core.testing import EPOCH  # noqa: PLC0415 - one name, used here only

    return EPOCH


def _settling(setup: Setup) -> float:
    """What is pending from before: an attempt, its quarantine and backoff, a probe, a restart."""
    config = setup.config
    attempt = min(config.attempt_timeout, 60.0)
    trip = 2 * max(setup.latency) + max(LATE)
    probes = 2 * (config.circuit.probe_cap + min(trip, config.attempt_timeout))
    retries = config.retries.attempts * (config.retries.cap + config.retries.quarantine)
    return attempt + trip + probes + retries + 20.0 + MARGIN


def _work(setup: Setup, entries: list[Entry]) -> float:
    """All steps one after the other, at the pace of their limits when they are slowed down most."""
    steps: Counter[str] = Counter()
    for entry in entries:
        channel = entry.envelope.instance_id.rstrip("0123456789")
        steps[channel] += _steps(entry)
    trip = 2 * max(setup.latency) + 1.0
    return sum(count * (_pace(setup, channel) + trip) for channel, count in steps.items())


def _steps(entry: Entry) -> int:
    """At most so many calls: each part, and as many deletions, tried twice."""
    text: Any = getattr(entry.envelope, "text", "")
    return 2 * (2 + len(words_of(text)))


def _pace(setup: Setup, channel: str) -> float:
    """Seconds for one call at worst: a window that is slowed down to one call."""
    limits = setup.limits
    group, discord = limits["group"], limits["discord"]
    windows = {
        "telegram": group[1] * max(1.0, SLOWEST / group[0]),
        "slack": 60.0 * max(1.0, SLOWEST / limits["tier_3"]),
        "discord": discord[1],
    }
    return windows[channel]
