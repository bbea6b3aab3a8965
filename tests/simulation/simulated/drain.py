"""Computes how long a world may take to end once nothing goes wrong any more.

The bound follows from the work that is left and from the platforms' limits: it is the list
scheduling bound (the longest lane, and all the work over the slots), after every wait that may
still be pending.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import trio
from simulated.drawing import Setup
from simulated.ledger import Entry, Ledger, words_of
from simulated.platforms import LATE

from gateway_core.backlog.pager import HORIZON
from gateway_core.ratelimits.pace import FLOOR
from gateway_core.ratelimits.trial import LONGEST_BELIEVED
from gateway_core.testing import EPOCH

MARGIN = 5.0
LONGEST_READ = 60.0
"""Seconds for which adapters wait for an answer."""

SOON = 10.0
"""Seconds after the last fault in which an account is at its pace again."""


def longest_drain(setup: Setup, ledger: Ledger, entries: list[Entry]) -> float:
    """Seconds until the last of `entries` must have ended."""
    if not entries:
        return 0.0
    now = trio.current_time()
    starts = [_start(entry, ledger.offset) for entry in entries]
    # A change in an outbox waits for its message's time, even if the message has ended before.
    changed = [ledger.maker(entry.envelope) for entry in entries]
    starts += [_start(entry, ledger.offset) for entry in changed if entry is not None]
    # A stream that is open ends when its writer has said all; until then its edits are made.
    starts += [e.spoken.until for e in ledger.unfinished if e.spoken and e.spoken.is_open]
    waits = max(0.0, ledger.waits_until() - now, max(starts) - now)
    settling = _settling(setup) + _remembered(setup)
    return waits + settling + _work(setup, entries, slowed=1 / FLOOR)


def longest_afterwards(setup: Setup, ledger: Ledger, entries: list[Entry]) -> float:
    """Like `longest_drain`, if all has been calm for a while: accounts are at pace in `SOON`."""
    waits = max(0.0, ledger.waits_until() - trio.current_time())
    known = SOON + _remembered(setup) + _unnoticed(setup)
    return waits + known + _work(setup, entries, slowed=1.0)


def _unnoticed(setup: Setup) -> float:
    """Seconds until the first request on a connection shows that it died while it was idle."""
    return min(setup.config.attempt_timeout, LONGEST_READ) if setup.wires else 0.0


def _remembered(setup: Setup) -> float:
    """Seconds for closures that an outbox may know, but not the ledger, since the clock was set."""
    lies = any(what == "lies" for _, what, *_ in setup.trouble.weather)
    return LONGEST_BELIEVED / 1e9 if lies and setup.jumps and setup.durable else 0.0


def _start(entry: Entry, offset: float) -> float:
    """When an entry may start, on trio's clock; `not_before` is POSIX time, which may be set.

    In memory, the wait is measured by trio's clock from acceptance on; in an outbox, by the wall
    clock.
    """
    scheduled = entry.envelope.not_before
    if scheduled is None:
        return entry.accepted_at
    in_memory = entry.accepted_at + scheduled - entry.accepted_wall
    return max(in_memory, scheduled - EPOCH - offset)


def _settling(setup: Setup) -> float:
    """Seconds for what is pending: an attempt, its quarantine and backoff, a probe, a restart."""
    config = setup.config
    attempt = min(config.attempt_timeout, 60.0)
    trip = 2 * max(setup.latency) + max(LATE)
    probes = 2 * (config.circuit.probe_cap + min(trip, config.attempt_timeout))
    retries = config.retries.attempts * (config.retries.cap + config.retries.quarantine)
    paging = 2 * HORIZON if setup.durable else 0.0
    return attempt + trip + probes + retries + paging + 20.0 + MARGIN


def _work(setup: Setup, entries: list[Entry], *, slowed: float) -> float:
    """Seconds for all steps one after the other, at their limits' pace, `slowed` times slower."""
    steps: Counter[str] = Counter()
    for entry in entries:
        channel = entry.envelope.instance_id.rstrip("0123456789")
        steps[channel] += _steps(entry)
    trip = 2 * max(setup.latency) + 1.0
    return sum(count * (_pace(setup, channel, slowed) + trip) for channel, count in steps.items())


def _steps(entry: Entry) -> int:
    """Most calls of an entry: each part, and as many deletions, tried twice."""
    if entry.spoken is not None:  # its parts, and again where its message is gone
        return 6 * (2 + max((len(words_of(text)) for _, text in entry.spoken.states), default=0))
    text: Any = getattr(entry.envelope, "text", "")
    return 2 * (2 + len(words_of(text)))


def _pace(setup: Setup, channel: str, slowed: float) -> float:
    """Seconds for one call at worst: a window that is slowed down, to one call at the least."""
    limits = setup.limits
    group, discord = limits["group"], limits["discord"]
    windows = {
        "telegram": group[1] * max(1.0, slowed / group[0]),
        "slack": 60.0 * max(1.0, slowed / limits["tier_3"]),
        "discord": discord[1],
    }
    return windows[channel]
